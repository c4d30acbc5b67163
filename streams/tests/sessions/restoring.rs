//! Stores that are used again, and stores that are not.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use streams::{DriverError, LogError};
use testkit::Kafka;

use crate::toy::{IN, NAME, OUT};
use crate::world::{CHANGELOG, Worker, World};

/// Counters of the table `s`, as the toy keeps them.
fn rows(partition: i32, rows: u32) -> impl Iterator<Item = (Option<i32>, Vec<u8>, Vec<u8>)> {
    (0..rows).map(move |row| (Some(partition), format!("sfiller-{row}").into_bytes(), 7_u64.to_be_bytes().to_vec()))
}

#[test]
fn state_is_there_again_warm_or_cold() {
    let world = World::new(2);
    let worker = world.start("one");
    world.count(20, 5);
    world.check_counts(20, 5);
    worker.stop();
    // Warm: its own folder. Cold: a folder that was never there.
    for (round, name) in ["one", "elsewhere"].into_iter().enumerate() {
        let worker = world.start(name);
        world.count(20, 1);
        world.check_counts(20, 6 + round);
        worker.leave();
    }
    // Of another version of the rows: emptied and restored.
    let world = World { version: 2, ..world };
    let worker = world.start("one");
    world.count(20, 1);
    world.check_counts(20, 8);
    worker.stop();
}

#[test]
fn others_go_on_while_one_is_restored() {
    let world = World::new(2);
    let worker = world.start("one");
    world.count(20, 1);
    world.check_counts(20, 1);
    worker.stop();
    // How long a restore lasts and how soon the other partition's records come is the machine's affair: twice as much each time.
    let seen = (0_u32..4).any(|round| {
        world.write(CHANGELOG, rows(1, 400_000 << round));
        world.count(20, 1);
        let worker = world.start("one");
        let shown = restore_when_processing(&worker);
        worker.await_ready(2);
        let count = 20 * (2 + round as usize);
        assert_eq!(world.await_values(OUT, count).len(), count);
        worker.stop();
        shown.is_some_and(|(_, total)| {
            assert!(total >= 400_000 << u64::from(round), "{total}");
            true
        })
    });
    assert!(seen, "nothing is ever processed before all is restored");
}

/// How much is restored, and of how much, when the first record is processed; nothing if all partitions are ready by then.
fn restore_when_processing(worker: &Worker) -> Option<(u64, u64)> {
    let begun = Instant::now();
    while worker.progress.records.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is processed");
        thread::sleep(Duration::from_millis(1));
    }
    let (done, total) = (&worker.progress.restore_done, &worker.progress.restore_total);
    while worker.ready() == 1 {
        // In this order: both are 0 again when it is done.
        let total = total.load(Ordering::Relaxed);
        let done = done.load(Ordering::Relaxed);
        if 0 < done && done < total {
            return Some((done, total));
        }
    }
    None
}

#[test]
fn a_group_whose_offsets_are_forgotten_does_not_begin_again() {
    let world = World::new(1);
    let worker = world.start("one");
    world.count(5, 1);
    world.check_counts(5, 1);
    worker.leave();
    let group = format!("{}{NAME}", world.prefix);
    let kafka = Kafka::shared();
    let groups = |arguments: &[&str]| {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        kafka.tool(class, &[&["--group", &group], arguments].concat())
    };
    groups(&["--delete"]);
    let failure = world.start("one").failure();
    assert!(matches!(&failure, DriverError::Log(LogError::Damaged(message)) if message.contains(&group)), "{failure}");
    // As the error says, which leaves the decision to whoever knows; the group is empty once the worker's place is free.
    let begun = Instant::now();
    while world.members() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "a member of the group is left");
        thread::sleep(Duration::from_millis(50));
    }
    let input = format!("{}{}", world.prefix, IN.name);
    groups(&["--topic", &input, "--reset-offsets", "--to-offset", "3", "--execute"]);
    let worker = world.start("one");
    assert_eq!(world.await_values(OUT, 7).len(), 7);
    worker.stop();
}

#[test]
fn a_store_ahead_of_its_changelog_is_made_again() {
    let world = World::new(1);
    let worker = world.start("one");
    world.count(5, 4);
    world.check_counts(5, 4);
    worker.stop();
    let position = || world.position("one", 0);
    let before = position().expect("a store");
    world.stamp("one", 0, before + 1_000);
    let worker = world.start("one");
    world.count(5, 1);
    world.check_counts(5, 5);
    worker.stop();
    assert!(position().is_some_and(|after| after > before && after < before + 1_000));
}

#[test]
fn a_changelog_that_is_not_there_ends_the_worker() {
    let world = World::new(1);
    Kafka::shared().topics(&["--delete", "--topic", &format!("{}{CHANGELOG}", world.prefix)]);
    let failure = world.start("one").failure().to_string();
    assert!(failure.contains("changelog") && failure.contains("nknown"), "{failure}");
}

/// Tried again for ever, a record that no broker takes would stop its partition without a word.
#[test]
fn a_record_that_is_too_large_ends_the_worker() {
    let world = World::new(1);
    world.send([("k".to_owned(), "pad 1048577".to_owned())]);
    let failure = world.start("one").failure();
    let DriverError::Log(LogError::TooLarge { bytes, bytes_max }) = failure else { panic!("{failure}") };
    assert_eq!((bytes, bytes_max), (1_048_578, 1 << 20));
}
