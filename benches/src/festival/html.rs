//! The report as one page that needs nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::report::{Latency, Report, millis};
use super::svg::{Plot, Series, Unit, escape, svg};
use super::timeline::Point;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;margin-top:1.2em}\
polyline{fill:none;stroke-width:2;stroke-linecap:round}\
.g{stroke:#e4e4e4}.t{font-weight:600;font-size:13px}.v{font-size:11px;text-anchor:end;fill:#666}.h{font-size:11px;\
text-anchor:middle;fill:#666}.legend{margin:0;font-size:13px}.right{color:#1b7f4d}.wrong{color:#b3001b}";
/// Most lines of a plot; the others are left to the table.
const LINES_MAX: usize = 8;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>festival: {name}</title><style>{STYLE}</style>\
         <h1>festival: {name}</h1><p>{} against {}, from {} generator process(es), phases of {} s.</p>",
        escape(&report.began),
        escape(&report.server),
        report.processes,
        report.seconds,
        name = escape(&report.scenario),
    );
    text += &outcome(report);
    text += &counts(report);
    text += &latencies(&report.latencies);
    for plot in plots(&report.points) {
        text += &svg(&plot);
    }
    text += &numbers("Answers", "status and code", &report.codes);
    let memory = report.memory_kib.iter().map(|(name, kib)| (name.clone(), kib / 1_024)).collect();
    text += &numbers("Most memory", "MiB of process", &memory);
    text + "</html>\n"
}

fn outcome(report: &Report) -> String {
    let outcome = &report.outcome;
    if report.is_right() {
        return format!("<p class=\"right\">All {} orders are what they must be.</p>", outcome.checked);
    }
    let mut text = format!("<p class=\"wrong\">Wrong: {} of {} orders.</p>", outcome.wrong_orders(), outcome.checked);
    text += &numbers("What is wrong", "", &outcome.wrong);
    text += "<table><tr><th>order</th><th>merchant</th><th>what</th><th>must be</th><th>is</th></tr>";
    for finding in &outcome.findings {
        let cells = [&finding.order, &finding.merchant, &finding.what, &finding.expected, &finding.found];
        text += &row(&cells.map(|cell| escape(cell)));
    }
    text + "</table>"
}

fn counts(report: &Report) -> String {
    let counts = &report.counts;
    let mut text = String::from("<h2>Load</h2><table>");
    for (name, count) in [
        ("orders meant to be sent", counts.intended),
        ("orders accepted", counts.accepted),
        ("orders accepted a second, at most", report.accepted_a_second_max),
        ("requests, each attempt", counts.requests),
        ("of these, sent again", counts.retries),
        ("requests given up", counts.given_up),
        ("refused, and should not have been", counts.refused),
        ("shed by the generator", counts.shed),
        ("follow-ups of orders that were not accepted, not sent", counts.skipped),
        ("orders RECEIVED more than once", counts.received_twice),
        ("orders followed without a commission in 30 s", counts.lag_late),
        ("orders not followed, all who follow being busy", counts.lag_skipped),
    ] {
        text += &row(&[name.to_owned(), count.to_string()]);
    }
    text + "</table>"
}

fn latencies(latencies: &BTreeMap<String, Latency>) -> String {
    let mut text = String::from(
        "<h2>Latency</h2><p>Of the last answer, from when the request was meant to be sent for the first time.</p><table>\
         <tr><th></th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>",
    );
    for (name, latency) in latencies {
        let Latency { count, p50, p90, p99, p999, max } = *latency;
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(millis);
        text += &row(&[escape(name), count.to_string(), p50, p90, p99, p999, max]);
    }
    text + "</table>"
}

fn plots(points: &[Point]) -> Vec<Plot> {
    let series = |name: &str, value: &dyn Fn(&Point) -> Option<u64>| Series {
        name: name.to_owned(),
        points: points.iter().filter_map(|point| Some((point.second, value(point)?))).collect(),
    };
    let names = |of: fn(&Point) -> &BTreeMap<String, u64>| -> BTreeSet<&String> {
        points.iter().flat_map(|point| of(point).keys()).collect()
    };
    let errors = names(|point| &point.errors).into_iter().take(LINES_MAX);
    let errors =
        errors.map(|code| series(code, &|point| Some(point.errors.get(code).copied().unwrap_or(0) / point.seconds)));
    let memory = names(|point| &point.memory_kib).into_iter().take(LINES_MAX);
    let memory = memory.map(|name| series(name, &|point| point.memory_kib.get(name).copied()));
    vec![
        Plot {
            title: "orders a second",
            unit: Unit::Count,
            series: vec![
                series("meant to be sent", &|point| Some(point.counts.intended / point.seconds)),
                series("accepted", &|point| Some(point.counts.accepted / point.seconds)),
            ],
        },
        Plot {
            title: "latency of reports, from when they were meant to be sent",
            unit: Unit::Micros,
            series: vec![
                series("p50", &|point| point.p50),
                series("p99", &|point| point.p99),
                series("p99.9", &|point| point.p999),
            ],
        },
        Plot {
            title: "lag from 202 to commission",
            unit: Unit::Micros,
            series: vec![series("p50", &|point| point.lag_p50), series("p99", &|point| point.lag_p99)],
        },
        Plot { title: "errors a second", unit: Unit::Count, series: errors.collect() },
        Plot { title: "resident memory", unit: Unit::Mib, series: memory.collect() },
    ]
}

fn numbers(title: &str, what: &str, numbers: &BTreeMap<String, u64>) -> String {
    let mut text = format!("<h2>{title}</h2><table><tr><th>{what}</th><th></th></tr>");
    for (name, number) in numbers {
        text += &row(&[escape(name), number.to_string()]);
    }
    text + "</table>"
}

fn row(cells: &[String]) -> String {
    let mut text = String::from("<tr>");
    for cell in cells {
        let _ = write!(text, "<td>{cell}</td>");
    }
    text + "</tr>"
}

#[cfg(test)]
mod tests {
    use super::super::verify::Finding;
    use super::*;

    #[test]
    fn the_page_needs_nothing_else_and_shows_everything() {
        let page = page(&Report::example());
        for part in
            ["orders a second", "lag from 202 to commission", "503 UNAVAILABLE", "resident memory", "All 150 orders"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), 5);
        for elsewhere in ["<script", "http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_the_server_said_is_text() {
        let mut report = Report::example();
        let finding = ["F1-1", "festival-1", "state", "hold", "<script>x</script>"].map(str::to_owned);
        let [order, merchant, what, expected, found] = finding;
        report.outcome.add(Finding { order, merchant, what, expected, found }, 1);
        let page = page(&report);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
        assert!(page.contains("Wrong: 1 of 150 orders."));
    }
}
