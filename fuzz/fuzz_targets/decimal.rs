//! Amounts and rates: exactly the plain decimals are taken, each for what it says, and what is written reads back.
//!
//! The first byte chooses the currency, the rest is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::money::{INTEGER_DIGITS_MAX, THOUSANDTH_DECIMALS, THOUSANDTHS_MAX, parse_thousandths};
use schemas::{AmountError, Currency, Rate};

const CURRENCIES: [(&str, usize); 4] = [("NPR", 2), ("JPY", 0), ("KWD", 3), ("USD", 2)];
const RATE_DECIMALS: usize = 4;
/// The most that a rate may be, in ten-thousandths of a percent.
const RATE_MAX: i128 = 1_000_000;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (code, decimals) = CURRENCIES[usize::from(first.wrapping_sub(b'0')) % CURRENCIES.len()];
    let plain = Plain::read(text.as_bytes());
    amount(text, plain.as_ref(), Currency::parse(code).expect("a currency in use"), decimals);
    thousandths(text, plain.as_ref());
    rate(text, plain.as_ref());
    currency(text);
});

/// A plain decimal, read by an automaton over its bytes and with more room than any number here has: not as the parser is
/// written.
struct Plain {
    whole: usize,
    fraction: usize,
    digits: Vec<u8>,
}

impl Plain {
    fn read(text: &[u8]) -> Option<Plain> {
        let mut plain = Plain { whole: 0, fraction: 0, digits: Vec::new() };
        let mut point = false;
        for byte in text {
            match byte {
                b'0'..=b'9' => {
                    plain.digits.push(byte - b'0');
                    *(if point { &mut plain.fraction } else { &mut plain.whole }) += 1;
                }
                b'.' if !point && plain.whole > 0 => point = true,
                _ => return None,
            }
        }
        (plain.whole > 0 && (!point || plain.fraction > 0)).then_some(plain)
    }

    /// What it says in units of so many decimals, of which it has no more.
    fn units(&self, decimals: usize) -> i128 {
        let missing = std::iter::repeat_n(&0, decimals - self.fraction);
        self.digits.iter().chain(missing).fold(0, |sum, digit| sum * 10 + i128::from(*digit))
    }
}

fn amount(text: &str, plain: Option<&Plain>, currency: Currency, decimals: usize) {
    assert_eq!(currency.minor_units(), decimals);
    let read = currency.parse_amount(text);
    let expected = match plain {
        None => Err(AmountError::NotDecimal),
        Some(plain) if plain.whole > INTEGER_DIGITS_MAX => Err(AmountError::TooLarge),
        Some(plain) if plain.fraction > decimals => {
            Err(AmountError::TooPrecise { currency: currency.code(), minor_units: decimals })
        }
        Some(plain) => Ok(plain.units(decimals)),
    };
    assert_eq!(read.clone().map(i128::from), expected);
    let Ok(minor) = read else { return };
    assert!((0..=currency.amount_minor_max()).contains(&minor));
    let written = currency.format_amount(minor);
    assert_eq!(currency.parse_amount(&written), Ok(minor), "{written}");
    assert_eq!(written.split_once('.').map_or(0, |(_, fraction)| fraction.len()), decimals, "{written}");
    assert_eq!(parse_thousandths(text), Ok(currency.thousandths(minor)));
    assert_eq!(currency.format_thousandths(currency.thousandths(minor)), written);
}

fn thousandths(text: &str, plain: Option<&Plain>) {
    let read = parse_thousandths(text);
    let expected = match plain {
        None => Err(AmountError::NotDecimal),
        Some(plain) if plain.whole > INTEGER_DIGITS_MAX => Err(AmountError::TooLarge),
        Some(plain) if plain.fraction > THOUSANDTH_DECIMALS => Err(AmountError::TooFine),
        Some(plain) => Ok(plain.units(THOUSANDTH_DECIMALS)),
    };
    assert_eq!(read.clone().map(i128::from), expected);
    let Ok(thousandths) = read else { return };
    assert!((0..=THOUSANDTHS_MAX).contains(&thousandths));
    for (code, _) in CURRENCIES {
        let written = Currency::parse(code).expect("a currency in use").format_thousandths(thousandths);
        assert_eq!(parse_thousandths(&written), Ok(thousandths), "{code} {written}");
    }
}

fn rate(text: &str, plain: Option<&Plain>) {
    let fits = |plain: &&Plain| plain.whole <= 3 && plain.fraction <= RATE_DECIMALS;
    let expected = plain.filter(fits).map(|plain| plain.units(RATE_DECIMALS)).filter(|parts| *parts <= RATE_MAX);
    let read = Rate::parse(text).ok();
    assert_eq!(read.is_some(), expected.is_some());
    let (Some(rate), Some(parts)) = (read, expected) else { return };
    assert_eq!(Rate::parse(&rate.to_string()), Ok(rate));
    // Of a million minor units it is one for each of its ten-thousandths of a percent.
    let dinar = Currency::parse("KWD").expect("a currency in use");
    assert_eq!(i128::from(rate.of(1_000_000, dinar)), parts);
}

fn currency(text: &str) {
    let Ok(currency) = Currency::parse(text) else { return };
    assert_eq!(currency.code(), text);
    assert!(text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()));
    assert!(matches!(currency.minor_units(), 0 | 2 | 3));
}
