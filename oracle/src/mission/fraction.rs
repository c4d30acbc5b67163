//! Exact fractions, so that nothing is rounded before the end.

/// A fraction in lowest terms that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    pub(super) const ONE: Fraction = Fraction { numerator: 1, denominator: 1 };

    pub(super) fn new(numerator: i128, denominator: i128) -> Fraction {
        let common = common_divisor(numerator, denominator);
        Fraction { numerator: numerator / common, denominator: denominator / common }
    }

    pub(super) fn whole(number: i64) -> Fraction {
        Fraction::new(number.into(), 1)
    }

    pub(super) fn is_whole(self) -> bool {
        self.denominator == 1
    }

    pub(super) fn is_below(self, other: Fraction) -> bool {
        self.numerator * other.denominator < other.numerator * self.denominator
    }

    pub(super) fn times(self, other: Fraction) -> Fraction {
        // Across first, or the products of two large fractions would not fit.
        let left = Fraction::new(self.numerator, other.denominator);
        let right = Fraction::new(other.numerator, self.denominator);
        Fraction { numerator: left.numerator * right.numerator, denominator: left.denominator * right.denominator }
    }

    /// The nearest whole number, of two the even one.
    pub(super) fn rounded(self) -> i128 {
        let below = self.numerator / self.denominator;
        let candidates = [below, below + 1];
        let distance = |it: &i128| (it * self.denominator - self.numerator).abs();
        candidates.into_iter().min_by_key(|it| (distance(it), it % 2)).expect("there are two")
    }
}

/// Euclid's; 1 of two zeros.
fn common_divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::Fraction;

    #[test]
    fn thirds_are_exact() {
        let third = Fraction::new(2, 6);
        assert_eq!(third, Fraction::new(1, 3));
        assert_eq!(third.times(Fraction::whole(3)), Fraction::ONE);
        assert!(third.is_below(Fraction::ONE) && !Fraction::ONE.is_below(Fraction::ONE));
        let rounded = |numerator, denominator| Fraction::new(numerator, denominator).rounded();
        assert_eq!([rounded(1, 2), rounded(3, 2), rounded(5, 2), rounded(7, 5), rounded(8, 5)], [0, 2, 2, 1, 2]);
        assert_eq!(Fraction::new(0, 7).times(Fraction::whole(5)).rounded(), 0);
    }
}
