//! Many seeds, one after the other, and what all of them came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::run::{Outcome, Params, run};
use crate::sometimes::Rare;
use crate::swarm::Kind;

/// From so many seeds on, everything that has to happen sometimes has to have happened.
pub const SEEDS_FOR_ALL: u64 = 1_000;

/// What a campaign has come to.
#[derive(Debug, Default)]
pub struct Campaign {
    /// Runs.
    pub seeds: u64,
    turns: u64,
    records: u64,
    virtual_time: Duration,
    faults: BTreeMap<Kind, u64>,
    /// How often, and the first seed.
    rare: BTreeMap<Rare, (u64, u64)>,
}

impl Campaign {
    /// Runs a seed, and counts it; what became of it.
    pub fn one(&mut self, params: &Params) -> Outcome {
        let outcome = run(params);
        self.seeds += 1;
        self.turns += outcome.turns;
        self.records += outcome.records;
        self.virtual_time += outcome.virtual_time;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for rare in Rare::ALL {
            let count = outcome.sometimes.count(*rare);
            if count > 0 {
                self.rare.entry(*rare).or_insert((0, params.seed)).0 += count;
            }
        }
        outcome
    }

    /// What has to happen sometimes and never did.
    #[must_use]
    pub fn missing(&self) -> Vec<Rare> {
        Rare::ALL.iter().copied().filter(|rare| !self.rare.contains_key(rare)).collect()
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.virtual_time.as_secs() / (24 * 60 * 60);
        let Campaign { seeds, turns, records, .. } = self;
        writeln!(f, "{seeds} seeds, {turns} turns of workers, {records} records, {days} virtual days")?;
        let mut faults = String::new();
        for (kind, count) in &self.faults {
            let _ = write!(faults, " {kind} {count}");
        }
        writeln!(f, "faults:{faults}")?;
        writeln!(f, "sometimes, how often and in which seed first:")?;
        for rare in Rare::ALL {
            match self.rare.get(rare) {
                Some((count, seed)) => writeln!(f, "{count:>9} {seed:>7}  {rare}")?,
                None => writeln!(f, "        0       -  {rare}")?,
            }
        }
        Ok(())
    }
}

/// The command that runs these again.
#[must_use]
pub fn command(params: &Params) -> String {
    let mut command = format!("cargo xtask simulate --seed {} --steps {}", params.seed, params.steps);
    if let Some(orders) = params.orders {
        let _ = write!(command, " --orders {orders}");
    }
    for kind in &params.without {
        let _ = write!(command, " --without {kind}");
    }
    command
}
