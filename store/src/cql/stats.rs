//! What was done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of claims' latencies, in milliseconds; the last bucket has none.
pub const LATENCY_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// How long claims took, from the question to the answer, those that got none included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many took no longer than the bound of the same place in [`LATENCY_BOUNDS_MS`], and longer than the one before
    /// it; in the last place, those that took longer than all of them.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Of all together.
    pub total: Duration,
}

/// What was done about the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Sessions with the server that were made.
    pub sessions: u64,
    /// Times that the server was given up until it is found again.
    pub breaker_opened: u64,
    /// Conditional writes and serial reads under way.
    pub claims_in_flight: u64,
    /// Plain reads under way.
    pub reads_in_flight: u64,
    /// Upserts under way.
    pub writes_in_flight: u64,
}

/// What was claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimStats {
    /// Claims that the caller was first with.
    pub made: u64,
    /// Claims that somebody was before the caller with.
    pub taken: u64,
    /// Claims of which nothing is known, because the server was away or did not answer in time.
    pub failed: u64,
    /// Conditional writes whose answer did not tell whether they were applied.
    pub ambiguous: u64,
    /// Claims with such a write whose outcome was found out.
    pub resolved: u64,
    /// How long claims took.
    pub latencies: Latencies,
}

/// What was made good from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptStats {
    /// Records from which claims were made good.
    pub records: u64,
    /// Claims made, because there was none.
    pub made: u64,
    /// Claims moved to an earlier report of the same order.
    pub moved: u64,
    /// Records that could not be read, and were passed over.
    pub skipped: u64,
}

/// The numbers behind [`ClaimStats`].
#[derive(Debug, Default)]
pub(crate) struct ClaimCounters {
    pub(crate) made: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) ambiguous: AtomicU64,
    pub(crate) resolved: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl ClaimCounters {
    /// Counts how long a claim took.
    pub(crate) fn took(&self, time: Duration) {
        let bucket = LATENCY_BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < time);
        count(&self.buckets[bucket], 1);
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What they say.
    pub(crate) fn snapshot(&self) -> ClaimStats {
        ClaimStats {
            made: read(&self.made),
            taken: read(&self.taken),
            failed: read(&self.failed),
            ambiguous: read(&self.ambiguous),
            resolved: read(&self.resolved),
            latencies: Latencies {
                buckets: std::array::from_fn(|bucket| read(&self.buckets[bucket])),
                total: Duration::from_micros(read(&self.micros)),
            },
        }
    }
}

/// The numbers behind [`KeptStats`].
#[derive(Debug, Default)]
pub(crate) struct KeptCounters {
    pub(crate) records: AtomicU64,
    pub(crate) made: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) skipped: AtomicU64,
}

impl KeptCounters {
    /// What they say.
    pub(crate) fn snapshot(&self) -> KeptStats {
        KeptStats {
            records: read(&self.records),
            made: read(&self.made),
            moved: read(&self.moved),
            skipped: read(&self.skipped),
        }
    }
}

/// What a counter says.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_their_buckets() {
        let counters = ClaimCounters::default();
        for micros in [0, 1_000, 1_001, 5_000_000, 5_000_001] {
            counters.took(Duration::from_micros(micros));
        }
        let latencies = counters.snapshot().latencies;
        assert_eq!(latencies.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(latencies.total, Duration::from_micros(10_002_002));
    }
}
