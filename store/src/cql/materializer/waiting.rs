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

/// Tries something until it succeeds, or can never.
pub(super) async fn again<T>(cql: &Cql, mut attempt: impl AsyncFnMut() -> Result<T, CqlError>) -> Result<T, CqlError> {
    let mut pause = PAUSE_MIN;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error @ CqlError::Permanent(_)) => return Err(error),
            Err(CqlError::Away(_)) => cql.wait_up().await,
            Err(error @ CqlError::Transient(_)) => tracing::debug!(%error, "tried again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
