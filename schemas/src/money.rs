//! Amounts: integer minor units of an ISO 4217 currency inside, decimal strings at the boundary.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits before the decimal point.
pub const INTEGER_DIGITS_MAX: usize = 15;
/// Decimals of a thousandth, which is the finest minor unit of all currencies.
pub const THOUSANDTH_DECIMALS: usize = 3;
/// The most thousandths that are read: all digits that an amount may have.
pub const THOUSANDTHS_MAX: i64 = 999_999_999_999_999_999;

/// A currency that orders are paid in: in use, and with 0, 2 or 3 minor units (ISO 4217).
///
/// Funds (`CLF`), metals (`XAU`), test codes (`XTS`) and withdrawn codes are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// Why a text is no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 code of a currency in use, in capitals, such as NPR")]
pub struct CurrencyError;

impl Currency {
    /// Finds a currency by its three capital letters.
    ///
    /// # Errors
    /// The code is unknown, not capitals, or no currency that is paid in.
    pub fn parse(code: &str) -> Result<Currency, CurrencyError> {
        let currency = iso_currency::Currency::from_code(code).ok_or(CurrencyError)?;
        match currency.exponent() {
            Some(0 | 2 | 3) if currency.flags().is_empty() => Ok(Currency(currency)),
            Some(_) | None => Err(CurrencyError),
        }
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the decimal point: 0, 2 or 3.
    #[must_use]
    pub fn minor_units(self) -> usize {
        usize::from(self.0.exponent().expect("parse takes only currencies with minor units"))
    }

    /// Reads a decimal string such as `"2999.00"` as minor units.
    ///
    /// # Errors
    /// The text is no plain decimal (a sign, an exponent, a separator, an empty side of the point), or has more
    /// digits than [`INTEGER_DIGITS_MAX`] before the point or [`Currency::minor_units`] after it.
    pub fn parse_amount(self, text: &str) -> Result<i64, AmountError> {
        let (whole, fraction) = decimal(text)?;
        let minor_units = self.minor_units();
        if fraction.len() > minor_units {
            return Err(AmountError::TooPrecise { currency: self.code(), minor_units });
        }
        let padded = format!("{whole}{fraction:0<minor_units$}");
        Ok(padded.parse().expect("at most 18 digits fit an i64"))
    }

    /// Writes minor units as a decimal string with all of the currency's decimals.
    #[must_use]
    pub fn format_amount(self, minor: i64) -> String {
        format_decimal(minor.into(), self.minor_units())
    }

    /// Writes a sum of minor units as [`Currency::format_amount`] writes an amount.
    #[must_use]
    pub fn format_sum(self, sum: Balance) -> String {
        format_decimal(sum.0, self.minor_units())
    }

    /// The most that [`Currency::parse_amount`] reads.
    #[must_use]
    pub fn amount_minor_max(self) -> i64 {
        10_i64.pow(digits(INTEGER_DIGITS_MAX + self.minor_units())) - 1
    }

    /// Minor units, of which there are at most [`Currency::amount_minor_max`], in thousandths of the currency's unit.
    #[must_use]
    pub fn thousandths(self, minor: i64) -> i64 {
        minor.saturating_mul(10_i64.pow(digits(THOUSANDTH_DECIMALS - self.minor_units())))
    }

    /// Writes thousandths of the unit as a decimal string with all of the currency's decimals, or with three if fewer
    /// do not say it all.
    #[must_use]
    pub fn format_thousandths(self, thousandths: i64) -> String {
        let per_minor = self.thousandths(1);
        if thousandths % per_minor == 0 {
            return self.format_amount(thousandths / per_minor);
        }
        format_decimal(thousandths.into(), THOUSANDTH_DECIMALS)
    }
}

/// Reads a decimal string as thousandths of the unit of a currency that is not known yet; none has more decimals.
///
/// # Errors
/// As of [`Currency::parse_amount`], with three decimals.
pub fn parse_thousandths(text: &str) -> Result<i64, AmountError> {
    let (whole, fraction) = decimal(text)?;
    if fraction.len() > THOUSANDTH_DECIMALS {
        return Err(AmountError::TooFine);
    }
    let padded = format!("{whole}{fraction:0<THOUSANDTH_DECIMALS$}");
    Ok(padded.parse().expect("at most 18 digits fit an i64"))
}

/// The digits before the point and those after it.
fn decimal(text: &str) -> Result<(&str, &str), AmountError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) {
        return Err(AmountError::NotDecimal);
    }
    if whole.len() > INTEGER_DIGITS_MAX {
        return Err(AmountError::TooLarge);
    }
    Ok((whole, fraction.unwrap_or("")))
}

