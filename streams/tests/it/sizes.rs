//! A step that is too large for one frame is done in smaller ones.

use std::sync::atomic::Ordering;

use streams::embedded::Options;
use streams::{DriverError, LogError};

use crate::world::{Running, T0, World};

fn world() -> World {
    let options = Options { frame_bytes_max: 64 << 10, ..Options::default() };
    World { options, ..World::new() }
}

/// What one processor writes in a step, another has to take in one: it may write several times as much as it reads, and has
/// more room for that.
#[test]
fn a_frame_of_many_records_is_taken_whole() {
    let options = Options { group_bytes_max: 16 << 10, frame_bytes_max: 256 << 10, ..Options::default() };
    let world = World { options, ..World::new() };
    let mut running = world.open();
    running.send_all(&[("a", "count;pad 4000"); 40]);
    running.settle();
    let counts: Vec<String> = running.outputs().into_iter().filter(|output| output.starts_with("a=")).collect();
    assert_eq!(counts, (1..=40).map(|count| format!("a={count}")).collect::<Vec<_>>());
    assert!(retries(&running) > 0, "it was tried in less room first");
}

fn retries(running: &Running) -> u64 {
    running.driver.progress().retries.load(Ordering::Relaxed)
}

#[test]
fn a_step_of_too_many_records_is_divided() {
    let world = world();
    let mut running = world.open();
    for _ in 0..100 {
        running.send("a", "count;pad 4000");
    }
    running.settle();
    let counts: Vec<String> = running.outputs().into_iter().filter(|output| output.starts_with("a=")).collect();
    assert_eq!(counts, (1..=100).map(|count| format!("a={count}")).collect::<Vec<_>>());
    assert!(retries(&running) > 0);
    // Small ones do not pay for it for ever.
    for _ in 0..15 {
        running.send("b", "count");
        running.settle();
    }
    let steps = || running.driver.progress().steps.load(Ordering::Relaxed);
    let (before, progress) = (steps(), running.driver.progress());
    for _ in 0..1_000 {
        running.send("b", "count");
    }
    running.settle();
    assert_eq!(progress.steps.load(Ordering::Relaxed), before + 1);
}

#[test]
fn a_step_of_too_many_timers_is_divided() {
    let world = world();
    let mut running = world.open();
    for group in 0..10 {
        let set: String = (0..10).map(|number| format!("timer {} pad:400{group}{number};", T0 + 1)).collect();
        running.send("a", &set);
    }
    running.settle();
    running.settle_at(T0 + 1);
    let expected: Vec<String> = (0..100).map(|number| format!("pad:400{number:02} {}", T0 + 1)).collect();
    assert_eq!(running.fired(), expected);
    assert!(retries(&running) > 0);
}

#[test]
fn timers_and_records_that_fit_a_frame_alone_go_alone() {
    let world = world();
    let mut running = world.open();
    running.send("a", &format!("timer {} pad:40000", T0 + 1));
    running.settle();
    running.send("a", "count;pad 40000");
    running.settle_at(T0 + 1);
    assert_eq!(running.fired().len(), 1);
    assert_eq!(running.outputs().iter().filter(|output| *output == "a=1").count(), 1);
}

#[test]
fn a_record_that_fits_no_frame_stops_the_worker() {
    let world = world();
    let mut running = world.open();
    running.send("a", "count");
    running.send("a", "count;pad 70000");
    running.send("a", "count");
    match running.try_settle() {
        Err(DriverError::Log(LogError::TooLarge { bytes, bytes_max })) => {
            assert!(bytes > 70_000 && bytes_max == 64 << 10);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(running.outputs(), ["a=1"]);
    drop(running);
    // With a larger bound it goes on where it was.
    let world = World { options: Options::default(), ..world };
    let mut running = world.open();
    running.settle();
    let counts: Vec<String> = running.outputs().into_iter().filter(|output| output.starts_with("a=")).collect();
    assert_eq!(counts, ["a=1", "a=2", "a=3"]);
}
