//! Dice that fall the same way for the same seed, on every machine and in every build.

use std::time::Duration;

/// A source of choices (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The choices of one concern: those of another do not change when more or fewer are made here.
    pub(crate) fn new(seed: u64, concern: &str) -> Random {
        // FNV-1a, so that the concerns of one seed have nothing in common.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random(concern.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), hash))
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of a list of this length, at least 1.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a usize")
    }

    /// A number from `min` to `max`, both included.
    pub(crate) fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max - min + 1)
    }

    /// Whether something happens that happens so many times in 10,000.
    pub(crate) fn happens(&mut self, in_10_000: u32) -> bool {
        in_10_000 > 0 && self.below(10_000) < u64::from(in_10_000)
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A time between two, in steps of a microsecond.
    pub(crate) fn time(&mut self, min: Duration, max: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        Duration::from_micros(self.between(micros(min), micros(max)))
    }

    /// A time up to a bound that is as likely to be of one order of magnitude as of another: most are short, few are long.
    pub(crate) fn short(&mut self, max: Duration) -> Duration {
        let shift = self.below(12);
        self.time(Duration::ZERO, max / (1 << shift))
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn choices_never_change() {
        // A seed that was found has to stay the one that finds it.
        let mut random = Random::new(7, "faults");
        assert_eq!([random.next(), random.next()], [3_896_484_228_847_255_127, 16_415_464_593_918_761_459]);
        assert_ne!(random.next(), Random::new(7, "schedule").next());
    }
}
