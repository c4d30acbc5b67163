//! Plots as SVG, in whole numbers: lines over time.

use std::fmt::Write;

const WIDTH: u64 = 860;
const HEIGHT: u64 = 220;
const LEFT: u64 = 70;
/// Room for half of the last time.
const RIGHT: u64 = 30;
const BOTTOM: u64 = 24;
const TOP: u64 = 26;
const TICKS: u64 = 4;
const COLOURS: [&str; 8] = ["#1f6f8b", "#d1495b", "#edae49", "#66a182", "#7b5ea7", "#2e4057", "#b56576", "#8d99ae"];

/// A line of a plot: a value for each time that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(u64, u64)>,
}

/// A plot of values over seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) series: Vec<Series>,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Micros,
    Mib,
}

impl Unit {
    fn text(self, value: u64) -> String {
        match self {
            Unit::Count => value.to_string(),
            Unit::Micros => super::report::millis(value),
            Unit::Mib => format!("{value} MiB"),
        }
    }
}

/// The plot as one element.
pub(super) fn svg(plot: &Plot) -> String {
    let values = || plot.series.iter().flat_map(|series| &series.points);
    let most = nice(values().map(|(_, value)| *value).max().unwrap_or(0));
    let longest = values().map(|(second, _)| *second).max().unwrap_or(0).max(1);
    let x = |second: u64| LEFT + second * (WIDTH - LEFT - RIGHT) / longest;
    let y = |value: u64| HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP) / most;
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><text x=\"{LEFT}\" y=\"14\" class=\"t\">{title}</text>",
        title = escape(plot.title)
    );
    for tick in 0..=TICKS {
        let value = most * tick / TICKS;
        let _ = write!(
            text,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" class=\"g\"/><text x=\"{}\" y=\"{}\" class=\"v\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6,
            y(value) + 4,
            plot.unit.text(value),
            y = y(value),
        );
    }
    let seconds = (0..=TICKS).map(|tick| tick * longest.div_ceil(TICKS)).filter(|second| *second <= longest);
    for second in seconds {
        let _ = write!(text, "<text x=\"{}\" y=\"{}\" class=\"h\">{second} s</text>", x(second), HEIGHT - 6);
    }
    for (number, series) in plot.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        // A line to itself is a dot, and one point alone is no line.
        let alone = if series.points.len() == 1 { series.points.first() } else { None };
        let points = series.points.iter().chain(alone);
        let points: Vec<String> = points.map(|(second, value)| format!("{},{}", x(*second), y(*value))).collect();
        let _ = write!(text, "<polyline points=\"{}\" stroke=\"{colour}\"/>", points.join(" "));
    }
    text.push_str("</svg>");
    text + &legend(plot)
}

fn legend(plot: &Plot) -> String {
    let mut text = String::from("<p class=\"legend\">");
    for (number, series) in plot.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let _ = write!(text, "<span style=\"color:{colour}\">■</span> {} ", escape(&series.name));
    }
    text + "</p>"
}

/// A round number that is no less, so that the ticks are round too.
fn nice(value: u64) -> u64 {
    let mut step = TICKS;
    loop {
        for factor in [1, 2, 5] {
            if step * factor >= value {
                return step * factor;
            }
        }
        step = match step.checked_mul(10) {
            Some(step) if step < u64::MAX / 1_000 => step,
            _ => return value,
        };
    }
}

/// Text as it may stand in a page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot() {
        let series = |name: &str, points: &[(u64, u64)]| Series { name: name.to_owned(), points: points.to_vec() };
        let plot = Plot {
            title: "latency",
            unit: Unit::Micros,
            series: vec![series("p50", &[(0, 900), (5, 1_200), (10, 800)]), series("a<b", &[(5, 30_000)])],
        };
        insta::assert_snapshot!(svg(&plot));
        let empty = Plot { title: "nothing", unit: Unit::Count, series: Vec::new() };
        assert!(svg(&empty).contains("<svg"));
    }

    #[test]
    fn round_numbers() {
        assert_eq!([0, 4, 5, 21, 4_001, 39_000].map(nice), [4, 4, 8, 40, 8_000, 40_000]);
        assert_eq!(nice(u64::MAX), u64::MAX);
    }
}
