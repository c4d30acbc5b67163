//! Requests and answers that get lost, and brokers that do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use streams::kafka::{SessionOptions, SessionStats};
use testkit::{Api, Brokers, Fault, Kafka, Proxy};

use crate::world::{Worker, World};

const KEYS: usize = 20;
/// Longer than a session waits for a step to end.
const LONG: Duration = Duration::from_secs(6);

/// After a fault is over, whatever it had led to has happened within this time.
const SETTLED: Duration = Duration::from_secs(2);

/// One broker for all tests here, and the proxy before it.
fn behind_proxy() -> &'static (Kafka, Proxy) {
    static BEHIND_PROXY: OnceLock<(Kafka, Proxy)> = OnceLock::new();
    BEHIND_PROXY.get_or_init(Kafka::start_behind_proxy)
}

/// Topics behind the proxy, and a session whose patience does not outlast a fault of this length.
fn world(held_off: Duration) -> World {
    let mut world = World::on(&behind_proxy().0, 2);
    let transaction_timeout = Duration::from_secs(if held_off.is_zero() { 30 } else { 2 });
    world.options = SessionOptions { transaction_timeout, commit_interval: Duration::ZERO, ..world.options.clone() };
    world
}

fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(2));
    }
}

fn got(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Lets a fault happen to the first step of a worker: everything is counted once, and so is what comes after it. What the
/// session made of it is seen when all is counted, and the fault is over.
#[track_caller]
fn check_step(api: Api, fault: Fault, held_off: Duration, seen: impl Fn(&SessionStats)) {
    let (world, proxy) = (world(held_off), &behind_proxy().1);
    let worker = world.start("one");
    worker.await_ready(2);
    let injected = proxy.inject(api, &world.prefix, fault, held_off);
    let begun = Instant::now();
    world.send([("k0".to_owned(), "count".to_owned())]);
    await_that("the fault", || proxy.hits(injected) > 0);
    world.check_counts(1, 1);
    thread::sleep((held_off + SETTLED).saturating_sub(begun.elapsed()));
    worker.await_ready(2);
    seen(&worker.stats);
    // Of all keys, the first was counted already.
    world.send((1..KEYS).map(|number| (format!("k{number}"), "count".to_owned())));
    world.check_counts(KEYS, 1);
    worker.stop();
}

/// Checks the loss of requests and of answers of each kind, side by side: they wait for the most part.
fn at_once(apis: &[Api], check: impl Fn(Api, Fault) + Sync) {
    thread::scope(|scope| {
        for (api, fault) in apis.iter().flat_map(|api| [(*api, Fault::LoseRequest), (*api, Fault::LoseAnswer)]) {
            let check = &check;
            scope.spawn(move || check(api, fault));
        }
    });
}

/// What was committed unseen is found to be so, and nothing is done again.
#[test]
fn a_commit_that_was_done_and_not_answered_for() {
    check_step(Api::EndTxn, Fault::LoseAnswer, LONG, |stats| {
        assert!(got(&stats.unknown) == 1 && got(&stats.commits) == 0 && got(&stats.aborts) == 0, "{stats:?}");
    });
}

/// What was not committed is found to be so, and done again.
///
/// The client repeats a lost request by itself, so the last attempt's may pass when the fault is over, and be answered for
/// after the session has given up: then it is found to be committed, and no commit is counted.
#[test]
fn a_commit_that_nobody_heard_of() {
    check_step(Api::EndTxn, Fault::LoseRequest, LONG, |stats| {
        let (commits, unknown) = (got(&stats.commits), got(&stats.unknown));
        let again = commits == 1 && unknown >= 1;
        let in_doubt_to_the_last = commits == 0 && unknown >= 2;
        assert!((again || in_doubt_to_the_last) && got(&stats.records) == commits, "{stats:?}");
    });
}

/// Lost once and asked for again by the client, a commit is none the worse for it.
#[test]
fn a_commit_that_is_asked_for_twice() {
    check_step(Api::EndTxn, Fault::LoseAnswer, Duration::ZERO, |stats| {
        assert!(got(&stats.commits) == 1 && got(&stats.unknown) == 0 && got(&stats.aborts) == 0, "{stats:?}");
    });
}

/// Before the commit is asked for, nothing is in doubt.
#[test]
fn what_is_lost_before_the_commit_is_aborted() {
    at_once(&[Api::Produce, Api::AddOffsetsToTxn, Api::TxnOffsetCommit], |api, fault| {
        check_step(api, fault, LONG, |stats| {
            let commits = (got(&stats.commits), got(&stats.records));
            assert!(got(&stats.aborts) >= 1 && got(&stats.unknown) == 0 && commits == (1, 1), "{api:?}: {stats:?}");
        });
    });
}

#[test]
fn what_is_lost_once_before_the_commit_is_asked_for_again() {
    at_once(&[Api::Produce, Api::AddOffsetsToTxn, Api::TxnOffsetCommit], |api, fault| {
        check_step(api, fault, Duration::ZERO, |stats| {
            let ends = (got(&stats.commits), got(&stats.unknown), got(&stats.aborts));
            assert_eq!(ends, (1, 0, 0), "{api:?}: {stats:?}");
        });
    });
}

/// Lets a fault happen to a worker that starts; it works in the end.
#[track_caller]
fn check_start(api: Api, fault: Fault, held_off: Duration) -> Worker {
    let (world, proxy) = (world(held_off), &behind_proxy().1);
    let injected = proxy.inject(api, &world.prefix, fault, held_off);
    world.count(KEYS, 1);
    let worker = world.start("one");
    await_that("the fault", || proxy.hits(injected) > 0);
    world.check_counts(KEYS, 1);
    world.count(KEYS, 1);
    world.check_counts(KEYS, 2);
    worker
}

#[test]
fn a_start_whose_answers_are_lost() {
    at_once(&[Api::InitProducerId, Api::JoinGroup], |api, fault| {
        check_start(api, fault, Duration::from_secs(1)).stop();
    });
}

/// A request to join that comes a second time, from a connection that is gone, makes a member that nobody is, and the
/// worker is fenced by it: it joins again once that one is gone.
#[test]
fn a_worker_fenced_by_its_own_ghost_joins_again() {
    let worker = check_start(Api::JoinGroup, Fault::Repeat, Duration::ZERO);
    assert_eq!(got(&worker.stats.fencings), 1, "{:?}", worker.stats);
    worker.stop();
}

#[test]
fn a_killed_broker_loses_and_doubles_nothing() {
    let kafka = Kafka::start(Brokers::One);
    let world = World::on(&kafka, 4);
    let worker = world.start("one");
    worker.await_ready(4);
    for _ in 0..3 {
        world.count(KEYS, 40);
        kafka.kill(1);
        thread::sleep(Duration::from_millis(300));
        kafka.start_node(1);
    }
    world.check_counts(KEYS, 120);
    worker.stop();
}
