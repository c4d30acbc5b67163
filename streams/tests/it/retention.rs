//! Segments go once nobody needs them, and what was made from them is there all the same.

use std::fs;
use std::time::{Duration, SystemTime};

use streams::embedded::Options;
use streams::log::Limits;
use streams::retention::{Keeper, round};
use streams::{DriverError, Polled, Session, StoreError};

use crate::toy::{IN, NAME, OUT};
use crate::world::{Running, T0, World, copy, rows};

const AGE: Duration = Duration::from_secs(3_600);

fn world() -> World {
    let options = Options { segment_bytes_max: 600, idle_bytes_max: 200, ..Options::default() };
    World { options, ..World::new() }
}

/// Many segments, with a timer that is not due and rows that are written once, early.
fn filled(world: &World) -> Running {
    let mut running = world.open();
    running.send("early", &format!("count;timer {} late", T0 + 1_000));
    running.settle();
    for number in 0..40 {
        running.send(["a", "b"][number % 2], "count");
        running.settle();
    }
    running
}

fn keepers(running: &Running) -> Vec<Box<dyn Keeper>> {
    vec![Box::new(running.stores.clone())]
}

/// When everything that is there is old.
fn later() -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "the files of the log have the times of the system's clock")]
    let now = SystemTime::now();
    now + 2 * AGE
}

fn dropped(running: &Running) -> u64 {
    round(&running.log, &keepers(running), AGE, later()).expect("a round")
}

#[test]
fn segments_go_and_the_state_is_there_all_the_same() {
    let world = world();
    let running = filled(&world);
    let before = rows(&running.stores);
    let bytes = running.log.durable();
    let freed = dropped(&running);
    assert!(freed > 0 && running.log.first() == freed);
    assert!(
        running.log.bytes_on_disk() < bytes / 4,
        "all but the newest go: {} of {bytes}",
        running.log.bytes_on_disk()
    );
    drop(running);
    fs::remove_dir_all(world.path("state")).expect("deleted");
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores), before);
    running.send("early", "count");
    running.settle();
    running.settle_at(T0 + 1_000);
    assert!(running.outputs().ends_with(&["early=2".to_owned(), format!("fired late {}", T0 + 1_000)]));
}

#[test]
fn what_is_not_old_stays() {
    let world = world();
    let running = filled(&world);
    let young = later() - 2 * AGE;
    assert_eq!(round(&running.log, &keepers(&running), AGE, young).expect("a round"), 0);
    assert_eq!(round(&running.log, &keepers(&running), AGE, SystemTime::UNIX_EPOCH).expect("a round"), 0);
    assert!(!world.path("snapshots/toy-0.snapshot").exists(), "no snapshot is written for nothing");
}

#[test]
fn what_a_consumer_has_not_read_stays() {
    let world = world();
    let mut running = world.open();
    // It has changes that a snapshot could stand for, in the segment that it has not passed.
    running.send("a", "count");
    running.settle();
    for _ in 0..40 {
        running.send("a", "count");
    }
    assert_eq!(dropped(&running), 0);
    assert!(!world.path("snapshots/toy-0.snapshot").exists(), "no snapshot is written for nothing");
    running.settle();
    assert!(dropped(&running) > 0);
}

/// One that says where it is.
struct Fixed {
    kept: Option<u64>,
    keep: Result<Option<u64>, ()>,
    consumer: Option<&'static str>,
}

impl Keeper for Fixed {
    fn consumer(&self) -> Option<&str> {
        self.consumer
    }
    fn kept(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.kept)
    }
    fn keep(&self) -> Result<Option<u64>, StoreError> {
        self.keep.map_err(|()| StoreError { context: "a test", message: "the disk is full".to_owned() })
    }
}

#[test]
fn what_a_keeper_needs_stays() {
    let world = world();
    let running = filled(&world);
    let third = running.log.segments().expect("segments")[2];
    let with = |keeper: Fixed| {
        let keepers: Vec<Box<dyn Keeper>> = vec![Box::new(running.stores.clone()), Box::new(keeper)];
        round(&running.log, &keepers, AGE, later())
    };
    let all = Fixed { kept: None, keep: Ok(None), consumer: None };
    assert_eq!(with(all).expect("a round"), 0, "one without a snapshot needs everything");
    let failed = Fixed { kept: Some(third.start), keep: Err(()), consumer: None };
    assert!(with(failed).is_err());
    assert_eq!(running.log.first(), 0);
    let behind = Fixed { kept: None, keep: Ok(Some(third.end - 1)), consumer: None };
    assert_eq!(with(behind).expect("a round"), third.start);
    let idle = Fixed { kept: None, keep: Ok(None), consumer: Some("nobody") };
    assert!(with(idle).expect("a round") > third.end, "one whose consumer changed nothing needs nothing");
}

