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
use crate::processor::{
    Context, DeadLetter, Failure, Input, Overlay, Processor, Refusal, prefix_end, row_key, timer_key,
};
use crate::store::{Change, StoreError};

mod outside;
mod partition;
mod report;
mod timers;

pub use self::outside::{Clock, Stores, SystemClock};
use self::partition::Partition;
pub use self::report::{DriverError, Progress};

/// Most timers one step fires for a partition; the rest follow in the next step.
const TIMERS_PER_STEP_MAX: usize = 2_000;
/// Longest wait for records while nothing is due: it bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// The topic under which a refused timer goes to the dead letters: no log has a topic of this number.
pub const TIMER_TOPIC: u16 = 0;

/// Runs one processor over one session until it is told to stop.
#[allow(missing_debug_implementations, reason = "a session and a store have no useful Debug")]
pub struct Driver<P, S> {
    processor: P,
    session: S,
    stores: Box<dyn Stores>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// How many times the size of a step is halved, since larger ones were aborted.
    halvings: u32,
    /// Set during a turn, so that it stays set after one that failed.
    stopped: bool,
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
        let (partitions, progress) = (BTreeMap::new(), Arc::default());
        Driver { processor, session, stores, clock, limits, halvings: 0, stopped: false, partitions, progress }
    }

    /// Goes on with another version of the same processor: it is stateless, so new terms are a new value of it.
    pub fn set_processor(&mut self, processor: P) {
        self.processor = processor;
    }

    /// Ends the driver, between two turns, for what a log wants to be told besides.
    pub fn into_session(self) -> S {
        self.session
    }

    /// What the driver has done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Shows the rows whose keys begin with `prefix`, keys without their table byte, of every partition that is ready: as
    /// of the last step, between two turns.
    ///
    /// # Errors
    /// A store failed.
    pub fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let from = row_key(prefix);
        for partition in self.partitions.values().filter(|partition| partition.is_ready()) {
            partition.store.scan(&from, &prefix_end(&from), &mut |key, value| {
                visit(&key[1..], value);
                true
            })?;
        }
        Ok(())
    }

    /// Steps until `stop` is set, finishing the step it is in.
    ///
    /// # Errors
    /// The log or a store failed. The step under way is in the log as a whole or not at all, and the stores have no more
    /// of it than the log; this driver is of no more use.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), DriverError> {
        while !stop.load(Ordering::Acquire) {
            self.turn()?;
        }
        self.finish();
        Ok(())
    }

    /// Commits, before a stop, what the session has passed since the last step. If that fails, the next to come passes it.
    pub fn finish(&mut self) {
        if self.stopped || !self.session.has_passed(true) {
            return;
        }
        match self.session.commit(&Step::default()) {
            Commit::Committed(_) => {}
            Commit::Aborted(error) | Commit::Unknown(error) => {
                tracing::debug!(processor = self.processor.name(), %error, "what was passed is left uncommitted");
                self.stopped = true;
            }
        }
    }

    /// One turn of the loop: one poll, and the step for what it found and what is due.
    ///
    /// # Errors
    /// As for [`Driver::run`].
    pub fn turn(&mut self) -> Result<(), DriverError> {
        // Records that a failed turn had polled would be consumed, unprocessed, by the commit of the next.
        if std::mem::replace(&mut self.stopped, true) {
            return Err(DriverError::Stopped);
        }
        self.turn_once()?;
        self.stopped = false;
        Ok(())
    }

    fn turn_once(&mut self) -> Result<(), DriverError> {
        self.restore()?;
        let limits = Limits { records_max: self.halved(self.limits.records_max), ..self.limits };
        match self.session.poll(&limits, self.wait())? {
            Polled::Assigned(partitions) => {
                // Before the stores are opened, which takes a while: until then it must not seem to have nothing to do.
                let assigned = (self.partitions.len() + partitions.len()) as u64;
                self.progress.partitions_assigned.store(assigned, Ordering::Relaxed);
                self.progress.assignments.fetch_add(1, Ordering::Release);
                for number in partitions {
                    self.partitions.insert(number, Partition::new(self.stores.open(number)?));
                }
                self.restore()
            }
            Polled::Revoked(partitions) => {
                partitions.iter().for_each(|partition| drop(self.partitions.remove(partition)));
                self.count_partitions();
                Ok(())
            }
            Polled::Records(records) => self.step(&records),
            Polled::Nothing => self.step(&[]),
        }
    }

    /// How long to wait for records: until a timer is due, and not at all while there is something to restore.
    fn wait(&self) -> Duration {
        if self.partitions.values().any(|partition| !partition.is_ready()) {
            return Duration::ZERO;
        }
        let due_ms = self.partitions.values().map(|partition| partition.timers.due_ms()).min().unwrap_or(i64::MAX);
        let until_due_ms = u64::try_from(due_ms.saturating_sub(self.clock.now_ms())).unwrap_or(0);
        Duration::from_millis(until_due_ms).min(WAIT_MAX)
    }

    /// Restores partitions, one after the other, until one of them has more to do than one turn may take.
    fn restore(&mut self) -> Result<(), DriverError> {
        let unready: Vec<u32> =
            self.partitions.iter().filter(|(_, partition)| !partition.is_ready()).map(|(number, _)| *number).collect();
        if unready.is_empty() {
            return Ok(());
        }
        for number in unready {
            let partition = self.partitions.get_mut(&number).expect("the numbers are those of the partitions");
            let before = partition.store.position().unwrap_or(0);
            partition.restore(self.processor.name(), number, &mut self.session, &mut *self.stores)?;
            let passed = partition.store.position().unwrap_or(0).saturating_sub(before);
            self.progress.restored.fetch_add(passed, Ordering::Relaxed);
            if !partition.is_ready() {
                break;
            }
        }
        self.count_partitions();
        Ok(())
    }

    /// A bound on a step, halved as often as steps were aborted.
    fn halved(&self, most: usize) -> usize {
        (most >> self.halvings).max(1)
    }

    /// Whether no smaller step can be tried.
    fn is_smallest(&self) -> bool {
        self.halved(self.limits.records_max.max(TIMERS_PER_STEP_MAX)) == 1
    }

    fn count_partitions(&self) {
        let ready = self.partitions.values().filter(|partition| partition.is_ready()).count();
        let sum = |field: fn(&Partition) -> u64| self.partitions.values().map(field).sum();
        self.progress.restore_done.store(sum(|partition| partition.restoring.done), Ordering::Relaxed);
        self.progress.restore_total.store(sum(|partition| partition.restoring.total), Ordering::Relaxed);
        self.progress.partitions_assigned.store(self.partitions.len() as u64, Ordering::Relaxed);
        self.progress.partitions_ready.store(ready as u64, Ordering::Release);
    }

    /// One step: due timers, then the records, then the commit, then the stores.
    fn step(&mut self, records: &[Record]) -> Result<(), DriverError> {
        let now_ms = self.clock.now_ms();
        let mut work = Work::default();
        // The smallest step is one of timers or one of records, for the case that both fit a frame but not together.
        if records.is_empty() || !self.is_smallest() {
            let ready = self.partitions.iter().filter(|(_, partition)| partition.is_ready());
            let numbers: Vec<u32> = ready.map(|(number, _)| *number).collect();
            for number in numbers {
                self.fire_timers(number, now_ms, &mut work)?;
            }
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
        if records.is_empty() && work.timers == 0 && !self.session.has_passed(false) {
            return Ok(());
        }
        self.commit(work, records.len())
    }

    fn fire_timers(&mut self, number: u32, now_ms: i64, work: &mut Work) -> Result<(), DriverError> {
        let most = self.halved(TIMERS_PER_STEP_MAX);
        let partition = self.partitions.get_mut(&number).expect("the numbers are those of the partitions");
        for (due_ms, key) in partition.timers.take(&*partition.store, now_ms, most)? {
            let row = timer_key(due_ms, &key);
            let overlay = work.overlays.entry(number).or_default();
            // Cleared by a timer that fired before it: it would not have fired in a later step either.
            if overlay.is_deleted(&row) {
                continue;
            }
            work.timers += 1;
            // Deleted by the step and not by the timer's own effects: one that is refused must not fire for ever.
            overlay.delete(row);
            let input = Input { topic: TIMER_TOPIC, partition: number, offset: 0, key: &key, value: &[] };
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
        let partition = self.partitions.get(&input.partition).filter(|partition| partition.is_ready());
        let partition = partition.expect("records come only for assigned partitions that are restored");
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
                self.halvings = self.halvings.saturating_sub(1);
                let add = |counter: &AtomicU64, count: usize| counter.fetch_add(count as u64, Ordering::Relaxed);
                add(&self.progress.steps, 1);
                add(&self.progress.records, records);
                add(&self.progress.timers, timers);
                add(&self.progress.dead_letters, dead_letters);
                Ok(())
            }
            Commit::Aborted(error @ LogError::TooLarge { .. }) if self.is_smallest() => Err(error.into()),
            Commit::Aborted(error) => {
                self.halvings += u32::from(!self.is_smallest());
                self.start_over(&error)
            }
            Commit::Unknown(error) => self.start_over(&error),
        }
    }

    fn apply(&mut self, step: Step, positions: &[(u32, u64)]) -> Result<(), StoreError> {
        for (number, changes) in step.changes {
            let partition = self.partitions.get_mut(&number).expect("a step changes only assigned partitions");
            let position = positions.iter().find(|(of, _)| *of == number).map(|(_, position)| *position);
            match position {
                Some(position) => partition.apply(&changes, position)?,
                None => assert!(changes.is_empty(), "the log says where each partition's changes went"),
            }
        }
        Ok(())
    }

    /// After a step that was not committed, or may not have been: what is true now is what the log says.
    fn start_over(&mut self, error: &LogError) -> Result<(), DriverError> {
        tracing::warn!(processor = self.processor.name(), %error, "a step is done again");
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.session.reset()?;
        self.partitions.values_mut().for_each(Partition::doubt);
        self.restore()
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
