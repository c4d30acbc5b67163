//! One step of the driver with `orders` on the store of production: records are applied, committed to a log that takes no
//! time, and the rows are written.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use processors::Orders;
use streams::log::{ApplyChanges, Limits, Restored};
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Clock, Commit, Driver, LogError, Polled, Processor as _, Record, Session, Step};

use crate::orders::{NOW, registry, shops};

/// Records of a step, as many as come in 25 ms of forty thousand a second.
const RECORDS: u64 = 1_000;
const CACHE_BYTES: u64 = 64 << 20;

/// What the next poll finds.
type Found = Arc<Mutex<Vec<Record>>>;

/// A log that has what it is given, and commits at once.
struct Instantly {
    found: Found,
    assigned: bool,
    position: u64,
}

impl Session for Instantly {
    fn poll(&mut self, _: &Limits, _: Duration) -> Result<Polled, LogError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Polled::Assigned(vec![0]));
        }
        Ok(Polled::Records(std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))))
    }

    fn commit(&mut self, step: &Step) -> Commit {
        assert!(!step.outputs.is_empty(), "each record is a new order");
        self.position += 1;
        Commit::Committed(vec![(0, self.position)])
    }

    fn reset(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn restore(&mut self, _: u32, _: Option<u64>, _: ApplyChanges<'_>) -> Result<Restored, LogError> {
        Ok(Restored::Complete(self.position))
    }
}

/// Stands still: no timer of these orders comes due.
struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        NOW.0
    }
}

/// So many orders that are new.
fn reports(numbers: std::ops::Range<u64>) -> Vec<Record> {
    let record = |number| {
        let message = shops().records("step", number).1;
        Record {
            topic: message.topic.id,
            partition: 0,
            offset: number,
            key: message.key.into(),
            value: message.value.into(),
        }
    };
    numbers.map(record).collect()
}

/// A step of so many new orders; the state grows as in a run.
pub(crate) fn step(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateFolder::open(folder.path(), CACHE_BYTES).expect("the state opens");
    let (processor, found) = (Orders::new(registry()), Found::default());
    let stores = FolderStores::new(state, Path::new(""), processor.name(), processor.state_version());
    let session = Instantly { found: Arc::clone(&found), assigned: false, position: 0 };
    let mut driver = Driver::new(processor, session, Box::new(stores), Arc::new(Still), Limits::default());
    driver.turn().expect("the partition is assigned");
    let mut next = 0;
    let mut group = criterion.benchmark_group("driver");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(20);
    group.bench_function("a step of 1,000 new orders", |bencher| {
        bencher.iter_batched(
            || {
                next += RECORDS;
                *found.lock().unwrap_or_else(PoisonError::into_inner) = reports(next - RECORDS..next);
            },
            |()| driver.turn().expect("a step"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
