//! Many seeds, and those that once found something.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};

use crate::world::World;

/// How many seeds a campaign has if nothing else is said.
const SEEDS: u64 = 1_200;
const STEPS: usize = 120;
/// Lines of a failed run that are shown.
const LINES_SHOWN: usize = 60;

/// What a campaign must have seen at least once, so that it is known to have tried it.
const SOMETIMES: [&str; 16] = [
    "a crash between commit and store",
    "a crash while names are synced",
    "a folder's sync fails",
    "a full queue refuses",
    "a log is closed",
    "a start fails",
    "a sync fails",
    "a torn tail is cut",
    "an unknown group is not there",
    "an unknown group is there",
    "an unknown step is there",
    "damage is refused",
    "segments are dropped",
    "state is rebuilt from a snapshot",
    "the disk is nearly full",
    "two steps in a batch",
];

/// A run of a seed: its history and what it has seen.
fn run(seed: u64) -> (Vec<String>, BTreeMap<&'static str, u32>) {
    let mut world = World::new(seed);
    let result = panic::catch_unwind(AssertUnwindSafe(|| world.run(STEPS)));
    if let Err(payload) = result {
        let reason = payload.downcast_ref::<String>().map(String::as_str);
        let reason = reason.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        let history = world.fate.history();
        let shown = history[history.len().saturating_sub(LINES_SHOWN)..].join("\n");
        panic!(
            "seed {seed}: {reason}\nafter\n{shown}\nagain: CONVERSIONS_SEED={seed} cargo test -p streams --test disk seeds"
        );
    }
    (world.fate.history(), world.fate.marks())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?} and has to be a number")))
}

#[test]
fn seeds_leave_everything_that_was_promised() {
    if let Some(seed) = number("CONVERSIONS_SEED") {
        run(seed);
        return;
    }
    let mut seen = BTreeMap::new();
    for seed in 0..number("CONVERSIONS_ROUNDS").unwrap_or(SEEDS) {
        for (what, times) in run(seed).1 {
            *seen.entry(what).or_default() += times;
        }
    }
    let missing: Vec<&str> = SOMETIMES.into_iter().filter(|what| !seen.contains_key(what)).collect();
    let _: &BTreeMap<&str, u32> = &seen;
    assert!(missing.is_empty(), "never seen: {missing:?}; seen: {seen:?}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        assert_eq!(run(seed).0, run(seed).0, "seed {seed}");
    }
}
