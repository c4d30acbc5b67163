//! What a claim ended as, when the answer to its write may be lost.
//!
//! The row names the event whose attempt made it, and an event is one attempt of one caller. So a row that names mine is
//! mine, however many times it was sent, whoever sent it, and whichever answers got lost; a row that names another's never
//! will be; and if there is none, the same write may be sent again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::error::CqlError;
use super::table::Attempt;
use crate::claims::{Claim, ClaimError};

/// Most times that a write is sent, and most times that its row is looked for after each.
const TRIES_MAX: u32 = 3;
/// The pause before the second try, and as much more before each further one: competitors get through meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// How a claim ended, and what it met.
#[derive(Debug)]
pub(super) struct Settled<R> {
    pub(super) claim: Result<Claim<R>, ClaimError>,
    /// Writes whose answer did not tell.
    pub(super) ambiguous: usize,
}

/// Claims a row for `mine`, with `insert`; `read` sees every write that may have been applied.
pub(super) async fn settle<R, I, L>(
    mine: &str,
    claimant: impl Fn(&R) -> &str,
    deadline: Instant,
    insert: impl Fn() -> I,
    read: impl Fn() -> L,
) -> Settled<R>
where
    I: Future<Output = Attempt<R>>,
    L: Future<Output = Result<Option<R>, CqlError>>,
{
    let mut ambiguous = 0;
    let ended = |row: R| if claimant(&row) == mine { Claim::Claimed } else { Claim::Taken(row) };
    let work = async {
        let mut unknown = String::new();
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                sleep(PAUSE * attempt).await;
            }
            match insert().await {
                Attempt::Applied => return Ok(Claim::Claimed),
                Attempt::Present(row) => return Ok(ended(row)),
                // An earlier write of the same may still have been applied: then the row says so to whoever asks.
                Attempt::Refused(reason) => return Err(ClaimError(reason)),
                Attempt::Ambiguous(reason) => unknown = reason,
            }
            ambiguous += 1;
            match look(&read).await {
                Ok(Some(row)) => return Ok(ended(row)),
                Ok(None) => {}
                Err(error) => return Err(ClaimError(format!("{unknown}; and then {error}"))),
            }
        }
        Err(ClaimError(format!("{TRIES_MAX} tries without a row: {unknown}")))
    };
    let claim = match timeout_at(deadline, work).await {
        Ok(claim) => claim,
        Err(_) => Err(ClaimError("not known in time".to_owned())),
    };
    Settled { claim, ambiguous }
}

/// Looks for the row; what is transient is tried again.
async fn look<R, L: Future<Output = Result<Option<R>, CqlError>>>(
    read: &impl Fn() -> L,
) -> Result<Option<R>, CqlError> {
    let mut tries = 1;
    loop {
        match read().await {
            Err(CqlError::Transient(_)) if tries < TRIES_MAX => {}
            answer => return answer,
        }
        sleep(PAUSE * tries).await;
        tries += 1;
    }
}
