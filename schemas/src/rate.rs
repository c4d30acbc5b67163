//! Percentages, exact to a ten-thousandth of a percent.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Currency;

/// A percentage between 0 and 100 in steps of 0.0001 %, held as parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(i32);

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal percentage from 0 to 100 with at most 4 decimals, such as \"12\" or \"7.25\"")]
pub struct RateError;

const PARTS_PER_WHOLE: i128 = 1_000_000;
const DECIMALS_MAX: usize = 4;

impl Rate {
    /// Parses `"12"`, `"7.25"`.
    ///
    /// # Errors
    /// Another form, more than 4 decimals, or over 100.
    pub fn parse(text: &str) -> Result<Rate, RateError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 3 || fraction.len() > DECIMALS_MAX {
            return Err(RateError);
        }
        let parts: i32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| RateError)?;
        if i128::from(parts) > PARTS_PER_WHOLE { Err(RateError) } else { Ok(Rate(parts)) }
    }

    /// The part of `thousandths` of a currency's unit (at least 0) that this rate is, in minor units, rounded half to
    /// even, once.
    #[must_use]
    pub fn of(self, thousandths: i64, currency: Currency) -> i64 {
        let (numerator, denominator) = self.fraction(thousandths, currency);
        half_to_even(numerator, denominator)
    }

    /// The same before it is rounded: a numerator and a denominator.
    #[must_use]
    pub fn fraction(self, thousandths: i64, currency: Currency) -> (i128, i128) {
        let per_minor = i128::from(currency.thousandths(1));
        (i128::from(thousandths) * i128::from(self.0), PARTS_PER_WHOLE * per_minor)
    }

    /// How the part of `amount` that this rate is compares with `other`, exactly.
    #[must_use]
    pub fn compare(self, amount: i64, other: i64) -> Ordering {
        (i128::from(amount) * i128::from(self.0)).cmp(&(i128::from(other) * PARTS_PER_WHOLE))
    }
}

/// A fraction of which neither part is negative, to the nearest whole number, of two the even one.
///
/// # Panics
/// The fraction is more than an `i64` holds.
#[must_use]
pub fn half_to_even(numerator: i128, denominator: i128) -> i64 {
    debug_assert!(numerator >= 0 && denominator > 0, "no part of a fraction is negative");
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    // Not twice the remainder, which might overflow.
    let rest = denominator - remainder;
    let up = remainder > rest || (remainder == rest && quotient % 2 == 1);
    i64::try_from(quotient + i128::from(up)).expect("a part of an amount fits an i64")
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{fraction:04}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_and_prints() {
        for (text, printed) in
            [("12", "12"), ("7.25", "7.25"), ("0", "0"), ("100", "100"), ("0.0001", "0.0001"), ("12.50", "12.5")]
        {
            assert_eq!(Rate::parse(text).expect(text).to_string(), printed);
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "100.0001", "101", "1e1", "1.00000", "1,5", "12%", "٣"] {
            assert_eq!(Rate::parse(text), Err(RateError), "{text}");
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let rate = |text: &str| Rate::parse(text).expect("valid");
        let currency = |code: &str| Currency::parse(code).expect(code);
        assert_eq!([1, 3, 5, 7].map(|minor| rate("50").of(minor, currency("KWD"))), [0, 2, 2, 4]);
        assert_eq!(rate("12").of(2_999_000, currency("NPR")), 35_988);
        assert_eq!(rate("12").of(2_999_000, currency("JPY")), 360);
        assert_eq!(rate("100").of(i64::MAX, currency("KWD")), i64::MAX);
        // 2.5 and 3.5 minor units, of amounts that are no whole number of them.
        assert_eq!([25, 35].map(|thousandths| rate("100").of(thousandths, currency("NPR"))), [2, 4]);
    }

    #[test]
    fn comparing_rounds_nothing() {
        let rate = Rate::parse("33.3333").expect("valid");
        let compare = |amount, other| rate.compare(amount, other);
        assert_eq!(compare(3, 1), Ordering::Less);
        assert_eq!(compare(4, 1), Ordering::Greater);
        assert_eq!(compare(1_000_000, 333_333), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn is_the_nearest_integer(minor in 0..i64::MAX, parts in 0..=1_000_000i32) {
            let currency = Currency::parse("KWD").expect("a currency whose minor unit is a thousandth");
            let (exact, rounded) = (i128::from(minor) * i128::from(parts), i128::from(Rate(parts).of(minor, currency)));
            let error = (rounded * PARTS_PER_WHOLE - exact).abs();
            prop_assert!(error < PARTS_PER_WHOLE / 2 || (error == PARTS_PER_WHOLE / 2 && rounded % 2 == 0));
        }
    }
}
