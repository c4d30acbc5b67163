//! Idempotency keys in the embedded store: their removal. What every store does with them is in `claims/suite.rs`.

mod common;

use std::sync::atomic::Ordering;
use std::thread;

use common::{DAY_MS, NOW, World, wait};
use schemas::Timestamp;
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
fn uses_of_a_key_have_one_row_and_one_entry_by_time() {
    let world = World::new();
    let process = world.start();
    for (body, ms) in [(1, 0), (2, DAY_MS), (3, 5)] {
        remember(&process.store, "key", body, at(ms));
    }
    assert_eq!(process.dump().len(), 2);
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
