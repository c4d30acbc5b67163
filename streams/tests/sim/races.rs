//! Races that a session has to win, each laid out by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams::kafka::{KafkaSession, PublisherOptions, SessionOptions, SessionStats, Work};
use streams::log::Limits;
use streams::sim::{
    Api, Call, Cluster, ClusterOptions, Disk, Fate, Faults, NoFaults, Process, SimClients, TopicOptions,
};
use streams::{Driver, Message, Publisher as _};

use crate::toy::{IN, NAME, OUT, Toy};
use crate::world::CHANGELOG;

pub(crate) type Worker = (Process, Driver<Toy, KafkaSession<SimClients>>);
type Meanwhile = Box<dyn FnOnce(&Cluster, u64) -> Fate + Send>;

/// What happens at the requests to come, each at the next one of its kind by a process of this name.
#[derive(Default)]
struct Script(Mutex<Vec<(&'static str, Api, &'static str, Meanwhile)>>);

impl Faults for Script {
    fn before(&self, cluster: &Cluster, call: &Call<'_>) -> Fate {
        let is_next = |(name, api, subject, _): &(&str, Api, &str, Meanwhile)| {
            (*name, *api) == (call.name, call.api) && call.subject.contains(subject)
        };
        let found = {
            let mut script = self.0.lock().expect("no panic");
            script.first().is_some_and(is_next).then(|| script.remove(0))
        };
        found.map_or(Fate::Arrives, |(.., meanwhile)| meanwhile(cluster, call.process))
    }
}

pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
    for topic in [IN.name, OUT.name] {
        cluster.create_topic(topic, TopicOptions::of(1));
    }
    cluster.create_topic(CHANGELOG, TopicOptions::compacted(1));
    cluster
}

fn script(cluster: &Cluster, script: Vec<(&'static str, Api, &'static str, Meanwhile)>) -> Arc<Script> {
    let script = Arc::new(Script(Mutex::new(script)));
    cluster.set_faults(Arc::clone(&script) as Arc<dyn Faults>);
    script
}

pub(crate) fn send(cluster: &Cluster, times: usize) {
    let publisher = cluster.process("edge").publisher(PublisherOptions::default());
    for _ in 0..times {
        let message = Message { topic: IN, key: b"k".to_vec(), value: b"count".to_vec() };
        drop(publisher.publish(vec![message]).expect("there is room"));
    }
    cluster.advance(Duration::from_millis(10));
    assert_eq!(publisher.queued(), 0);
}

pub(crate) fn worker(cluster: &Cluster, name: &'static str) -> Worker {
    worker_with(cluster, name, SessionOptions { commit_interval: Duration::ZERO, ..SessionOptions::default() }).0
}

pub(crate) fn worker_with(
    cluster: &Cluster,
    name: &'static str,
    options: SessionOptions,
) -> (Worker, Arc<SessionStats>) {
    let process = cluster.process(name);
    let work = Work { processor: NAME, inputs: vec![IN], worker: name.to_owned() };
    let session = process.session(&work, options, Arc::default()).expect("a session");
    let stores = Box::new(Disk::default().stores(&process, Duration::from_secs(3_600)));
    let (clock, stats) = (Arc::new(process.clock()), session.stats());
    ((process, Driver::new(Toy(1), session, stores, clock, Limits::default())), stats)
}

/// Does turns until so many inputs are passed, or for a virtual minute.
pub(crate) fn run(cluster: &Cluster, (_, driver): &mut Worker, passed: u64) {
    let until = cluster.now() + Duration::from_secs(60);
    while offset(cluster) != Some(passed) && cluster.now() < until {
        driver.turn().unwrap_or_else(|error| panic!("{error}\n{}", cluster.history().join("\n")));
    }
}

pub(crate) fn offset(cluster: &Cluster) -> Option<u64> {
    cluster.offsets(NAME).get(&(IN.name.to_owned(), 0)).copied()
}

