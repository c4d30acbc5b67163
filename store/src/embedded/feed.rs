//! The feeder: keeps the store up with the log. It runs on a thread of its own, since it blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::topics;
use streams::log::Limits;
use streams::store::FjallStore;
use streams::{Clock, LogError, Record, StateStore, StoreError, Topic, background};

use super::Shared;
use super::claims::SWEEP_KEYS_MAX;
use super::fold::Batch;
use super::rows::{CLAIMS, position_change};
use super::source::{Positions, Source, stamp};
use super::stats::count;
use crate::facts::Fact;

pub(super) const CONVERSIONS_TOPIC: Topic = Topic { id: topics::CONVERSIONS.number, name: topics::CONVERSIONS.name };
pub(super) const TRANSITIONS_TOPIC: Topic = Topic { id: topics::TRANSITIONS.number, name: topics::TRANSITIONS.name };
const PAYOUTS_TOPIC: Topic = Topic { id: topics::PAYOUTS.number, name: topics::PAYOUTS.name };
/// What a store is fed.
pub(super) const TOPICS: [Topic; 3] = [CONVERSIONS_TOPIC, TRANSITIONS_TOPIC, PAYOUTS_TOPIC];

/// Longest wait for records: it bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// One batch: the edge's claims wait while it is written, so it is small enough for a few milliseconds.
const LIMITS: Limits = Limits { records_max: 500, bytes_max: 1 << 20 };
/// Most claims that the filter is told of at once: it bounds how long the feeder is away from its work.
const LEARN_ROWS_MAX: usize = 4_096;
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

/// Reads `conversions`, `transitions` and `payouts`, and applies them to the store. There is one of it for each store.
pub struct Feeder {
    shared: Arc<Shared>,
    /// The owner of the stamp.
    rows: FjallStore,
    source: Box<dyn Source>,
    /// What the rows stand for.
    positions: Positions,
    clock: Arc<dyn Clock>,
    sweep_due: Instant,
    /// From which claim on the filter does not know them; none once it knows all.
    learnt_until: Option<Vec<u8>>,
}

impl std::fmt::Debug for Feeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeder").field("rows", &self.rows).field("source", &self.source).finish_non_exhaustive()
    }
}

impl Feeder {
    pub(super) fn new(shared: Arc<Shared>, rows: FjallStore, clock: Arc<dyn Clock>, source: Box<dyn Source>) -> Feeder {
        let positions = source.positions();
        Feeder { shared, rows, source, positions, clock, sweep_due: Instant::now(), learnt_until: Some(vec![CLAIMS]) }
    }

    /// Applies everything that was committed when the store was opened; `false` if `stop` was set before it was through.
    ///
    /// # Errors
    /// [`FeedError`]; [`LogError::Closed`] too.
    pub fn catch_up(&mut self, stop: &AtomicBool) -> Result<bool, FeedError> {
        let (began, from) = (Instant::now(), self.shared.applied.get());
        while !self.source.caught_up() {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.step(&Limits::default(), WAIT_MAX)?;
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(from, to = self.shared.applied.get(), took_ms, "the read model has caught up with the log");
        Ok(true)
    }

    /// Applies what comes until `stop` is set, which it sees within 100 ms and a batch, or the log is closed and all
    /// of it is applied. The thread yields to others from then on: see [`background`].
    ///
    /// # Errors
    /// [`FeedError`]
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), FeedError> {
        // Requests answer from what the edge itself has claimed, and are not to wait for this.
        background::yield_to_others();
        while !stop.load(Ordering::Relaxed) {
            let wait = if self.learn()? { WAIT_MAX } else { Duration::ZERO };
            match self.step(&LIMITS, wait) {
                Ok(_) => {}
                Err(FeedError::Log(LogError::Closed)) => return Ok(()),
                Err(error) => return Err(error),
            }
            self.sweep_if_due()?;
        }
        Ok(())
    }

    /// Applies one batch of at most `limits`, waiting no longer than `wait` for its first record; returns how many
    /// records it took. Positions move also if there are no records, over what is not for this store.
    ///
    /// # Errors
    /// [`FeedError`]
    pub fn step(&mut self, limits: &Limits, wait: Duration) -> Result<usize, FeedError> {
        let records = self.source.next(limits, wait)?;
        let positions = self.source.positions();
        if !records.is_empty() || positions != self.positions {
            self.apply(&records, &positions)?;
        }
        self.shared.counters.lag.store(self.source.lag(), Ordering::Relaxed);
        Ok(records.len())
    }

