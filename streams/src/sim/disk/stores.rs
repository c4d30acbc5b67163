//! The state stores of a process that is on a simulated disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::process::DiskProcess;
use super::{Kind, Operation};
use crate::driver::Stores;
use crate::retention::Keeper;
use crate::snapshot::Snapshot;
use crate::store::{Change, StateStore, StoreError};

/// The rows of a store; without a position they stand for nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    rows: BTreeMap<Bytes, Bytes>,
    position: Option<u64>,
}

/// The stores of one processor. Its snapshots are files on the disk.
#[derive(Clone, Debug)]
pub struct DiskStores {
    process: DiskProcess,
    snapshots: PathBuf,
    name: String,
    version: u32,
}

impl DiskStores {
    /// The stores of the processor `name` with rows of `version`, and its snapshots in a folder that is there.
    #[must_use]
    pub fn new(process: &DiskProcess, snapshots: &Path, name: &str, version: u32) -> DiskStores {
        DiskStores { process: process.clone(), snapshots: snapshots.to_owned(), name: name.to_owned(), version }
    }

    /// A partition's snapshot, there or not.
    #[must_use]
    pub fn snapshot(&self, partition: u32) -> Snapshot {
        Snapshot::on(Arc::new(self.process.clone()), &self.snapshots, &self.store_name(partition), self.version)
    }

    /// All rows of a partition's store, in order, and the position that they stand for.
    #[must_use]
    pub fn rows(&self, partition: u32) -> (Vec<(Bytes, Bytes)>, Option<u64>) {
        let state = self.process.disk().lock();
        let Some(kept) = state.rows.get(&self.store_name(partition)) else { return (Vec::new(), None) };
        (kept.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect(), kept.position)
    }

    fn store_name(&self, partition: u32) -> String {
        format!("{}-{partition}", self.name)
    }

    fn store(&self, partition: u32) -> DiskStore {
        DiskStore { process: self.process.clone(), name: self.store_name(partition) }
    }
}

impl Stores for DiskStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        let mut store = self.store(partition);
        // What a load has left that was cut off.
        if store.position().is_none() {
            store.wipe()?;
        }
        Ok(Box::new(store))
    }

    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError> {
        self.snapshot(partition).load(store)
    }
}

impl Keeper for DiskStores {
    fn consumer(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn kept(&self) -> Result<Option<u64>, StoreError> {
        self.snapshot(0).position()
    }

    fn keep(&self) -> Result<Option<u64>, StoreError> {
        let (rows, Some(position)) = self.rows(0) else { return Ok(None) };
        self.snapshot(0).write_rows(position, |add| rows.iter().try_for_each(|(key, value)| add(key, value)))?;
        Ok(Some(position))
    }
}

/// A store, which is gone for its process after a crash.
#[derive(Debug)]
struct DiskStore {
    process: DiskProcess,
    name: String,
}

fn failed(context: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError { context, message: error.to_string() }
}

impl DiskStore {
    fn read<T>(&self, read: impl FnOnce(&Rows) -> T) -> T {
        let state = self.process.disk().lock();
        read(state.rows.get(&self.name).unwrap_or(&Rows::default()))
    }

    fn check_alive(&self) -> Result<(), StoreError> {
        if self.process.is_alive() {
            return Ok(());
        }
        Err(StoreError { context: "reading a row", message: "the process has ended".to_owned() })
    }

    /// Changes the rows in one step, or not at all.
    fn change(&self, context: &'static str, change: impl FnOnce(&mut Rows)) -> Result<(), StoreError> {
        let operation = Operation { kind: Kind::Apply, path: PathBuf::from(&self.name), at: 0, bytes: 0 };
        let done = self.process.perform(operation, |state, effect| {
            if effect.is_whole() {
                change(state.rows.entry(self.name.clone()).or_default());
            }
            Ok(())
        });
        done.map_err(failed(context))
    }
}

impl Rows {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.value {
                Some(value) => self.rows.insert(change.key.clone(), value.clone()),
                None => self.rows.remove(&change.key),
            };
        }
    }
}

impl StateStore for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check_alive()?;
        Ok(self.read(|kept| kept.rows.get(key).cloned()))
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.check_alive()?;
        let range = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(until);
        let clone = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
        let rows: Vec<(Bytes, Bytes)> = self.read(|kept| kept.rows.range(range).map(clone).collect());
        // Without the lock: who visits may have more to ask.
        for (key, value) in &rows {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        assert!(self.position().is_none_or(|before| before <= position), "a store never goes back");
        self.change("applying a step", |kept| {
            kept.apply(changes);
            kept.position = Some(position);
        })
    }

    /// Without a stamp, so that a load that is cut off stands for nothing.
    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        self.change("filling", |kept| kept.apply(rows))
    }

    fn position(&self) -> Option<u64> {
        self.read(|kept| kept.position)
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.change("emptying", |kept| *kept = Rows::default())
    }
}
