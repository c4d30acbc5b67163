//! What a session counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of commit latencies, in milliseconds; what is longer is in one bucket more.
pub const COMMIT_BUCKETS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// What a session has done since it was opened, for metrics.
#[derive(Debug, Default)]
pub struct SessionStats {
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Microseconds from the first produced record to the end of the commit, over all of them.
    pub commit_us_sum: AtomicU64,
    /// How many of them took how long, by [`COMMIT_BUCKETS_MS`].
    pub commit_buckets: [AtomicU64; COMMIT_BUCKETS_MS.len() + 1],
    /// Records consumed by committed transactions.
    pub records: AtomicU64,
    /// Transactions aborted.
    pub aborts: AtomicU64,
    /// Transactions whose outcome had to be looked up.
    pub unknown: AtomicU64,
    /// How often another producer had taken this one's place, or the broker had given it up.
    pub fencings: AtomicU64,
    /// Partitions assigned and taken away, in how many rebalances.
    pub rebalances: AtomicU64,
    /// Errors that the client waited out.
    pub transient_errors: AtomicU64,
}

impl SessionStats {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, took: Duration, records: u64) {
        let bucket = COMMIT_BUCKETS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        Self::count(&self.commit_buckets[bucket.unwrap_or(COMMIT_BUCKETS_MS.len())]);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us_sum.fetch_add(took_us, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        Self::count(&self.commits);
    }
}
