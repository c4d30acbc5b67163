//! Waiting for the server, without being lost to the group, and without end but by a stop.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use streams::LogError;
use streams::kafka::Turn;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::super::error::CqlError;
use super::super::link::Cql;

/// How often it is looked whether it is to stop, or whether the group has something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a wait may last before the group is listened to. That costs what the client has fetched, so it is longer than
/// a batch takes of a server that answers; and others who want to join wait for it.
const HOLD_AFTER: Duration = Duration::from_secs(5);
/// The pause before something is tried again; each next is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Waited<T> {
    /// What was waited for.
    Done(T),
    /// The group did something, and what was waited for is dropped.
    Turned(Turn),
    /// It is to stop, and what was waited for is dropped.
    Stopped,
}

/// Waits for something, and listens to the group by `hold` if it takes long.
pub(super) fn until<T>(
    runtime: &Handle,
    stop: &AtomicBool,
    what: impl Future<Output = T>,
    mut hold: impl FnMut() -> Result<Turn, LogError>,
) -> Result<Waited<T>, LogError> {
    let (mut what, begun) = (pin!(what), Instant::now());
    loop {
        if let Ok(done) = runtime.block_on(async { timeout(LOOK_EVERY, &mut what).await }) {
            return Ok(Waited::Done(done));
        }
        if stop.load(Ordering::Acquire) {
            return Ok(Waited::Stopped);
        }
        if begun.elapsed() >= HOLD_AFTER {
            match hold()? {
                Turn::Nothing => {}
                turn @ (Turn::Assigned(_) | Turn::Revoked(_) | Turn::Batch(_)) => return Ok(Waited::Turned(turn)),
            }
        }
    }
}

/// The pauses between the attempts at something.
#[derive(Debug)]
pub(super) struct Pauses<'a> {
    cql: &'a Cql,
    next: Duration,
}

impl<'a> Pauses<'a> {
    /// Those of the first attempt on.
    pub(super) fn new(cql: &'a Cql) -> Pauses<'a> {
        Pauses { cql, next: PAUSE_MIN }
    }

    /// Waits until another attempt may succeed.
    ///
    /// # Errors
    /// The one that the last attempt ended with, if none ever will.
    pub(super) async fn after(&mut self, error: CqlError) -> Result<(), CqlError> {
        match error {
            CqlError::Permanent(_) => return Err(error),
            CqlError::Away(_) => self.cql.wait_up().await,
            CqlError::Transient(_) => tracing::debug!(%error, "to be tried again"),
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(PAUSE_MAX);
        Ok(())
    }
}
