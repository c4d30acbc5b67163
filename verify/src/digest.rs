//! What stands for records that are too large to be kept: digests, which never leave the process, and packed bytes.

use std::hash::{DefaultHasher, Hash, Hasher};

use schemas::{AvroRecord, encode};

/// A record's bytes in a block of their own length: one that was grown for writing keeps what it had too much.
pub(crate) fn packed(record: &impl AvroRecord) -> Box<[u8]> {
    encode(record).as_slice().into()
}

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
