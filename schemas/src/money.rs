//! Amounts: integer minor units of an ISO 4217 currency inside, decimal strings at the boundary.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits before the decimal point.
pub const INTEGER_DIGITS_MAX: usize = 15;

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
        let (fraction, minor_units) = (fraction.unwrap_or(""), self.minor_units());
        if fraction.len() > minor_units {
            return Err(AmountError::TooPrecise { currency: self.code(), minor_units });
        }
        let padded = format!("{whole}{fraction:0<minor_units$}");
        Ok(padded.parse().expect("at most 18 digits fit an i64"))
    }

    /// Writes minor units as a decimal string with all of the currency's decimals.
    #[must_use]
    pub fn format_amount(self, minor: i64) -> String {
        let minor_units = self.minor_units();
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", minor.unsigned_abs(), width = minor_units + 1);
        match digits.split_at(digits.len() - minor_units) {
            (whole, "") => format!("{sign}{whole}"),
            (whole, fraction) => format!("{sign}{whole}.{fraction}"),
        }
    }
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
