//! What keeps two threads from being first with the same row.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
/// As many as the log's queue holds messages: no more callers can be waiting between their publish and their claim.
const UNANSWERED_MAX: usize = 65_536;

/// Locks on rows: a row has one of a fixed number of locks, by its key.
#[derive(Debug)]
pub(super) struct Locks([Mutex<()>; SHARDS]);

impl Locks {
    pub(super) fn new() -> Locks {
        Locks(std::array::from_fn(|_| Mutex::new(())))
    }

    /// Locks a row.
    pub(super) fn row(&self, key: &[u8]) -> MutexGuard<'_, ()> {
        self.shard(shard(key))
    }

    /// Locks many rows, always in one order, so that two who do this cannot wait for each other.
    pub(super) fn rows<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<MutexGuard<'_, ()>> {
        let shards: BTreeSet<usize> = keys.map(shard).collect();
        shards.into_iter().map(|shard| self.shard(shard)).collect()
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, ()> {
        // What a thread that panicked left half done was never written: a write is one batch.
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shard(key: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).expect("a shard's number is small")
}

/// Claims that the feeder made from the log before the edge that had just published came to make them itself.
///
/// In memory, because such an edge is in this process and dies with it. Bounded: what falls out costs a caller the
/// answer that its event is a duplicate, and no more.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    keys: HashSet<Vec<u8>>,
    /// All of `keys`, and some that were taken, oldest first.
    order: VecDeque<Vec<u8>>,
}

impl Unanswered {
    /// Adds the key of a claim.
    pub(super) fn add(&self, key: Vec<u8>) {
        let mut queue = self.lock();
        if queue.order.len() >= UNANSWERED_MAX
            && let Some(oldest) = queue.order.pop_front()
        {
            queue.keys.remove(&oldest);
        }
        queue.keys.insert(key.clone());
        queue.order.push_back(key);
    }

    /// Takes a claim's key out, if it is there: `true` for one caller only.
    pub(super) fn take(&self, key: &[u8]) -> bool {
        self.lock().keys.remove(key)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unanswered_are_bounded_and_taken_once() {
        let unanswered = Unanswered::default();
        for number in 0..=UNANSWERED_MAX {
            unanswered.add(number.to_be_bytes().to_vec());
        }
        assert!(!unanswered.take(&0_usize.to_be_bytes()), "the oldest fell out");
        assert!(unanswered.take(&1_usize.to_be_bytes()));
        assert!(!unanswered.take(&1_usize.to_be_bytes()));
        assert_eq!(unanswered.lock().order.len(), UNANSWERED_MAX);
    }
}
