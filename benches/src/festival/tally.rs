//! What is counted and measured, second by second, and how it is put together from several processes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// In microseconds: an hour; what is beyond counts as that.
const LONGEST: u64 = 3_600_000_000;
/// Most different answers that are counted each; the others are counted together.
const CODES_MAX: usize = 64;

/// What a latency is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// First reports of orders.
    Report,
    /// Duplicates and conflicts.
    Resend,
    Update,
    Click,
    /// From a 202 to the commission.
    Lag,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [Kind::Report, Kind::Resend, Kind::Update, Kind::Click, Kind::Lag];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Report => "report",
            Kind::Resend => "re-send",
            Kind::Update => "status update",
            Kind::Click => "late click",
            Kind::Lag => "202 to commission",
        }
    }

    fn place(self) -> usize {
        match self {
            Kind::Report => 0,
            Kind::Resend => 1,
            Kind::Update => 2,
            Kind::Click => 3,
            Kind::Lag => 4,
        }
    }
}

/// Numbers of things that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Orders that were meant to be sent by now.
    pub(super) intended: u64,
    /// Orders whose report was accepted.
    pub(super) accepted: u64,
    /// Requests sent, each attempt.
    pub(super) requests: u64,
    /// Of these, attempts after the first.
    pub(super) retries: u64,
    /// Requests that had to go without an answer that settles them.
    pub(super) given_up: u64,
    /// Requests that were refused and should not have been.
    pub(super) refused: u64,
    /// Requests that were never sent, as the generator had no room for them.
    pub(super) shed: u64,
    /// Follow-ups of orders that were not accepted, which are not sent.
    pub(super) skipped: u64,
    /// Orders that were RECEIVED more than once.
    pub(super) received_twice: u64,
    /// Orders without a commission after the longest that is waited for one.
    pub(super) lag_late: u64,
    /// Orders that were to be followed to their commission, but all who follow were busy.
    pub(super) lag_skipped: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        let Counts {
            intended,
            accepted,
            requests,
            retries,
            given_up,
            refused,
            shed,
            skipped,
            received_twice,
            lag_late,
            lag_skipped,
        } = other;
        for (sum, more) in [
            (&mut self.intended, intended),
            (&mut self.accepted, accepted),
            (&mut self.requests, requests),
            (&mut self.retries, retries),
            (&mut self.given_up, given_up),
            (&mut self.refused, refused),
            (&mut self.shed, shed),
            (&mut self.skipped, skipped),
            (&mut self.received_twice, received_twice),
            (&mut self.lag_late, lag_late),
            (&mut self.lag_skipped, lag_skipped),
        ] {
            *sum += *more;
        }
    }
}

/// Counts and latencies of some time.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// Answers, by status and code.
    pub(super) codes: BTreeMap<String, u64>,
    latencies: [Histogram<u64>; 5],
}

/// The same in a form that goes from one process to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tick {
    /// Seconds since the beginning.
    pub(super) second: u64,
    /// Requests that were sent off and are not settled.
    pub(super) under_way: u64,
    counts: Counts,
    codes: BTreeMap<String, u64>,
    /// Microseconds and how often, of each kind.
    latencies: Vec<Vec<(u64, u64)>>,
}

impl Default for Tally {
    fn default() -> Tally {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 2).expect("the bounds are in order");
        let latencies = [histogram(), histogram(), histogram(), histogram(), histogram()];
        Tally { counts: Counts::default(), codes: BTreeMap::new(), latencies }
    }
}

impl Tally {
    pub(super) fn record(&mut self, kind: Kind, micros: u64) {
        self.latencies[kind.place()].saturating_record(micros.max(1));
    }

    pub(super) fn code(&mut self, code: &str, times: u64) {
        let code = if self.codes.contains_key(code) || self.codes.len() < CODES_MAX { code } else { "others" };
        *self.codes.entry(code.to_owned()).or_default() += times;
    }

    pub(super) fn latency(&self, kind: Kind) -> &Histogram<u64> {
        &self.latencies[kind.place()]
    }

    pub(super) fn add(&mut self, tick: &Tick) {
        self.counts.add(&tick.counts);
        for (code, times) in &tick.codes {
            self.code(code, *times);
        }
        for (histogram, pairs) in self.latencies.iter_mut().zip(&tick.latencies) {
            for (micros, times) in pairs {
                histogram.saturating_record_n(*micros, *times);
            }
        }
    }

    fn tick(&self, second: u64, under_way: u64) -> Tick {
        let pairs = |histogram: &Histogram<u64>| {
            histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
        };
        let latencies = self.latencies.iter().map(pairs).collect();
        Tick { second, under_way, counts: self.counts.clone(), codes: self.codes.clone(), latencies }
    }
}

/// The tally of the time since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Tally>);

impl Recorder {
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().expect("nobody panics while counting")
    }

    /// Counts something.
    pub(super) fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.tally().counts);
    }

    /// What was counted since the last time.
    pub(super) fn take(&self, second: u64, under_way: u64) -> Tick {
        let taken = std::mem::take(&mut *self.tally());
        taken.tick(second, under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_processes_are_as_one() {
        let (one, other, mut all) = (Recorder::default(), Recorder::default(), Tally::default());
        for micros in 1..=1_000 {
            let recorder = if micros % 3 == 0 { &one } else { &other };
            recorder.tally().record(Kind::Report, micros * 100);
            recorder.count(|counts| counts.requests += 1);
        }
        one.tally().code("202 RECEIVED", 2);
        other.tally().code("202 RECEIVED", 3);
        for recorder in [&one, &other] {
            let text = serde_json::to_string(&recorder.take(4, 0)).expect("JSON");
            all.add(&serde_json::from_str(&text).expect("a tick"));
        }
        let latency = all.latency(Kind::Report);
        assert_eq!((latency.len(), all.counts.requests), (1_000, 1_000));
        assert!(latency.value_at_quantile(0.99).abs_diff(99_000) < 1_000, "{}", latency.value_at_quantile(0.99));
        assert_eq!(all.codes, BTreeMap::from([("202 RECEIVED".to_owned(), 5)]));
        assert_eq!(one.take(5, 0).counts, Counts::default());
    }

    #[test]
    fn codes_are_bounded() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|number| tally.code(&format!("code {number}"), 1));
        assert_eq!((tally.codes.len(), tally.codes["others"]), (CODES_MAX + 1, 936));
    }
}
