//! Commits of which nobody knows how they ended.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use streams::kafka::SessionOptions;
use testkit::{Brokers, Kafka};

use crate::world::World;

const KEYS: usize = 50;
const TIMES: usize = 2_000;

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
    let unknown = || worker.stats.unknown.load(Ordering::Relaxed);
    let begun = Instant::now();
    let mut sent = 0;
    let mut stalls = 0_u64;
    // At least a few stalls, and more until one has hit a commit.
    while stalls < 6 || unknown() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(150), "{stalls} stalls have hit no commit: {:?}", worker.stats);
        assert!(sent < TIMES, "the test has sent all it may");
        let times = 20.min(TIMES - sent);
        world.count(KEYS, times);
        sent += times;
        thread::sleep(Duration::from_millis(stalls * 7 % 40));
        kafka.stall(1);
        thread::sleep(Duration::from_millis(1_200));
        kafka.resume(1);
        stalls += 1;
    }
    world.check_counts(KEYS, sent);
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