    /// Applies records of the topics, which bring the store to `positions`, or leave it where it is if it is
    /// further. [`Feeder::step`] is this for what it reads.
    ///
    /// # Errors
    /// The store failed; nothing of the batch is there.
    pub fn apply(&mut self, records: &[Record], positions: &Positions) -> Result<(), StoreError> {
        let now = Timestamp(self.clock.now_ms());
        let facts = self.read(records);
        let facts_read = facts.len();
        let ahead = &self.shared.ahead;
        let (mut wanted, mut batch) = (Batch::new(&self.rows, ahead), Batch::new(&self.rows, ahead));
        // What the edge writes too, and the idempotency keys of reports whose claims are not.
        let (mut shared, mut keyed) = (Vec::new(), Vec::new());
        for fact in facts {
            match fact {
                Fact::Transitioned(conversion) => batch.transition(*conversion)?,
                Fact::Payout(payout) => batch.payout(&payout)?,
                // Nobody but the feeder moves such a claim, so its row is written without a lock.
                Fact::Reported(it) if ahead.is_at(it.id, it.partition, it.offset) => {
                    batch.claim(&it)?;
                    keyed.extend(it.used);
                }
                Fact::Reported(_) | Fact::Status { .. } | Fact::Reviewed => shared.push(fact),
            }
        }
        let look = |batch: &mut Batch<'_, FjallStore>| {
            shared.iter().try_for_each(|fact| batch.fold(fact, now))?;
            keyed.iter().try_for_each(|used| batch.remember(Some(used), now))
        };
        look(&mut wanted)?;
        // Mostly the edge was there before, and nothing is to be locked. Rows move one way only, so what need not be
        // changed now need not be later, and a second look under the locks changes no other rows than these.
        let _rows = self.shared.locks.rows(wanted.contended());
        if !wanted.is_empty() {
            look(&mut batch)?;
        }
        let claims_new = std::mem::take(&mut batch.claims_new);
        let claimed = batch.claimed();
        claimed.iter().for_each(|id| self.shared.filter.add(*id));
        let mut changes = batch.into_changes();
        let rows_changed = changes.len();
        let mut after = self.positions.clone();
        for (partition, position) in positions {
            if after.get(partition).is_none_or(|before| before < position) {
                changes.push(position_change(*partition, *position));
                after.insert(*partition, *position);
            }
        }
        self.rows.apply(&changes, stamp(&after))?;
        // After the rows, so that a claim is in one place or in both.
        claimed.into_iter().for_each(|id| ahead.forget(id));
        self.positions = after;
        count(&self.shared.counters.claims_fed, claims_new.len());
        count(&self.shared.counters.records, facts_read);
        count(&self.shared.counters.rows, rows_changed);
        // Before the locks go: whoever finds the claim made finds it unanswered as well.
        claims_new.into_iter().for_each(|(key, event_id)| self.shared.unanswered.add(key, event_id));
        self.shared.applied.set(stamp(&self.positions));
        Ok(())
    }

    fn read(&self, records: &[Record]) -> Vec<Fact> {
        let mut facts = Vec::with_capacity(records.len());
        for record in records {
            match Fact::read(record) {
                Ok(fact) => facts.push(fact),
                Err(reason) => {
                    count(&self.shared.counters.skipped, 1);
                    let (topic, partition, offset) = (record.topic, record.partition, record.offset);
                    tracing::error!(topic, partition, offset, reason, "a record is passed over by the read model");
                }
            }
        }
        facts
    }

    /// Tells the filter of some more of the claims that were there before this process; whether that was the last of them.
    fn learn(&mut self) -> Result<bool, StoreError> {
        let Some(from) = self.learnt_until.take() else { return Ok(true) };
        let (filter, mut rows, mut last) = (&self.shared.filter, 0, None);
        self.rows.scan(&from, &[CLAIMS + 1], &mut |key, _| {
            if let Ok(id) = key[1..].try_into() {
                filter.add(ConversionId(id));
            }
            rows += 1;
            last = (rows == LEARN_ROWS_MAX).then(|| key.to_vec());
            last.is_none()
        })?;
        // With the last one again, which does no harm.
        self.learnt_until = last;
        let is_last = self.learnt_until.is_none();
        if is_last {
            filter.complete();
        }
        Ok(is_last)
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
