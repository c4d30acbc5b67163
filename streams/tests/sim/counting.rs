//! Exactly once, whatever fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{PARTITIONS, Seen, World};

const KEYS: u64 = 10;
const TIMES: u64 = 12;
/// Virtual time after the last fault in which everything has to be done.
const HEALED_MAX: Duration = Duration::from_secs(600);

/// Runs the workers under faults, and then without; what they did, and the hash of the history.
fn run(seed: u64) -> (Seen, u64) {
    let world = World::new(seed);
    for _ in 0..TIMES {
        world.count(KEYS);
        for _ in 0..15 {
            world.turn();
        }
        world.disturb();
    }
    world.heal();
    let until = world.cluster.now() + HEALED_MAX;
    while !world.is_done() {
        world.turn();
        assert!(world.cluster.now() < until, "seed {seed}: not done\n{}", tail(&world));
    }
    check(seed, &world);
    world.end_all();
    let hash = world.cluster.history_hash();
    let World { seen, .. } = std::sync::Arc::into_inner(world).expect("nobody else has it");
    (seen, hash)
}

fn tail(world: &World) -> String {
    let lines = world.cluster.history();
    lines[lines.len().saturating_sub(200)..].join("\n")
}

/// Every input was counted once, in order, and every timer has fired once; state is what the changelog says.
#[track_caller]
fn check(seed: u64, world: &World) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (fired, counted): (Vec<_>, Vec<_>) =
        world.outputs().into_iter().partition(|output| output.starts_with("fired"));
    let timers: BTreeSet<&str> = fired.iter().filter_map(|output| output.split(' ').nth(1)).collect();
    let (fired, timers) = (fired.len() as u64, timers.len() as u64);
    assert_eq!((fired, timers), (KEYS * TIMES, KEYS * TIMES), "seed {seed}\n{}", tail(world));
    for output in counted {
        let (key, count) = output.split_once('=').expect("a count");
        let seen = counts.entry(key.to_owned()).or_default();
        *seen += 1;
        assert_eq!(count.parse(), Ok(*seen), "seed {seed}: {output}\n{}", tail(world));
    }
    assert_eq!(counts.len() as u64, KEYS, "seed {seed}");
    assert!(counts.values().all(|count| *count == TIMES), "seed {seed}: {counts:?}\n{}", tail(world));
    let folds: Vec<_> = (0..PARTITIONS).map(|partition| world.fold(partition)).collect();
    let rows: usize = folds.iter().map(BTreeMap::len).sum();
    assert_eq!(rows as u64, KEYS, "seed {seed}");
    for fold in &folds {
        assert!(fold.values().all(|value| **value == TIMES.to_be_bytes()), "seed {seed}: {fold:?}");
    }
    // Whoever has a partition last has brought its store to the end; others may have one that is behind.
    for (partition, fold) in folds.iter().enumerate() {
        let stores = world.stores();
        let latest = stores.iter().filter(|(of, ..)| *of as usize == partition).max_by_key(|(.., position)| *position);
        let (_, rows, _) = latest.expect("somebody has it");
        assert_eq!(rows, fold, "seed {seed}: partition {partition}");
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn every_input_counts_once_whatever_fails() {
    let (mut crashes, mut aborts, mut unknown, mut fencings, mut replaced) = (0, 0, 0, 0, 0);
    let (one, rounds) = (setting("CONVERSIONS_SEED"), setting("CONVERSIONS_ROUNDS").unwrap_or(200));
    for seed in one.map_or(0..rounds, |seed| seed..seed + 1) {
        let (seen, _) = run(seed);
        crashes += seen.crashes.load(Ordering::Relaxed);
        aborts += seen.aborts.load(Ordering::Relaxed);
        unknown += seen.unknown.load(Ordering::Relaxed);
        fencings += seen.fencings.load(Ordering::Relaxed);
        replaced += seen.replaced.load(Ordering::Relaxed);
    }
    if one.is_none() {
        let seen = [("crashes", crashes), ("aborts", aborts), ("unknown", unknown), ("fencings", fencings)];
        assert!(seen.iter().all(|(_, count)| *count > 50), "{seen:?}, replaced {replaced}");
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    for seed in 0..20 {
        assert_eq!(run(seed).1, run(seed).1, "seed {seed}");
    }
    assert_ne!(run(0).1, run(1).1);
}
