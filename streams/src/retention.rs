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

    /// The position that its snapshot stands for; `None` without one. It vouches for the whole snapshot.
    ///
    /// # Errors
    /// The snapshot cannot be read. It is written again then.
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
/// Snapshots are written only when there is a segment to drop for them, since each costs a whole store's size: one that
/// is old enough and that every consumer has passed.
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
    let consumers = log.consumers();
    let passed = consumers.iter().map(|consumer| consumer.input).min().unwrap_or(u64::MAX);
    let is_old = |modified| now.duration_since(modified).is_ok_and(|since| since > age);
    let old = segments.iter().take_while(|segment| segment.end <= passed && is_old(segment.modified));
    let Some(target) = old.last().map(|segment| segment.end) else { return Ok(0) };
    let mut position = target;
    for keeper in keepers {
        // An idle consumer's stamp stays behind, but what follows its last changes is nothing to it.
        let changes_end =
            |name: &str| consumers.iter().find(|consumer| consumer.name == name).map_or(0, |it| it.changes);
        let needed = keeper.consumer().map_or(target, changes_end).min(target);
        if needed > 0 {
            position = position.min(stands_for(&**keeper, needed)?.unwrap_or(target));
        }
    }
    let freed_bytes = log.drop_before(position)?;
    if freed_bytes > 0 {
        tracing::info!(position, freed_bytes, "old segments of the log are dropped");
    }
    Ok(freed_bytes)
}

/// Where the log has to begin for a keeper that needs a snapshot as of `needed`; `None` if it has one, maybe only now.
fn stands_for(keeper: &dyn Keeper, needed: u64) -> Result<Option<u64>, StoreError> {
    match keeper.kept() {
        Ok(Some(kept)) if kept >= needed => return Ok(None),
        Ok(_) => {}
        // One that is damaged would hold retention for ever, and the store that it is of is there.
        Err(error) => tracing::warn!(%error, "a snapshot cannot be read: it is written again"),
    }
    let kept = keeper.keep()?.unwrap_or(0);
    Ok((kept < needed).then_some(kept))
}
