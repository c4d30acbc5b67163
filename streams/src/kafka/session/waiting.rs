//! Says so when a restore waits for longer than brokers that are well take.

use std::time::{Duration, Instant};

/// How often it is said.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// What to do about a transaction that nobody ends: the coordinator does so within its time-out, but for a partition that
/// it has lost sight of in a crash (seen with Kafka 4.3.1).
pub(super) const REMEDY: &str = "if it lasts for longer than the transaction time-out with all brokers there, \
                                 kafka-transactions.sh find-hanging shows a transaction that was left open, and abort ends it";

/// Since when something is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    since: Instant,
    said: Instant,
}

impl Waiting {
    /// It begins now.
    pub(super) fn new(now: Instant) -> Waiting {
        Waiting { since: now, said: now }
    }

    /// For how many seconds it has lasted, if that is to be said now.
    pub(super) fn is_to_be_said(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.said) < WARN_EVERY {
            return None;
        }
        self.said = now;
        Some(now.saturating_duration_since(self.since).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_twice_a_minute() {
        let start = Instant::now();
        let mut waiting = Waiting::new(start);
        let mut at = |seconds| waiting.is_to_be_said(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(29), at(30), at(31), at(59), at(60)], [None, None, Some(30), None, None, Some(60)]);
    }
}
