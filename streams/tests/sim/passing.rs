//! What retention takes of a topic whose last record is followed by ends of transactions.

use std::time::Duration;

use streams::kafka::SessionOptions;
use streams::kafka::client::{Clients as _, Outgoing, ProducerClient as _};
use streams::sim::{Cluster, SimProducer};

use crate::races::{Worker, cluster, offset, outputs, run, worker, worker_with};
use crate::toy::IN;

const WAIT: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3_600);

/// A producer of transactions, which has taken its id over.
fn producer(cluster: &Cluster) -> SimProducer {
    let options = SessionOptions { transaction_timeout: HOUR, ..SessionOptions::default() };
    let producer = cluster.process("upstream").clients().producer("upstream", &options);
    let producer = producer.expect("a producer");
    producer.init(WAIT).map_err(|refused| refused.error).expect("taken over");
    producer
}

/// Writes a `count` to the input in a transaction, and leaves that open.
fn open(cluster: &Cluster, producer: &SimProducer) {
    producer.begin().expect("begun");
    let record = Outgoing { topic: IN.name, partition: None, key: b"k", value: Some(b"count"), is_change: false };
    producer.send(record).expect("there is room");
    while producer.in_flight() > 0 {
        producer.poll();
        producer.pause();
    }
    cluster.advance(Duration::from_millis(10));
}

/// Writes a `count` and commits it: a record and a marker.
fn send(cluster: &Cluster, producer: &SimProducer) {
    open(cluster, producer);
    producer.commit(WAIT).map_err(|refused| refused.error).expect("committed");
    cluster.advance(Duration::from_secs(1));
}

fn end(cluster: &Cluster) -> u64 {
    cluster.marks(IN.name, 0).2
}

/// Has retention take all of the input.
fn expire(cluster: &Cluster) {
    cluster.delete_before(IN.name, 0, end(cluster));
    assert_eq!(cluster.marks(IN.name, 0), (end(cluster), end(cluster), end(cluster)));
}

/// Takes turns for so long.
fn idle(cluster: &Cluster, (_, driver): &mut Worker, time: Duration) {
    let until = cluster.now() + time;
    while cluster.now() < until {
        driver.turn().expect("a turn");
    }
}

/// What a worker fails with.
fn failure(cluster: &Cluster, (_, driver): &mut Worker) -> String {
    let until = cluster.now() + Duration::from_secs(60);
    loop {
        assert!(cluster.now() < until, "it was to fail\n{}", cluster.history().join("\n"));
        if let Err(error) = driver.turn() {
            return error.to_string();
        }
    }
}

#[test]
fn a_quiet_topic_may_expire_up_to_its_end() {
    let cluster = cluster();
    let producer = producer(&cluster);
    send(&cluster, &producer);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 2);
    assert_eq!((offset(&cluster), end(&cluster)), (Some(2), 2), "a record and a marker");
    one.0.crash();
    expire(&cluster);
    let mut one = worker(&cluster, "one");
    send(&cluster, &producer);
    run(&cluster, &mut one, 4);
    assert_eq!(outputs(&cluster), ["k=1", "k=2"]);
}

/// An aborted transaction is passed like the end of one, also where nothing was ever consumed.
#[test]
fn what_was_aborted_is_passed() {
    let cluster = cluster();
    let producer = producer(&cluster);
    open(&cluster, &producer);
    producer.abort(WAIT).expect("aborted");
    cluster.advance(Duration::from_secs(1));
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 2);
    assert_eq!(offset(&cluster), Some(2));
    one.0.crash();
    expire(&cluster);
    send(&cluster, &producer);
    run(&cluster, &mut worker(&cluster, "one"), 4);
    assert_eq!(outputs(&cluster), ["k=1"]);
}

#[test]
fn an_open_transaction_is_not_passed() {
    let cluster = cluster();
    let producer = producer(&cluster);
    send(&cluster, &producer);
    open(&cluster, &producer);
    let mut one = worker(&cluster, "one");
    idle(&cluster, &mut one, Duration::from_secs(60));
    assert_eq!(offset(&cluster), Some(2));
    producer.commit(WAIT).map_err(|refused| refused.error).expect("committed");
    run(&cluster, &mut one, 4);
    assert_eq!(outputs(&cluster), ["k=1", "k=2"]);
}

/// What was not consumed and is no longer there is told, with its place, by every start.
#[test]
fn a_loss_is_an_error() {
    let cluster = cluster();
    let producer = producer(&cluster);
    send(&cluster, &producer);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 2);
    one.0.crash();
    send(&cluster, &producer);
    expire(&cluster);
    for _ in 0..2 {
        let error = failure(&cluster, &mut worker(&cluster, "one"));
        assert!(error.contains("in/0 begins at 4, and the group toy has read it up to 2 only"), "{error}");
    }
    assert_eq!(offset(&cluster), Some(2));
}

/// One that is killed before it says that it has passed a marker is told apart from a loss by nobody but its operator.
#[test]
fn one_that_is_killed_too_soon_says_what_to_do() {
    let cluster = cluster();
    send(&cluster, &producer(&cluster));
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    one.0.crash();
    expire(&cluster);
    let error = failure(&cluster, &mut worker(&cluster, "one"));
    assert!(error.contains("set the offset to 2 with kafka-consumer-groups.sh"), "{error}");
}

#[test]
fn one_that_stops_says_at_once_what_it_has_passed() {
    let cluster = cluster();
    send(&cluster, &producer(&cluster));
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    idle(&cluster, &mut one, Duration::from_secs(1));
    assert_eq!(offset(&cluster), Some(1));
    one.1.finish();
    cluster.advance(Duration::from_secs(1));
    assert_eq!(offset(&cluster), Some(2));
}

/// It comes to an end, and is no more work than it has to be: one step in each interval, if there is something.
#[test]
fn passing_is_seldom_and_makes_nothing_to_pass() {
    let cluster = cluster();
    let producer = producer(&cluster);
    let options = SessionOptions { pass_interval: Duration::from_secs(60), ..SessionOptions::default() };
    let (mut one, stats) = worker_with(&cluster, "one", options);
    let commits = || stats.commits.load(std::sync::atomic::Ordering::Relaxed);
    run(&cluster, &mut one, 0);
    let begun = cluster.now();
    while cluster.now() < begun + 600 * Duration::from_secs(1) {
        send(&cluster, &producer);
        idle(&cluster, &mut one, Duration::from_secs(10));
    }
    let (records, all) = (outputs(&cluster).len() as u64, commits());
    assert!(records >= 50, "{records}");
    assert!((records..=records + 11).contains(&all), "{all} commits of {records} records");
    idle(&cluster, &mut one, Duration::from_secs(120));
    let settled = (commits(), offset(&cluster));
    assert_eq!(settled.1, Some(end(&cluster)));
    idle(&cluster, &mut one, HOUR);
    assert_eq!((commits(), offset(&cluster)), settled);
}
