//! A log, a state folder and a driver over them, which can die and be opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use streams::embedded::{EmbeddedLog, EmbeddedSession, Options};
use streams::log::{Limits, Restored};
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Clock, Driver, DriverError, Message, Polled, Publisher, Session, StateStore, Stores, Topic};
use tempfile::TempDir;

use crate::faults::{Faulty, FaultyStores, Plan};
use crate::toy::{DEAD, IN, NAME, OUT, Toy};

/// When the clock of every world begins.
pub(crate) const T0: i64 = 1_781_429_400_000;

/// More than any test needs: a driver that does the same over and over is found out.
const TURNS_MAX: usize = 1_000;

/// Rows, stamp excluded, in order.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What outlives a process.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) version: u32,
    pub(crate) clock: Arc<TestClock>,
}

/// What does not.
pub(crate) struct Running {
    pub(crate) log: EmbeddedLog,
    pub(crate) _state: StateFolder,
    pub(crate) stores: FolderStores,
    pub(crate) driver: Driver<Toy, Faulty<EmbeddedSession>>,
    pub(crate) clock: Arc<TestClock>,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            folder: tempfile::tempdir().expect("a folder"),
            plan: Plan::default(),
            options: Options::default(),
            limits: Limits::default(),
            version: 1,
            clock: Arc::new(TestClock(AtomicI64::new(T0))),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open_log(&self) -> EmbeddedLog {
        EmbeddedLog::open(self.path("log"), self.options.clone()).expect("the log opens")
    }

    /// The stores in the folder `state`, with the snapshots that all share.
    pub(crate) fn open_stores(&self, state: &str) -> (StateFolder, FolderStores) {
        std::fs::create_dir_all(self.path("snapshots")).expect("a folder");
        let folder = StateFolder::open(&self.path(state), 1 << 20).expect("the state opens");
        let stores = FolderStores::new(folder.clone(), &self.path("snapshots"), NAME, self.version);
        (folder, stores)
    }

    pub(crate) fn open(&self) -> Running {
        self.plan.get().dead = false;
        let log = self.open_log();
        let (state, stores) = self.open_stores("state");
        let session = Faulty { inner: log.session(NAME, &[IN]), plan: self.plan.clone() };
        let faulty = Box::new(FaultyStores { inner: stores.clone(), plan: self.plan.clone() });
        let clock = Arc::clone(&self.clock);
        let driver = Driver::new(Toy(self.version), session, faulty, Arc::clone(&clock) as Arc<dyn Clock>, self.limits);
        Running { log, _state: state, stores, driver, clock }
    }

    /// The rows of a store that is made from the log and the snapshot alone. Nothing else may be open.
    pub(crate) fn restored(&self) -> Rows {
        let log = self.open_log();
        let (_, mut stores) = self.open_stores("fresh");
        let mut session = log.session(NAME, &[IN]);
        assert!(matches!(session.poll(&self.limits, Duration::ZERO), Ok(Polled::Assigned(_))));
        let mut store = Stores::open(&mut stores, 0).expect("the store opens");
        store.wipe().expect("emptied");
        stores.load_snapshot(0, &mut *store).expect("a snapshot or none");
        let after = store.position();
        let restored = session.restore(0, after, &mut |changes, position| store.apply(changes, position));
        let Ok(Restored::Complete(end)) = restored else { panic!("not restored: {restored:?}") };
        store.apply(&[], end).expect("stamped");
        rows(&stores)
    }

    /// The rows that are in the state folder. Nothing else may be open.
    pub(crate) fn kept(&self) -> Rows {
        rows(&self.open_stores("state").1)
    }

    /// The stamp of the store in the state folder. Nothing else may be open.
    pub(crate) fn stamp(&self) -> Option<u64> {
        self.open_stores("state").1.store(0).expect("the store opens").position()
    }
}

/// All rows of the store of partition 0.
pub(crate) fn rows(stores: &FolderStores) -> Rows {
    let frozen = stores.store(0).expect("the store opens").freeze().expect("frozen");
    let mut all = Vec::new();
    if let Some(frozen) = frozen {
        frozen
            .rows(|key, value| {
                all.push((key.to_vec(), value.to_vec()));
                Ok(())
            })
            .expect("readable");
    }
    all
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

impl Running {
    /// Publishes a script, in a frame of its own.
    pub(crate) fn send(&self, key: &str, script: &str) -> u64 {
        self.send_all(&[(key, script)])
    }

    /// Publishes scripts in one frame; returns the offset of the first.
    pub(crate) fn send_all(&self, scripts: &[(&str, &str)]) -> u64 {
        let message = |(key, script): &(&str, &str)| Message {
            topic: IN,
            key: key.as_bytes().to_vec(),
            value: script.as_bytes().to_vec(),
        };
        wait(self.log.publish(scripts.iter().map(message).collect()).expect("room")).expect("durable").offset
    }

    pub(crate) fn turn(&mut self) -> Result<(), DriverError> {
        self.driver.turn()
    }

    /// Steps, retries and partitions so far.
    fn done(&self) -> [u64; 3] {
        let progress = self.driver.progress();
        [&progress.steps, &progress.retries, &progress.partitions_ready].map(|count| count.load(Ordering::Relaxed))
    }

    /// Turns until nothing more happens.
    pub(crate) fn try_settle(&mut self) -> Result<(), DriverError> {
        for _ in 0..TURNS_MAX {
            let before = self.done();
            self.turn()?;
            if self.done() == before {
                return Ok(());
            }
        }
        panic!("it does not settle");
    }

    pub(crate) fn settle(&mut self) {
        self.try_settle().expect("nothing goes wrong");
    }

    /// Sets the clock.
    pub(crate) fn at(&self, now_ms: i64) {
        self.clock.0.store(now_ms, Ordering::SeqCst);
    }

    /// Sets the clock and lets everything happen that is due.
    pub(crate) fn settle_at(&mut self, now_ms: i64) {
        self.at(now_ms);
        self.settle();
    }

    fn all(&self, topic: Topic) -> Vec<String> {
        let mut reader = self.log.reader(&[topic], None);
        let mut all = Vec::new();
        loop {
            let some = reader.next(&Limits::default(), Duration::ZERO).expect("readable");
            if some.is_empty() {
                return all;
            }
            all.extend(some.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()));
        }
    }

    pub(crate) fn outputs(&self) -> Vec<String> {
        self.all(OUT)
    }

    /// The keys of timers and when they fired.
    pub(crate) fn fired(&self) -> Vec<String> {
        self.outputs().iter().filter_map(|output| output.strip_prefix("fired ").map(str::to_owned)).collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<String> {
        self.all(DEAD)
    }
}
