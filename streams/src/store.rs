//! The state of one partition: a cache of the log, stamped with the position applied to it.

use bytes::Bytes;

mod fjall;
mod folder;
mod memory;

pub use self::fjall::{FjallStore, FrozenStore};
pub use self::folder::StateFolder;
pub use self::memory::MemoryStore;

/// One change of a state row. Rows are opaque bytes; their keys begin with the byte of their table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row's key, table byte first.
    pub key: Bytes,
    /// The row's new value; `None` deletes it.
    pub value: Option<Bytes>,
}

/// Why a store could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("state store, {context}: {message}")]
pub struct StoreError {
    /// What was being done.
    pub context: &'static str,
    /// What the engine said.
    pub message: String,
}

/// The rows of one partition of one processor.
pub trait StateStore: Send {
    /// The value of a row.
    ///
    /// # Errors
    /// The engine failed.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Calls `visit` for the rows from `from` (inclusive) to `until` (exclusive), in order of their keys, until it says stop.
    ///
    /// # Errors
    /// The engine failed.
    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError>;

    /// Applies the changes and the stamp in one atomic batch.
    ///
    /// # Errors
    /// The engine failed; nothing of the batch is there.
    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError>;

    /// Adds rows of a snapshot to an empty store; until [`StateStore::apply`] stamps them, they stand for nothing.
    ///
    /// The default stamps them as of position 0, for stores that do not outlive a load that is cut off.
    ///
    /// # Errors
    /// The engine failed; some of the rows may be there.
    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        self.apply(rows, 0)
    }

    /// The log position up to which this store holds the fold of all changes; `None` for an empty one.
    fn position(&self) -> Option<u64>;

    /// Empties the store, stamp and all.
    ///
    /// # Errors
    /// The engine failed.
    fn wipe(&mut self) -> Result<(), StoreError>;
}
