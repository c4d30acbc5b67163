//! How many requests a key may make: a bucket of tokens for each key that has a limit.
//!
//! A request takes a token, and a batch one for each item, which may put the bucket into debt: it is let in if there is
//! one token, and the next waits until the debt is paid. Buckets are this process's alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use schemas::Timestamp;
use schemas::registry::{RateLimit, Registry};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// A token in the unit that buckets are counted in: a limit of `n` a minute adds `n` of them each millisecond.
const TOKEN: i64 = 60_000;

/// The buckets, by key.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// What is in it; less than nothing is a debt.
    level: i64,
    at: Timestamp,
}

/// What a key may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    limit: RateLimit,
    level: i64,
    /// Whether the request that asked is let in.
    pub(crate) is_allowed: bool,
}

impl Rates {
    /// Takes a token, if there is one.
    pub(crate) fn take(&self, key_id: &str, limit: RateLimit, now: Timestamp) -> Rate {
        let mut buckets = self.buckets();
        let full = i64::from(limit.burst) * TOKEN;
        let bucket = buckets.entry(key_id.to_owned()).or_insert(Bucket { level: full, at: now });
        // A clock that goes back adds nothing and takes nothing away.
        let passed = now.since(bucket.at).as_millis().min(u128::from(u32::MAX));
        let added = i64::try_from(passed).unwrap_or(0).saturating_mul(i64::from(limit.per_minute));
        bucket.level = bucket.level.saturating_add(added).min(full);
        bucket.at = bucket.at.max(now);
        let is_allowed = bucket.level >= TOKEN;
        if is_allowed {
            bucket.level -= TOKEN;
        }
        Rate { limit, level: bucket.level, is_allowed }
    }

    /// Takes so many more tokens for a request that was let in, whether there are so many or not.
    pub(crate) fn take_more(&self, key_id: &str, rate: Rate, count: usize) -> Rate {
        let mut buckets = self.buckets();
        let Some(bucket) = buckets.get_mut(key_id) else { return rate };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        bucket.level = bucket.level.saturating_sub(count.saturating_mul(TOKEN));
        Rate { level: bucket.level, ..rate }
    }

    /// Forgets the keys that a registry does not have.
    pub(crate) fn retain(&self, registry: &Registry) {
        self.buckets().retain(|key_id, _| registry.key(key_id).is_some());
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rate {
    /// How long until there is a token, in whole seconds, at least one.
    pub(crate) fn retry_after(&self) -> Duration {
        Duration::from_secs(self.seconds_until(TOKEN).max(1))
    }

    /// Writes the headers of draft-ietf-httpapi-ratelimit-headers-10: what there is, and what is left of it.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let full = i64::from(self.limit.burst) * TOKEN;
        let (burst, window) = (self.limit.burst, seconds(full, self.limit.per_minute).max(1));
        let (left, until_full) = (self.level.max(0) / TOKEN, self.seconds_until(full));
        let value = |text: String| HeaderValue::try_from(text).expect("numbers are ASCII");
        headers.insert(RATE_LIMIT_POLICY, value(format!("\"key\";q={burst};w={window}")));
        headers.insert(RATE_LIMIT, value(format!("\"key\";r={left};t={until_full}")));
    }

    fn seconds_until(&self, level: i64) -> u64 {
        seconds(level.saturating_sub(self.level).max(0), self.limit.per_minute)
    }
}

/// How long a bucket takes to gain so much, in whole seconds, rounded up.
fn seconds(gain: i64, per_minute: u32) -> u64 {
    let (gain, each_second) = (gain.max(0).unsigned_abs(), 1_000 * u64::from(per_minute.max(1)));
    gain.div_ceil(each_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { per_minute: 120, burst: 3 };

    #[track_caller]
    fn check(rate: Rate, is_allowed: bool, policy: &str, left: &str) {
        let mut headers = HeaderMap::new();
        rate.write(&mut headers);
        assert_eq!(rate.is_allowed, is_allowed);
        assert_eq!(
            (&headers[RATE_LIMIT_POLICY], &headers[RATE_LIMIT]),
            (&policy.parse().unwrap(), &left.parse().unwrap())
        );
    }

    #[test]
    fn tokens_come_back_with_time() {
        let rates = Rates::default();
        let take = |ms: i64| rates.take("k", LIMIT, Timestamp(1_000_000 + ms));
        let policy = "\"key\";q=3;w=2";
        check(take(0), true, policy, "\"key\";r=2;t=1");
        check(take(0), true, policy, "\"key\";r=1;t=1");
        check(take(0), true, policy, "\"key\";r=0;t=2");
        check(take(0), false, policy, "\"key\";r=0;t=2");
        // A token comes each half second, to the millisecond, and what was refused took none.
        check(take(499), false, policy, "\"key\";r=0;t=2");
        assert_eq!(take(499).retry_after().as_secs(), 1);
        check(take(500), true, policy, "\"key\";r=0;t=2");
        check(take(500), false, policy, "\"key\";r=0;t=2");
        check(take(100), false, policy, "\"key\";r=0;t=2");
        check(take(10_000_000), true, policy, "\"key\";r=2;t=1");
        check(rates.take("other", LIMIT, Timestamp(0)), true, policy, "\"key\";r=2;t=1");
    }

    #[test]
    fn a_batch_may_go_into_debt_and_pays_it() {
        let rates = Rates::default();
        let take = |ms: i64| rates.take("k", LIMIT, Timestamp(1_000_000 + ms));
        let rate = rates.take_more("k", take(0), 9);
        check(rate, true, "\"key\";q=3;w=2", "\"key\";r=0;t=5");
        assert_eq!(take(0).retry_after().as_secs(), 4, "seven owed, and one more, at two a second");
        assert!(!take(3_999).is_allowed);
        assert!(take(4_000).is_allowed);
    }

    #[test]
    fn slow_and_fast_limits_are_exact() {
        let slow = RateLimit { per_minute: 1, burst: 1 };
        let rates = Rates::default();
        let take = |limit, ms: i64| rates.take("k", limit, Timestamp(1_000_000 + ms));
        assert!(take(slow, 0).is_allowed);
        assert_eq!(take(slow, 0).retry_after().as_secs(), 60);
        assert!(!take(slow, 59_999).is_allowed);
        check(take(slow, 60_000), true, "\"key\";q=1;w=60", "\"key\";r=0;t=60");
        let fast = RateLimit { per_minute: 60_000_000, burst: 1_000_000 };
        check(rates.take("f", fast, Timestamp(0)), true, "\"key\";q=1000000;w=1", "\"key\";r=999999;t=1");
    }
}
