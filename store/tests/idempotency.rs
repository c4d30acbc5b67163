//! Idempotency keys: their age, their scope, their removal.

mod common;

use std::sync::atomic::Ordering;
use std::thread;

use common::{DAY_MS, NOW, World, keyed, message, publish, wait};
use schemas::Timestamp;
use schemas::topics::CONVERSIONS;
use store::{Claims, EmbeddedStore, IdempotencyScope};

fn scope(merchant_id: &str, livemode: bool) -> IdempotencyScope {
    IdempotencyScope { merchant_id: merchant_id.to_owned(), livemode }
}

fn at(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

fn remember(store: &EmbeddedStore, key: &str, body: u8, now: Timestamp) {
    wait(store.remember_idempotency(&scope("mer_one", true), key, [body; 16], now)).expect("remembered");
}

#[track_caller]
fn check(store: &EmbeddedStore, key: &str, now: Timestamp, expected: Option<u8>) {
    let found = wait(store.idempotency(&scope("mer_one", true), key, now)).expect("read");
    assert_eq!(found, expected.map(|body| [body; 16]), "{key} at {now}");
}

#[test]
fn a_key_is_remembered_for_a_day_to_the_millisecond() {
    let world = World::new();
    let process = world.start();
    remember(&process.store, "key", 1, at(0));
    check(&process.store, "key", at(0), Some(1));
    check(&process.store, "key", at(DAY_MS - 1), Some(1));
    check(&process.store, "key", at(DAY_MS), None);
    // A clock that was set back has not forgotten it.
    check(&process.store, "key", at(-1), Some(1));
    check(&process.store, "another", at(0), None);
}

#[test]
fn scopes_do_not_meet() {
    let world = World::new();
    let process = world.start();
    remember(&process.store, "key", 1, at(0));
    for other in [scope("mer_one", false), scope("mer_on", true), scope("mer_onek", true)] {
        assert_eq!(wait(process.store.idempotency(&other, "key", at(0))).expect("read"), None, "{other:?}");
    }
}

#[test]
fn the_latest_use_counts() {
    let world = World::new();
    let process = world.start();
    remember(&process.store, "key", 1, at(0));
    remember(&process.store, "key", 2, at(DAY_MS));
    remember(&process.store, "key", 3, at(5));
    check(&process.store, "key", at(DAY_MS), Some(2));
    assert_eq!(process.dump().len(), 2, "one row, one index entry");
}

#[test]
fn a_sweep_removes_exactly_the_expired() {
    let world = World::new();
    let process = world.start();
    for ms in 0..10 {
        remember(&process.store, &format!("key-{ms}"), 1, at(ms));
    }
    remember(&process.store, "key-0", 2, at(100));
    assert_eq!(process.store.sweep(at(DAY_MS - 1)).expect("swept"), 0);
    assert_eq!(process.store.sweep(at(DAY_MS + 4)).expect("swept"), 4);
    assert_eq!(process.dump().len(), 2 * 6);
    check(&process.store, "key-0", at(DAY_MS + 4), Some(2));
    check(&process.store, "key-5", at(DAY_MS + 4), Some(1));
    assert_eq!(process.store.sweep(at(2 * DAY_MS)).expect("swept"), 6);
    assert_eq!(process.dump(), []);
    assert_eq!(process.store.stats().keys_expired, 10);
}

#[test]
fn a_sweep_is_bounded_and_goes_on_where_it_ended() {
    let world = World::new();
    let process = world.start();
    for number in 0..2_100 {
        remember(&process.store, &format!("key-{number}"), 1, at(number % 3));
    }
    let sweeps = [1_000, 1_000, 100, 0];
    assert_eq!(sweeps.map(|_| process.store.sweep(at(DAY_MS + 3)).expect("swept")), sweeps);
    assert_eq!(process.dump(), []);
}

#[test]
fn keys_are_found_again_from_the_log_if_young() {
    let world = World::new();
    let mut process = world.start();
    let uses = [("old", 1, at(-DAY_MS)), ("young", 2, at(1 - DAY_MS)), ("young", 3, at(-10)), ("new", 4, at(0))];
    for (number, (key, body, when)) in uses.into_iter().enumerate() {
        let report = keyed(&format!("A-{number}"), "cnvevt_1", key, body, when);
        publish(&process.log, vec![message(CONVERSIONS, &report)]);
    }
    // The edge was faster with one of them.
    remember(&process.store, "young", 3, at(-10));
    process.catch_up();
    check(&process.store, "old", at(-1), None);
    check(&process.store, "young", at(0), Some(3));
    check(&process.store, "new", at(0), Some(4));
}

#[test]
fn the_feeder_sweeps_by_its_clock() {
    let world = World::new();
    let process = world.start();
    remember(&process.store, "key", 1, at(0));
    world.clock.0.store(NOW.0 + DAY_MS, Ordering::Relaxed);
    let (mut feeder, log) = (process.feeder, process.log);
    let fed = thread::spawn(move || feeder.run(&false.into()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while process.store.stats().keys_expired == 0 {
        assert!(std::time::Instant::now() < deadline, "nothing was swept");
        thread::sleep(std::time::Duration::from_millis(5));
    }
    log.close().expect("closed");
    fed.join().expect("no panic").expect("a log that was closed in order is no error");
}
