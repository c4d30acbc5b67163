//! The course of a run: what was measured, in intervals few enough to be looked at.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::tally::{Counts, Kind, Tally, Tick};

/// Most intervals.
const POINTS_MAX: u64 = 600;

/// One interval of a run. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// The second that it begins with.
    pub(super) second: u64,
    pub(super) seconds: u64,
    pub(super) counts: Counts,
    /// Of reports; none if no report was settled.
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) p999: Option<u64>,
    /// None if no order was followed.
    pub(super) lag_p50: Option<u64>,
    pub(super) lag_p99: Option<u64>,
    /// Answers other than 200 and 202, by status and code.
    pub(super) errors: std::collections::BTreeMap<String, u64>,
    /// Resident memory in KiB, by process.
    pub(super) memory_kib: std::collections::BTreeMap<String, u64>,
}

/// Intervals in the making.
#[derive(Debug)]
pub(super) struct Timeline {
    seconds: u64,
    intervals: Vec<Tally>,
    memory: Vec<std::collections::BTreeMap<String, u64>>,
}

impl Timeline {
    /// Of a run that is meant to take so many seconds.
    pub(super) fn new(expected_seconds: u64) -> Timeline {
        Timeline {
            seconds: expected_seconds.div_ceil(POINTS_MAX / 2).max(1),
            intervals: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// What takes longer than twice what was expected goes into the last interval.
    fn place(&self, second: u64) -> usize {
        usize::try_from((second / self.seconds).min(POINTS_MAX - 1)).expect("bounded")
    }

    pub(super) fn add(&mut self, tick: &Tick) {
        let place = self.place(tick.second);
        while self.intervals.len() <= place {
            self.intervals.push(Tally::default());
        }
        self.intervals[place].add(tick);
    }

    /// Notes how much memory a process has; the most in an interval counts.
    pub(super) fn memory(&mut self, second: u64, process: &str, kib: u64) {
        let place = self.place(second);
        while self.memory.len() <= place {
            self.memory.push(std::collections::BTreeMap::new());
        }
        let most = self.memory[place].entry(process.to_owned()).or_default();
        *most = kib.max(*most);
    }

    pub(super) fn points(&self) -> Vec<Point> {
        let of = |histogram: &Histogram<u64>, quantile| {
            (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile))
        };
        let point = |(place, tally): (usize, &Tally)| {
            let (report, lag) = (tally.latency(Kind::Report), tally.latency(Kind::Lag));
            let errors = tally.codes.iter().filter(|(code, _)| !is_success(code));
            Point {
                second: self.seconds * u64::try_from(place).unwrap_or(u64::MAX),
                seconds: self.seconds,
                counts: tally.counts.clone(),
                p50: of(report, 0.5),
                p99: of(report, 0.99),
                p999: of(report, 0.999),
                lag_p50: of(lag, 0.5),
                lag_p99: of(lag, 0.99),
                errors: errors.map(|(code, times)| (code.clone(), *times)).collect(),
                memory_kib: self.memory.get(place).cloned().unwrap_or_default(),
            }
        };
        self.intervals.iter().enumerate().map(point).collect()
    }
}

fn is_success(code: &str) -> bool {
    code.starts_with("202") || code.starts_with("200")
}

#[cfg(test)]
mod tests {
    use super::super::tally::Recorder;
    use super::*;

    #[test]
    fn intervals() {
        let mut timeline = Timeline::new(600);
        for second in [0, 1, 2, 5_000] {
            let recorder = Recorder::default();
            recorder.tally().record(Kind::Report, 1_000 * (second + 1));
            recorder.tally().code("503 UNAVAILABLE", 1);
            recorder.tally().code("202 RECEIVED", 7);
            timeline.add(&recorder.take(second, 0));
            timeline.memory(second, "up", 100 - second.min(50));
        }
        let points = timeline.points();
        assert_eq!(points.len(), 600);
        assert_eq!((points[0].seconds, points[1].second), (2, 2));
        assert!(points[0].p99.is_some_and(|p99| (1_990..2_020).contains(&p99)), "{:?}", points[0]);
        assert_eq!(
            points[0].errors.iter().map(|(code, times)| (code.as_str(), *times)).collect::<Vec<_>>(),
            [("503 UNAVAILABLE", 2)]
        );
        assert!(points[0].p50.is_some_and(|p50| p50 < 1_010), "{:?}", points[0]);
        // Nothing was settled then, which is not the same as in no time.
        assert_eq!(points[5].p50, None);
        assert_eq!((points[0].memory_kib["up"], points[0].lag_p50), (100, None));
        assert_eq!(points[599].errors["503 UNAVAILABLE"], 1);
    }
}
