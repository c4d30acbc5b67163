//! Percentages, exact to a ten-thousandth of a percent.

use std::fmt;

use serde::{Deserialize, Serialize};

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

    /// The part of `minor` (at least 0) that this rate is, rounded half to even, once.
    #[must_use]
    pub fn of(self, minor: i64) -> i64 {
        debug_assert!(minor >= 0, "a rate is taken of an amount that is not negative");
        let product = i128::from(minor) * i128::from(self.0);
        let (quotient, remainder) = (product / PARTS_PER_WHOLE, product % PARTS_PER_WHOLE);
        let half = PARTS_PER_WHOLE / 2;
        let up = remainder > half || (remainder == half && quotient % 2 == 1);
        i64::try_from(quotient + i128::from(up)).expect("at most 100 % of an i64 fits an i64")
    }
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
        let half = Rate::parse("50").expect("valid");
        assert_eq!([1, 3, 5, 7].map(|minor| half.of(minor)), [0, 2, 2, 4]);
        let twelve = Rate::parse("12").expect("valid");
        assert_eq!(twelve.of(299_900), 35_988);
        assert_eq!(Rate::parse("100").expect("valid").of(i64::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn is_the_nearest_integer(minor in 0..i64::MAX, parts in 0..=1_000_000i32) {
            let (exact, rounded) = (i128::from(minor) * i128::from(parts), i128::from(Rate(parts).of(minor)));
            let error = (rounded * PARTS_PER_WHOLE - exact).abs();
            prop_assert!(error < PARTS_PER_WHOLE / 2 || (error == PARTS_PER_WHOLE / 2 && rounded % 2 == 0));
        }
    }
}