pub(crate) fn outputs(cluster: &Cluster) -> Vec<String> {
    let mut outputs = Vec::new();
    cluster.read(OUT.name, 0, 0, &mut |_, _, value| {
        outputs.push(String::from_utf8(value.expect("a value").to_vec()).expect("text"));
    });
    outputs
}

/// There are no offsets, and then there is state: not because offsets were lost, but since another began meanwhile.
#[test]
fn another_worker_commits_the_first_step_between_two_questions() {
    let cluster = cluster();
    send(&cluster, 1);
    let meanwhile: Meanwhile = Box::new(|cluster, process| {
        cluster.suspend(process);
        cluster.advance(Duration::from_secs(15));
        run(cluster, &mut worker(cluster, "two"), 1);
        cluster.resume(process);
        Fate::Arrives
    });
    let script = script(&cluster, vec![("one", Api::Fetch, CHANGELOG, meanwhile)]);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    // And until it has heard that it was given up, has joined again, and goes on where the other one was.
    send(&cluster, 1);
    run(&cluster, &mut one, 2);
    assert!(script.0.lock().expect("no panic").is_empty());
    assert_eq!(outputs(&cluster), ["k=1", "k=2"]);
}

/// Offsets of a transaction that was given up come in the time of a later one: they are not taken for its own.
#[test]
fn offsets_that_come_late_do_not_count() {
    let cluster = cluster();
    let late = Fate::Late { noticed: Duration::MAX, arrives: Duration::from_secs(20) };
    let pass: Meanwhile = Box::new(|cluster, _| {
        cluster.advance(Duration::from_secs(6));
        Fate::Arrives
    });
    let script = script(
        &cluster,
        vec![
            ("one", Api::TxnOffsetCommit, "", Box::new(move |_, _| late)),
            // Of the transaction that is given up, and of the one that is done instead of it.
            ("one", Api::EndTxn, "", Box::new(|_, _| Fate::Arrives)),
            ("one", Api::EndTxn, "", Box::new(|_, _| Fate::Arrives)),
            ("one", Api::EndTxn, "", pass),
        ],
    );
    send(&cluster, 1);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    let sent = cluster.now();
    assert!(sent < Duration::from_secs(17), "{sent:?}");
    cluster.advance_to(Duration::from_secs(17));
    send(&cluster, 1);
    run(&cluster, &mut one, 2);
    assert!(script.0.lock().expect("no panic").is_empty());
    assert!(cluster.now() > Duration::from_secs(21), "{:?}", cluster.now());
    assert!(cluster.history().iter().any(|line| line.contains("late TxnOffsetCommit")));
    assert_eq!((offset(&cluster), outputs(&cluster)), (Some(2), vec!["k=1".to_owned(), "k=2".to_owned()]));
}

/// A commit that was given up comes in the middle of the next transaction: it does not commit what is there of that.
#[test]
fn a_commit_that_comes_late_ends_nothing_else() {
    let cluster = cluster();
    let late = Fate::Late { noticed: Duration::MAX, arrives: Duration::from_secs(60) };
    let midway: Meanwhile = Box::new(|cluster, process| {
        assert!(cluster.is_late(process, Api::EndTxn));
        cluster.hasten(process, Api::EndTxn);
        assert!(!cluster.is_late(process, Api::EndTxn));
        Fate::Arrives
    });
    let script = script(
        &cluster,
        vec![("one", Api::EndTxn, "", Box::new(move |_, _| late)), ("one", Api::AddOffsetsToTxn, "", midway)],
    );
    send(&cluster, 1);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    assert!(script.0.lock().expect("no panic").is_empty());
    let fenced = |line: &String| line.contains("late EndTxn") && line.ends_with("Some(ProducerFenced)");
    assert!(cluster.history().iter().any(fenced), "{}", cluster.history().join("\n"));
    assert_eq!((offset(&cluster), outputs(&cluster)), (Some(1), vec!["k=1".to_owned()]));
}
