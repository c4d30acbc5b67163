//! A run: what a seed does to a disk and to the processes on it, and what has to be there after each of them.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use streams::embedded::Options;
use streams::log::{Limits, Pending};
use streams::retention::{self, Keeper, RetentionError};
use streams::sim::disk::{Crash, SimDisk};
use streams::{DriverError, LogError, Message, PublishError, Publisher, Record};

use crate::faults::{Crashed, Fate};
use crate::model::{self, Model};
use crate::process::{Process, TestClock};
use crate::workers::IN;

/// How often a process is started before it has to come up.
const STARTS_MAX: usize = 30;
/// More turns than any run needs to finish what it has begun.
const SETTLING_TURNS_MAX: usize = 5_000;

mod harm;
mod starts;

/// A run.
#[allow(missing_debug_implementations, reason = "a driver has no useful Debug")]
pub(crate) struct World {
    pub(crate) fate: Fate,
    dice: fastrand::Rng,
    disk: SimDisk,
    options: Options,
    limits: Limits,
    clock: Arc<TestClock>,
    model: Model,
    process: Option<Process>,
    /// The ends of the log that were seen, the last two: everything before the first of them is proven by what follows it.
    ends: [u64; 2],
    full: bool,
    /// Groups that a process left unanswered.
    doubtful: Vec<usize>,
    /// Outputs seen when the last process ended.
    outputs_before: u64,
    power_lost: bool,
}

