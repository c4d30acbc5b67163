//! Workers: the driver, the session and the state machines of production, and stores that tell what is done to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use processors::{Clicks, Ledger, Orders};
use schemas::registry::Registry;
use streams::kafka::{KafkaSession, SessionStats, Work};
use streams::sim::{Disk, Process, SimClients};
use streams::{Change, Driver, DriverError, LogError, Processor, Progress, StateStore, StoreError, Stores};

use crate::topology::{Topology, UNSEEN_MAX};

/// The processors, by name.
pub(crate) const PROCESSORS: [&str; 3] = ["orders", "clicks", "ledger"];

/// A worker of some processor.
pub(crate) trait Worker: Send {
    /// One turn of its loop.
    fn turn(&mut self) -> Result<(), DriverError>;
    /// Goes on under another registry.
    fn set_registry(&mut self, registry: &Arc<Registry>);
    /// What it has done.
    fn progress(&self) -> Arc<Progress>;
    /// What its session has done.
    fn stats(&self) -> Arc<SessionStats>;
    /// Leaves its group for good.
    fn leave(self: Box<Self>);
}

struct Running<P> {
    driver: Driver<P, KafkaSession<SimClients>>,
    stats: Arc<SessionStats>,
    make: fn(&Arc<Registry>) -> P,
}

impl<P: Processor> Worker for Running<P> {
    fn turn(&mut self) -> Result<(), DriverError> {
        self.driver.turn()
    }

    fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.driver.set_processor((self.make)(registry));
    }

    fn progress(&self) -> Arc<Progress> {
        self.driver.progress()
    }

    fn stats(&self) -> Arc<SessionStats> {
        Arc::clone(&self.stats)
    }

    fn leave(mut self: Box<Self>) {
        self.driver.finish();
        self.driver.into_session().leave();
    }
}

/// What a worker is started with.
pub(crate) struct Start<'a> {
    pub(crate) process: &'a Process,
    pub(crate) topology: &'a Topology,
    pub(crate) registry: &'a Arc<Registry>,
    pub(crate) disk: &'a Disk,
    pub(crate) watch: StoreWatch,
    /// The worker's name, which a restart keeps.
    pub(crate) name: String,
}

/// Starts a worker of a processor, by its index in [`PROCESSORS`].
pub(crate) fn start(processor: usize, start: Start<'_>) -> Result<Box<dyn Worker>, LogError> {
    match processor {
        0 => boxed(start, |registry| Orders::new(Arc::clone(registry))),
        1 => boxed(start, Clicks::new),
        _ => boxed(start, Ledger::new),
    }
}

fn boxed<P: Processor>(start: Start<'_>, make: fn(&Arc<Registry>) -> P) -> Result<Box<dyn Worker>, LogError> {
    let Start { process, topology, registry, disk, watch, name } = start;
    let processor = make(registry);
    let work = Work { processor: processor.name(), inputs: processor.inputs(), worker: name };
    let session = process.session(&work, topology.session.clone(), Arc::new(AtomicBool::new(false)))?;
    let stats = session.stats();
    let stores = WatchedStores { inner: Box::new(disk.stores(process, UNSEEN_MAX)), disk: disk.clone(), watch };
    let driver = Driver::new(processor, session, Box::new(stores), Arc::new(process.clock()), topology.limits);
    Ok(Box::new(Running { driver, stats, make }))
}

/// What is done to the stores of one processor on one machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreWatch(Arc<Mutex<BTreeMap<u32, Seen>>>);

/// What was done to a partition's store since it was opened last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether it is at the end of what is committed, or only gets there.
    pub(crate) is_ready: bool,
    /// Since it was looked at last.
    pub(crate) news: News,
    /// A restore under way has written something.
    partly: bool,
    /// It was opened with nothing in it, or emptied.
    was_empty: bool,
    /// A restore of it was cut off after it had written something.
    cut_off: bool,
}

/// What happened to stores that does not happen in every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Something was written.
    pub(crate) written: bool,
    /// It has become ready.
    pub(crate) ready: bool,
    /// It was made from nothing.
    pub(crate) cold: bool,
    /// A restore that was cut off was gone on with.
    pub(crate) resumed: bool,
    /// It was of no use any more, and emptied.
    pub(crate) wiped: bool,
}

impl StoreWatch {
    fn change<T>(&self, partition: u32, change: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(seen.entry(partition).or_default())
    }

    /// What is new, by partition, and whether each is ready.
    pub(crate) fn take(&self) -> Vec<(u32, News, bool)> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = seen.iter_mut().filter(|(_, seen)| seen.news != News::default());
        news.map(|(partition, seen)| (*partition, std::mem::take(&mut seen.news), seen.is_ready)).collect()
    }

    /// The partitions whose stores are at the end of what is committed, or were when they were last written.
    pub(crate) fn ready(&self) -> Vec<u32> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(_, seen)| seen.is_ready).map(|(partition, _)| *partition).collect()
    }

    /// The disk is another one, or has lost something.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

struct WatchedStores {
    inner: Box<dyn Stores>,
    disk: Disk,
    watch: StoreWatch,
}

impl Stores for WatchedStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        let found = self.disk.store(partition).and_then(|store| store.position());
        let inner = self.inner.open(partition)?;
        let has = inner.position();
        self.watch.change(partition, |seen| {
            let cut_off = !seen.is_ready && (seen.partly || seen.cut_off) && has.is_some();
            let mut news = seen.news;
            news.wiped |= found.is_some() && has.is_none();
            *seen = Seen { cut_off, news, was_empty: has.is_none(), ..Seen::default() };
        });
        Ok(Box::new(WatchedStore { inner, partition, watch: self.watch.clone() }))
    }

    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError> {
        self.inner.load_snapshot(partition, store)
    }
}

struct WatchedStore {
    inner: Box<dyn StateStore>,
    partition: u32,
    watch: StoreWatch,
}

impl StateStore for WatchedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.inner.scan(from, until, visit)
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.inner.apply(changes, position)?;
        self.watch.change(self.partition, |seen| {
            seen.news.written = true;
            if !changes.is_empty() {
                seen.partly |= !seen.is_ready;
                return;
            }
            // The driver's word that a restore is complete.
            seen.news.cold |= seen.was_empty && position > 0;
            seen.news.resumed |= seen.cut_off;
            seen.news.ready = true;
            (seen.is_ready, seen.partly, seen.was_empty, seen.cut_off) = (true, false, false, false);
        });
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.inner.position()
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        let had = self.inner.position();
        self.inner.wipe()?;
        self.watch.change(self.partition, |seen| {
            seen.news.wiped |= had.is_some();
            (seen.is_ready, seen.was_empty, seen.partly) = (false, true, false);
        });
        Ok(())
    }
}

impl fmt::Debug for WatchedStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedStores").field("disk", &self.disk).finish_non_exhaustive()
    }
}
