//! Whatever goes wrong and wherever: every output is there once, and the store is what the log says.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use streams::log::Limits;

use crate::faults::Fault;
use crate::world::{Running, T0, World};

const FAULTS: [Fault; 7] = [
    Fault::Nothing,
    Fault::Aborted,
    Fault::UnknownUndone,
    Fault::UnknownDone,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::CrashBeforeApply,
];

/// Settles, and opens again whatever dies; says how often it died.
fn survive(world: &World, mut running: Running) -> (Running, usize) {
    let mut deaths = 0;
    while running.try_settle().is_err() {
        assert!(world.plan.get().dead, "it fails only where it was told to");
        deaths += 1;
        drop(running);
        running = world.open();
    }
    (running, deaths)
}

/// Counts, sets timers and lets them fire, while commits fail as told; then everything must be there once.
fn run(faults: &[Fault]) -> usize {
    let limits = Limits { records_max: 2, ..Limits::default() };
    let world = World { limits, ..World::new() };
    world.plan.get().faults.extend(faults);
    let mut running = world.open();
    let (mut counts, mut expected, mut fired, mut deaths) = (BTreeMap::new(), Vec::new(), Vec::new(), 0);
    for round in 0..4_i64 {
        for key in ["a", "b", "a", "c"] {
            let due_ms = T0 + round + 1;
            running.send(key, &format!("count;timer {due_ms} {key}{round};put x00{key:0>2} x{key:0>2}"));
            let count = counts.entry(key).or_insert(0);
            *count += 1;
            expected.push(format!("{key}={count}"));
        }
        fired.extend(["a", "b", "c"].map(|key| format!("{key}{round} {}", T0 + round + 1)));
        let died;
        (running, died) = survive(&world, running);
        deaths += died;
        running.at(T0 + round + 1);
    }
    let (running, died) = survive(&world, running);
    assert_eq!(world.plan.get().faults.len(), 0, "all of it was tried");
    let (timers, outputs): (Vec<String>, Vec<String>) =
        running.outputs().into_iter().partition(|output| output.starts_with("fired "));
    assert_eq!(outputs, expected);
    let timers: Vec<&str> = timers.iter().map(|output| &output["fired ".len()..]).collect();
    assert_eq!(timers, fired);
    assert_eq!(running.dead_letters(), Vec::<String>::new());
    drop(running);
    let kept = world.kept();
    assert_eq!(kept.len(), 6, "{kept:?}");
    assert_eq!(kept, world.restored());
    deaths + died
}

#[test]
fn every_fault_at_every_commit() {
    for fault in FAULTS {
        for before in 0..8 {
            let mut faults = vec![Fault::Nothing; before];
            faults.push(fault);
            let deaths = run(&faults);
            let crashes = matches!(fault, Fault::CrashBefore | Fault::CrashAfter | Fault::CrashBeforeApply);
            assert_eq!(deaths, usize::from(crashes), "{fault:?} after {before}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_faults_in_any_order(faults in vec(proptest::sample::select(&FAULTS[..]), 0..8)) {
        run(&faults);
    }
}

#[test]
fn a_store_is_never_ahead_of_the_log() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", "count");
    running.settle();
    drop(running);
    let before = world.kept();
    for (fault, is_done) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true), (Fault::CrashBeforeApply, true)] {
        let mut running = world.open();
        running.settle();
        running.send("a", "delete x61");
        running.send("a", "put x61 x09");
        world.plan.get().faults.push_back(fault);
        assert!(running.try_settle().is_err());
        drop(running);
        assert_eq!(world.kept(), before, "{fault:?}");
        assert_eq!(world.restored() == before, !is_done, "{fault:?}");
        // Back to where it was, for the next.
        let mut running = world.open();
        running.send("a", "put x61 x0000000000000001");
        running.settle();
        drop(running);
        assert_eq!(world.kept(), before);
    }
}

#[test]
fn a_process_that_is_gone_costs_the_next_no_restore() {
    let world = World::new();
    let mut running = world.open();
    for _ in 0..3 {
        running.send("a", "count");
        running.settle();
    }
    let end = running.log.durable();
    drop(running);
    assert_eq!(world.stamp(), Some(end), "the stamp is in every batch");
    world.plan.get().restores.clear();
    let mut running = world.open();
    running.turn().expect("assigned");
    assert_eq!(world.plan.get().restores, [Some(end)]);
    assert_eq!(world.plan.get().restored, 0);
    drop(running);
}

#[test]
fn a_deleted_state_is_restored() {
    let world = World::new();
    let mut running = world.open();
    for _ in 0..3 {
        running.send("a", "count");
        running.settle();
    }
    drop(running);
    let before = world.kept();
    std::fs::remove_dir_all(world.path("state")).expect("deleted");
    let mut running = world.open();
    running.send("a", "count");
    running.settle();
    assert_eq!(running.outputs(), ["a=1", "a=2", "a=3", "a=4"]);
    drop(running);
    assert_eq!(before.len(), world.kept().len());
}
