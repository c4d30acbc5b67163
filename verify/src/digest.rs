//! Digests that stand for what is too large to be kept. They never leave the process.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Of what is compared with one other value: an accident is one in 2^64.
pub(crate) fn short(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Of what is told apart from all others by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(u64, u64);

impl Digest {
    pub(crate) fn of(value: &str) -> Digest {
        Digest(short(value), short(&(0xFF_u8, value)))
    }
}
