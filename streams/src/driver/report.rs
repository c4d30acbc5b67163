//! What a driver tells of itself.

use std::sync::atomic::AtomicU64;

use crate::log::LogError;
use crate::store::StoreError;

/// What a worker has done, for metrics and readiness. All counts are since the start.
#[derive(Debug, Default)]
pub struct Progress {
    /// Times that partitions came, or it was said that there are none: before the first nothing is known of what is to do.
    pub assignments: AtomicU64,
    /// Partitions that are this worker's.
    pub partitions_assigned: AtomicU64,
    /// Those of them that are restored and being processed.
    pub partitions_ready: AtomicU64,
    /// Changelog positions passed by the restores under way.
    pub restore_done: AtomicU64,
    /// Changelog positions that the restores under way have to pass, those done included.
    pub restore_total: AtomicU64,
    /// Changelog positions passed by restores in all.
    pub restored: AtomicU64,
    /// Steps committed.
    pub steps: AtomicU64,
    /// Records processed in them.
    pub records: AtomicU64,
    /// Timers fired in them.
    pub timers: AtomicU64,
    /// Records and timers sent to the dead letters in them.
    pub dead_letters: AtomicU64,
    /// Steps that were aborted or whose outcome was unknown, and were done again.
    pub retries: AtomicU64,
}

/// How far the restore of a partition is, in positions of its changelog.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restoring {
    pub(super) done: u64,
    pub(super) total: u64,
}

impl Restoring {
    /// Takes note of a part that brought the store from one position to another, on its way to `end`.
    pub(super) fn advance(&mut self, from: Option<u64>, to: Option<u64>, end: u64) {
        let to = to.unwrap_or(0);
        self.done += to.saturating_sub(from.unwrap_or(0));
        self.total = self.done + end.saturating_sub(to);
    }
}

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// State cannot be rebuilt: the log has dropped changes that are nowhere else. An empty state instead of it would
    /// process everything a second time, so nothing is processed.
    #[error(
        "the state of partition {partition} of {processor} is lost: {problem}, and the log begins at {first}, after \
         changes that it needs. Put the file {processor}-{partition}.snapshot of a backup in place and start again"
    )]
    Lost {
        /// The processor.
        processor: &'static str,
        /// The partition.
        partition: u32,
        /// What is the matter with the snapshot.
        problem: String,
        /// The first position that the log still has.
        first: u64,
    },
    /// The driver has failed before. What it had polled then is not committed: a new driver polls it again.
    #[error("this worker has stopped after a failure: start a new one")]
    Stopped,
}
