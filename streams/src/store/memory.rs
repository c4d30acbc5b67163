//! The rows of a partition in memory, for tests and for state that need not outlive the process.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Change, StateStore, StoreError};

/// A [`StateStore`] in a `BTreeMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    rows: BTreeMap<Bytes, Bytes>,
    position: Option<u64>,
}

impl MemoryStore {
    /// All rows, in order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.rows.iter()
    }
}

impl StateStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        for (key, value) in self.rows.range(Bytes::copy_from_slice(from)..Bytes::copy_from_slice(until)) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        for change in changes {
            match &change.value {
                Some(value) => self.rows.insert(change.key.clone(), value.clone()),
                None => self.rows.remove(&change.key),
            };
        }
        self.position = Some(position);
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        *self = MemoryStore::default();
        Ok(())
    }
}
