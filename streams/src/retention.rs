//! Retention of the embedded log: a segment goes when it is old enough and nobody needs it.
//!
//! Three need a segment: a consumer that has not read it, which the log itself sees to; a state store that would be
//! rebuilt from it, until a snapshot stands for it; and whoever wants to look back, for as long as the age says.

use std::time::{Duration, SystemTime};

use crate::embedded::EmbeddedLog;
use crate::log::LogError;
use crate::store::StoreError;

/// Something that is rebuilt from the log, unless a snapshot of it stands for the log's beginning.
pub trait Keeper: Send {
    /// The consumer whose state changes it is the fold of; `None` for one that follows the whole log.
    fn consumer(&self) -> Option<&str>;

    /// The position that its snapshot stands for; `None` without one.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    fn kept(&self) -> Result<Option<u64>, StoreError>;

    /// Writes a snapshot as of now, and returns the position that it stands for; `None` if there is nothing to keep.
    ///
    /// # Errors
    /// The disk or the store failed; the snapshot before, if any, is still there.
    fn keep(&self) -> Result<Option<u64>, StoreError>;
}

/// Why a round of retention failed. Nothing that is needed is gone, and the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The log's files could not be read or removed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A snapshot could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Drops segments older than `age` at `now`, after snapshots of everything that would need them; returns the bytes freed.
///
/// Snapshots are written only when there is a segment to drop for them, since each costs a whole store's size.
///
/// # Errors
/// As [`RetentionError`] says.
pub fn round(
    log: &EmbeddedLog,
    keepers: &[Box<dyn Keeper>],
    age: Duration,
    now: SystemTime,
) -> Result<u64, RetentionError> {
    let mut segments = log.segments()?;
    // The last one is being written.
    segments.pop();
    let old = segments.iter().take_while(|segment| now.duration_since(segment.modified).is_ok_and(|since| since > age));
    let Some(target) = old.last().map(|segment| segment.end) else { return Ok(0) };
    let consumers = log.consumers();
    let mut position = target;
    for keeper in keepers {
        // An idle consumer's stamp stays behind, but what follows its last changes is nothing to it.
        let changes_end = |name: &str| consumers.iter().find(|consumer| consumer.name == name).map_or(0, |it| it.changes);
        let needed = keeper.consumer().map_or(target, changes_end).min(target);
        let kept = match keeper.kept()? {
            Some(kept) if kept >= needed => Some(kept),
            Some(_) | None => keeper.keep()?,
        };
        if kept.unwrap_or(0) < needed {
            position = position.min(kept.unwrap_or(0));
        }
    }
    let freed_bytes = log.drop_before(position)?;
    tracing::info!(position, freed_bytes, "old segments of the log are dropped");
    Ok(freed_bytes)
}
