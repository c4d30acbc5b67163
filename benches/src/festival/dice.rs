//! Dice that follow from a seed and a number, so that whatever is thrown can be thrown again.

/// A sequence of numbers by SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of `number` in what `purpose` names.
    pub(super) fn of(seed: u64, purpose: u64, number: u64) -> Dice {
        let mut dice = Dice(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mixed = dice.next() ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
        Dice(mixed)
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).expect("below a u64")
    }

    /// A number of a range with both ends.
    pub(super) fn within(&mut self, [least, most]: [u64; 2]) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// Whether one of so many in a thousand.
    pub(super) fn per_mille(&mut self, share: u32) -> bool {
        self.below(1_000) < u64::from(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_and_evenly() {
        let throw = |number| Dice::of(7, 1, number).next();
        assert_eq!(throw(5), throw(5));
        assert_ne!(throw(5), throw(6));
        assert_ne!(Dice::of(7, 1, 5).next(), Dice::of(7, 2, 5).next());
        let mut dice = Dice::of(1, 1, 1);
        let hits = (0..10_000).filter(|_| dice.per_mille(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.within([3, 5]))));
        assert_eq!(dice.within([4, 4]), 4);
    }
}
