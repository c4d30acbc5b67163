//! Stores of partitions in memory, on disks that outlive processes.
//!
//! A process that is killed leaves everything that it wrote. A machine that loses power leaves what it wrote up to some
//! moment, each batch whole or not at all, since a store is never synced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::process::Process;
use crate::driver::{Clock as _, Stores};
use crate::store::{Change, MemoryStore, StateStore, StoreError};

/// Writes of late that a power loss can take back.
const JOURNAL_WRITES_MAX: usize = 512;

/// The disk of a machine, with the stores of one processor. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    stores: BTreeMap<u32, Stored>,
    journal: VecDeque<(u32, Write)>,
}

/// The store of a partition.
#[derive(Debug, Default)]
struct Stored {
    now: MemoryStore,
    /// As of before the journal.
    before: MemoryStore,
    /// When it was last known to be at the end of its changelog, by the clock of its machine.
    seen_ms: i64,
    /// How often it was opened: the last one writes.
    opened: u64,
}

#[derive(Debug)]
enum Write {
    Apply(Vec<Change>, u64),
    Wipe,
}

impl Write {
    fn run(&self, store: &mut MemoryStore) -> Result<(), StoreError> {
        match self {
            Write::Apply(changes, position) => store.apply(changes, *position),
            Write::Wipe => store.wipe(),
        }
    }
}

impl Disk {
    /// The stores of a worker of this process. One that was not at the end of its changelog for `unseen_max` is
    /// emptied.
    #[must_use]
    pub fn stores(&self, process: &Process, unseen_max: Duration) -> SimStores {
        SimStores { disk: self.clone(), process: process.clone(), unseen_max }
    }

    /// Writes that a power loss could take back.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.inner().journal.len()
    }

    /// Takes back all but so many of the writes of late, as a power loss does. Nobody must have a store open.
    pub fn lose_power(&self, kept: usize) {
        let mut inner = self.inner();
        inner.journal.truncate(kept);
        let Inner { stores, journal } = &mut *inner;
        stores.values_mut().for_each(|stored| stored.now = stored.before.clone());
        for (partition, write) in journal {
            let stored = stores.entry(*partition).or_default();
            write.run(&mut stored.now).expect("memory does not fail");
        }
    }

    /// Takes everything away.
    pub fn wipe(&self) {
        *self.inner() = Inner::default();
    }

    /// The store of a partition as it is now.
    #[must_use]
    pub fn store(&self, partition: u32) -> Option<MemoryStore> {
        self.inner().stores.get(&partition).map(|stored| stored.now.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, partition: u32, write: Write) -> Result<(), StoreError> {
        write.run(&mut self.stores.entry(partition).or_default().now)?;
        self.journal.push_back((partition, write));
        while self.journal.len() > JOURNAL_WRITES_MAX {
            let Some((partition, write)) = self.journal.pop_front() else { break };
            write.run(&mut self.stores.entry(partition).or_default().before)?;
        }
        Ok(())
    }
}

/// The stores of a worker.
#[derive(Clone, Debug)]
pub struct SimStores {
    disk: Disk,
    process: Process,
    unseen_max: Duration,
}

impl Stores for SimStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        self.process.check();
        let now_ms = self.process.clock().now_ms();
        let mut inner = self.disk.inner();
        let stored = inner.stores.entry(partition).or_default();
        stored.opened += 1;
        let opened = stored.opened;
        let unseen_ms = now_ms.saturating_sub(stored.seen_ms);
        let is_stale = unseen_ms > i64::try_from(self.unseen_max.as_millis()).unwrap_or(i64::MAX);
        if stored.now.position().is_none() || is_stale {
            stored.seen_ms = now_ms;
            inner.write(partition, Write::Wipe)?;
        }
        drop(inner);
        Ok(Box::new(SimStore { disk: self.disk.clone(), process: self.process.clone(), partition, opened }))
    }

    fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
        // A compacted changelog loses no row: it has no need of a snapshot.
        Ok(())
    }
}

/// The store of one partition.
#[derive(Debug)]
struct SimStore {
    disk: Disk,
    process: Process,
    partition: u32,
    opened: u64,
}

impl SimStore {
    fn write(&self, write: Write) -> Result<(), StoreError> {
        self.process.check();
        let mut inner = self.disk.inner();
        let stored = inner.stores.entry(self.partition).or_default();
        if stored.opened != self.opened {
            let message = format!("another worker of this machine has partition {} now", self.partition);
            return Err(StoreError { context: "writing", message });
        }
        // One without changes is the end of a restore; from then on every write is at the end.
        stored.seen_ms = self.process.clock().now_ms();
        inner.write(self.partition, write)
    }

    fn read<T>(&self, read: impl FnOnce(&MemoryStore) -> T) -> T {
        read(&self.disk.inner().stores.entry(self.partition).or_default().now)
    }
}

impl StateStore for SimStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(|store| store.get(key))
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.read(|store| store.scan(from, until, visit))
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.write(Write::Apply(changes.to_vec(), position))
    }

    fn position(&self) -> Option<u64> {
        self.read(StateStore::position)
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.write(Write::Wipe)
    }
}
