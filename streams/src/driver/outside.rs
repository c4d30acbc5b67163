//! What a driver needs around it, besides its log.

use crate::store::{StateStore, StoreError};

/// Gives the wall clock, in milliseconds since the epoch.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now_ms(&self) -> i64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Opens and rebuilds the stores of partitions.
pub trait Stores: Send {
    /// Opens a partition's store, however much it holds.
    ///
    /// # Errors
    /// The engine failed.
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError>;

    /// Fills an emptied store from the last snapshot of the partition, if there is one.
    ///
    /// # Errors
    /// The engine failed, or the snapshot is damaged.
    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError>;
}
