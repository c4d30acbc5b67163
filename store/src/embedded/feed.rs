//! The feeder: keeps the store up with the log. It runs on a thread of its own, since it blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemas::Timestamp;
use schemas::topics;
use streams::embedded::Reader;
use streams::log::Limits;
use streams::store::FjallStore;
use streams::{Clock, LogError, Record, StateStore, StoreError, Topic};

use super::Shared;
use super::claims::SWEEP_KEYS_MAX;
use super::fold::{Batch, Fact};
use super::stats::count;

pub(super) const CONVERSIONS_TOPIC: Topic = Topic { id: topics::CONVERSIONS.number, name: topics::CONVERSIONS.name };
pub(super) const TRANSITIONS_TOPIC: Topic = Topic { id: topics::TRANSITIONS.number, name: topics::TRANSITIONS.name };

/// Longest wait for records: it bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// One batch: the edge's claims wait while it is written, so it is small enough for a few milliseconds.
const LIMITS: Limits = Limits { records_max: 500, bytes_max: 1 << 20 };
/// How often expired idempotency keys are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Why the feeder stopped. What was applied before stays, and a new feeder goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The log could not be read.
    #[error("feeding the read model: {0}")]
    Log(#[from] LogError),
    /// The store could not be read or written.
    #[error("feeding the read model: {0}")]
    Store(#[from] StoreError),
}

/// Reads `conversions` and `transitions` and applies them to the store. There is one of it for each store.
pub struct Feeder {
    shared: Arc<Shared>,
    /// The owner of the stamp.
    rows: FjallStore,
    reader: Reader,
    clock: Arc<dyn Clock>,
    sweep_due: Instant,
}

impl std::fmt::Debug for Feeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeder").field("rows", &self.rows).field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Feeder {
    pub(super) fn new(shared: Arc<Shared>, rows: FjallStore, clock: Arc<dyn Clock>, from: u64) -> Feeder {
        let reader = shared.log.reader(&[CONVERSIONS_TOPIC, TRANSITIONS_TOPIC], Some(from));
        Feeder { shared, rows, reader, clock, sweep_due: Instant::now() }
    }

    /// Applies everything that is durable now; `false` if `stop` was set before it was through.
    ///
    /// # Errors
    /// [`FeedError`]; [`LogError::Closed`] too.
    pub fn catch_up(&mut self, stop: &AtomicBool) -> Result<bool, FeedError> {
        let (began, from, end) = (Instant::now(), self.reader.position(), self.shared.log.durable());
        while self.shared.applied.get() < end {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.step(&Limits::default(), WAIT_MAX)?;
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(from, end, took_ms, "the read model has caught up with the log");
        Ok(true)
    }

    /// Applies what comes until `stop` is set, which it sees within 100 ms and a batch, or the log is closed and all
    /// of it is applied.
    ///
    /// # Errors
    /// [`FeedError`]
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), FeedError> {
        while !stop.load(Ordering::Relaxed) {
            match self.step(&LIMITS, WAIT_MAX) {
                Ok(_) => {}
                Err(FeedError::Log(LogError::Closed)) => return Ok(()),
                Err(error) => return Err(error),
            }
            self.sweep_if_due()?;
        }
        Ok(())
    }

    /// Applies one batch of at most `limits`, waiting no longer than `wait` for its first record; returns how many
    /// records it took. The position moves over other topics' records also if there are none of these.
    ///
    /// # Errors
    /// [`FeedError`]
    pub fn step(&mut self, limits: &Limits, wait: Duration) -> Result<usize, FeedError> {
        let records = self.reader.next(limits, wait)?;
        let position = self.reader.position();
        if !records.is_empty() || self.shared.applied.get() < position {
            self.apply(&records, position)?;
        }
        Ok(records.len())
    }

    /// Applies records of the two topics, which bring the store to `position`, or leave it where it is if it is
    /// further. [`Feeder::step`] is this for what it reads.
    ///
    /// # Errors
    /// The store failed; nothing of the batch is there.
    pub fn apply(&mut self, records: &[Record], position: u64) -> Result<(), StoreError> {
        let now = Timestamp(self.clock.now_ms());
        let facts = self.read(records);
        let mut wanted = Batch::new(&self.rows);
        let mut batch = Batch::new(&self.rows);
        for fact in &facts {
            match fact {
                // Only the feeder writes what these change.
                Fact::Transitioned(_) => batch.fold(fact, now)?,
                Fact::Reported { .. } | Fact::Status { .. } => wanted.fold(fact, now)?,
            }
        }
        // Mostly the edge was there before, and nothing is to be locked. Rows move one way only, so what need not be
        // changed now need not be later, and a second look under the locks changes no other rows than these.
        let _rows = self.shared.locks.rows(wanted.contended());
        if !wanted.is_empty() {
            for fact in facts.iter().filter(|fact| !matches!(fact, Fact::Transitioned(_))) {
                batch.fold(fact, now)?;
            }
        }
        let claims_new = std::mem::take(&mut batch.claims_new);
        let changes = batch.into_changes();
        let position = self.rows.position().map_or(position, |before| before.max(position));
        self.rows.apply(&changes, position)?;
        count(&self.shared.counters.claims_fed, claims_new.len());
        count(&self.shared.counters.records, facts.len());
        count(&self.shared.counters.rows, changes.len());
        // Before the locks go: whoever finds the claim made finds it unanswered as well.
        claims_new.into_iter().for_each(|(key, event_id)| self.shared.unanswered.add(key, event_id));
        self.shared.applied.set(position);
        Ok(())
    }

    fn read(&self, records: &[Record]) -> Vec<Fact> {
        let mut facts = Vec::with_capacity(records.len());
        for record in records {
            match Fact::read(record) {
                Ok(fact) => facts.push(fact),
                Err(reason) => {
                    count(&self.shared.counters.skipped, 1);
                    let (topic, offset) = (record.topic, record.offset);
                    tracing::error!(topic, offset, reason, "a record is passed over by the read model");
                }
            }
        }
        facts
    }

    fn sweep_if_due(&mut self) -> Result<(), StoreError> {
        if Instant::now() < self.sweep_due {
            return Ok(());
        }
        let swept = self.shared.sweep(Timestamp(self.clock.now_ms()))?;
        // A full sweep has left some: the next is due after the next batch.
        if swept < SWEEP_KEYS_MAX {
            self.sweep_due = Instant::now() + SWEEP_EVERY;
        }
        Ok(())
    }
}
