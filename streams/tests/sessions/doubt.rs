//! Commits of which nobody knows how they ended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use streams::kafka::SessionOptions;
use testkit::{Brokers, Kafka};

use crate::world::World;

const KEYS: usize = 20;

/// The coordinator falls silent while transactions are under way, for longer than anybody waits, and comes back: some
/// of them were committed and some were not, and each is looked up.
#[test]
fn a_silent_coordinator_loses_and_doubles_nothing() {
    let kafka = Kafka::start(Brokers::One);
    let mut world = World::on(&kafka, 4);
    world.options = SessionOptions {
        transaction_timeout: Duration::from_secs(1),
        commit_interval: Duration::ZERO,
        ..world.options.clone()
    };
    let worker = world.start("one");
    worker.await_ready(4);
    let (begun, over, sent) = (Instant::now(), AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                world.count(KEYS, 1);
                sent.fetch_add(1, Ordering::AcqRel);
            }
        });
        // As many as it takes until one has hit a commit: a transaction spends a small part of its time in it.
        while worker.stats.unknown.load(Ordering::Relaxed) < 2 && begun.elapsed() < Duration::from_secs(120) {
            thread::sleep(Duration::from_millis(37));
            kafka.stall(1);
            thread::sleep(Duration::from_millis(1_100));
            kafka.resume(1);
        }
        over.store(true, Ordering::Release);
    });
    assert!(worker.stats.unknown.load(Ordering::Relaxed) > 0, "no stall has hit a commit: {:?}", worker.stats);
    world.check_counts(KEYS, sent.load(Ordering::Acquire));
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
