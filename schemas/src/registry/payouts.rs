//! When affiliates are paid, and from which amount on.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{Currency, Timestamp};

/// What is said of payouts where nothing is: that there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutPolicy {
    /// When what is payable becomes a payout.
    pub cut_off: CutOff,
    /// How much it must be.
    pub minimums: PayoutMinimums,
}

/// A time of the week in a zone, such as `friday 18:00 Asia/Kathmandu`. It displays as the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutOff {
    text: String,
    weekday: Weekday,
    time: Time,
    zone: TimeZone,
}

/// Why a text is no cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutOffError {
    /// It has not the three parts.
    #[error("must be a weekday, a time and a zone, such as \"friday 18:00 Asia/Kathmandu\"")]
    Form,
    /// The zone is not known.
    #[error("must end with a zone of the IANA database, such as Asia/Kathmandu")]
    Zone,
}

impl CutOff {
    /// Reads a cut-off. Zones are those of the database that is built in, not of the machine's: a payout is the same
    /// wherever it is worked out.
    ///
    /// # Errors
    /// The text has another form, or the zone is unknown.
    pub fn parse(text: &str) -> Result<CutOff, CutOffError> {
        let mut parts = text.split(' ');
        let (Some(weekday), Some(time), Some(zone), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CutOffError::Form);
        };
        let (weekday, time) = (parse_weekday(weekday), parse_time(time));
        let (Some(weekday), Some(time)) = (weekday, time) else { return Err(CutOffError::Form) };
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| CutOffError::Zone)?;
        Ok(CutOff { text: text.to_owned(), weekday, time, zone })
    }

    /// The first cut-off after an instant; none if it is past what the calendar holds.
    ///
    /// A time that a change of the clocks leaves out is as much later as they are put forward, and of one that they pass
    /// twice the first counts, so that every week has one cut-off.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let today = self.zone.to_datetime(instant).date();
        // Clocks that are put forward over midnight may move the last one into today.
        let last = today.yesterday().ok();
        let this = last.into_iter().chain([today]).filter(|date| date.weekday() == self.weekday);
        // Clocks that are put back over midnight may leave the next one behind as well.
        let later = (1..=2).filter_map(|nth| today.nth_weekday(nth, self.weekday).ok());
        let at = |date: jiff::civil::Date| self.zone.to_timestamp(date.to_datetime(self.time)).ok();
        let mut found = this.chain(later).filter_map(at).map(|at| Timestamp(at.as_millisecond()));
        found.find(|at| *at > after)
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_weekday(text: &str) -> Option<Weekday> {
    match text {
        "monday" => Some(Weekday::Monday),
        "tuesday" => Some(Weekday::Tuesday),
        "wednesday" => Some(Weekday::Wednesday),
        "thursday" => Some(Weekday::Thursday),
        "friday" => Some(Weekday::Friday),
        "saturday" => Some(Weekday::Saturday),
        "sunday" => Some(Weekday::Sunday),
        _ => None,
    }
}

/// Reads `18:00`.
fn parse_time(text: &str) -> Option<Time> {
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i8>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':')?;
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// The least that is paid out, by currency; anything above nothing where none is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayoutMinimums(BTreeMap<&'static str, i64>);

impl PayoutMinimums {
    /// Reads `NPR 1000.00, USD 25.00`.
    ///
    /// # Errors
    /// What is wrong with it, as a remedy.
    pub fn parse(text: &str) -> Result<PayoutMinimums, String> {
        let mut minimums = BTreeMap::new();
        for part in text.split(',').map(str::trim) {
            let form = "must be currencies, each with an amount, such as \"NPR 1000.00, USD 25.00\"";
            let (code, amount) = part.split_once(' ').ok_or(form)?;
            let currency = Currency::parse(code).map_err(|error| error.to_string())?;
            let minor = currency.parse_amount(amount).map_err(|error| error.to_string())?;
            if minor == 0 {
                return Err(format!("must have more than 0 for {currency}"));
            }
            if minimums.insert(currency.code(), minor).is_some() {
                return Err(format!("must have one amount for {currency}"));
            }
        }
        Ok(PayoutMinimums(minimums))
    }

    /// The least that is paid out in a currency, in minor units; at least 1.
    #[must_use]
    pub fn of(&self, currency: Currency) -> i64 {
        self.0.get(currency.code()).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cut_off: &str, after: &str, expected: &str) {
        let text = cut_off;
        let cut_off = CutOff::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(cut_off.to_string(), text);
        let after = Timestamp::parse(after).expect("an instant");
        let found = cut_off.next_after(after).expect("within the calendar");
        assert_eq!(found.to_string(), expected, "{cut_off:?} after {after}");
    }

    #[test]
    fn without_summer_time_weeks_are_equal() {
        const CUT_OFF: &str = "friday 18:00 Asia/Kathmandu";
        // 2026-06-19 is a Friday, and 18:00 in +05:45 is 12:15 UTC.
        check(CUT_OFF, "2026-06-14T09:30:00Z", "2026-06-19T12:15:00Z");
        check(CUT_OFF, "2026-06-19T12:14:59.999Z", "2026-06-19T12:15:00Z");
        check(CUT_OFF, "2026-06-19T12:15:00Z", "2026-06-26T12:15:00Z");
        check(CUT_OFF, "2026-12-25T12:15:00Z", "2027-01-01T12:15:00Z");
        // The day is the zone's: Sunday has begun in Kathmandu while it is Saturday in UTC.
        check("sunday 00:00 Asia/Kathmandu", "2026-06-20T18:14:59Z", "2026-06-20T18:15:00Z");
        check("sunday 00:00 Asia/Kathmandu", "2026-06-20T18:15:00Z", "2026-06-27T18:15:00Z");
        check("sunday 00:00 UTC", "2026-06-20T18:15:00Z", "2026-06-21T00:00:00Z");
    }

