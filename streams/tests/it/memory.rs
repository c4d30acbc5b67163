//! A session that hands out what the test says, and stores in memory.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use streams::log::{ApplyChanges, Limits, Restored};
use streams::store::MemoryStore;
use streams::{
    Clock, Commit, Driver, DriverError, LogError, Message, Polled, Record, Session, StateStore, Step, StoreError,
    Stores,
};

use crate::toy::Toy;

/// What the session was given to commit.
pub(crate) type Committed = Arc<Mutex<Vec<Message>>>;

pub(crate) struct Scripted {
    polls: VecDeque<Polled>,
    committed: Committed,
    position: u64,
}

impl Session for Scripted {
    fn poll(&mut self, _: &Limits, _: Duration) -> Result<Polled, LogError> {
        Ok(self.polls.pop_front().unwrap_or(Polled::Nothing))
    }

    /// As a log with partitions does it: no changes, no position.
    fn commit(&mut self, step: &Step) -> Commit {
        self.committed.lock().expect("no test panics with the lock").extend(step.outputs.iter().cloned());
        self.position += 1;
        let changed = step.changes.iter().filter(|(_, changes)| !changes.is_empty());
        Commit::Committed(changed.map(|(partition, _)| (*partition, self.position)).collect())
    }

    fn reset(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn restore(&mut self, _: u32, _: Option<u64>, _: ApplyChanges<'_>) -> Result<Restored, LogError> {
        Ok(Restored::Complete(self.position))
    }
}

pub(crate) struct InMemory;

impl Stores for InMemory {
    fn open(&mut self, _: u32) -> Result<Box<dyn StateStore>, StoreError> {
        Ok(Box::new(MemoryStore::default()))
    }

    fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> i64 {
        0
    }
}

/// A driver over these polls.
pub(crate) fn driver(polls: Vec<Polled>) -> (Driver<Toy, Scripted>, Committed) {
    let committed = Committed::default();
    let session = Scripted { polls: polls.into(), committed: Arc::clone(&committed), position: 1 };
    (Driver::new(Toy(1), session, Box::new(InMemory), Arc::new(Stopped), Limits::default()), committed)
}

pub(crate) fn record(partition: u32, script: &str) -> Record {
    let (key, value) = (Bytes::from_static(b"k"), Bytes::copy_from_slice(script.as_bytes()));
    Record { topic: 1, partition, offset: 7, key, value }
}

#[test]
fn partitions_come_and_go() {
    let step = |script| Polled::Records(vec![record(1, script), record(2, script)]);
    let polls = vec![
        Polled::Assigned(vec![1, 2]),
        step("count"),
        // Nothing changes, so the log has no position to tell.
        step(""),
        step("count"),
        Polled::Revoked(vec![1]),
        Polled::Records(vec![record(2, "count")]),
        Polled::Assigned(vec![1]),
        Polled::Records(vec![record(1, "count"), record(2, "count")]),
    ];
    let (mut driver, committed) = driver(polls);
    let progress = driver.progress();
    let mut ready = Vec::new();
    for _ in 0..9 {
        driver.turn().expect("nothing goes wrong");
        ready.push(progress.partitions_ready.load(Ordering::Relaxed));
    }
    assert_eq!(ready, [2, 2, 2, 2, 1, 1, 2, 2, 2]);
    let outputs: Vec<String> = committed
        .lock()
        .expect("no test panics with the lock")
        .iter()
        .map(|message| String::from_utf8_lossy(&message.value).into_owned())
        .collect();
    assert_eq!(outputs, ["k=1", "k=1", "k=2", "k=2", "k=3", "k=1", "k=4"]);
    assert_eq!(progress.steps.load(Ordering::Relaxed), 5);
}

#[test]
fn a_driver_that_failed_does_nothing_more() {
    struct Broken;
    impl Stores for Broken {
        fn open(&mut self, _: u32) -> Result<Box<dyn StateStore>, StoreError> {
            Err(StoreError { context: "a test", message: "as planned".to_owned() })
        }
        fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
            Ok(())
        }
    }
    let polls = VecDeque::from([Polled::Assigned(vec![0]), Polled::Records(vec![record(0, "count")])]);
    let session = Scripted { polls, committed: Committed::default(), position: 1 };
    let mut driver = Driver::new(Toy(1), session, Box::new(Broken), Arc::new(Stopped), Limits::default());
    assert!(matches!(driver.turn(), Err(DriverError::Store(_))));
    assert!(matches!(driver.turn(), Err(DriverError::Stopped)));
    assert!(matches!(driver.turn(), Err(DriverError::Stopped)));
}
