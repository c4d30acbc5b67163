//! Claims on conversions that the edge has made and the feeder has not come to, in memory.
//!
//! # Constraints
//!
//! 1. A claim is here or in its row, or in both for as long as a batch is being written: whoever looks here first, and then
//!    at the row, sees every claim that was made.
//! 2. A claim is put here under the lock of its row, and only if it has no row. It goes when the feeder has written the row:
//!    of the record that it is for, or of one that comes before that in the log.
//! 3. What is lost with the process is in the log, and the feeder of the next makes the rows before an edge answers anybody.
//! 4. Bounded: past [`CLAIMS_MAX`] the edge writes rows itself.
//!
//! So a claim costs the edge no write, and the feeder writes the rows of hundreds at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::ids::ConversionId;

use crate::claims::ConversionClaim;

const SHARDS: usize = 64;
/// As many as a log's queue holds messages: seconds of claims, and a dozen megabytes.
const CLAIMS_MAX: usize = 65_536;

/// The claims, by their conversions.
#[derive(Debug)]
pub(super) struct Ahead {
    shards: [Mutex<HashMap<ConversionId, ConversionClaim>>; SHARDS],
    claims: AtomicUsize,
}

impl Ahead {
    pub(super) fn new() -> Ahead {
        Ahead { shards: std::array::from_fn(|_| Mutex::default()), claims: AtomicUsize::new(0) }
    }

    /// The claim on a conversion, if it is here.
    pub(super) fn get(&self, id: ConversionId) -> Option<ConversionClaim> {
        self.shard(id).get(&id).cloned()
    }

    /// Whether the claim on a conversion is here and is for the record at this place.
    pub(super) fn is_at(&self, id: ConversionId, partition: u32, offset: u64) -> bool {
        self.shard(id).get(&id).is_some_and(|claim| (claim.partition, claim.offset) == (partition, offset))
    }

    /// Puts a claim here, unless that would be too many: `false` then. To be called under the lock of its row, and only if
    /// there is neither that nor a claim here.
    pub(super) fn put(&self, id: ConversionId, claim: &ConversionClaim) -> bool {
        if self.claims.load(Ordering::Relaxed) >= CLAIMS_MAX {
            return false;
        }
        let before = self.shard(id).insert(id, claim.clone());
        debug_assert!(before.is_none(), "a claim is made once");
        self.claims.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Forgets the claim on a conversion, whose row is written.
    pub(super) fn forget(&self, id: ConversionId) {
        if self.shard(id).remove(&id).is_some() {
            self.claims.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, id: ConversionId) -> MutexGuard<'_, HashMap<ConversionId, ConversionClaim>> {
        // An id is a digest, so any byte of it tells the shards apart. A map is whole after any panic.
        self.shards[usize::from(id.0[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Fingerprint;

    #[test]
    fn claims_are_bounded_and_make_room() {
        let ahead = Ahead::new();
        let id = |number: usize| {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&(number as u64).to_be_bytes());
            id[0] = id[15];
            ConversionId(id)
        };
        let fingerprint = Fingerprint { whole: 1, fields: [0; 8] };
        let claim = ConversionClaim { event_id: "e".to_owned(), fingerprint, partition: 2, offset: 3 };
        for number in 0..CLAIMS_MAX {
            assert!(ahead.put(id(number), &claim), "{number}");
        }
        assert!(!ahead.put(id(CLAIMS_MAX), &claim), "one more");
        assert_eq!((ahead.get(id(7)), ahead.get(id(CLAIMS_MAX))), (Some(claim.clone()), None));
        assert_eq!(
            [(2, 3), (2, 4), (1, 3)].map(|(partition, offset)| ahead.is_at(id(7), partition, offset)),
            [true, false, false]
        );
        ahead.forget(id(7));
        ahead.forget(id(7));
        assert_eq!((ahead.get(id(7)), ahead.is_at(id(7), 2, 3)), (None, false));
        assert!(ahead.put(id(CLAIMS_MAX), &claim) && !ahead.put(id(7), &claim));
    }
}
