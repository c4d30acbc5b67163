//! The driver: runs a [`Processor`] over a [`Session`], one step, one transaction.
//!
//! A step takes what is available, applies timers and records to an overlay over the stores, commits, and only then
//! writes the overlay to the stores with the position the log gave for it. What a crash leaves, by where it falls:
//!
//! 1. before the commit: nothing; the same records come again;
//! 2. during the commit: all of the step or nothing, by the log's word, which a restore reads;
//! 3. after the commit, before the store is written: the store is behind by this step, and catches up from the log;
//! 4. after that: nothing is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::log::{Commit, Limits, LogError, Message, Polled, Record, Session, Step};
use crate::processor::{Context, DeadLetter, Failure, Input, Overlay, Processor, Refusal, parse_timer_key, timer_key};
use crate::store::{Change, StateStore, StoreError};

/// Most timers one step fires for a partition; the rest follow in the next step.
const TIMERS_PER_STEP_MAX: usize = 2_000;
/// Longest wait for records while nothing is due: it bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// The topic under which a refused timer goes to the dead letters: no log has a topic of this number.
pub const TIMER_TOPIC: u16 = 0;

/// Gives the wall clock, in milliseconds since the epoch.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Opens and rebuilds the stores of partitions.
pub trait Stores: Send {
    /// Opens a partition's store, however much it holds.
    ///
    /// # Errors
    /// The engine failed.
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError>;

    /// Fills an emptied store from the last snapshot of the partition, if there is one.
    ///
    /// # Errors
    /// The engine failed, or the snapshot is damaged.
    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError>;
}

