//! Instants: milliseconds since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in milliseconds since 1970-01-01T00:00:00Z, as Avro's `timestamp-millis`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Why a text is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or 2026-06-14T15:15:00+05:45")]
pub struct TimestampError;

impl Timestamp {
    /// Earliest instant taken from outside: 1970-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(0);

    /// Parses an ISO 8601 (RFC 3339) date and time with an offset; finer than a millisecond is cut off.
    ///
    /// # Errors
    /// The text has another form, no offset, or an instant before 1970 or after 9999-12-30T22:00:00Z.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        // jiff also takes a space, week dates and bracketed zones: the contract is RFC 3339's profile alone.
        let bytes = text.as_bytes();
        let date_time = bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b't');
        let clock = date_time && bytes[13] == b':' && bytes[16] == b':' && !text.contains('[');
        if !clock || !is_offset(text.trim_start_matches(|it: char| it != 'T' && it != 't')) {
            return Err(TimestampError);
        }
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        let millis = parsed.as_millisecond();
        if millis < Self::MIN.0 { Err(TimestampError) } else { Ok(Timestamp(millis)) }
    }

    /// The seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Whether a time of day, `T` and all, has digits after at most one point, and ends with `Z` or `±hh:mm` of a day.
fn is_offset(time: &str) -> bool {
    let Some(after_seconds) = time.get(9..) else { return false };
    let fraction = after_seconds.strip_prefix('.').map(|rest| rest.trim_start_matches(|it: char| it.is_ascii_digit()));
    let offset = fraction.unwrap_or(after_seconds);
    let in_a_day = |hours: &str, minutes: &str| {
        let number = |digits: &str| digits.parse::<u8>().ok().filter(|_| digits.len() == 2 && !digits.starts_with('+'));
        number(hours).is_some_and(|hours| hours < 24) && number(minutes).is_some_and(|minutes| minutes < 60)
    };
    match offset.as_bytes().first() {
        Some(b'Z' | b'z') => offset.len() == 1,
        Some(b'+' | b'-') => offset[1..].split_once(':').is_some_and(|(hours, minutes)| in_a_day(hours, minutes)),
        Some(_) | None => false,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(Timestamp::parse(text).ok().map(|instant| instant.0), expected, "{text}");
    }

    #[test]
    fn parses_only_date_times_with_an_offset() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-06-14T09:30:00Z", Some(1_781_429_400_000));
        check("2026-06-14T15:15:00+05:45", Some(1_781_429_400_000));
        check("2026-06-14T09:30:00.1239Z", Some(1_781_429_400_123));
        check("2026-06-14T09:30:00", None);
        check("2026-06-14 09:30:00Z", None);
        check("2026-06-14", None);
        check("1969-12-31T23:59:59Z", None);
        check("2026-02-30T09:30:00Z", None);
        check("2026-06-14T09:30:00+05:45[Asia/Kathmandu]", None);
        check("2026-06-14T24:30:00Z", None);
        for offset in ["+25:00", "+05", "+0545", ",5Z", "+05:60", "+5:45", "Z0", "+05:45:00", ".Z1", "++1:00"] {
            check(&format!("2026-06-14T09:30:00{offset}"), None);
        }
        check("2026-06-14t09:30:00z", Some(1_781_429_400_000));
        check("tomorrow", None);
        check("", None);
    }

    #[test]
    fn prints_what_it_parses() {
        for text in ["2026-06-14T09:30:00Z", "2026-06-14T09:30:00.123Z"] {
            assert_eq!(Timestamp::parse(text).expect("valid").to_string(), text);
        }
    }
}
