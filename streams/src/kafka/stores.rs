//! Stores of partitions that come and go.
//!
//! # Constraints
//!
//! 1. A store is used again only with the changelog that it was made from.
//! 2. A store that was away for longer than tombstones are kept would keep rows that are deleted: it is not used again.
//! 3. Of the workers of a process, the one that a partition was assigned to last writes its store, and no other.
//!
//! # Format
//!
//! Beside the state folder, a file `NAME-PARTITION` for each store: a line that says which changelog, and the
//! milliseconds since the epoch at which the store was last known to be at its end, or to be filled from its beginning.
//! A file that is not there or makes no sense stands for a store that is not used again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::driver::{Clock, Stores};
use crate::snapshot::FolderStores;
use crate::store::{Change, StateStore, StoreError};

/// How often a store that is being written says that it is at its end.
const SEEN_EVERY_MS: i64 = 60 * 60 * 1_000;

/// The stores of one processor on Kafka. Clones are for the other workers of the process.
#[derive(Clone)]
pub struct KafkaStores {
    inner: FolderStores,
    stamps: PathBuf,
    name: String,
    changelog: String,
    unseen_ms_max: i64,
    clock: Arc<dyn Clock>,
    owners: Arc<Mutex<BTreeMap<u32, Arc<Mutex<u64>>>>>,
}

impl std::fmt::Debug for KafkaStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaStores").field("name", &self.name).field("changelog", &self.changelog).finish()
    }
}

impl KafkaStores {
    /// The stores of the processor `name`, made from `changelog`, a line that names cluster and topic. Stamps are in the
    /// folder `stamps`. A store that was not at the end of its changelog for `unseen_max` is emptied: at most half of the
    /// changelog's `delete.retention.ms`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(
        inner: FolderStores,
        stamps: &Path,
        name: &str,
        changelog: &str,
        unseen_max: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<KafkaStores, StoreError> {
        fs::create_dir_all(stamps).map_err(|error| failed("making the folder of stamps", &error))?;
        Ok(KafkaStores {
            inner,
            stamps: stamps.to_owned(),
            name: name.to_owned(),
            changelog: changelog.replace(['\n', '\r'], " "),
            unseen_ms_max: i64::try_from(unseen_max.as_millis()).unwrap_or(i64::MAX),
            clock,
            owners: Arc::default(),
        })
    }

    /// Makes the caller the one who writes a partition's store.
    fn own(&self, partition: u32) -> (Arc<Mutex<u64>>, u64) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = Arc::clone(owners.entry(partition).or_default());
        let mut number = owner.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        let mine = *number;
        drop(number);
        (owner, mine)
    }

    /// Why a store with this stamp is not used again.
    fn unusable(&self, stamp: &str, now_ms: i64) -> Option<String> {
        let Some((changelog, seen)) = stamp.trim_end().split_once('\n') else {
            return Some("it has no stamp".to_owned());
        };
        if changelog != self.changelog {
            return Some(format!("it was made from {changelog}, and this is {}", self.changelog));
        }
        let Ok(seen_ms) = seen.parse::<i64>() else { return Some("its stamp makes no sense".to_owned()) };
        let unseen_ms = now_ms.saturating_sub(seen_ms);
        (unseen_ms > self.unseen_ms_max).then(|| format!("it was away for {} hours", unseen_ms / 3_600_000))
    }
}

impl Stores for KafkaStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        let (owner, mine) = self.own(partition);
        let mut inner = self.inner.open(partition)?;
        let stamp = Stamp {
            path: self.stamps.join(format!("{}-{partition}", self.name)),
            changelog: self.changelog.clone(),
            clock: Arc::clone(&self.clock),
            seen_ms: None,
        };
        if inner.position().is_some() {
            let found = fs::read_to_string(&stamp.path).unwrap_or_default();
            if let Some(reason) = self.unusable(&found, self.clock.now_ms()) {
                tracing::warn!(processor = self.name, partition, reason, "state is emptied and restored");
                inner.wipe()?;
            }
        }
        let store = OwnedStore { inner, owner, mine, partition, stamp };
        if store.inner.position().is_none() {
            store.stamp.write()?;
        }
        Ok(Box::new(store))
    }

    fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
        // A compacted changelog loses no row: it has no need of a snapshot.
        Ok(())
    }
}

/// The store of a partition, as long as it is this worker's.
struct OwnedStore {
    inner: Box<dyn StateStore>,
    owner: Arc<Mutex<u64>>,
    mine: u64,
    partition: u32,
    stamp: Stamp,
}

/// The file that says what a store is worth.
struct Stamp {
    path: PathBuf,
    changelog: String,
    clock: Arc<dyn Clock>,
    /// When the store was last said to be at the end, since it was opened.
    seen_ms: Option<i64>,
}

impl Stamp {
    fn write(&self) -> Result<(), StoreError> {
        let text = format!("{}\n{}\n", self.changelog, self.clock.now_ms());
        // Over the old one in one go; after a crash of the system, what is torn counts for nothing.
        let fresh = self.path.with_extension("new");
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &self.path));
        written.map_err(|error| failed("writing a stamp", &error))
    }

    /// Takes note of a write. One without changes is the end of a restore; from then on the store is at its end.
    fn applied(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        let is_due = match self.seen_ms {
            None => changes.is_empty(),
            Some(seen_ms) => now_ms.saturating_sub(seen_ms) >= SEEN_EVERY_MS,
        };
        if is_due {
            self.write()?;
            self.seen_ms = Some(now_ms);
        }
        Ok(())
    }
}

impl OwnedStore {
    /// Does something to the store, if nobody else has it by now.
    fn write<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let owner = Arc::clone(&self.owner);
        let owner = owner.lock().unwrap_or_else(PoisonError::into_inner);
        if *owner != self.mine {
            let message = format!("another worker of this process has partition {} now", self.partition);
            return Err(StoreError { context: "writing", message });
        }
        work(self)
    }
}

impl StateStore for OwnedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.inner.scan(from, until, visit)
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.write(|store| {
            store.inner.apply(changes, position)?;
            store.stamp.applied(changes)
        })
    }

    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        self.write(|store| store.inner.fill(rows))
    }

    fn position(&self) -> Option<u64> {
        self.inner.position()
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.write(|store| {
            store.inner.wipe()?;
            store.stamp.seen_ms = None;
            store.stamp.write()
        })
    }
}

fn failed(context: &'static str, error: &std::io::Error) -> StoreError {
    StoreError { context, message: error.to_string() }
}
