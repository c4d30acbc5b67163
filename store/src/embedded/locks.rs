//! What keeps two threads from being first with the same row.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
/// As many as a log's queue holds messages: no more callers can be waiting between their publish and their claim.
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

/// Claims that the feeder made from the log before the edge that had just published came to make them itself, each with
/// its event: nobody but the caller with that event may take it.
///
/// In memory, because such an edge is in this process and dies with it. Nobody comes here for what another process
/// published: those stay until newer ones push them out. Bounded: what falls out costs a caller the answer that its
/// event is a duplicate, and no more.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    events: HashMap<Vec<u8>, String>,
    /// All keys of `events`, and some that were taken, oldest first.
    order: VecDeque<Vec<u8>>,
}

impl Unanswered {
    /// Adds the key of a claim and its event.
    pub(super) fn add(&self, key: Vec<u8>, event_id: String) {
        let mut queue = self.lock();
        if queue.order.len() >= UNANSWERED_MAX
            && let Some(oldest) = queue.order.pop_front()
        {
            queue.events.remove(&oldest);
        }
        queue.events.insert(key.clone(), event_id);
        queue.order.push_back(key);
    }

    /// Takes a claim's key out, if it is there with this event: `true` for one caller only.
    pub(super) fn take(&self, key: &[u8], event_id: &str) -> bool {
        let mut queue = self.lock();
        let mine = queue.events.get(key).is_some_and(|event| event == event_id);
        if mine {
            queue.events.remove(key);
        }
        mine
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
            unanswered.add(number.to_be_bytes().to_vec(), "event".to_owned());
        }
        assert!(!unanswered.take(&0_usize.to_be_bytes(), "event"), "the oldest fell out");
        assert!(!unanswered.take(&1_usize.to_be_bytes(), "other"), "another's");
        assert!(unanswered.take(&1_usize.to_be_bytes(), "event"));
        assert!(!unanswered.take(&1_usize.to_be_bytes(), "event"));
        let queue = unanswered.lock();
        assert_eq!((queue.order.len(), queue.events.len()), (UNANSWERED_MAX, UNANSWERED_MAX - 1));
    }
}
