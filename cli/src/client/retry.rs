//! When to send a request again, and how long to wait before.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use reqwest::StatusCode;

/// The wait before the first retry; each further one doubles.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait of our own choosing.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest wait that a server may ask for. Beyond, giving up is more honest than hanging, and never too early.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Whether the contract lets a request with this answer be sent again: 5xx and 429, and no other 4xx.
pub(crate) fn may_retry(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The wait before retry number `retry` (from 0): what the server asked for and a little more, so that those who were
/// turned away together do not come back together; or else exponential, between half and all of it by `random`.
/// `None` when the server asks for longer than anybody waits.
pub(crate) fn wait(retry: u32, asked: Option<Duration>, random: u64) -> Option<Duration> {
    match asked {
        Some(asked) if asked > LONGEST_ASKED => None,
        Some(asked) => Some(asked.saturating_add(part(FIRST, random))),
        None => {
            let whole = FIRST.saturating_mul(1 << retry.min(16)).min(LONGEST);
            let half = whole / 2;
            Some(half.saturating_add(part(half, random)))
        }
    }
}

/// What `Retry-After` asks for: seconds, or an HTTP date, which proxies prefer.
pub(crate) fn asked_wait(header: &str, unix_seconds: u64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    let seconds = u64::try_from(date.as_second()).ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(unix_seconds)))
}

/// Good enough to spread retries: std's hasher is keyed at random, and another generator would be a dependency more.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn part(whole: Duration, random: u64) -> Duration {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(random % (millis + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_contract_allows() {
        for status in [429, 500, 502, 503, 504, 599] {
            assert!(may_retry(StatusCode::from_u16(status).expect("a status")), "{status}");
        }
        for status in [200, 202, 301, 400, 401, 404, 408, 409, 413, 422] {
            assert!(!may_retry(StatusCode::from_u16(status).expect("a status")), "{status}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        for (retry, whole) in [(0, 100), (1, 200), (3, 800), (6, 6_400), (7, 10_000), (40, 10_000)] {
            for random in [0, 1, 12_345, u64::MAX] {
                let waited = wait(retry, None, random).expect("our own waits are short").as_millis();
                assert!((whole / 2..=whole).contains(&waited), "{retry}: {waited}");
            }
        }
    }

    #[test]
    fn never_earlier_than_asked() {
        let asked = Duration::from_secs(7);
        for random in [0, 99, 100, u64::MAX] {
            let waited = wait(0, Some(asked), random).expect("short enough");
            assert!(waited >= asked && waited <= asked + FIRST);
        }
        assert_eq!(wait(0, Some(Duration::from_secs(301)), 0), None);
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(asked_wait(" 3 ", 0), Some(Duration::from_secs(3)));
        let date = "Sun, 14 Jun 2026 09:30:00 GMT";
        assert_eq!(asked_wait(date, 1_781_429_390), Some(Duration::from_secs(10)));
        assert_eq!(asked_wait(date, 1_781_429_999), Some(Duration::ZERO));
        assert_eq!(asked_wait("soon", 0), None);
    }
}