    #[test]
    fn a_week_with_a_change_of_the_clocks_is_an_hour_longer_or_shorter() {
        const CUT_OFF: &str = "friday 18:00 Europe/Berlin";
        // Clocks are put forward on 2026-03-29, and back on 2026-10-25.
        check(CUT_OFF, "2026-03-27T16:59:59Z", "2026-03-27T17:00:00Z");
        check(CUT_OFF, "2026-03-27T17:00:00Z", "2026-04-03T16:00:00Z");
        check(CUT_OFF, "2026-10-23T16:00:00Z", "2026-10-30T17:00:00Z");
    }

    #[test]
    fn a_time_that_is_left_out_or_comes_twice_is_one_cut_off() {
        const CUT_OFF: &str = "sunday 02:30 Europe/Berlin";
        // There is no 02:30 on 2026-03-29: it is as 03:30 of summer time.
        check(CUT_OFF, "2026-03-22T01:30:00Z", "2026-03-29T01:30:00Z");
        check(CUT_OFF, "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z");
        // There are two on 2026-10-25: the first counts, and the second is no cut-off.
        check(CUT_OFF, "2026-10-18T00:30:00Z", "2026-10-25T00:30:00Z");
        check(CUT_OFF, "2026-10-25T00:30:00Z", "2026-11-01T01:30:00Z");
        check(CUT_OFF, "2026-10-25T01:00:00Z", "2026-11-01T01:30:00Z");
    }

    /// In Havana clocks go from 01:00 back to 00:00, in Asunción they went from 24:00 back to 23:00, and in St. John's from
    /// 00:01 back to 23:01, so that there the cut-off of Sunday was over when Saturday came once more.
    #[test]
    fn clocks_that_are_put_back_at_midnight_leave_no_week_out() {
        check("saturday 23:30 America/Asuncion", "2024-03-24T02:30:00Z", "2024-03-31T03:30:00Z");
        check("saturday 23:30 America/Asuncion", "2024-03-24T03:40:00Z", "2024-03-31T03:30:00Z");
        check("sunday 00:30 America/Havana", "2020-11-01T05:10:00Z", "2020-11-08T05:30:00Z");
        check("sunday 00:00 America/St_Johns", "2010-11-07T03:00:00Z", "2010-11-14T03:30:00Z");
    }

    /// In Nuuk clocks go from 23:00 of Saturday to 00:00: a cut-off in the hour between is on Sunday, by the clocks of that week.
    #[test]
    fn clocks_that_are_put_forward_over_midnight_leave_no_week_out() {
        const CUT_OFF: &str = "saturday 23:30 America/Nuuk";
        check(CUT_OFF, "2026-03-22T01:30:00Z", "2026-03-29T01:30:00Z");
        check(CUT_OFF, "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z");
        check(CUT_OFF, "2026-03-29T01:29:59.999Z", "2026-03-29T01:30:00Z");
        check(CUT_OFF, "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z");
    }

    #[test]
    fn what_is_no_cut_off() {
        for text in [
            "",
            "friday",
            "friday 18:00",
            "Friday 18:00 UTC",
            "friday 18:00  UTC",
            "friday 18:00 UTC ",
            "friday 24:00 UTC",
            "friday 18:60 UTC",
            "friday 8:00 UTC",
            "friday 18:00:00 UTC",
            "friday +1:00 UTC",
            "fri 18:00 UTC",
        ] {
            assert_eq!(CutOff::parse(text), Err(CutOffError::Form), "{text:?}");
        }
        for zone in ["Kathmandu", "Asia/Atlantis", "+05:45", "../etc/localtime"] {
            assert_eq!(CutOff::parse(&format!("friday 18:00 {zone}")), Err(CutOffError::Zone), "{zone:?}");
        }
    }

    #[test]
    fn minimums() {
        let currency = |code: &str| Currency::parse(code).expect("a currency");
        let minimums = PayoutMinimums::parse("NPR 1000.00, JPY 500,USD 25").expect("minimums");
        for (code, expected) in [("NPR", 100_000), ("JPY", 500), ("USD", 2_500), ("EUR", 1)] {
            assert_eq!(minimums.of(currency(code)), expected, "{code}");
        }
        assert_eq!(PayoutMinimums::default().of(currency("NPR")), 1);
        for (text, remedy) in [
            ("", "must be currencies"),
            ("NPR", "must be currencies"),
            ("NPR 1,", "must be currencies"),
            ("npr 1", "must be an ISO 4217 code"),
            ("NPR 0.00", "must have more than 0 for NPR"),
            ("NPR 1, NPR 2", "must have one amount for NPR"),
            ("JPY 1.5", ""),
            ("NPR -1", ""),
        ] {
            let error = PayoutMinimums::parse(text).expect_err(text);
            assert!(error.starts_with(remedy), "{text}: {error}");
        }
    }
}
