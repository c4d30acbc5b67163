//! Timers: when they fire, in which order, and that each does once, whatever happens in between.

use std::sync::atomic::Ordering;

use crate::faults::Fault;
use crate::world::{Running, T0, World};

const SECOND: i64 = 1_000;

fn fired_at(now_ms: i64, keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| format!("{key} {now_ms}")).collect()
}

fn steps(running: &Running) -> u64 {
    running.driver.progress().steps.load(Ordering::Relaxed)
}

#[test]
fn they_fire_in_order_and_to_the_millisecond() {
    let world = World::new();
    let mut running = world.open();
    let (first, second) = (T0 + SECOND, T0 + 2 * SECOND);
    running.send("a", &format!("timer {second} late;timer {first} b;timer {first} a;timer {} next", first + 1));
    running.settle_at(first - 1);
    assert_eq!(running.fired(), fired_at(0, &[]));
    running.settle_at(first);
    assert_eq!(running.fired(), fired_at(first, &["a", "b"]));
    running.settle_at(first + 1);
    assert_eq!(running.fired().last(), fired_at(first + 1, &["next"]).last());
    let before = steps(&running);
    running.settle_at(second - 1);
    assert_eq!(steps(&running), before, "nothing is due, and nothing is committed");
    running.settle_at(second + 5);
    assert_eq!(running.fired().last(), fired_at(second + 5, &["late"]).last());
    running.settle_at(second + SECOND);
    assert_eq!(running.fired().len(), 4);
    assert_eq!(running.driver.progress().timers.load(Ordering::Relaxed), 4);
    drop(running);
    assert_eq!(world.kept(), []);
}

#[test]
fn several_due_at_once_fire_in_the_order_of_their_times() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", &format!("timer {} c;timer {} a;timer {} b;timer {} z", T0 + 3, T0 + 3, T0 + 5, T0 + 1));
    running.settle_at(T0 + 10);
    assert_eq!(running.fired(), fired_at(T0 + 10, &["z", "a", "c", "b"]));
}

#[test]
fn one_in_the_past_fires_at_once() {
    let world = World::new();
    let mut running = world.open();
    running.settle();
    running.send("a", &format!("timer {} past;timer -5 before-the-epoch;timer 0 epoch;timer {T0} now", T0 - 1));
    running.settle();
    assert_eq!(running.fired(), fired_at(T0, &["before-the-epoch", "epoch", "past", "now"]));
    running.send("a", &format!("timer {} older", T0 - SECOND));
    running.settle();
    assert_eq!(running.fired().last(), fired_at(T0, &["older"]).last());
}

#[test]
fn one_at_the_end_of_time_never_fires() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", &format!("timer {} end;timer {} soon", i64::MAX, T0 + 1));
    running.settle_at(T0 + 1);
    running.settle_at(i64::MAX);
    assert_eq!(running.fired(), fired_at(T0 + 1, &["soon"]));
}

#[test]
fn one_that_is_cleared_does_not_fire() {
    let world = World::new();
    let mut running = world.open();
    let due = T0 + SECOND;
    // In the same record, in the same step, in a later step; and only the one of this time and key.
    running.send("a", &format!("timer {due} a;clear {due} a;timer {due} b;timer {due} c;timer {due} d"));
    running.send("a", &format!("clear {due} b;clear {} d;clear {due} e", due + 1));
    running.settle();
    running.send("a", &format!("clear {due} c"));
    running.settle();
    running.settle_at(due);
    assert_eq!(running.fired(), fired_at(due, &["d"]));
}

#[test]
fn one_that_another_clears_does_not_fire_even_in_the_same_step() {
    let world = World::new();
    let mut running = world.open();
    let due = T0 + SECOND;
    let (clear, set) = (format!("clear:{due}:b"), format!("timer:{due}:c"));
    running.send("a", &format!("timer {} {clear};timer {due} b;timer {due} c;timer {} {set}", due - 1, due - 1));
    running.settle_at(due);
    assert_eq!(running.fired(), fired_at(due, &[&clear, &set, "c"]));
    running.settle_at(due + 1);
    assert_eq!(running.fired().len(), 3);
}

#[test]
fn one_that_sets_itself_again_fires_again_in_the_next_step() {
    let world = World::new();
    let mut running = world.open();
    let again = format!("again:{}:3", T0 + 1);
    running.send("a", &format!("timer {} {again}", T0 + 1));
    running.settle();
    let before = steps(&running);
    running.settle_at(T0 + 1);
    assert_eq!(running.fired(), vec![format!("{again} {}", T0 + 1); 3]);
    assert_eq!(steps(&running), before + 3);
    running.settle_at(T0 + 2);
    assert_eq!(running.fired().len(), 3);
}

