//! Opening: a store that does not fit its log, snapshots, and what is lost without them.

mod common;

use common::{Process, World, copy, day, id, noise, publish, wait};
use store::embedded::{Loss, OpenError};
use store::{Claims, ReadModel};
use streams::log::Limits;
use streams::retention::Keeper;

/// A log that begins later than at 0, and the rows of what it once said.
fn with_a_dropped_beginning(world: &World, snapshot: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut process = world.start();
    day(&process.log);
    process.catch_up();
    let dump = process.dump();
    if snapshot {
        assert_eq!(process.store.keep().expect("written"), Some(process.log.durable()));
    }
    // More than a segment holds, so that all of the day can go.
    for _ in 0..30 {
        publish(&process.log, vec![noise()]);
    }
    process.log.drop_before(process.store.applied_position()).expect("dropped");
    assert!(process.log.first() > 0);
    dump
}

fn lost(world: &World) -> String {
    match world.try_start(Loss::Refuse) {
        Err(error @ OpenError::Lost { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(process) => panic!("it opened at {}", process.store.applied_position()),
    }
}

fn finds(process: &Process, order: &str) -> bool {
    let view = wait(ReadModel::conversion(&process.store, id(order))).expect("read");
    let claim = wait(Claims::conversion(&process.store, id(order))).expect("read");
    assert_eq!(view.is_some(), claim.is_some());
    view.is_some()
}

#[test]
fn a_snapshot_stands_in_for_what_the_log_dropped() {
    let world = World::new();
    let expected = with_a_dropped_beginning(&world, true);
    world.wipe_state();
    let mut process = world.start();
    process.catch_up();
    assert_eq!(process.dump(), expected);
}

#[test]
fn a_snapshot_spares_the_replay_of_a_whole_log() {
    let world = World::new();
    let mut process = world.start();
    day(&process.log);
    process.catch_up();
    assert_eq!(process.store.kept().expect("read"), None);
    let (expected, position) = (process.dump(), process.store.keep().expect("written"));
    assert_eq!(process.store.kept().expect("read"), position);
    drop(process);
    world.wipe_state();
    let process = world.start();
    assert_eq!(Some(process.store.applied_position()), position);
    assert_eq!(process.dump(), expected);
}

#[test]
fn a_store_behind_the_logs_beginning_takes_the_snapshot() {
    let world = World::new();
    let early = World::new();
    let mut process = early.start();
    process.feeder.step(&Limits::default(), std::time::Duration::ZERO).expect("nothing to feed");
    drop(process);
    let expected = with_a_dropped_beginning(&world, true);
    world.wipe_state();
    copy(&early.path("state"), &world.path("state"));
    let mut process = world.start();
    process.catch_up();
    assert_eq!(process.dump(), expected);
}

#[test]
fn without_a_snapshot_the_loss_is_told_and_can_be_accepted() {
    let world = World::new();
    with_a_dropped_beginning(&world, false);
    world.wipe_state();
    let error = lost(&world);
    for part in ["there is none", "the log begins at", "read-0.snapshot", "accept the loss"] {
        assert!(error.contains(part), "{part:?} in {error}");
    }
    lost(&world);
    let mut process = world.try_start(Loss::Accept).expect("accepted");
    process.catch_up();
    assert!(!finds(&process, "A-2"));
    drop(process);
    world.start();
}

#[test]
fn a_damaged_snapshot_is_told_or_done_without() {
    let world = World::new();
    with_a_dropped_beginning(&world, true);
    let file = world.path("read-0.snapshot");
    let mut bytes = std::fs::read(&file).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    bytes.truncate(bytes.len() - 9);
    std::fs::write(&file, bytes).expect("written");
    world.wipe_state();
    assert!(lost(&world).contains("snapshot"));

    let whole = World::new();
    let mut process = whole.start();
    day(&process.log);
    process.catch_up();
    let expected = process.dump();
    drop(process);
    whole.wipe_state();
    copy_file(&world, &whole);
    let mut process = whole.start();
    process.catch_up();
    assert_eq!(process.dump(), expected, "the log has all of it");
}

fn copy_file(from: &World, to: &World) {
    std::fs::copy(from.path("read-0.snapshot"), to.path("read-0.snapshot")).expect("copied");
}

#[test]
fn a_store_or_a_snapshot_of_another_log_is_not_taken() {
    let other = World::new();
    with_a_dropped_beginning(&other, true);
    let world = World::new();
    copy(&other.path("state"), &world.path("state"));
    copy_file(&other, &world);
    let mut process = world.start();
    process.catch_up();
    assert_eq!(process.dump(), []);
    assert_eq!(process.store.applied_position(), process.log.durable());
}
