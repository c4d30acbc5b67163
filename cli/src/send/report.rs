//! The summary at the end.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::verdict::{Done, Verdict, remedy};

/// How many refused and how many failed objects are shown.
const SHOWN_MAX: usize = 5;
/// Latencies are counted in microseconds up to an hour, to three digits.
const LATENCY_MAX: u64 = 3_600_000_000;

/// What became of all objects.
#[derive(Debug)]
pub(super) struct Report {
    received: u64,
    duplicate: u64,
    refused: u64,
    failed: u64,
    shown_refused: Vec<String>,
    shown_failed: Vec<String>,
    remedy: Option<&'static str>,
    latency: Histogram<u64>,
}

impl Report {
    /// A report of nothing yet.
    pub(super) fn new() -> Report {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order");
        let (shown_refused, shown_failed) = (Vec::new(), Vec::new());
        Report { received: 0, duplicate: 0, refused: 0, failed: 0, shown_refused, shown_failed, remedy: None, latency }
    }

    /// Counts one object.
    pub(super) fn add(&mut self, done: &Done) {
        match &done.verdict {
            Verdict::Received => self.received += 1,
            Verdict::Duplicate => self.duplicate += 1,
            Verdict::Refused { code, message } => {
                self.refused += 1;
                self.remedy = self.remedy.or(remedy(code));
                show(&mut self.shown_refused, done, &format!("{code}: {message}"));
            }
            Verdict::Failed { message } => {
                self.failed += 1;
                show(&mut self.shown_failed, done, message);
            }
        }
        if let Some(answer) = &done.answer {
            self.latency.saturating_record(u64::try_from(answer.latency.as_micros()).unwrap_or(LATENCY_MAX));
        }
    }

    /// Objects counted.
    pub(super) fn total(&self) -> u64 {
        self.received + self.duplicate + self.refused + self.failed
    }

    /// Whether every object was accepted.
    pub(super) fn is_clean(&self) -> bool {
        self.refused == 0 && self.failed == 0
    }

    /// The counts in one short line, for the progress bar.
    pub(super) fn line(&self) -> String {
        let Report { received, duplicate, refused, failed, .. } = self;
        format!("received {received}, duplicate {duplicate}, refused {refused}, failed {failed}")
    }

    /// The summary, as text of several lines.
    pub(super) fn summary(&self, elapsed: Duration, retried: u64) -> Summary<'_> {
        Summary { report: self, elapsed, retried }
    }
}

fn show(shown: &mut Vec<String>, done: &Done, message: &str) {
    if shown.len() < SHOWN_MAX {
        let order = done.order.as_ref().map(|order| format!(" ({order:?})")).unwrap_or_default();
        shown.push(format!("line {}{order}: {message}", done.line));
    }
}

/// The summary of a report.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    report: &'a Report,
    elapsed: Duration,
    retried: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let answered = report.latency.len();
        let micros = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = u128::from(answered) * 1_000_000 / u128::from(micros);
        writeln!(f, "sent {answered} in {}: {rate} requests/s; retries {}", Micros(micros), self.retried)?;
        writeln!(
            f,
            "  RECEIVED {}  DUPLICATE {}  refused {}  failed {}",
            report.received, report.duplicate, report.refused, report.failed
        )?;
        if answered > 0 {
            let at = |quantile| Micros(report.latency.value_at_quantile(quantile));
            writeln!(f, "  latency p50 {}  p99 {}  max {}", at(0.5), at(0.99), Micros(report.latency.max()))?;
        }
        list(f, "refused", &report.shown_refused, report.refused)?;
        list(f, "failed", &report.shown_failed, report.failed)?;
        match report.remedy {
            Some(remedy) => writeln!(f, "what to do: {remedy}"),
            None => Ok(()),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, shown: &[String], total: u64) -> fmt::Result {
    for line in shown {
        writeln!(f, "{what}: {line}")?;
    }
    let more = total.saturating_sub(u64::try_from(shown.len()).unwrap_or(u64::MAX));
    if more > 0 { writeln!(f, "{what}: and {more} more; --output FILE has them all") } else { Ok(()) }
}

/// Microseconds in the unit that suits them.
#[derive(Clone, Copy, Debug)]
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Micros(micros) = *self;
        match micros {
            0..10_000 => write!(f, "{}.{:02} ms", micros / 1_000, micros % 1_000 / 10),
            10_000..1_000_000 => write!(f, "{} ms", micros / 1_000),
            _ => write!(f, "{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Answer;

    fn done(line: u64, verdict: Verdict, micros: Option<u64>) -> Done {
        let status = reqwest::StatusCode::ACCEPTED;
        let answer = micros.map(|micros| Answer { status, body: "".into(), latency: Duration::from_micros(micros) });
        Done { line, bytes: 1, order: (line == 2).then(|| "A1".to_owned()), verdict, answer }
    }

    #[test]
    fn the_summary() {
        let mut report = Report::new();
        assert!(report.is_clean());
        report.add(&done(1, Verdict::Received, Some(1_500)));
        report.add(&done(2, Verdict::Duplicate, Some(2_500)));
        assert!(report.is_clean());
        for line in 3..10 {
            let code = "INVALID_SIGNATURE".to_owned();
            report.add(&done(line, Verdict::Refused { code, message: "wrong".into() }, Some(20_000)));
        }
        report.add(&done(10, Verdict::Failed { message: "no answer".into() }, None));
        assert!(!report.is_clean());
        assert_eq!(report.total(), 10);
        let summary = report.summary(Duration::from_secs(2), 4).to_string();
        let expected = "\
sent 9 in 2.0 s: 4 requests/s; retries 4
  RECEIVED 1  DUPLICATE 1  refused 7  failed 1
  latency p50 20 ms  p99 20 ms  max 20 ms
refused: line 3: INVALID_SIGNATURE: wrong
refused: line 4: INVALID_SIGNATURE: wrong
refused: line 5: INVALID_SIGNATURE: wrong
refused: line 6: INVALID_SIGNATURE: wrong
refused: line 7: INVALID_SIGNATURE: wrong
refused: and 2 more; --output FILE has them all
failed: line 10: no answer
what to do: the signing secret does not belong to this --key
";
        assert_eq!(summary, expected);
    }
}
