//! What a run found: every pair, medians, and the lines of the table.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Common;
use crate::median;
use crate::peers::Outcome;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Target {
    /// At least so many hundredths of the peer's.
    RatioAtLeast(u64),
    /// At most so many hundredths of the peer's.
    RatioAtMost(u64),
    /// At most this.
    AtMost(u64),
    /// Nothing: it is told beside the others.
    None,
}

/// One figure of both sides, pair by pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) what: String,
    /// Of both sides' numbers.
    pub(super) unit: String,
    pub(super) target: Target,
    pub(super) ours: Vec<u64>,
    /// Empty if there is nothing to compare with.
    pub(super) peers: Vec<u64>,
}

impl Figure {
    pub(super) fn new(what: &str, unit: &str, target: Target) -> Figure {
        Figure { what: what.to_owned(), unit: unit.to_owned(), target, ours: Vec::new(), peers: Vec::new() }
    }

    /// The pair's.
    pub(super) fn pair(&mut self, ours: u64, peers: u64) {
        self.ours.push(ours);
        self.peers.push(peers);
    }

    /// The median of the pairs' ratios, in hundredths.
    fn ratio(&self) -> Option<u64> {
        let ratios: Vec<u64> =
            self.ours.iter().zip(&self.peers).map(|(ours, peers)| ours * 100 / peers.max(&1)).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    fn is_met(&self) -> bool {
        match self.target {
            Target::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Target::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::AtMost(most) => !self.ours.is_empty() && median(&self.ours) <= most,
            Target::None => true,
        }
    }

    /// A line of the table in README.md: what, target, before, after, limit or peer, ratio.
    fn line(&self, before: Option<&Figure>) -> String {
        let of = |values: &[u64]| if values.is_empty() { "–".to_owned() } else { median(values).to_string() };
        let target = match self.target {
            Target::RatioAtLeast(least) => format!("≥ {}", hundredths(least)),
            Target::RatioAtMost(most) => format!("≤ {}", hundredths(most)),
            Target::AtMost(most) => format!("≤ {most} {}", self.unit),
            Target::None => "–".to_owned(),
        };
        format!(
            "| {}, {} | {target} | {} | {} | {} | {} |",
            self.what,
            self.unit,
            before.map_or_else(|| "–".to_owned(), |before| of(&before.ours)),
            of(&self.ours),
            of(&self.peers),
            self.ratio().map_or_else(|| "–".to_owned(), hundredths),
        )
    }
}

fn hundredths(ratio: u64) -> String {
    format!("{}.{:02}", ratio / 100, ratio % 100)
}

/// A row's figures, and what they were measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowResult {
    pub(super) row: String,
    pub(super) figures: Vec<Figure>,
    /// The sources.
    commit: String,
    /// Whether this was built for speed.
    release: bool,
    pairs: u32,
    seconds: u64,
    orders: u64,
    connections: u64,
    cores: String,
    other_cores: String,
}

impl RowResult {
    pub(super) fn new(row: &str, common: &Common, figures: Vec<Figure>) -> RowResult {
        let head = Command::new("git").args(["describe", "--always", "--dirty"]).output();
        let commit =
            head.map_or_else(|_| String::new(), |head| String::from_utf8_lossy(&head.stdout).trim().to_owned());
        RowResult {
            row: row.to_owned(),
            figures,
            commit,
            release: !cfg!(debug_assertions),
            pairs: common.pairs,
            seconds: common.seconds,
            orders: common.orders,
            connections: common.connections,
            cores: common.cores.clone(),
            other_cores: common.other_cores.clone(),
        }
    }

    /// Writes it down; its lines of the table, and whether all targets are met.
    pub(super) fn save(&self, common: &Common) -> Outcome<(Vec<String>, bool)> {
        let name = format!("{}.json", self.row);
        let before = match &common.before {
            None => None,
            Some(folder) => {
                let path = folder.join(&name);
                let failed = |error: String| format!("{}: {error}", path.display());
                let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
                let before: RowResult = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
                Some(before)
            }
        };
        let path = common.folder.join(&name);
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let line = |figure: &Figure| {
            let before = before.as_ref().and_then(|it| it.figures.iter().find(|before| before.what == figure.what));
            figure.line(before)
        };
        Ok((self.figures.iter().map(line).collect(), self.figures.iter().all(Figure::is_met)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(target: Target, pairs: &[(u64, u64)]) -> Figure {
        let mut figure = Figure::new("it", "orders/s", target);
        pairs.iter().for_each(|(ours, peers)| figure.pair(*ours, *peers));
        figure
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs() {
        let pairs = [(80, 100), (300, 100), (81, 100)];
        let met = |target| figure(target, &pairs).is_met();
        assert!(met(Target::RatioAtLeast(81)) && !met(Target::RatioAtLeast(82)));
        assert!(met(Target::RatioAtMost(81)) && !met(Target::RatioAtMost(80)));
        assert!(met(Target::AtMost(81)) && !met(Target::AtMost(80)));
        assert!(!figure(Target::AtMost(80), &[]).is_met(), "nothing was measured");
    }

    #[test]
    fn lines_of_the_table() {
        let before = figure(Target::None, &[(40, 100)]);
        let after = figure(Target::RatioAtLeast(80), &[(90, 100)]);
        assert_eq!(after.line(Some(&before)), "| it, orders/s | ≥ 0.80 | 40 | 90 | 100 | 0.90 |");
        let alone = Figure { peers: Vec::new(), ..figure(Target::AtMost(5), &[(4, 0)]) };
        assert_eq!(alone.line(None), "| it, orders/s | ≤ 5 orders/s | – | 4 | – | – |");
    }
}
