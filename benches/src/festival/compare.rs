//! `festival compare A B`: two runs side by side.

use super::report::{Latency, Report};

/// The table of two reports, with the second's part of the first.
pub(super) fn compare(a: &Report, b: &Report) -> String {
    let mut lines = Vec::new();
    if a.scenario != b.scenario {
        lines.push(format!("these are of different scenarios: {} and {}", a.scenario, b.scenario));
    }
    lines.push(format!("{:<38} {:>14} {:>14} {:>8}", "", "A", "B", "B / A"));
    for (name, a, b) in rows(a, b) {
        let text = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        lines.push(format!("{name:<38} {:>14} {:>14} {:>8}", text(a), text(b), ratio(a, b)));
    }
    lines.join("\n")
}

type Quantile = fn(&Latency) -> u64;

fn rows(a: &Report, b: &Report) -> Vec<(String, Option<u64>, Option<u64>)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&Report) -> Option<u64>| rows.push((name.to_owned(), of(a), of(b)));
    row("orders accepted", &|it| Some(it.counts.accepted));
    row("orders accepted a second, at most", &|it| Some(it.accepted_a_second_max));
    row("requests", &|it| Some(it.counts.requests));
    row("sent again", &|it| Some(it.counts.retries));
    row("given up", &|it| Some(it.counts.given_up));
    row("shed by the generator", &|it| Some(it.counts.shed));
    row("wrong", &|it| Some(it.outcome.wrong_orders()));
    for name in names(a, b, |it| it.latencies.keys()) {
        let quantiles: [(&str, Quantile); 4] =
            [("p50", |it| it.p50), ("p99", |it| it.p99), ("p99.9", |it| it.p999), ("max", |it| it.max)];
        for (quantile, of) in quantiles {
            row(&format!("{name}, {quantile}, us"), &|it| it.latencies.get(name).map(of));
        }
    }
    for name in names(a, b, |it| it.codes.keys()) {
        row(&format!("answers {name}"), &|it| Some(it.codes.get(name).copied().unwrap_or(0)));
    }
    for name in names(a, b, |it| it.memory_kib.keys()) {
        row(&format!("memory of {name}, KiB"), &|it| it.memory_kib.get(name).copied());
    }
    rows
}

fn names<'a, I: Iterator<Item = &'a String>>(a: &'a Report, b: &'a Report, of: fn(&'a Report) -> I) -> Vec<&'a String> {
    let mut names: Vec<&String> = of(a).chain(of(b)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// In hundredths, rounded down.
fn ratio(a: Option<u64>, b: Option<u64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a > 0 => {
            let hundredths = u128::from(b) * 100 / u128::from(a);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side() {
        let (a, mut b) = (Report::example(), Report::example());
        b.counts.accepted = 225;
        b.codes.insert("401 INVALID_SIGNATURE".to_owned(), 3);
        b.memory_kib.insert("ingest".to_owned(), 5);
        let table = compare(&a, &b);
        let has = |parts: [&str; 4]| {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
            let expected = parts.join(" ");
            assert!(table.lines().any(|line| words(line) == expected.trim_end()), "{expected}\n{table}");
        };
        has(["orders accepted", "150", "225", "1.50"]);
        has(["requests", "0", "0", ""]);
        has(["answers 401 INVALID_SIGNATURE", "0", "3", ""]);
        has(["memory of ingest, KiB", "-", "5", ""]);
        has(["memory of up, KiB", "44000", "44000", "1.00"]);
        assert!(!table.contains("different scenarios"));
        b.scenario = "other".to_owned();
        assert!(compare(&a, &b).starts_with("these are of different scenarios: example and other"));
    }
}
