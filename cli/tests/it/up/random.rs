//! Seeded random numbers (splitmix64), so that a failed run can be done again.

/// A generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose numbers follow from the seed and the stream's number.
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random(seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// A number below `end`, which is more than 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Whether something that happens `part` times in a hundred happens now.
    pub(crate) fn percent(&mut self, part: u64) -> bool {
        self.below(100) < part
    }

    /// An index of a list that is so long.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}