#[test]
fn an_idle_consumer_holds_nothing() {
    let world = world();
    let mut running = filled(&world);
    let mut idle = running.log.session("idle", &[IN]);
    assert!(matches!(idle.poll(&Limits::default(), Duration::ZERO), Ok(Polled::Assigned(_))));
    assert_eq!(dropped(&running), 0, "it has read nothing yet");
    while let Ok(Polled::Records(_)) = idle.poll(&Limits::default(), Duration::ZERO) {
        assert!(matches!(idle.commit(&streams::Step::default()), streams::Commit::Committed(_)));
    }
    assert!(dropped(&running) > 0);
    // From here on the toy finds nothing: its stamp stays behind, and the log goes on.
    running.settle();
    let stamp = rows(&running.stores);
    let mut other = running.log.session("other", &[OUT]);
    for _ in 0..40 {
        let message = streams::Message { topic: OUT, key: Vec::new(), value: vec![0; 100] };
        let pending = streams::Publisher::publish(&running.log, vec![message]).expect("room");
        crate::world::wait(pending).expect("durable");
        running.settle();
        let _ = idle.poll(&Limits::default(), Duration::ZERO).expect("readable");
        while !matches!(other.poll(&Limits::default(), Duration::ZERO), Ok(Polled::Nothing)) {
            let _ = other.commit(&streams::Step::default());
        }
    }
    let first = running.log.first();
    assert!(dropped(&running) > 0 && running.log.first() > first);
    assert!(running.log.consumers().iter().all(|consumer| consumer.input >= running.log.first()));
    drop((running, idle, other));
    fs::remove_dir_all(world.path("state")).expect("deleted");
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores), stamp);
}

#[test]
fn lost_state_is_told_and_not_taken_for_empty() {
    let world = world();
    let running = filled(&world);
    dropped(&running);
    let first = running.log.first();
    drop(running);
    let snapshot = world.path("snapshots/toy-0.snapshot");
    let whole = fs::read(&snapshot).expect("a snapshot");
    let damaged = [&whole[..whole.len() - 1], &[7]].concat();
    for (bytes, what) in [(None, "no snapshot"), (Some(&damaged), "rows are missing"), (Some(&Vec::new()), "reading")] {
        fs::remove_dir_all(world.path("state")).expect("deleted");
        match bytes {
            None => fs::remove_file(&snapshot).expect("removed"),
            Some(bytes) => fs::write(&snapshot, bytes).expect("written"),
        }
        // Again and again: a failed start leaves nothing that the next would believe.
        for _ in 0..3 {
            let mut running = world.open();
            let error = running.try_settle().expect_err("it is lost");
            assert!(
                matches!(&error, DriverError::Lost { processor: NAME, partition: 0, first: it, .. } if *it == first)
            );
            let message = error.to_string();
            assert!(message.contains("toy-0.snapshot of a backup"), "{message}");
            assert!(bytes.is_some_and(|bytes| *bytes == damaged) || message.contains(what), "{message}");
        }
    }
    fs::write(&snapshot, whole).expect("the backup is put in place");
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores).len(), 4);
}

#[test]
fn a_damaged_snapshot_is_done_without_while_the_log_has_everything() {
    let world = world();
    let running = filled(&world);
    let before = rows(&running.stores);
    running.stores.keep().expect("written");
    drop(running);
    let snapshot = world.path("snapshots/toy-0.snapshot");
    let mut bytes = fs::read(&snapshot).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).expect("written");
    fs::remove_dir_all(world.path("state")).expect("deleted");
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores), before);
    // And nothing is dropped on its word: it is written again first.
    assert!(dropped(&running) > 0);
    drop(running);
    fs::remove_dir_all(world.path("state")).expect("deleted");
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores), before);
}

#[test]
fn a_store_that_fell_behind_the_log_is_rebuilt() {
    let world = world();
    let mut running = world.open();
    running.send("a", "count");
    running.settle();
    drop(running);
    copy(&world.path("state"), &world.path("old"));
    let running = filled(&world);
    let before = rows(&running.stores);
    dropped(&running);
    drop(running);
    fs::remove_dir_all(world.path("state")).expect("deleted");
    fs::rename(world.path("old"), world.path("state")).expect("renamed");
    assert!(world.stamp().is_some());
    let mut running = world.open();
    running.settle();
    assert_eq!(rows(&running.stores), before);
}
