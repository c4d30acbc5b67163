//! How far a materializer is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use streams::kafka::GroupReader;

/// What a materializer has done since it was started, for metrics and readiness.
#[derive(Debug, Default)]
pub struct MaterializerProgress {
    /// How often its group gave it partitions; none, perhaps.
    pub assignments: AtomicU64,
    /// The partitions that it has.
    pub partitions: AtomicU64,
    /// Whether it has written what was committed when they were given to it.
    pub caught_up: AtomicBool,
    /// Offsets that could be read and have not been.
    pub lag: AtomicU64,
    /// Batches written.
    pub batches: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Batches that were dropped since their partitions were given up.
    pub lost: AtomicU64,
    /// Kafka clients that had lost sight of all brokers for good, and were replaced.
    pub renewals: AtomicU64,
}

impl MaterializerProgress {
    pub(super) fn assigned(&self, partitions: usize) {
        self.partitions.store(partitions as u64, Ordering::Relaxed);
        self.assignments.fetch_add(1, Ordering::Release);
    }

    pub(super) fn revoked(&self) {
        self.caught_up.store(false, Ordering::Release);
        self.partitions.store(0, Ordering::Relaxed);
    }

    pub(super) fn written(&self, records: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of where the reader is. What it handed out is written.
    pub(super) fn look(&self, reader: &GroupReader) {
        self.lag.store(reader.lag(), Ordering::Relaxed);
        self.renewals.store(reader.renewals(), Ordering::Relaxed);
        if reader.caught_up() {
            self.caught_up.store(true, Ordering::Release);
        }
    }
}
