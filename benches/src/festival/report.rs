//! What a run has shown: as JSON for machines and comparisons, as a page for people.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use super::html;
use super::tally::{Counts, Kind, Tally};
use super::timeline::Point;
use super::verify::Outcome;

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) scenario: String,
    /// Against what it ran.
    pub(super) server: String,
    /// RFC 3339.
    pub(super) began: String,
    pub(super) processes: u64,
    /// The length of the phases.
    pub(super) seconds: u64,
    pub(super) counts: Counts,
    /// Orders accepted in the interval with most, a second.
    pub(super) accepted_a_second_max: u64,
    /// By what they are of.
    pub(super) latencies: BTreeMap<String, Latency>,
    pub(super) codes: BTreeMap<String, u64>,
    /// The most resident memory in KiB, by process.
    pub(super) memory_kib: BTreeMap<String, u64>,
    pub(super) outcome: Outcome,
    pub(super) points: Vec<Point>,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

/// What a report is headed by.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) scenario: String,
    pub(super) server: String,
    pub(super) began: Timestamp,
    pub(super) processes: u64,
    pub(super) seconds: u64,
}

impl Report {
    pub(super) fn new(head: Head, total: &Tally, points: Vec<Point>, outcome: Outcome) -> Report {
        let mut memory_kib = BTreeMap::<String, u64>::new();
        for (process, kib) in points.iter().flat_map(|point| &point.memory_kib) {
            let most = memory_kib.entry(process.clone()).or_default();
            *most = (*kib).max(*most);
        }
        let latencies = Kind::ALL.into_iter().filter(|kind| !total.latency(*kind).is_empty());
        let Head { scenario, server, began, processes, seconds } = head;
        Report {
            scenario,
            server,
            began: began.to_string(),
            processes,
            seconds,
            counts: total.counts.clone(),
            accepted_a_second_max: points.iter().map(|point| point.counts.accepted / point.seconds).max().unwrap_or(0),
            latencies: latencies.map(|kind| (kind.name().to_owned(), Latency::of(total, kind))).collect(),
            codes: total.codes.clone(),
            memory_kib,
            outcome,
            points,
        }
    }

    /// Whether everything is as it must be.
    pub(super) fn is_right(&self) -> bool {
        self.outcome.wrong.is_empty()
    }

    /// Writes `festival.json` and `festival.html` into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let json = serde_json::to_string_pretty(self).map_err(|error| format!("the report: {error}"))?;
        for (name, text) in [("festival.json", json), ("festival.html", html::page(self))] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn read(path: &Path) -> Result<Report, String> {
        let path = if path.is_dir() { path.join("festival.json") } else { path.to_owned() };
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{} is no report of festival: {error}", path.display()))
    }

    /// The end of a run, for a terminal.
    pub(super) fn summary(&self) -> String {
        let Counts { intended, accepted, requests, retries, given_up, shed, .. } = self.counts;
        let mut lines = vec![format!(
            "{}: {accepted} of {intended} orders accepted, at most {} a second; {requests} requests, {retries} of them again, \
             {given_up} given up, {shed} shed by the generator",
            self.scenario, self.accepted_a_second_max
        )];
        for (of, latency) in &self.latencies {
            let Latency { count, p50, p99, p999, max, .. } = *latency;
            lines.push(format!(
                "  {of:<17} {count:>8}: p50 {}, p99 {}, p99.9 {}, max {}",
                millis(p50),
                millis(p99),
                millis(p999),
                millis(max)
            ));
        }
        let Outcome { checked, wrong, findings } = &self.outcome;
        if self.is_right() {
            lines.push(format!("  all {checked} orders are what they must be"));
        }
        lines.extend(wrong.iter().map(|(what, times)| format!("  WRONG: {what}: {times}")));
        lines.extend(findings.iter().map(|finding| {
            let (what, expected, found) = (&finding.what, &finding.expected, &finding.found);
            format!("    {} of {}: {what} must be {expected}, and is {found}", finding.order, finding.merchant)
        }));
        lines.join("\n")
    }
}

impl Latency {
    fn of(total: &Tally, kind: Kind) -> Latency {
        let histogram = total.latency(kind);
        let at = |quantile| histogram.value_at_quantile(quantile);
        Latency {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

/// Microseconds as milliseconds, to three digits or so.
pub(super) fn millis(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
impl Report {
    /// A small one, always the same.
    pub(super) fn example() -> Report {
        use super::tally::Recorder;
        use super::timeline::Timeline;
        let (mut total, mut timeline) = (Tally::default(), Timeline::new(5));
        for second in 0..5 {
            let recorder = Recorder::default();
            for number in 1..=10 * (second + 1) {
                recorder.tally().record(Kind::Report, 1_000 + 100 * number);
            }
            recorder.count(|counts| (counts.accepted, counts.intended) = (10 * (second + 1), 10 * (second + 1)));
            recorder.tally().code("202 RECEIVED", 10 * (second + 1));
            if second > 1 {
                recorder.tally().record(Kind::Lag, 5_000 * second);
                recorder.tally().code("503 UNAVAILABLE", second);
            }
            let tick = recorder.take(second, 0);
            total.add(&tick);
            timeline.add(&tick);
            timeline.memory(second, "up", 40_000 + 1_000 * second);
        }
        let began = Timestamp(1_781_429_400_000);
        let head = Head { scenario: "example".into(), server: "embedded".into(), began, processes: 1, seconds: 5 };
        Report::new(head, &total, timeline.points(), Outcome { checked: 150, ..Outcome::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify::Finding;
    use super::*;

    #[test]
    fn a_report_reads_back_and_is_summed_up() {
        let report = Report::example();
        let folder = tempfile::tempdir().expect("a folder");
        report.write(folder.path()).expect("written");
        assert_eq!(Report::read(folder.path()).expect("a report"), report);
        assert!(report.is_right());
        let summary = report.summary();
        assert!(summary.starts_with("example: 150 of 150 orders accepted, at most 50 a second"), "{summary}");
        assert!(summary.ends_with("all 150 orders are what they must be"), "{summary}");
    }

    #[test]
    fn one_wrong_order_is_enough() {
        let mut report = Report::example();
        let [order, merchant, what, expected, found] =
            ["F1-7", "festival-3", "state", "hold", "payable"].map(str::to_owned);
        report.outcome.add(Finding { order, merchant, what, expected, found }, 1);
        assert!(!report.is_right());
        let summary = report.summary();
        assert!(
            summary.contains("WRONG: state: 1\n    F1-7 of festival-3: state must be hold, and is payable"),
            "{summary}"
        );
    }
}
