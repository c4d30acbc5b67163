//! The three production processors, each under the production driver, over one list of records.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use oracle::{Committed, Fault};
use processors::{Clicks, Ledger, Orders};
use schemas::registry::Registry;
use schemas::topics::TopicSpec;
use schemas::{AvroRecord, encode};
use streams::log::{ApplyChanges, Limits, Restored};
use streams::store::MemoryStore;
use streams::{
    Clock, Commit, Driver, LogError, Message, Polled, Processor, Record, Session, StateStore, Step, StoreError, Stores,
};

/// 2026-06-14T09:30:00Z.
pub(crate) const T0: i64 = 1_781_429_400_000;
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const DAY: i64 = 86_400_000;

type Records = Arc<Mutex<Vec<Message>>>;

/// A log of one partition in memory, which loses and duplicates nothing.
struct MemorySession {
    records: Records,
    topics: Vec<u16>,
    assigned: bool,
    polled: usize,
    position: u64,
}

impl Session for MemorySession {
    fn poll(&mut self, limits: &Limits, _: Duration) -> Result<Polled, LogError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Polled::Assigned(vec![0]));
        }
        let records = self.records.lock().unwrap();
        let mut found = Vec::new();
        while self.polled < records.len() && found.len() < limits.records_max {
            let message = &records[self.polled];
            if self.topics.contains(&message.topic.id) {
                found.push(Record {
                    topic: message.topic.id,
                    partition: 0,
                    offset: self.polled as u64,
                    key: Bytes::from(message.key.clone()),
                    value: Bytes::from(message.value.clone()),
                });
            }
            self.polled += 1;
        }
        Ok(if found.is_empty() { Polled::Nothing } else { Polled::Records(found) })
    }

    fn commit(&mut self, step: &Step) -> Commit {
        self.records.lock().unwrap().extend(step.outputs.iter().cloned());
        self.position += 1;
        Commit::Committed(step.changes.iter().map(|(partition, _)| (*partition, self.position)).collect())
    }

    fn reset(&mut self) -> Result<(), LogError> {
        unreachable!("no commit of this log fails")
    }

    fn restore(&mut self, _: u32, _: Option<u64>, _: ApplyChanges<'_>) -> Result<Restored, LogError> {
        Ok(Restored::Complete(self.position))
    }
}

struct EmptyStores;

impl Stores for EmptyStores {
    fn open(&mut self, _: u32) -> Result<Box<dyn StateStore>, StoreError> {
        Ok(Box::new(MemoryStore::default()))
    }
    fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
        Ok(())
    }
}

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    records: Records,
    clock: Arc<TestClock>,
    orders: Driver<Orders, MemorySession>,
    clicks: Driver<Clicks, MemorySession>,
    ledger: Driver<Ledger, MemorySession>,
    observed: usize,
    pub(crate) committed: Committed,
    pub(crate) faults: Vec<Fault>,
}

impl World {
    pub(crate) fn new(registry: &Arc<Registry>, limits: Limits) -> World {
        let records = Records::default();
        let clock = Arc::new(TestClock(AtomicI64::new(T0)));
        World {
            orders: driver(Orders::new(Arc::clone(registry)), &records, &clock, limits),
            clicks: driver(Clicks::new(registry), &records, &clock, limits),
            ledger: driver(Ledger::new(registry), &records, &clock, limits),
            records,
            clock,
            observed: 0,
            committed: Committed::default(),
            faults: Vec::new(),
        }
    }

    pub(crate) fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.orders.set_processor(Orders::new(Arc::clone(registry)));
        self.clicks.set_processor(Clicks::new(registry));
        self.ledger.set_processor(Ledger::new(registry));
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    /// Moves time without letting anything happen.
    pub(crate) fn at(&mut self, now_ms: i64) {
        self.clock.0.store(now_ms, Ordering::SeqCst);
    }

    pub(crate) fn write<R: AvroRecord>(&mut self, spec: &TopicSpec, key: &[u8], record: &R) {
        self.write_bytes(spec, key, encode(record));
    }

    pub(crate) fn write_bytes(&mut self, spec: &TopicSpec, key: &[u8], value: Vec<u8>) {
        let message = Message { topic: processors::topic(spec), key: key.to_vec(), value };
        self.records.lock().unwrap().push(message);
    }

    /// Turns every driver until nothing more happens, and shows what was written to the oracle.
    pub(crate) fn settle(&mut self) {
        loop {
            let before = self.work();
            self.orders.turn().unwrap();
            self.clicks.turn().unwrap();
            self.ledger.turn().unwrap();
            self.observe();
            if self.work() == before {
                return;
            }
        }
    }

    fn observe(&mut self) {
        let records = self.records();
        for (offset, message) in records.iter().enumerate().skip(self.observed) {
            let faults = self.committed.observe(message.topic.id, 0, offset as u64, &message.key, &message.value);
            self.faults.extend(faults);
        }
        self.observed = records.len();
    }

    /// The log.
    pub(crate) fn records(&self) -> Vec<Message> {
        self.records.lock().unwrap().clone()
    }

    fn work(&self) -> (usize, Vec<u64>) {
        let progress = [self.orders.progress(), self.clicks.progress(), self.ledger.progress()];
        let done = progress.iter().flat_map(|it| [&it.partitions_ready, &it.steps].map(|it| it.load(Ordering::SeqCst)));
        (self.records.lock().unwrap().len(), done.collect())
    }
}

fn driver<P: Processor>(
    processor: P,
    records: &Records,
    clock: &Arc<TestClock>,
    limits: Limits,
) -> Driver<P, MemorySession> {
    let topics = processor.inputs().iter().map(|topic| topic.id).collect();
    let session = MemorySession { records: Arc::clone(records), topics, assigned: false, polled: 0, position: 0 };
    Driver::new(processor, session, Box::new(EmptyStores), Arc::clone(clock) as Arc<dyn Clock>, limits)
}
