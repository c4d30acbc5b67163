//! How far the store is, and what it has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// What a store has done since it was opened, and how far behind the log it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The log position up to which everything is applied: of a log with partitions, the sum of their next offsets.
    pub applied_position: u64,
    /// What was committed after that when the feeder last looked: bytes of the embedded log, records of any other.
    pub lag: u64,
    /// Records applied.
    pub records: u64,
    /// Records that could not be applied, because they do not decode or make no sense, and were passed over.
    pub skipped: u64,
    /// Rows written or deleted by the feeder.
    pub rows: u64,
    /// Claims of conversions and of status updates that a caller was first with.
    pub claims_made: u64,
    /// Claims that somebody was before the caller with.
    pub claims_taken: u64,
    /// Claims that the feeder made, because there was none.
    pub claims_fed: u64,
    /// Idempotency keys removed for their age.
    pub keys_expired: u64,
}

/// The numbers behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lag: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) claims_made: AtomicU64,
    pub(super) claims_taken: AtomicU64,
    pub(super) claims_fed: AtomicU64,
    pub(super) keys_expired: AtomicU64,
}

impl Counters {
    /// All zero but the lag.
    pub(super) fn new(lag: u64) -> Counters {
        Counters { lag: AtomicU64::new(lag), ..Counters::default() }
    }

    /// What they say, for a store at `applied`.
    pub(super) fn snapshot(&self, applied: u64) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            applied_position: applied,
            lag: read(&self.lag),
            records: read(&self.records),
            skipped: read(&self.skipped),
            rows: read(&self.rows),
            claims_made: read(&self.claims_made),
            claims_taken: read(&self.claims_taken),
            claims_fed: read(&self.claims_fed),
            keys_expired: read(&self.keys_expired),
        }
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// The position applied, and those who wait for it.
#[derive(Debug)]
pub(super) struct Applied {
    position: AtomicU64,
    gate: Mutex<()>,
    moved: Condvar,
}

impl Applied {
    pub(super) fn new(position: u64) -> Applied {
        Applied { position: AtomicU64::new(position), gate: Mutex::new(()), moved: Condvar::new() }
    }

    pub(super) fn get(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Everything up to `position` can be read now.
    pub(super) fn set(&self, position: u64) {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.position.store(position, Ordering::Release);
        self.moved.notify_all();
    }

    /// Waits for `position`; `false` if it was not reached by `deadline`.
    pub(super) fn wait(&self, position: u64, deadline: Instant) -> bool {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        while self.get() < position {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            gate = self.moved.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
