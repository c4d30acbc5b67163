//! When a delivery is attempted again.

use schemas::Timestamp;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// From the end of each failed attempt to the next one, as Standard Webhooks suggests.
const DELAYS_MS: [i64; 7] =
    [5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS];
/// Most attempts of a delivery: over about 28 hours.
pub const ATTEMPTS_MAX: i32 = DELAYS_MS.len() as i32 + 1;
/// Added to a delay at most, in thousandths of it, so that what failed together does not come again together.
const JITTER_THOUSANDTHS: u64 = 200;
/// Longest that an endpoint may ask to be left alone.
const RETRY_AFTER_MS_MAX: i64 = 24 * HOUR_MS;

/// How long after it was written an attempt may still begin to be sent, by the sender's clock.
pub const SEND_WITHIN_MS: i64 = 15 * SECOND_MS;
/// How long the outcome of an attempt is awaited, the first time, before the attempt is written again. It is the time in
/// which it may begin, that in which it must end, and something for the way and for clocks that differ.
pub const LEASE_MS: i64 = 30 * SECOND_MS;
/// The most that it grows to, doubled each time: while no sender runs, the same is written again less and less often.
const LEASE_MS_MAX: i64 = 8 * MINUTE_MS;
/// Times that the outcome of one attempt may be lost, one after the other, before its delivery is given up: a week, in which
/// no sender ran, or none that could reach the log or knew the endpoint.
pub const LOSSES_MAX: i32 = 1_260;

/// Until when the outcome of an attempt is awaited whose outcome was lost that often before.
pub(super) fn lease_ends(now: Timestamp, losses: i32) -> Timestamp {
    let doublings = u32::try_from(losses).unwrap_or(0).min(10);
    Timestamp(now.0.saturating_add((LEASE_MS << doublings).min(LEASE_MS_MAX)))
}

/// When the attempt after this one, which failed, is made; `None` if there is none.
pub(super) fn retry_at(now: Timestamp, attempt: i32, retry_after_ms: Option<i64>, seed: u64) -> Option<Timestamp> {
    let delay_ms = *DELAYS_MS.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    let share = seed.rotate_left(attempt.cast_unsigned() * 7) % (JITTER_THOUSANDTHS + 1);
    let jitter_ms = delay_ms / 1_000 * i64::try_from(share).unwrap_or(0);
    let asked_ms = retry_after_ms.unwrap_or(0).clamp(0, RETRY_AFTER_MS_MAX);
    Some(Timestamp(now.0.saturating_add((delay_ms + jitter_ms).max(asked_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_further_and_further_apart_and_end() {
        for seed in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            for (index, delay_ms) in DELAYS_MS.into_iter().enumerate() {
                let attempt = i32::try_from(index).expect("a few") + 1;
                let found = retry_at(Timestamp(7), attempt, None, seed).expect("another").0 - 7;
                assert!((delay_ms..=delay_ms + delay_ms / 5).contains(&found), "{attempt}: {found}");
            }
            assert_eq!(retry_at(Timestamp(7), ATTEMPTS_MAX, None, seed), None);
        }
        assert_ne!(retry_at(Timestamp(0), 3, None, 1), retry_at(Timestamp(0), 3, None, 2));
    }

    #[test]
    fn an_endpoint_is_left_alone_for_as_long_as_it_asks_within_a_day() {
        let after = |asked| retry_at(Timestamp(0), 1, Some(asked), 0).expect("another").0;
        assert_eq!(after(60_000), 60_000);
        assert_eq!(after(1), 5_000, "never sooner than by itself");
        assert_eq!(after(-1), 5_000);
        assert_eq!(after(i64::MAX), 86_400_000);
    }

    #[test]
    fn a_lease_doubles_up_to_eight_minutes() {
        let lengths: Vec<i64> = (0..7).map(|losses| lease_ends(Timestamp(1), losses).0 - 1).collect();
        assert_eq!(lengths, [30_000, 60_000, 120_000, 240_000, 480_000, 480_000, 480_000]);
        assert_eq!(lease_ends(Timestamp(0), i32::MAX).0, LEASE_MS_MAX);
    }

    #[test]
    fn losses_last_for_about_a_week() {
        let end = (0..LOSSES_MAX).fold(Timestamp(0), lease_ends).0;
        assert!((167 * HOUR_MS..=168 * HOUR_MS).contains(&end), "{end}");
    }
}
