//! Which conversions have no claim for certain, told from memory.
//!
//! Most reports are of new orders, and to find in the rows that there is no claim takes microseconds; or as long as a sync, while
//! the engine makes a new version of its tables durable under the lock that every reader needs. So most orders never ask them.
//!
//! # Constraints
//!
//! 1. An id is added before its claim is put anywhere. So whoever finds it missing, and holds the lock of its row, is first.
//! 2. It tells nothing before it is whole: the rows of earlier processes are added by the feeder, some with each of its batches.
//! 3. Its size is fixed. With 10 million claims it is wrong of 4 new orders in a thousand, and with 50 million of a third: then
//!    the rows are asked, as they would be without it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use schemas::ids::ConversionId;

/// 16 MiB.
const BITS: u32 = 27;
/// How many bits an id has in it.
const PROBES: u32 = 4;

/// A Bloom filter of ids, which are digests and so need no further hashing.
#[derive(Debug)]
pub(super) struct Filter {
    words: Box<[AtomicU64]>,
    is_whole: AtomicBool,
}

impl Filter {
    pub(super) fn new() -> Filter {
        let words = std::iter::repeat_with(AtomicU64::default).take(1 << (BITS - 6)).collect();
        Filter { words, is_whole: AtomicBool::new(false) }
    }

    /// Adds an id. Whoever finds it has the claim behind it from elsewhere, so no order of memory hangs on this.
    pub(super) fn add(&self, id: ConversionId) {
        for (word, bit) in places(id) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether there may be a claim on this conversion.
    pub(super) fn may_have(&self, id: ConversionId) -> bool {
        !self.is_whole.load(Ordering::Acquire)
            || places(id).all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// All ids have been added that have a claim.
    pub(super) fn complete(&self) {
        self.is_whole.store(true, Ordering::Release);
    }
}

/// The words and bits of an id.
fn places(id: ConversionId) -> impl Iterator<Item = (usize, u64)> {
    let digest = u128::from_be_bytes(id.0);
    (0..PROBES).map(move |probe| {
        let place = usize::try_from((digest >> (probe * 32)) & ((1 << BITS) - 1)).expect("it has few bits");
        (place / 64, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ids::OrderKey;

    fn id(number: u32) -> ConversionId {
        let external_order_id = &number.to_string();
        OrderKey { merchant_id: "mer_one", livemode: true, external_order_id }.conversion_id()
    }

    #[test]
    fn what_was_added_is_never_missed_and_little_else_is_found() {
        const ADDED: u32 = 100_000;
        let filter = Filter::new();
        assert!(filter.may_have(id(0)), "it is not whole");
        (0..ADDED).for_each(|number| filter.add(id(number)));
        filter.complete();
        assert!((0..ADDED).all(|number| filter.may_have(id(number))));
        let found = (ADDED..2 * ADDED).filter(|number| filter.may_have(id(*number))).count();
        assert!(found < 10, "{found} of as many others");
    }
}