impl World {
    /// A run that has done nothing yet.
    pub(crate) fn new(seed: u64) -> World {
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x5EED);
        let options = Options {
            segment_bytes_max: dice.u64(300..6_000),
            batch_bytes_max: dice.usize(100..4_000),
            group_bytes_max: 64 << 10,
            frame_bytes_max: 64 << 10,
            queue_messages_max: dice.usize(3..40),
            queue_bytes_max: dice.usize(1_000..20_000),
            memory_bytes_max: [0, 2_000, 1 << 20][dice.usize(..3)],
            read_bytes: 4 << 10,
            idle_bytes_max: dice.u64(500..5_000),
        };
        let limits = Limits { records_max: dice.usize(1..12), bytes_max: 1 << 20 };
        World {
            fate: Fate::new(seed),
            dice,
            disk: SimDisk::new(seed),
            options,
            limits,
            clock: Arc::default(),
            model: Model::default(),
            process: None,
            ends: [0; 2],
            full: false,
            doubtful: Vec::new(),
            outputs_before: 0,
            power_lost: false,
        }
    }

    /// So many steps with faults, and then without, until everything that was taken is done.
    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.heal();
    }

    fn now_ms(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    fn pass(&self, ms: i64) {
        let now_ms = self.clock.0.fetch_add(ms, Ordering::Relaxed) + ms;
        self.disk.set_now(UNIX_EPOCH + Duration::from_millis(now_ms.unsigned_abs()));
    }

    fn step(&mut self) {
        let passes_ms = self.dice.i64(0..40);
        self.pass(passes_ms);
        if self.process.is_none() {
            self.start();
        }
        let roll = self.dice.u32(..100);
        self.fate.note(format!("step {roll}"));
        match roll {
            ..30 => self.act(World::publish),
            30..45 => self.act(World::pump),
            45..80 => self.act(World::turn),
            80..86 => {
                let passes_ms = self.dice.i64(0..2_000);
                self.pass(passes_ms);
            }
            86..92 => self.act(World::retain),
            92..94 => self.act(World::close),
            94 => self.crash(Crash::Kill),
            95 => self.crash(Crash::PowerLoss),
            96..98 => self.fill_or_free(),
            _ => self.damage(),
        }
        self.check();
    }

    /// Does something in the process, which may not outlive it.
    fn act(&mut self, act: impl FnOnce(&mut World)) {
        match panic::catch_unwind(AssertUnwindSafe(|| act(self))) {
            Ok(()) => {}
            Err(payload) if payload.is::<Crashed>() => self.end(),
            Err(payload) => panic::resume_unwind(payload),
        }
        if self.process.as_ref().is_some_and(|process| !process.disk.is_alive()) {
            self.end();
        }
    }

    fn publish(&mut self) {
        let size = self.dice.usize(1..4);
        let group = self.model.group(size);
        let key = format!("k{}", self.dice.u32(..5));
        let message = |index: usize| {
            let value = format!("{group}.{index} {}", "x".repeat(self.dice.usize(0..600)));
            Message { topic: IN, key: key.clone().into_bytes(), value: value.into_bytes() }
        };
        let messages = (0..size).map(message).collect();
        let Some(process) = &mut self.process else { return };
        match process.log.publish(messages) {
            Ok(pending) => process.pending.push((group, pending)),
            Err(PublishError::Full) => {
                self.model.said(group, model::Fate::Refused);
                self.fate.mark("a full queue refuses");
            }
            Err(error) => panic!("a log that has failed is not used any more: {error}"),
        }
    }

    fn pump(&mut self) {
        self.process.as_ref().map(|process| process.log.pump());
        self.observe();
    }

    fn turn(&mut self) {
        let worker = self.dice.usize(..2);
        self.turn_of(worker);
        self.observe();
    }

    fn turn_of(&mut self, worker: usize) {
        let Some(process) = &self.process else { return };
        match process.workers.turn(worker) {
            Ok(()) => {}
            Err(DriverError::Log(error)) => self.fail(&error),
            Err(DriverError::Store(error)) => self.fail(&LogError::Store(error)),
            // A worker that had failed within another's turn.
            Err(error @ DriverError::Stopped) => {
                assert!(self.fate.is_blamed(), "{error}");
                self.end();
            }
            // A snapshot that could not be read this time.
            Err(DriverError::Lost { problem, .. })
                if problem.contains("as the faults say") || problem.contains("the process has ended") =>
            {
                self.fate.note(format!("failed: {problem}"));
                self.end();
            }
            Err(error @ DriverError::Lost { .. }) => panic!("{error}"),
        }
    }

    fn retain(&mut self) {
        let age = Duration::from_millis(self.dice.u64(..2_000));
        let now = UNIX_EPOCH + Duration::from_millis(self.now_ms().unsigned_abs());
        self.observe();
        let Some(process) = &self.process else { return };
        let keepers: Vec<Box<dyn Keeper>> =
            process.stores.iter().map(|stores| Box::new(stores.clone()) as Box<dyn Keeper>).collect();
        match retention::round(&process.log, &keepers, age, now) {
            Ok(0) => {}
            Ok(freed_bytes) => {
                self.fate.note(format!("freed {freed_bytes}"));
                self.fate.mark("segments are dropped");
            }
            // The next round tries again.
            Err(RetentionError::Log(error @ LogError::Io { .. })) => assert!(self.fate.is_blamed(), "{error}"),
            Err(RetentionError::Log(error)) => panic!("{error}"),
            Err(RetentionError::Store(error)) => assert!(self.fate.is_blamed(), "{error}"),
        }
    }

    fn close(&mut self) {
        let Some(process) = &self.process else { return };
        if let Err(error) = process.log.close() {
            return self.fail(&error);
        }
        self.fate.mark("a log is closed");
        self.end();
    }

    /// Takes in what is durable and what was answered.
    fn observe(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let read = read_all(&mut process);
        self.poll(&mut process);
        let end = process.log.durable();
        if self.ends[1] < end {
            self.ends = [self.ends[1], end];
        }
        self.process = Some(process);
        match read {
            Ok(records) => self.model.saw(&records),
            Err(error) => self.fail(&error),
        }
    }

    fn poll(&mut self, process: &mut Process) {
        let mut context = Context::from_waker(Waker::noop());
        process.pending.retain_mut(|(group, pending)| {
            match Future::poll(std::pin::Pin::<&mut Pending>::new(pending), &mut context) {
                Poll::Pending => true,
                Poll::Ready(Ok(ack)) => {
                    self.model.said(*group, model::Fate::Acknowledged(ack.offset));
                    false
                }
                Poll::Ready(Err(error)) => {
                    assert!(self.fate.is_blamed(), "{error}");
                    self.doubtful.push(*group);
                    false
                }
            }
        });
    }

    /// What has to be true between any two steps.
    fn check(&mut self) {
        self.act(World::observe);
        let Some(process) = &self.process else { return };
        self.model.check_acknowledged();
        for consumer in process.log.consumers() {
            self.model.check_input(&consumer.name, consumer.input);
        }
        for (worker, expected) in [self.model.tally_rows(), self.model.echo_rows()].into_iter().enumerate() {
            if process.workers.is_ready(worker) {
                let (rows, position) = process.stores[worker].rows(0);
                assert_eq!(rows, expected, "the rows of worker {worker}");
                assert!(position.is_some_and(|position| position <= process.log.durable()), "{position:?}");
            }
        }
    }

    /// Nothing goes wrong any more: everything that was taken is done, and outlives one more power loss.
    fn heal(&mut self) {
        self.fate.note("healed".to_owned());
        self.fate.set_quiet(true);
        self.full = false;
        self.disk.set_bytes_max(u64::MAX);
        self.crash(Crash::Kill);
        self.start();
        self.settle();
        self.crash(Crash::PowerLoss);
        self.start();
        self.settle();
        self.model.check_done();
    }

    fn settle(&mut self) {
        let (mut end, mut rests) = (0, 0);
        for _ in 0..SETTLING_TURNS_MAX {
            self.pass(1_000);
            self.pump();
            self.turn_of(0);
            self.turn_of(1);
            self.check();
            let process = self.process.as_ref().expect("nothing ends it");
            let durable = process.log.durable();
            rests = if process.pending.is_empty() && durable == end { rests + 1 } else { 0 };
            end = durable;
            // The first turns only take the partitions.
            if rests > 3 {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

fn read_all(process: &mut Process) -> Result<Vec<Record>, LogError> {
    let mut all = Vec::new();
    loop {
        let some = process.reader.next(&Limits::default(), Duration::ZERO)?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}
