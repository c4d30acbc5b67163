//! What dies in a crash: the open log, the drivers on it, and who waits for answers.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

use streams::disk::Disk;
use streams::embedded::{EmbeddedLog, EmbeddedSession, Options, Reader};
use streams::log::{Limits, Pending};
use streams::sim::disk::{DiskProcess, DiskStores, SimDisk};
use streams::{Clock, Driver, DriverError, LogError, Processor};

use crate::faults::Fate;
use crate::workers::{TOPICS, WORKERS, Worker};

pub(crate) const LOG: &str = "/data/log";
const SNAPSHOTS: &str = "/data/snapshots";

/// The wall clock of all processes.
#[derive(Debug, Default)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The drivers of a process, any of which may do a turn while another waits for its step to be written.
#[allow(missing_debug_implementations, reason = "a driver has no useful Debug")]
pub(crate) struct Workers {
    drivers: OnceLock<[Mutex<Driver<Worker, EmbeddedSession>>; 2]>,
    /// Of turns within turns.
    failures: Mutex<Vec<DriverError>>,
    fate: Fate,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// A turn of a worker.
    pub(crate) fn turn(&self, worker: usize) -> Result<(), DriverError> {
        let drivers = self.drivers.get().expect("they are there when the log is open");
        locked(&drivers[worker]).turn()?;
        locked(&self.failures).pop().map_or(Ok(()), Err)
    }

    /// Another worker may do a turn now, so that both steps are in one batch.
    fn while_waiting(&self) {
        let Some(drivers) = self.drivers.get() else { return };
        if self.fate.roll(3) > 0 {
            return;
        }
        for driver in drivers {
            let mut driver = match driver.try_lock() {
                Ok(driver) => driver,
                Err(TryLockError::Poisoned(driver)) => driver.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let before = driver.progress().steps.load(Ordering::Relaxed);
            if let Err(error) = driver.turn() {
                locked(&self.failures).push(error);
            } else if driver.progress().steps.load(Ordering::Relaxed) > before {
                self.fate.mark("two steps in a batch");
            }
        }
    }

    /// Whether a worker has its state.
    pub(crate) fn is_ready(&self, worker: usize) -> bool {
        let drivers = self.drivers.get().expect("they are there when the log is open");
        locked(&drivers[worker]).progress().partitions_ready.load(Ordering::Relaxed) == 1
    }
}

/// A process.
#[allow(missing_debug_implementations, reason = "a driver has no useful Debug")]
pub(crate) struct Process {
    pub(crate) disk: DiskProcess,
    pub(crate) log: EmbeddedLog,
    pub(crate) workers: Arc<Workers>,
    pub(crate) stores: [DiskStores; 2],
    pub(crate) reader: Reader,
    /// Groups that were published and not answered.
    pub(crate) pending: Vec<(usize, Pending)>,
}

impl Process {
    /// Starts as the product does: the folders, the log, the workers.
    pub(crate) fn start(
        disk: &SimDisk,
        fate: &Fate,
        options: &Options,
        limits: Limits,
        clock: &Arc<TestClock>,
    ) -> Result<Process, LogError> {
        let process = disk.process(Arc::new(fate.clone()));
        let context = "making the folder of snapshots".to_owned();
        process.make_folder(Path::new(SNAPSHOTS)).map_err(|source| LogError::Io { context, source })?;
        let workers = Arc::new(Workers { drivers: OnceLock::new(), failures: Mutex::default(), fate: fate.clone() });
        let waiting: Weak<Workers> = Arc::downgrade(&workers);
        let log = EmbeddedLog::open_driven(Arc::new(process.clone()), Path::new(LOG), options.clone(), move || {
            waiting.upgrade().iter().for_each(|workers| workers.while_waiting());
        })?;
        let stores = WORKERS.map(|worker| DiskStores::new(&process, Path::new(SNAPSHOTS), worker.name(), 1));
        let [tally, echo] = &stores;
        let driver = |worker: Worker, stores: &DiskStores| {
            let session = log.session(worker.name(), &worker.inputs());
            let clock = Arc::clone(clock) as Arc<dyn Clock>;
            Mutex::new(Driver::new(worker, session, Box::new(stores.clone()), clock, limits))
        };
        let drivers = [driver(Worker::Tally, tally), driver(Worker::Echo, echo)];
        assert!(workers.drivers.set(drivers).is_ok(), "they are set once");
        let reader = log.reader(&TOPICS, None);
        Ok(Process { disk: process, log, workers, stores, reader, pending: Vec::new() })
    }
}
