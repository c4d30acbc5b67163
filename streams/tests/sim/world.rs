//! Three workers that count, and a cluster and machines that fail by the word of a seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use streams::kafka::{KafkaSession, PublisherOptions, SessionOptions, SessionStats, Work};
use streams::log::Limits;
use streams::sim::{
    Api, Call, Cluster, ClusterOptions, Disk, Fate, Faults, NoFaults, Process, SimClients, SimPublisher, TopicOptions,
};
use streams::{Driver, DriverError, LogError, Message, Progress, Publisher as _};

use crate::toy::{DEAD, IN, NAME, OUT, Toy};

pub(crate) const CHANGELOG: &str = "toy-changelog";
pub(crate) const PARTITIONS: u32 = 3;
const EDGE: &str = "edge";
const WORKERS: [&str; 3] = ["one", "two", "three"];
/// How deep steps are run within each other's calls.
const DEPTH_MAX: usize = 2;

/// The rows of a store.
pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// SplitMix64: equal seeds give equal choices.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}

/// A worker's machine, and the process that runs on it.
struct Machine {
    name: &'static str,
    disk: Disk,
    running: Option<Running>,
}

struct Running {
    process: Process,
    driver: Driver<Toy, KafkaSession<SimClients>>,
    stats: Arc<SessionStats>,
    progress: Arc<Progress>,
}

/// What a run has seen, to show that it has seen everything.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) crashes: AtomicUsize,
    pub(crate) aborts: AtomicUsize,
    pub(crate) unknown: AtomicUsize,
    pub(crate) fencings: AtomicUsize,
    pub(crate) replaced: AtomicUsize,
}

impl Seen {
    fn add(&self, stats: &SessionStats) {
        for (to, from) in
            [(&self.aborts, &stats.aborts), (&self.unknown, &stats.unknown), (&self.fencings, &stats.fencings)]
        {
            to.fetch_add(from.load(Ordering::Relaxed) as usize, Ordering::Relaxed);
        }
    }
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    publisher: SimPublisher,
    sent: AtomicUsize,
    dice: Mutex<Dice>,
    /// Without those that are in the middle of a step.
    machines: Mutex<Vec<Machine>>,
    depth: AtomicUsize,
    healed: AtomicBool,
    pub(crate) seen: Seen,
}

/// Asks the world, as long as there is one.
struct Asks(Weak<World>);

impl World {
    pub(crate) fn new(seed: u64) -> Arc<World> {
        let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
        cluster.create_topic(IN.name, TopicOptions::of(PARTITIONS));
        cluster.create_topic(OUT.name, TopicOptions::of(PARTITIONS));
        cluster.create_topic(DEAD.name, TopicOptions::of(1));
        cluster.create_topic(CHANGELOG, TopicOptions { active_records: 4, ..TopicOptions::compacted(PARTITIONS) });
        let publisher = cluster.process(EDGE).publisher(PublisherOptions::default());
        let machine = |name| Machine { name, disk: Disk::default(), running: None };
        let world = Arc::new(World {
            cluster,
            publisher,
            sent: AtomicUsize::new(0),
            dice: Mutex::new(Dice(seed)),
            machines: Mutex::new(WORKERS.map(machine).into()),
            depth: AtomicUsize::new(0),
            healed: AtomicBool::new(false),
            seen: Seen::default(),
        });
        world.cluster.set_faults(Arc::new(Asks(Arc::downgrade(&world))));
        world
    }

