//! The stores of one processor: in a state folder, with snapshots beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Snapshot;
use crate::driver::Stores;
use crate::retention::Keeper;
use crate::store::{FjallStore, StateFolder, StateStore, StoreError};

/// [`Stores`] in a [`StateFolder`], with snapshots beside it. Partition `n` of `NAME` is the store `NAME-n`.
///
/// Clones share what is open, so that one may write snapshots while the driver works.
#[derive(Clone, Debug)]
pub struct FolderStores {
    folder: StateFolder,
    snapshots: PathBuf,
    name: String,
    version: u32,
    open: Arc<Mutex<BTreeMap<u32, FjallStore>>>,
}

impl FolderStores {
    /// The stores of one processor.
    #[must_use]
    pub fn new(folder: StateFolder, snapshots: &Path, name: &str, version: u32) -> FolderStores {
        FolderStores { folder, snapshots: snapshots.to_owned(), name: name.to_owned(), version, open: Arc::default() }
    }

    /// A partition's snapshot, there or not.
    #[must_use]
    pub fn snapshot(&self, partition: u32) -> Snapshot {
        Snapshot::new(&self.snapshots, &format!("{}-{partition}", self.name), self.version)
    }

    /// A partition's store.
    ///
    /// # Errors
    /// The engine failed.
    pub fn store(&self, partition: u32) -> Result<FjallStore, StoreError> {
        self.folder.store(&format!("{}-{partition}", self.name), self.version)
    }

    fn opened(&self) -> BTreeMap<u32, FjallStore> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Stores for FolderStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        let store = self.store(partition)?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, store.clone());
        Ok(Box::new(store))
    }

    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError> {
        self.snapshot(partition).load(store)
    }
}

impl Keeper for FolderStores {
    fn consumer(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn kept(&self) -> Result<Option<u64>, StoreError> {
        let positions: Result<Vec<Option<u64>>, StoreError> =
            self.opened().keys().map(|partition| self.snapshot(*partition).position()).collect();
        Ok(positions?.into_iter().min().flatten())
    }

    fn keep(&self) -> Result<Option<u64>, StoreError> {
        let written: Result<Vec<Option<u64>>, StoreError> =
            self.opened().iter().map(|(partition, store)| self.snapshot(*partition).write(store)).collect();
        Ok(written?.into_iter().min().flatten())
    }
}
