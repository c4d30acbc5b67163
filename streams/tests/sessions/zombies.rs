//! Whoever was replaced writes nothing, whatever it still holds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streams::kafka::KafkaSession;
use streams::log::{Limits, Restored};
use streams::{Change, Commit, LogError, Message, Polled, Record, Session, Step};

use crate::toy::OUT;
use crate::world::{CHANGELOG, World};

/// Polls until there are records; partitions are restored as they come.
fn records(session: &mut KafkaSession) -> Vec<Record> {
    let begun = Instant::now();
    let mut waiting = Vec::new();
    while begun.elapsed() < Duration::from_secs(30) {
        match session.poll(&Limits::default(), Duration::from_millis(50)).expect("it goes on") {
            Polled::Assigned(partitions) => waiting = partitions,
            Polled::Records(records) => return records,
            Polled::Revoked(_) | Polled::Nothing => {}
        }
        waiting.retain(|partition| {
            let restored = session.restore(*partition, None, &mut |_, _| Ok(()));
            !matches!(restored, Ok(Restored::Complete(_)))
        });
    }
    panic!("no records in time");
}

fn poll(session: &mut KafkaSession) -> Result<Polled, LogError> {
    session.poll(&Limits::default(), Duration::from_millis(100))
}

fn step(outputs: usize) -> Step {
    let message = Message { topic: OUT, key: b"k".to_vec(), value: b"of a zombie".to_vec() };
    let change = Change { key: Bytes::from_static(b"sk"), value: Some(Bytes::from_static(b"of a zombie")) };
    Step { outputs: vec![message; outputs], changes: vec![(0, vec![change])] }
}

#[test]
fn a_replaced_worker_commits_nothing() {
    let world = World::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut zombie = world.session("one", &stop);
    world.count(3, 1);
    assert_eq!(records(&mut zombie).len(), 3);
    let worker = world.start("one");
    worker.await_ready(1);
    world.check_counts(3, 1);
    assert!(matches!(zombie.commit(&step(2)), Commit::Aborted(_) | Commit::Unknown(_)));
    world.check_counts(3, 1);
    assert_eq!(world.read(CHANGELOG).into_values().flatten().count(), 3);
    // It has been told for good, and does not fight the one that took its place.
    let begun = Instant::now();
    while !matches!(poll(&mut zombie), Err(LogError::Replaced { .. })) {
        assert!(begun.elapsed() < Duration::from_secs(20), "a replaced member never hears of it");
    }
    world.count(3, 1);
    world.check_counts(3, 2);
    worker.stop();
}

/// Its transactional id is its own, so only the generation of the group stands in its way: also where a step consumes
/// nothing, as one of timers alone does.
#[test]
fn a_worker_of_another_generation_commits_nothing() {
    let world = World::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut zombie = world.session("one", &stop);
    world.count(3, 1);
    records(&mut zombie);
    assert!(matches!(zombie.commit(&Step::default()), Commit::Committed(_)), "while it is a member it may");
    // The same member joins again, with no producer: the old one's generation is gone, its producer is the latest.
    let usurper = world.session("one", &stop);
    let begun = Instant::now();
    let mut usurper = usurper;
    while !matches!(usurper.poll(&Limits::default(), Duration::from_millis(50)), Ok(Polled::Assigned(_))) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the usurper gets the partition");
    }
    for outputs in [0, 2] {
        assert!(matches!(zombie.commit(&step(outputs)), Commit::Aborted(_) | Commit::Unknown(_)), "{outputs}");
    }
    assert!(world.read(OUT.name).is_empty());
    assert!(world.read(CHANGELOG).is_empty());
}
