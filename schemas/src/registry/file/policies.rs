//! The `[policies]` section, and durations.

use std::time::Duration;

use super::fields::Fields;
use crate::registry::{CutOff, PayoutMinimums, PayoutPolicy, Policies};

/// The least and the most that a duration may be, both written as in the file.
#[derive(Clone, Copy)]
pub(super) struct Range(&'static str, &'static str);

const CLICK_WAIT: Range = Range("0s", "24h");
/// Of a lookback window, the policy's and a campaign's.
pub(super) const LOOKBACK: Range = Range("1s", "365d");
const SETTLEMENT_WINDOW: Range = Range("0s", "365d");
const RETURN_WINDOW: Range = Range("0s", "365d");
const CLICK_RETENTION: Range = Range("1s", "3650d");
/// Of the least time from click to order, the policy's and a campaign's.
pub(super) const MIN_CLICK_TO_ORDER: Range = Range("0s", "24h");

/// Reads the policies; those not given have their defaults.
pub(super) fn policies(fields: Option<Fields<'_>>) -> Policies {
    let defaults = Policies::default();
    let Some(fields) = fields else { return defaults };
    let window = |field, range, default| match fields.has(field) {
        true => fields.optional_as(field, |text| in_range(text, range)),
        false => Some(default),
    };
    let click_wait = window("click_wait", CLICK_WAIT, defaults.click_wait);
    let lookback = window("lookback", LOOKBACK, defaults.lookback);
    let settlement_window = window("settlement_window", SETTLEMENT_WINDOW, defaults.settlement_window);
    let return_window = window("return_window", RETURN_WINDOW, defaults.return_window);
    let click_retention = window("click_retention", CLICK_RETENTION, defaults.click_retention);
    let min_click_to_order = window("min_click_to_order", MIN_CLICK_TO_ORDER, defaults.min_click_to_order);

    if let (Some(lookback), Some(click_retention)) = (lookback, click_retention)
        && lookback > click_retention
    {
        let remedy = "must be at least the lookback: a click is kept for as long as an order may name it";
        match fields.text("click_retention") {
            Some(text) => fields.refuse(&text, remedy),
            None => fields.missing("click_retention", remedy),
        }
    }
    Policies {
        click_wait: click_wait.unwrap_or(defaults.click_wait),
        lookback: lookback.unwrap_or(defaults.lookback),
        settlement_window: settlement_window.unwrap_or(defaults.settlement_window),
        return_window: return_window.unwrap_or(defaults.return_window),
        // A faulty retention must not make campaigns' lookbacks faults too.
        click_retention: click_retention.unwrap_or(Duration::MAX),
        min_click_to_order: min_click_to_order.unwrap_or(defaults.min_click_to_order),
    }
}

/// Reads when affiliates are paid, and from which amount on.
pub(super) fn payouts(fields: &Fields<'_>) -> Option<PayoutPolicy> {
    let cut_off = fields.optional_as("payout_cut_off", CutOff::parse);
    // A faulty minimum is a fault of the file, so that it does not stand for none.
    let minimums = fields.optional_as("payout_minimum", PayoutMinimums::parse).unwrap_or_default();
    if !fields.has("payout_cut_off") {
        fields.refuse_present("payout_minimum", "must come with a payout_cut_off");
    }
    Some(PayoutPolicy { cut_off: cut_off?, minimums })
}

/// Reads a duration in its range; the error is the remedy.
pub(super) fn in_range(text: &str, range: Range) -> Result<Duration, String> {
    let bound = |bound| duration(bound).expect("the bounds are durations");
    match duration(text) {
        Some(duration) if (bound(range.0)..=bound(range.1)).contains(&duration) => Ok(duration),
        Some(_) => Err(format!("must be from {} to {}", range.0, range.1)),
        None => {
            Err(format!("must be a whole number and s, m, h or d, such as \"30d\", from {} to {}", range.0, range.1))
        }
    }
}

/// Reads `2s`, `15m`, `36h`, `30d`.
fn duration(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..unit_at];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number too long for 64 bits is out of every range, and is told so.
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(duration(text), expected.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn durations() {
        check("0s", Some(0));
        check("2s", Some(2));
        check("15m", Some(900));
        check("36h", Some(129_600));
        check("30d", Some(2_592_000));
        check("007s", Some(7));
        check("99999999999999999999999d", Some(u64::MAX));
        for text in ["", "s", "2", "2 s", " 2s", "2s ", "-2s", "+2s", "2.5s", "2S", "1h30m", "2w", "2ms", "٢s", "2é"]
        {
            check(text, None);
        }
    }

    #[test]
    fn ranges_include_their_ends() {
        for (text, fits) in [("0s", false), ("1s", true), ("365d", true), ("8760h", true), ("8761h", false)] {
            assert_eq!(in_range(text, LOOKBACK).is_ok(), fits, "{text}");
        }
    }
}
