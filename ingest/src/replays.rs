//! Signatures that were taken, of keys that want each to be taken once only.
//!
//! They are this process's alone: another edge takes a signature that this one took.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::Timestamp;

use crate::config::CLOCK_TOLERANCE;

/// The second after which a signature is too old to be taken anyway, and the signature.
type Entry = (i64, [u8; 32]);

/// The signatures that are remembered.
#[derive(Debug)]
pub(crate) struct Replays {
    max: usize,
    /// How many of them one key may have, so that one alone does not keep the others out.
    share: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    of_key: HashMap<String, BTreeSet<Entry>>,
    count: usize,
}

/// Why a signature is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It was before.
    Seen,
    /// There is no room to remember it.
    Full,
}

/// A signature that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    replays: Arc<Replays>,
    key_id: String,
    entry: Entry,
}

impl Taken {
    /// Its request failed, and used nothing up.
    pub(crate) fn give_back(self) {
        let mut seen = self.replays.seen();
        if seen.of_key.get_mut(&self.key_id).is_some_and(|entries| entries.remove(&self.entry)) {
            seen.count -= 1;
        }
    }
}

impl Replays {
    /// Remembers so many, of which one key may have so many percent.
    pub(crate) fn new(max: usize, share_percent: usize) -> Arc<Replays> {
        Arc::new(Replays { max, share: (max * share_percent).div_ceil(100), seen: Mutex::default() })
    }

    /// Takes a signature that was made at `signed_at_s`, if nobody took it before.
    pub(crate) fn take(
        self: &Arc<Self>,
        key_id: &str,
        signature: [u8; 32],
        signed_at_s: i64,
        now: Timestamp,
    ) -> Result<Taken, NotTaken> {
        let entry = (signed_at_s + CLOCK_TOLERANCE.as_secs().cast_signed(), signature);
        let mut seen = self.seen();
        seen.forget_old(key_id, now);
        if seen.of_key.get(key_id).is_some_and(|entries| entries.contains(&entry)) {
            return Err(NotTaken::Seen);
        }
        if seen.count >= self.max {
            seen.forget_all_old(now);
        }
        let of_key = seen.of_key.get(key_id).map_or(0, BTreeSet::len);
        if seen.count >= self.max || of_key >= self.share {
            return Err(NotTaken::Full);
        }
        seen.of_key.entry(key_id.to_owned()).or_default().insert(entry);
        seen.count += 1;
        Ok(Taken { replays: Arc::clone(self), key_id: key_id.to_owned(), entry })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn forget_old(&mut self, key_id: &str, now: Timestamp) {
        if let Some(entries) = self.of_key.get_mut(key_id) {
            self.count -= remove_old(entries, now);
        }
    }

    fn forget_all_old(&mut self, now: Timestamp) {
        let count = &mut self.count;
        self.of_key.retain(|_, entries| {
            *count -= remove_old(entries, now);
            !entries.is_empty()
        });
    }
}

/// Removes what is too old to be taken; returns how many.
fn remove_old(entries: &mut BTreeSet<Entry>, now: Timestamp) -> usize {
    let mut removed = 0;
    while entries.first().is_some_and(|(until, _)| *until < now.seconds()) {
        entries.pop_first();
        removed += 1;
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_while_it_could_be_taken() {
        let (replays, now) = (Replays::new(10, 100), |seconds: i64| Timestamp(1_000 * seconds));
        let take = |key: &str, byte: u8, at: i64, now| replays.take(key, [byte; 32], at, now).map(|_| ());
        assert_eq!(take("a", 1, 1_000, now(1_000)), Ok(()));
        assert_eq!(take("a", 1, 1_000, now(1_300)), Err(NotTaken::Seen));
        assert_eq!(take("a", 2, 1_000, now(1_300)), Ok(()));
        assert_eq!(take("b", 1, 1_000, now(1_300)), Ok(()), "another key's");
        replays.take("a", [3; 32], 1_000, now(1_000)).expect("new").give_back();
        assert_eq!(take("a", 3, 1_000, now(1_000)), Ok(()));
        assert_eq!(replays.seen().count, 4);
        // Past the window it would be refused for its age, and is forgotten.
        assert_eq!(take("a", 4, 1_301, now(1_301)), Ok(()));
        assert_eq!(replays.seen().count, 2, "one of each key");
    }

    #[test]
    fn memory_is_bounded_and_one_key_has_not_all_of_it() {
        let (replays, now) = (Replays::new(4, 50), Timestamp(1_000_000));
        let take = |key: &str, byte: u8, at: i64, now| replays.take(key, [byte; 32], at, now).map(|_| ());
        assert_eq!((take("a", 1, 1_000, now), take("a", 2, 1_000, now)), (Ok(()), Ok(())));
        assert_eq!(take("a", 3, 1_000, now), Err(NotTaken::Full));
        assert_eq!((take("b", 1, 1_000, now), take("c", 1, 1_000, now)), (Ok(()), Ok(())));
        assert_eq!(take("d", 1, 1_000, now), Err(NotTaken::Full));
        let later = Timestamp(1_301_000);
        assert_eq!(take("d", 1, 1_301, later), Ok(()), "those of the others are too old by now");
        let seen = replays.seen();
        assert_eq!((seen.count, seen.of_key.len()), (1, 1));
    }
}
