//! Disks, clocks, and long times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streams::sim::{Cluster, ClusterOptions, Disk, NoFaults};
use streams::{Change, Clock as _, StateStore, Stores as _};

use crate::races::{cluster, offset, run, send, worker};

const HOUR: Duration = Duration::from_secs(3_600);

fn change(key: &str, value: &str) -> Change {
    Change { key: Bytes::from(key.to_owned()), value: Some(Bytes::from(value.to_owned())) }
}

/// After the first so many of all writes, where the stores of both partitions are.
#[test]
fn a_power_loss_takes_back_what_was_written_last() {
    for (kept, expected) in [(None, [Some(3), Some(2)]), (Some(5), [Some(3), None]), (Some(4), [Some(1), None])] {
        let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
        let disk = Disk::default();
        let mut stores = disk.stores(&cluster.process("one"), HOUR);
        // Opening an empty store is a write as well.
        let [mut zero, mut one] = [0, 1].map(|partition| stores.open(partition).expect("a store"));
        zero.apply(&[change("a", "1")], 1).expect("written");
        one.wipe().expect("written");
        zero.apply(&[change("a", "2"), change("b", "2")], 3).expect("written");
        one.apply(&[change("c", "3")], 2).expect("written");
        drop((zero, one));
        assert_eq!(disk.unsynced(), 6);
        kept.into_iter().for_each(|kept| disk.lose_power(kept));
        let positions = [0, 1].map(|partition| disk.store(partition).and_then(|store| store.position()));
        assert_eq!(positions, expected, "{kept:?}");
        let rows = disk.store(0).expect("a store").rows().count();
        assert_eq!(rows, if expected[0] == Some(3) { 2 } else { 1 }, "a batch is there whole or not at all");
    }
}

#[test]
fn a_store_is_written_by_the_last_to_open_it_and_used_again_in_time() {
    let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
    let (disk, process) = (Disk::default(), cluster.process("one"));
    let mut stores = disk.stores(&process, HOUR);
    let mut first = stores.open(0).expect("a store");
    first.apply(&[change("a", "1")], 1).expect("written");
    let mut second = stores.open(0).expect("a store");
    assert_eq!(second.position(), Some(1));
    first.apply(&[], 2).expect_err("another has it");
    second.apply(&[], 2).expect("written");
    cluster.advance(HOUR - Duration::from_secs(1));
    assert_eq!(stores.open(0).expect("a store").position(), Some(2));
    cluster.advance(2 * HOUR);
    assert_eq!(stores.open(0).expect("a store").position(), None, "away for too long");
}

#[test]
fn each_process_has_a_clock() {
    let cluster = Cluster::new(ClusterOptions { epoch_ms: 1_000, ..Default::default() }, Arc::new(NoFaults));
    let (one, two) = (cluster.process("one"), cluster.process("two"));
    two.set_skew_ms(-300);
    cluster.advance(Duration::from_millis(500));
    assert_eq!((one.clock().now_ms(), two.clock().now_ms()), (1_500, 1_200));
}

/// A year is no work, and a member that is there keeps its place meanwhile.
#[test]
fn long_times_pass_at_once() {
    let cluster = cluster();
    send(&cluster, 1);
    let mut one = worker(&cluster, "one");
    run(&cluster, &mut one, 1);
    let (begun, lines) = (Instant::now(), cluster.history().len());
    for _ in 0..365 {
        cluster.leap_to(cluster.now() + 24 * HOUR);
    }
    assert!(cluster.history().len() < lines + 365, "{:#?}", cluster.history());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    send(&cluster, 1);
    run(&cluster, &mut one, 2);
    assert_eq!(offset(&cluster), Some(2));
    assert_eq!(cluster.history().iter().filter(|line| line.contains("begins generation")).count(), 1);
    // Whoever is not there loses it all the same.
    let (process, _) = &one;
    process.suspend();
    cluster.leap_to(cluster.now() + HOUR);
    assert!(cluster.history().iter().any(|line| line.contains("gives toy-one")));
}

/// A simulated request costs microseconds.
#[test]
fn thousands_of_records_pass_in_no_time() {
    let cluster = cluster();
    for _ in 0..5 {
        send(&cluster, 1_000);
    }
    let mut one = worker(&cluster, "one");
    let begun = Instant::now();
    run(&cluster, &mut one, 5_000);
    let took = begun.elapsed();
    assert_eq!(offset(&cluster), Some(5_000));
    // Some 20 ms on an idle machine.
    assert!(took < Duration::from_secs(2), "{took:?}");
}
