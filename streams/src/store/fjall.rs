//! The rows of a partition in a keyspace of `fjall`.
//!
//! Under the key `00` each keyspace has its stamp, which is in every batch with the changes that it stands for.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, Readable};

use super::folder::Health;
use super::{Change, StateStore, StoreError};

const STAMP_KEY: &[u8] = &[0];

/// One partition's rows. Clones share them, so that others may read while the owner applies.
#[derive(Clone)]
pub struct FjallStore {
    database: Database,
    keyspace: Keyspace,
    health: Arc<Health>,
    version: u32,
    position: Option<u64>,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").field("position", &self.position).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// The store in a keyspace. One that holds rows of another `version`, or rows without a stamp, is emptied.
    pub(super) fn open(
        database: Database,
        keyspace: Keyspace,
        health: Arc<Health>,
        name: &str,
        version: u32,
    ) -> Result<FjallStore, StoreError> {
        let mut store = FjallStore { database, keyspace, health, version, position: None };
        match store.get(STAMP_KEY)?.as_deref().map(parse_stamp) {
            Some(Some((found, position))) if found == version => store.position = Some(position),
            Some(stamp) => {
                tracing::warn!(store = name, ?stamp, version, "state has another format: it is emptied and restored");
                store.wipe()?;
            }
            // Not for nothing: after a crash, clearing is done again, and then all tables made since, row by row.
            None if store.is_empty()? => {}
            // Rows without a stamp are those of a load that was cut off.
            None => store.wipe()?,
        }
        Ok(store)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.keyspace.is_empty().map_err(|error| self.health.failed("reading a row", &error))
    }

    /// Writes rows without moving the stamp: for rows that the fold of the log would write too, only later.
    ///
    /// # Errors
    /// The database failed.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        self.add(&mut batch, changes);
        batch.commit().map_err(|error| self.health.failed("writing", &error))
    }

    /// The store as it is now, for reading at leisure while it is written; `None` if it is empty.
    ///
    /// # Errors
    /// The database failed.
    pub fn freeze(&self) -> Result<Option<FrozenStore>, StoreError> {
        let snapshot = self.database.snapshot();
        let stamp =
            snapshot.get(&self.keyspace, STAMP_KEY).map_err(|error| self.health.failed("reading a stamp", &error))?;
        let position = stamp.as_deref().and_then(parse_stamp).map(|(_, position)| position);
        let (keyspace, health) = (self.keyspace.clone(), Arc::clone(&self.health));
        Ok(position.map(|position| FrozenStore { snapshot, keyspace, health, position }))
    }

    fn add(&self, batch: &mut fjall::OwnedWriteBatch, changes: &[Change]) {
        for change in changes {
            debug_assert!(change.key.first().is_some_and(|table| *table != STAMP_KEY[0]), "a row is in a table");
            match &change.value {
                Some(value) => batch.insert(&self.keyspace, &change.key[..], &value[..]),
                None => batch.remove(&self.keyspace, &change.key[..]),
            }
        }
    }
}

/// A store as it was at one instant.
#[allow(missing_debug_implementations, reason = "the engine's snapshot has no Debug")]
pub struct FrozenStore {
    snapshot: fjall::Snapshot,
    keyspace: Keyspace,
    health: Arc<Health>,
    position: u64,
}

impl FrozenStore {
    /// The position that the rows stand for.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Hands every row, stamp excluded, to `visit`, in order of their keys.
    ///
    /// # Errors
    /// The database failed, or `visit` did.
    pub fn rows(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for row in self.snapshot.iter(&self.keyspace) {
            let (key, value) = row.into_inner().map_err(|error| self.health.failed("reading a snapshot", &error))?;
            if &*key != STAMP_KEY {
                visit(&key, &value)?;
            }
        }
        Ok(())
    }
}

impl StateStore for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace.get(key).map_err(|error| self.health.failed("reading a row", &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        for row in self.keyspace.range(from..until) {
            let (key, value) = row.into_inner().map_err(|error| self.health.failed("scanning", &error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        assert!(self.position.is_none_or(|before| before <= position), "a store never goes back");
        // The default batch reaches the system when it commits; one made with a capacity would stay in this process.
        let mut batch = self.database.batch();
        self.add(&mut batch, changes);
        batch.insert(&self.keyspace, STAMP_KEY, &stamp(self.version, position)[..]);
        batch.commit().map_err(|error| self.health.failed("applying a step", &error))?;
        self.position = Some(position);
        Ok(())
    }

    /// Without a stamp: a load that is cut off is found when the store is opened, and nobody takes a snapshot of half.
    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        self.write(rows)
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.keyspace.clear().map_err(|error| self.health.failed("emptying", &error))?;
        self.position = None;
        Ok(())
    }
}

fn stamp(version: u32, position: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&version.to_be_bytes());
    bytes[4..].copy_from_slice(&position.to_be_bytes());
    bytes
}

fn parse_stamp(bytes: &[u8]) -> Option<(u32, u64)> {
    let (version, position) = bytes.split_at_checked(4)?;
    Some((u32::from_be_bytes(version.try_into().ok()?), u64::from_be_bytes(position.try_into().ok()?)))
}