    fn machines(&self) -> MutexGuard<'_, Vec<Machine>> {
        self.machines.lock().expect("no panic")
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.dice.lock().expect("no panic").below(end)
    }

    fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// Up to so many milliseconds.
    fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }

    /// Sends `count` to each of these keys, with a timer that is due within seconds.
    pub(crate) fn count(&self, keys: u64) {
        for number in 0..keys {
            let sent = self.sent.fetch_add(1, Ordering::Relaxed);
            let due_ms = self.cluster.now_ms() + self.below(8_000).cast_signed();
            let (key, value) = (format!("k{number}"), format!("count;timer {due_ms} t{sent}"));
            let message = Message { topic: IN, key: key.into_bytes(), value: value.into_bytes() };
            drop(self.publisher.publish(vec![message]).expect("there is room"));
        }
    }

    /// Lets some worker that is not in the middle of a step do one.
    pub(crate) fn turn(&self) {
        let mut machine = {
            let mut machines = self.machines();
            if machines.is_empty() {
                return;
            }
            let at = self.below(machines.len() as u64) as usize;
            machines.remove(at)
        };
        self.turn_of(&mut machine);
        let mut machines = self.machines();
        machines.push(machine);
        machines.sort_by_key(|machine| machine.name);
    }

    fn turn_of(&self, machine: &mut Machine) {
        let Some(Running { process, driver, .. }) = &mut machine.running else {
            self.start(machine);
            return;
        };
        match process.run(|| driver.turn()) {
            Ok(Ok(())) => {}
            Ok(Err(DriverError::Log(LogError::Replaced { .. }))) => {
                self.seen.replaced.fetch_add(1, Ordering::Relaxed);
                self.end(machine);
            }
            Ok(Err(error)) => {
                let lines = self.cluster.history();
                let tail: Vec<String> = lines.iter().rev().take(60).rev().cloned().collect();
                panic!("{}: {error}\n{}", machine.name, tail.join("\n"));
            }
            Err(_) => {
                self.seen.crashes.fetch_add(1, Ordering::Relaxed);
                self.end(machine);
            }
        }
    }

    /// Ends a process, and sometimes its machine.
    fn end(&self, machine: &mut Machine) {
        if let Some(Running { process, driver, stats, .. }) = machine.running.take() {
            process.crash();
            drop(driver);
            self.seen.add(&stats);
        }
        match self.below(10) {
            0 => machine.disk.lose_power(self.below(machine.disk.unsynced() as u64 + 1) as usize),
            1 => machine.disk.wipe(),
            _ => {}
        }
    }

    fn start(&self, machine: &mut Machine) {
        let process = self.cluster.process(machine.name);
        let work = Work { processor: NAME, inputs: vec![IN], worker: machine.name.to_owned() };
        let options = SessionOptions { commit_interval: Duration::ZERO, ..SessionOptions::default() };
        let session = process.session(&work, options, Arc::default()).expect("a session");
        let stores = Box::new(machine.disk.stores(&process, Duration::from_secs(12 * 60 * 60)));
        let clock = Arc::new(process.clock());
        let limits = Limits { records_max: 20, ..Limits::default() };
        let stats = session.stats();
        let driver = Driver::new(Toy(1), session, stores, clock, limits);
        let progress = driver.progress();
        machine.running = Some(Running { process, driver, stats, progress });
    }

    /// Ends every process that is not in the middle of a step.
    pub(crate) fn end_all(&self) {
        let mut machines = std::mem::take(&mut *self.machines());
        machines.iter_mut().for_each(|machine| {
            if let Some(Running { process, stats, .. }) = machine.running.take() {
                process.crash();
                self.seen.add(&stats);
            }
        });
        *self.machines() = machines;
    }

    /// Has brokers do what they do at times.
    pub(crate) fn disturb(&self) {
        match self.below(8) {
            0 | 1 => self.cluster.clean(),
            2 => self.cluster.change_coordinator(NAME),
            3 | 4 => {
                let topic = [IN.name, OUT.name, CHANGELOG][self.below(3) as usize];
                let (partition, offsets) = (self.below(u64::from(PARTITIONS)) as u32, self.below(20));
                self.cluster.change_leader(topic, partition, offsets, self.millis(3_000));
            }
            _ => {}
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    /// The rows of a changelog partition, by what is committed in it.
    pub(crate) fn fold(&self, partition: u32) -> Rows {
        let mut rows = BTreeMap::new();
        self.cluster.read(CHANGELOG, partition, 0, &mut |_, key, value| match value {
            Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
            None => drop(rows.remove(key)),
        });
        rows
    }

    /// The outputs that are committed, in order within each partition.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let mut outputs = Vec::new();
        for partition in 0..PARTITIONS {
            self.cluster.read(OUT.name, partition, 0, &mut |_, _, value| {
                outputs.push(String::from_utf8(value.expect("a value").to_vec()).expect("text"));
            });
        }
        outputs
    }

    /// Whether every input is passed and decided, and all partitions are restored somewhere.
    pub(crate) fn is_done(&self) -> bool {
        let offsets = self.cluster.offsets(NAME);
        let is_passed = (0..PARTITIONS).all(|partition| {
            let (_, _, end) = self.cluster.marks(IN.name, partition);
            offsets.get(&(IN.name.to_owned(), partition)).copied().unwrap_or(0) == end
        });
        let ready = |machine: &Machine| {
            machine.running.as_ref().map_or(0, |running| running.progress.partitions_ready.load(Ordering::Relaxed))
        };
        let ready: u64 = self.machines().iter().map(ready).sum();
        let is_quiet = self.publisher.queued() == 0 && self.cluster.unfinished().is_empty();
        // A count and a timer for each.
        let done = 2 * self.sent.load(Ordering::Relaxed);
        is_passed && is_quiet && ready == u64::from(PARTITIONS) && self.outputs().len() >= done
    }

    /// For each machine and partition, the rows and the position of the store.
    pub(crate) fn stores(&self) -> Vec<(u32, Rows, Option<u64>)> {
        let mut stores = Vec::new();
        for machine in &*self.machines() {
            for partition in 0..PARTITIONS {
                let Some(store) = machine.disk.store(partition) else { continue };
                let rows = store.rows().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                stores.push((partition, rows, streams::StateStore::position(&store)));
            }
        }
        stores
    }

    /// Lets others do steps, within a call of a process.
    fn meanwhile(&self, process: u64) {
        if self.depth.load(Ordering::Relaxed) >= DEPTH_MAX || !self.one_in(8) {
            return;
        }
        self.depth.fetch_add(1, Ordering::Relaxed);
        let is_healed = self.healed.load(Ordering::Relaxed);
        if !is_healed && self.one_in(20) {
            self.disturb();
        }
        if !is_healed && self.one_in(60) {
            self.cluster.crash(process);
        }
        let turns = self.below(6);
        let pause = if self.one_in(10) { self.millis(15_000) } else { self.millis(50) };
        let is_suspended = self.one_in(2);
        if is_suspended {
            self.cluster.suspend(process);
        }
        for _ in 0..turns {
            self.turn();
            self.cluster.advance(pause / 5);
        }
        if is_suspended {
            self.cluster.resume(process);
        }
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    fn fate(&self, call: &Call<'_>) -> Fate {
        if self.healed.load(Ordering::Relaxed) || !self.one_in(25) {
            return Fate::Arrives;
        }
        // The edge is to deliver all in the end.
        let is_long = self.one_in(4) && call.name != EDGE;
        let noticed = if is_long { Duration::MAX } else { self.millis(300) };
        // What comes after its client has asked again, and has gone on, nothing tells from what is asked then.
        let is_told_by_epoch = matches!(call.api, Api::EndTxn | Api::TxnOffsetCommit);
        match self.below(8) {
            0 => Fate::Lost { noticed },
            1 | 2 => Fate::Unanswered { noticed },
            3 if is_told_by_epoch => Fate::Late { noticed: Duration::MAX, arrives: self.millis(20_000) },
            3 => Fate::Late { noticed, arrives: self.millis(20_000) },
            4 if is_told_by_epoch => Fate::Unanswered { noticed },
            4 => Fate::Repeated { again: self.millis(2_000) },
            5 => Fate::Refused(RDKafkaErrorCode::NotLeaderForPartition),
            6 => Fate::Refused(RDKafkaErrorCode::CoordinatorLoadInProgress),
            _ if call.name == EDGE => Fate::Lost { noticed },
            _ => Fate::Crash,
        }
    }
}

impl Asks {
    fn world(&self) -> Option<Arc<World>> {
        self.0.upgrade()
    }
}

impl Faults for Asks {
    fn before(&self, _: &Cluster, call: &Call<'_>) -> Fate {
        let Some(world) = self.world() else { return Fate::Arrives };
        if call.name != EDGE && call.api != Api::Heartbeat {
            world.meanwhile(call.process);
        }
        world.fate(call)
    }

    fn after(&self, _: &Cluster, call: &Call<'_>) {
        let Some(world) = self.world() else { return };
        if call.name != EDGE && call.api != Api::Heartbeat {
            world.meanwhile(call.process);
        }
    }

    fn idle(&self, _: &Cluster, process: u64, _: Duration) {
        if let Some(world) = self.world() {
            world.meanwhile(process);
        }
    }

    fn marker_delay(&self, _: &str, _: u32) -> Duration {
        let Some(world) = self.world() else { return Duration::ZERO };
        if world.one_in(20) { world.millis(3_000) } else { world.millis(20) }
    }
}
