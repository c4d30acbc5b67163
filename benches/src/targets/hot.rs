//! A hot merchant with nine tenths of the traffic: what the others' p99 is beside it, against what it is without it.

use super::result::{Figure, RowResult, Target};
use super::rig::{self, order, runtime};
use super::{Common, edge, say};
use crate::peers::Outcome;
use crate::peers::load::{Load, Pace};
use crate::shop::Shops;

/// The part of the maximum that all merchants come to together.
const LOAD_PERCENT: u64 = 70;
/// The hot one's requests for each of all the others'.
const HOT: u64 = 9;

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let (kafka, folder, runtime) = (rig::broker(common)?, rig::folder(common)?, runtime()?);
    // The hot one is the last, and none of the others.
    let (all, others) = (Shops::now(common.merchants + 1), common.merchants);
    let registry = rig::registry(folder.path(), all, true)?;
    let (mut side, _installation) = edge::edge(common, &kafka, &registry, folder.path())?;
    let others = Shops { merchants: others, ..all };
    side.warm(common, &kafka, &runtime, others)?;
    let mut p99 = Figure::new("p99 of the others beside a hot merchant", "µs", Target::RatioAtMost(150));
    for pair in 0..=common.pairs {
        let named = |what: &str| format!("{what}{pair}");
        let (most, quiet, beside, hot) = (named("most"), named("quiet"), named("beside"), named("hot"));
        let bootstrap = kafka.bootstrap();
        let taken = side.drive(bootstrap, &runtime, edge::closed(common, others, &most))?;
        let rate = (taken.sent.rate() * LOAD_PERCENT / 100 / (HOT + 1)).max(1);
        let mut found = [0; 2];
        for with in order(pair) {
            let run = if with { &beside } else { &quiet };
            let calm = Load { pace: Pace::Open { rate }, ..edge::closed(common, others, run) };
            let heat =
                Load { run: &hot, merchant: Some(others.merchants), pace: Pace::Open { rate: rate * HOT }, ..calm };
            let heat = with.then_some(heat);
            found[usize::from(!with)] = side.drive_both(bootstrap, &runtime, calm, heat)?.p99();
        }
        say(&format!("pair {pair}: {} µs beside it, {} without, at {rate} orders/s", found[0], found[1]));
        if pair > 0 {
            p99.pair(found[0], found[1]);
        }
    }
    Ok(RowResult::new("hot", common, vec![p99]))
}