#[test]
fn thousands_due_at_once_fire_in_several_steps() {
    let world = World::new();
    let mut running = world.open();
    for group in 0..5 {
        let set: String = (0..1_000).map(|number| format!("timer {} {group}{number:03};", T0 + 1)).collect();
        running.send("a", &set);
    }
    running.settle();
    let (before, progress) = (steps(&running), running.driver.progress());
    running.at(T0 + 1);
    running.turn().expect("nothing goes wrong");
    assert_eq!(progress.timers.load(Ordering::Relaxed), 2_000);
    running.settle();
    assert_eq!(steps(&running), before + 3);
    let expected: Vec<String> = (0..5_000).map(|number| format!("{number:04} {}", T0 + 1)).collect();
    assert_eq!(running.fired(), expected);
    running.settle_at(T0 + 2);
    assert_eq!(running.fired().len(), 5_000);
}

#[test]
fn they_survive_a_restart_and_the_loss_of_the_store() {
    let world = World::new();
    let mut running = world.open();
    for (number, lose) in [(1, false), (2, true)] {
        let (soon, later) = (T0 + number * 10, T0 + number * 10 + 5);
        running.send("a", &format!("timer {soon} s{number};timer {later} l{number}"));
        running.settle_at(soon);
        drop(running);
        if lose {
            std::fs::remove_dir_all(world.path("state")).expect("deleted");
        }
        running = world.open();
        running.settle();
        running.settle_at(later);
        let expected = [fired_at(soon, &[&format!("s{number}")]), fired_at(later, &[&format!("l{number}")])].concat();
        assert!(running.fired().ends_with(&expected), "{:?}", running.fired());
        assert_eq!(running.fired().len(), usize::try_from(number * 2).expect("small"));
    }
}

#[test]
fn one_that_became_due_while_nobody_ran_fires_at_the_start() {
    let world = World::new();
    for (number, lose) in [(1, false), (2, true)] {
        let mut running = world.open();
        running.send("a", &format!("timer {} t{number}", T0 + number * 10));
        running.settle();
        running.at(T0 + number * 10 + 5);
        drop(running);
        if lose {
            std::fs::remove_dir_all(world.path("state")).expect("deleted");
        }
        let mut running = world.open();
        running.settle();
        assert_eq!(running.fired().last(), fired_at(T0 + number * 10 + 5, &[&format!("t{number}")]).last());
        assert_eq!(running.fired().len(), usize::try_from(number).expect("small"));
    }
}

#[test]
fn those_of_a_step_that_was_not_committed_fire_again() {
    for fault in [Fault::Aborted, Fault::UnknownUndone, Fault::UnknownDone] {
        let world = World::new();
        let mut running = world.open();
        running.send("a", &format!("timer {} a;timer {} b;timer {} c", T0 + 1, T0 + 2, T0 + 9));
        running.settle();
        world.plan.get().faults.extend([fault, fault]);
        running.settle_at(T0 + 5);
        assert_eq!(running.fired(), fired_at(T0 + 5, &["a", "b"]), "{fault:?}");
        running.settle_at(T0 + 9);
        assert_eq!(running.fired().len(), 3, "{fault:?}");
    }
}

#[test]
fn a_clock_that_goes_back_loses_none() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", &format!("timer {} first", T0 + SECOND));
    running.settle_at(T0 + 2 * SECOND);
    assert_eq!(running.fired().len(), 1);
    running.at(T0 + 500);
    running.send("a", &format!("timer {} second;timer {} third", T0 + 700, T0 + 2 * SECOND));
    running.settle();
    assert_eq!(running.fired().len(), 1);
    running.settle_at(T0 + 700);
    assert_eq!(running.fired().last(), fired_at(T0 + 700, &["second"]).last());
    running.settle_at(T0 + 2 * SECOND);
    assert_eq!(running.fired().last(), fired_at(T0 + 2 * SECOND, &["third"]).last());
    assert_eq!(running.fired().len(), 3);
}

#[test]
fn a_scan_does_not_walk_over_those_that_fired() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", &format!("timer {} a;timer {} b", T0 + 1, T0 + 9));
    running.settle_at(T0 + 5);
    running.settle_at(T0 + 6);
    world.plan.get().scans.clear();
    running.settle_at(T0 + 9);
    let from = |now_ms: i64| [b"t".to_vec(), now_ms.to_be_bytes().to_vec()].concat();
    assert_eq!(world.plan.get().scans.first(), Some(&from(T0 + 5)));
    assert_eq!(running.fired().len(), 2);
    // What is set before that is found all the same.
    running.send("a", &format!("timer {} c", T0 + 2));
    running.settle();
    assert_eq!(running.fired().len(), 3);
}