/// What a worker has done, for metrics and readiness. All counts are since the start.
#[derive(Debug, Default)]
pub struct Progress {
    /// Partitions restored and being processed.
    pub partitions_ready: AtomicU64,
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

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One partition's store and what is known of its timers.
struct Partition {
    store: Box<dyn StateStore>,
    /// No timer in the store is due before this: scanning from it skips the tombstones of those that fired.
    timers_from_ms: i64,
    /// When the first timer is due, at the earliest; `i64::MAX` if there is none.
    due_ms: i64,
}

/// Runs one processor over one session until it is told to stop.
#[allow(missing_debug_implementations, reason = "a session and a store have no useful Debug")]
pub struct Driver<P, S> {
    processor: P,
    session: S,
    stores: Box<dyn Stores>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    records_max: usize,
    partitions: BTreeMap<u32, Partition>,
    progress: Arc<Progress>,
}

impl<P: Processor, S: Session> Driver<P, S> {
    /// A driver that has done nothing yet.
    pub fn new(
        processor: P,
        session: S,
        stores: Box<dyn Stores>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Driver<P, S> {
        let records_max = limits.records_max;
        let (partitions, progress) = (BTreeMap::new(), Arc::default());
        Driver { processor, session, stores, clock, limits, records_max, partitions, progress }
    }

    /// What the driver has done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Steps until `stop` is set, finishing the step it is in.
    ///
    /// # Errors
    /// The log or a store failed; nothing of the step under way is in the stores.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), DriverError> {
        while !stop.load(Ordering::Acquire) {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn of the loop: one poll, and the step for what it found and what is due.
    ///
    /// # Errors
    /// As for [`Driver::run`].
    pub fn turn(&mut self) -> Result<(), DriverError> {
        let now_ms = self.clock.now_ms();
        let due_ms = self.partitions.values().map(|partition| partition.due_ms).min().unwrap_or(i64::MAX);
        let until_due = Duration::from_millis(u64::try_from(due_ms.saturating_sub(now_ms)).unwrap_or(0));
        let limits = Limits { records_max: self.records_max, ..self.limits };
        match self.session.poll(&limits, until_due.min(WAIT_MAX))? {
            Polled::Assigned(partitions) => partitions.into_iter().try_for_each(|partition| self.open(partition)),
            Polled::Revoked(partitions) => {
                partitions.iter().for_each(|partition| drop(self.partitions.remove(partition)));
                self.count_partitions();
                Ok(())
            }
            Polled::Records(records) => self.step(&records),
            Polled::Nothing => self.step(&[]),
        }
    }

    fn open(&mut self, partition: u32) -> Result<(), DriverError> {
        let store = self.stores.open(partition)?;
        self.partitions.insert(partition, Partition { store, timers_from_ms: 0, due_ms: 0 });
        self.restore(partition)?;
        self.count_partitions();
        Ok(())
    }

    fn count_partitions(&self) {
        self.progress.partitions_ready.store(self.partitions.len() as u64, Ordering::Release);
    }

    /// Brings a store to the end of what is committed; one that the log cannot continue is rebuilt.
    fn restore(&mut self, number: u32) -> Result<(), DriverError> {
        let partition = self.partitions.get_mut(&number).expect("a partition is opened before it is restored");
        let store = &mut partition.store;
        if store.position().is_none() {
            self.stores.load_snapshot(number, &mut **store)?;
        }
        let before = store.position();
        let restored = self.session.restore(number, before, &mut |changes, position| store.apply(changes, position));
        let end = match restored {
            Err(LogError::Gone { asked, first }) if before.is_some() => {
                tracing::warn!(
                    processor = self.processor.name(),
                    number,
                    asked,
                    first,
                    "state does not fit the log: it is rebuilt"
                );
                store.wipe()?;
                self.stores.load_snapshot(number, &mut **store)?;
                let from = store.position();
                self.session.restore(number, from, &mut |changes, position| store.apply(changes, position))?
            }
            other => other?,
        };
        store.apply(&[], end)?;
        (partition.timers_from_ms, partition.due_ms) = (0, 0);
        Ok(())
    }

    /// One step: due timers, then the records, then the commit, then the stores.
    fn step(&mut self, records: &[Record]) -> Result<(), DriverError> {
        let now_ms = self.clock.now_ms();
        let mut work = Work::default();
        let numbers: Vec<u32> = self.partitions.keys().copied().collect();
        for number in numbers {
            self.fire_timers(number, now_ms, &mut work)?;
        }
        for record in records {
            let input = Input {
                topic: record.topic,
                partition: record.partition,
                offset: record.offset,
                key: &record.key,
                value: &record.value,
            };
            self.one(input, now_ms, &mut work, |processor, context, input| processor.apply(context, input))?;
        }
        if records.is_empty() && work.timers == 0 {
            return Ok(());
        }
        self.commit(work, records.len())
    }

    fn fire_timers(&mut self, number: u32, now_ms: i64, work: &mut Work) -> Result<(), DriverError> {
        let partition = self.partitions.get_mut(&number).expect("the numbers are those of the partitions");
        if partition.due_ms > now_ms {
            return Ok(());
        }
        let (from, until) = (timer_key(partition.timers_from_ms, &[]), timer_key(i64::MAX, &[]));
        let (mut due, mut next_ms) = (Vec::new(), i64::MAX);
        partition.store.scan(&from, &until, &mut |row, _| {
            let (due_ms, key) = parse_timer_key(row).expect("the range holds timers alone");
            if due_ms > now_ms || due.len() == TIMERS_PER_STEP_MAX {
                next_ms = due_ms;
                return false;
            }
            due.push((due_ms, key.to_vec()));
            true
        })?;
        partition.due_ms = next_ms;
        // Timers of one step are all deleted with it; if it is not committed, the restore begins from zero again.
        partition.timers_from_ms = next_ms.min(now_ms);
        for (due_ms, key) in due {
            work.timers += 1;
            let input = Input { topic: TIMER_TOPIC, partition: number, offset: 0, key: &key, value: &[] };
            // Deleted by the step and not by the timer's own effects: one that is refused must not fire for ever.
            work.overlays.entry(number).or_default().delete(timer_key(due_ms, &key));
            self.one(input, now_ms, work, |processor, context, input| processor.timer(context, input.key))?;
        }
        Ok(())
    }

    /// Hands one input to the processor; if it is refused, only its dead letter is kept.
    fn one(
        &self,
        input: Input<'_>,
        now_ms: i64,
        work: &mut Work,
        apply: impl FnOnce(&P, &mut Context<'_>, Input<'_>) -> Result<(), Failure>,
    ) -> Result<(), DriverError> {
        let partition = self.partitions.get(&input.partition).expect("records come only for assigned partitions");
        let overlay = work.overlays.entry(input.partition).or_default();
        let mut context = Context::new(now_ms, &*partition.store, overlay, &mut work.outputs);
        match apply(&self.processor, &mut context, input) {
            Ok(()) => {
                context.keep();
                Ok(())
            }
            Err(Failure::Refused(refusal)) => {
                context.undo();
                self.refuse(input, &refusal, now_ms, work);
                Ok(())
            }
            Err(Failure::Store(error)) => Err(error.into()),
        }
    }

    fn refuse(&self, input: Input<'_>, refusal: &Refusal, now_ms: i64, work: &mut Work) {
        let processor = self.processor.name();
        let Input { topic, partition, offset, .. } = input;
        tracing::warn!(processor, topic, partition, offset, %refusal, "a record goes to the dead letters");
        work.dead_letters += 1;
        work.outputs.push(self.processor.dead_letter(DeadLetter { processor, input, refusal, now_ms }));
    }

    fn commit(&mut self, work: Work, records: usize) -> Result<(), DriverError> {
        let Work { outputs, overlays, timers, dead_letters } = work;
        let changes: Vec<(u32, Vec<Change>)> =
            overlays.into_iter().map(|(number, overlay)| (number, overlay.into_changes())).collect();
        let step = Step { outputs, changes };
        match self.session.commit(&step) {
            Commit::Committed(positions) => {
                self.apply(step, &positions)?;
                self.records_max = (self.records_max * 2).min(self.limits.records_max);
                let add = |counter: &AtomicU64, count: usize| counter.fetch_add(count as u64, Ordering::Relaxed);
                add(&self.progress.steps, 1);
                add(&self.progress.records, records);
                add(&self.progress.timers, timers);
                add(&self.progress.dead_letters, dead_letters);
                Ok(())
            }
            Commit::Aborted(error @ LogError::TooLarge { .. }) if self.records_max == 1 => Err(error.into()),
            Commit::Aborted(error) => {
                self.records_max = (self.records_max / 2).max(1);
                self.start_over(&error)
            }
            Commit::Unknown(error) => self.start_over(&error),
        }
    }

    fn apply(&mut self, step: Step, positions: &[(u32, u64)]) -> Result<(), StoreError> {
        for (number, changes) in step.changes {
            let partition = self.partitions.get_mut(&number).expect("a step changes only assigned partitions");
            let position = positions.iter().find(|(of, _)| *of == number).map(|(_, position)| *position);
            partition.store.apply(&changes, position.expect("the log says where each partition's changes went"))?;
            for change in changes.iter().filter(|change| change.value.is_some()) {
                if let Some((due_ms, _)) = parse_timer_key(&change.key) {
                    partition.due_ms = partition.due_ms.min(due_ms);
                    partition.timers_from_ms = partition.timers_from_ms.min(due_ms);
                }
            }
        }
        Ok(())
    }

    /// After a step that was not committed, or may not have been: what is true now is what the log says.
    fn start_over(&mut self, error: &LogError) -> Result<(), DriverError> {
        tracing::warn!(processor = self.processor.name(), %error, "a step is done again");
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.session.reset()?;
        let numbers: Vec<u32> = self.partitions.keys().copied().collect();
        numbers.into_iter().try_for_each(|number| self.restore(number))
    }
}

/// What a step has gathered so far.
#[derive(Default)]
struct Work {
    outputs: Vec<Message>,
    overlays: BTreeMap<u32, Overlay>,
    timers: usize,
    dead_letters: usize,
}