fn format_decimal(number: i128, decimals: usize) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = decimals + 1);
    match digits.split_at(digits.len() - decimals) {
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// A number of digits as an exponent.
fn digits(number: usize) -> u32 {
    u32::try_from(number).expect("an amount has few digits")
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Currency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 code")
            }
            fn visit_str<E: serde::de::Error>(self, code: &str) -> Result<Currency, E> {
                Currency::parse(code).map_err(|error| E::custom(format_args!("currency {code:?} {error}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A sum of amounts in minor units. It cannot overflow: 2^63 amounts of 2^63 minor units fit 127 bits.
///
/// It is written as decimal digits, because no integer of Avro or JSON is as wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance(pub i128);

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let sum =
            digits.parse().map_err(|_| serde::de::Error::custom(format_args!("{digits:?} is no whole number")))?;
        Ok(Balance(sum))
    }
}

/// Why a text is no amount in its currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point between them.
    #[error("must be a decimal string of at least 0 without sign, exponent or separators, such as \"2999.00\"")]
    NotDecimal,
    /// More than [`INTEGER_DIGITS_MAX`] digits before the point.
    #[error("must have at most {INTEGER_DIGITS_MAX} digits before the decimal point")]
    TooLarge,
    /// More decimals than the currency has.
    #[error("must have at most {minor_units} decimals, as {currency} has")]
    TooPrecise {
        /// The currency's code.
        currency: &'static str,
        /// How many it has.
        minor_units: usize,
    },
    /// More decimals than any currency has.
    #[error("must have at most {THOUSANDTH_DECIMALS} decimals, for no currency has more")]
    TooFine,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect(code)
    }

    #[test]
    fn minor_units_are_those_of_iso_4217() {
        for (code, minor_units) in
            [("NPR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("INR", 2), ("EUR", 2)]
        {
            assert_eq!(currency(code).minor_units(), minor_units, "{code}");
        }
        for code in ["npr", "NP", "NPRX", "XXX", "XAU", "XTS", "CLF", "DEM", "ZZZ", ""] {
            assert_eq!(Currency::parse(code), Err(CurrencyError), "{code}");
        }
    }

    #[test]
    fn amounts_at_and_past_each_limit() {
        let ok = |code: &str, text: &str, minor: i64| {
            assert_eq!(currency(code).parse_amount(text), Ok(minor), "{code} {text}")
        };
        ok("NPR", "2999.00", 299_900);
        ok("NPR", "2999", 299_900);
        ok("NPR", "2999.5", 299_950);
        ok("NPR", "0", 0);
        ok("NPR", "0.01", 1);
        ok("NPR", "999999999999999.99", 99_999_999_999_999_999);
        ok("JPY", "100", 100);
        ok("KWD", "1.005", 1_005);
        ok("KWD", "999999999999999.999", 999_999_999_999_999_999);
        let refused = |code: &str, text: &str, error: AmountError| {
            assert_eq!(currency(code).parse_amount(text), Err(error), "{code} {text}")
        };
        refused("NPR", "1000000000000000", AmountError::TooLarge);
        refused("NPR", &"9".repeat(40), AmountError::TooLarge);
        refused("NPR", "1.001", AmountError::TooPrecise { currency: "NPR", minor_units: 2 });
        refused("JPY", "1.0", AmountError::TooPrecise { currency: "JPY", minor_units: 0 });
        refused("KWD", "1.0001", AmountError::TooPrecise { currency: "KWD", minor_units: 3 });
        for text in ["", ".", "1.", ".5", "1e3", "-1", "+5", "1,000.00", " 1", "1 ", "1.2.3", "0x10", "NaN", "١"] {
            refused("NPR", text, AmountError::NotDecimal);
        }
    }

    #[test]
    fn formats_all_decimals() {
        assert_eq!(currency("NPR").format_amount(35_988), "359.88");
        assert_eq!(currency("NPR").format_amount(5), "0.05");
        assert_eq!(currency("NPR").format_amount(-5), "-0.05");
        assert_eq!(currency("JPY").format_amount(5), "5");
        assert_eq!(currency("KWD").format_amount(5), "0.005");
        assert_eq!(currency("NPR").format_sum(Balance(-i128::from(u64::MAX))), "-184467440737095516.15");
    }

    #[test]
    fn thousandths_at_and_past_each_limit() {
        let check =
            |text: &str, expected: Result<i64, AmountError>| assert_eq!(parse_thousandths(text), expected, "{text}");
        check("0", Ok(0));
        check("12", Ok(12_000));
        check("12.5", Ok(12_500));
        check("0.001", Ok(1));
        check("999999999999999.999", Ok(999_999_999_999_999_999));
        check("1000000000000000", Err(AmountError::TooLarge));
        check("0.0001", Err(AmountError::TooFine));
        check("0.0000", Err(AmountError::TooFine));
        for text in ["", ".", "1.", ".5", "-1", "1e3", "1,000"] {
            check(text, Err(AmountError::NotDecimal));
        }
        let shown = |code: &str, thousandths: i64, text: &str| {
            assert_eq!(currency(code).format_thousandths(thousandths), text, "{code} {thousandths}")
        };
        shown("NPR", 12_340, "12.34");
        shown("NPR", 12_345, "12.345");
        shown("NPR", 1, "0.001");
        shown("JPY", 12_000, "12");
        shown("JPY", 500, "0.500");
        shown("KWD", 5, "0.005");
        for (code, text) in [("JPY", "9".repeat(15)), ("NPR", format!("{}.99", "9".repeat(15)))] {
            assert_eq!(currency(code).parse_amount(&text), Ok(currency(code).amount_minor_max()), "{code}");
            let most = currency(code).thousandths(currency(code).amount_minor_max());
            assert_eq!(parse_thousandths(&text), Ok(most), "{code}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_reads_back(minor in 0..=99_999_999_999_999_999i64, code in prop::sample::select(vec!["NPR", "JPY", "KWD"])) {
            let currency = currency(code);
            let minor = if code == "JPY" { minor % 1_000_000_000_000_000 } else { minor };
            prop_assert_eq!(currency.parse_amount(&currency.format_amount(minor)), Ok(minor));
        }
    }
}
