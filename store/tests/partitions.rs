//! Stores over a log with partitions, as every edge has one of its own.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::cluster::{Cluster, EdgeProcess, PARTITIONS};
use common::{NOW, POSITIONS, World, claim, dump, id, keyed, report, transition, update, wait};
use schemas::Timestamp;
use schemas::records::{ConversionReported, OrderStatusReported, ReportedStatus};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use store::embedded::{Loss, OpenError, ROWS_VERSION};
use store::{Claim, Claims, ConversionClaim, EmbeddedStore, ReadModel, status_digest};
use streams::StateStore;
use streams::log::Limits;
use streams::retention::Keeper;
use tokio::task::JoinSet;

const ONE: Limits = Limits { records_max: 1, bytes_max: 1 };

/// Reports with keys, re-sends, updates and transitions of orders in all partitions; returns how many records.
fn day(cluster: &Cluster) -> usize {
    for number in 0..24 {
        let order = format!("A-{}", number % 9);
        let at = Timestamp(NOW.0 - i64::from(number));
        let key = format!("key-{}", number % 5);
        cluster.write(CONVERSIONS, &order, &keyed(&order, &format!("cnvevt_{number}"), &key, 1, at));
        cluster.write(CONVERSIONS, &order, &update(&order, ReportedStatus::Paid, Some(i64::from(number) % 2)));
        cluster.write(TRANSITIONS, &order, &transition(&order, i64::from(number) / 9 + 1));
    }
    72
}

fn catch_up(edge: &mut EdgeProcess) {
    assert!(edge.feeder.catch_up(&AtomicBool::new(false)).expect("fed"));
}

/// The rows of the positions and of the identity.
fn places(edge: &EdgeProcess) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = edge.state.store("read-0", ROWS_VERSION).expect("there");
    let mut found = Vec::new();
    rows.scan(&[POSITIONS], &[0xFF], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })
    .expect("scanned");
    found
}

fn at(report: &ConversionReported, (partition, offset): (u32, u64)) -> ConversionClaim {
    ConversionClaim { partition, ..claim(report, offset) }
}

fn claims(store: &EmbeddedStore, order: &str, claim: &ConversionClaim) -> bool {
    wait(store.claim_conversion(id(order), claim)).expect("claimed") == Claim::Claimed
}

fn knows(store: &EmbeddedStore, order: &str) -> bool {
    wait(Claims::conversion(store, id(order))).expect("read").is_some()
}

#[test]
fn stores_fed_in_other_orders_and_pieces_end_equal_row_for_row() {
    let cluster = Cluster::new();
    let records = day(&cluster);
    let (whole, pieces) = (World::new(), World::new());
    let mut first = whole.join(&cluster);
    assert_eq!(first.store.stats().lag, 2 * records as u64);
    catch_up(&mut first);
    assert!(dump(&first.state).len() > 60);
    let mut second = pieces.join(&Cluster { turn: 4, ..cluster.clone() });
    while second.feeder.step(&ONE, Duration::ZERO).expect("fed") > 0 {}
    assert_eq!((dump(&second.state), places(&second)), (dump(&first.state), places(&first)));
    let stats = second.store.stats();
    assert_eq!((stats.records, stats.lag, stats.applied_position), (records as u64, 0, cluster.ends().values().sum()));
    assert_eq!((first.store.kept().expect("ok"), first.store.keep().expect("ok")), (None, None), "no snapshots");
}

#[test]
fn a_kill_at_any_batch_feeds_nothing_twice_and_loses_nothing() {
    let cluster = Cluster::new();
    let records = day(&cluster);
    let undisturbed = World::new();
    let mut expected = undisturbed.join(&cluster);
    catch_up(&mut expected);
    let world = World::new();
    let mut fed = 0;
    loop {
        let mut edge = world.join(&Cluster { turn: fed, ..cluster.clone() });
        let taken = edge.feeder.step(&ONE, Duration::ZERO).expect("fed");
        fed += taken;
        if taken == 0 {
            assert_eq!((dump(&edge.state), places(&edge)), (dump(&expected.state), places(&expected)));
            break;
        }
    }
    assert_eq!(fed, records, "the positions are in the batch with the rows that they stand for");
}

#[test]
fn a_store_of_another_log_is_made_again() {
    type Other = fn(&Cluster) -> Cluster;
    let renamed: Other = |cluster| Cluster { identity: "cluster-2/test.".to_owned(), ..cluster.clone() };
    let anew: Other = |_| Cluster::new();
    let fewer: Other = |cluster| {
        cluster.remove_partition(0);
        cluster.clone()
    };
    for (name, other) in [("another identity", renamed), ("positions past the end", anew), ("a partition gone", fewer)]
    {
        let (world, cluster) = (World::new(), Cluster::new());
        day(&cluster);
        catch_up(&mut world.join(&cluster));
        let other = other(&cluster);
        other.write_to(CONVERSIONS, 1, &report("NEW", "cnvevt_new"));
        let mut edge = world.join(&other);
        assert_eq!(dump(&edge.state), [], "{name}");
        catch_up(&mut edge);
        let fresh = World::new();
        let mut expected = fresh.join(&other);
        catch_up(&mut expected);
        assert!(knows(&edge.store, "NEW"), "{name}");
        assert_eq!((dump(&edge.state), places(&edge)), (dump(&expected.state), places(&expected)), "{name}");
    }
}

#[track_caller]
fn lost(world: &World, cluster: &Cluster, parts: &[&str]) {
    let error = match world.try_join(cluster, Loss::Refuse) {
        Err(error @ OpenError::Lost { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    };
    for part in parts.iter().chain(&["state folder of an edge", "--accept-loss"]) {
        assert!(error.contains(part), "{part:?} in {error}");
    }
}

#[test]
fn what_retention_took_first_is_told_and_the_rest_is_kept() {
    let (world, cluster) = (World::new(), Cluster::new());
    let (partition, offset) = cluster.write(CONVERSIONS, "A", &report("A", "cnvevt_1"));
    catch_up(&mut world.join(&cluster));
    for order in ["B", "C"] {
        cluster.write_to(CONVERSIONS, partition, &report(order, "cnvevt_2"));
    }
    cluster.trim(CONVERSIONS, partition, offset + 4);
    lost(&world, &cluster, &["it ends at 2, and the log begins at 4"]);
    let mut edge = world.try_join(&cluster, Loss::Accept).expect("accepted");
    catch_up(&mut edge);
    let known = ["A", "B", "C"].map(|order| knows(&edge.store, order));
    assert_eq!(known, [true, false, true], "only what is nowhere is lost");
    drop(edge);
    world.join(&cluster);
    let new = World::new();
    lost(&new, &cluster, &["there is none, and conversions/", " begins at 4"]);
    let mut edge = new.try_join(&cluster, Loss::Accept).expect("accepted");
    catch_up(&mut edge);
    assert_eq!(["A", "B", "C"].map(|order| knows(&edge.store, order)), [false, false, true]);
}

#[test]
fn a_new_partition_is_read_from_its_beginning() {
    let (world, cluster) = (World::new(), Cluster::new());
    day(&cluster);
    catch_up(&mut world.join(&cluster));
    cluster.add_partition(PARTITIONS);
    cluster.write_to(CONVERSIONS, PARTITIONS, &report("NEW", "cnvevt_new"));
    let mut edge = world.join(&cluster);
    let kept = dump(&edge.state).len();
    assert!(kept > 60);
    catch_up(&mut edge);
    assert_eq!(dump(&edge.state).len(), kept + 1);
    cluster.add_partition(PARTITIONS + 1);
    cluster.write_to(CONVERSIONS, PARTITIONS + 1, &report("NEWER", "cnvevt_new"));
    cluster.trim(CONVERSIONS, PARTITIONS + 1, 1);
    drop(edge);
    lost(&world, &cluster, &["it has nothing of a partition, and conversions/4 begins at 1"]);
}

#[test]
fn what_another_edge_accepted_is_a_duplicate_once_it_was_fed() {
    let cluster = Cluster::new();
    let worlds = [World::new(), World::new()];
    let [mut mine, mut theirs] = worlds.each_ref().map(|world| world.join(&cluster));
    let digest = status_digest(id("A"), &update("A", ReportedStatus::Paid, None));
    // The other edge accepts a report and an update, and its feeder is slower than its claims.
    let first = report("A", "cnvevt_theirs");
    let first = at(&first, cluster.write(CONVERSIONS, "A", &first));
    let event = |event: &str| OrderStatusReported { event_id: event.into(), ..update("A", ReportedStatus::Paid, None) };
    cluster.write(CONVERSIONS, "A", &event("osevt_theirs"));
    assert!(claims(&theirs.store, "A", &first));
    // Here somebody was let through before that was fed.
    let second = report("A", "cnvevt_mine");
    let second = at(&second, cluster.write(CONVERSIONS, "A", &second));
    cluster.write(CONVERSIONS, "A", &event("osevt_mine"));
    for edge in [&mut mine, &mut theirs] {
        while edge.feeder.step(&ONE, Duration::ZERO).expect("fed") > 0 {}
    }
    assert_eq!((mine.store.stats().claims_fed, theirs.store.stats().claims_fed), (2, 1));
    assert!(!claims(&mine.store, "A", &second), "the other edge's is first in the log");
    let taken = |edge: &EdgeProcess, event| wait(edge.store.claim_status(digest, event)).expect("claimed");
    assert_eq!(taken(&mine, "osevt_mine"), Claim::Taken(()));
    assert_eq!(taken(&theirs, "osevt_mine"), Claim::Taken(()));
    assert_eq!(taken(&theirs, "osevt_theirs"), Claim::Claimed, "its own caller comes late");
    assert_eq!((dump(&mine.state), places(&mine)), (dump(&theirs.state), places(&theirs)));
}

#[test]
fn reports_are_read_on_threads_that_may_block_and_a_few_at_once() {
    let (world, cluster) = (World::new(), Cluster::new());
    let mut edge = world.join(&cluster);
    for number in 0..40 {
        let order = format!("A-{number}");
        cluster.write(CONVERSIONS, &order, &report(&order, "cnvevt_1"));
    }
    while edge.feeder.step(&Limits::default(), Duration::ZERO).expect("fed") > 0 {}
    wait(async {
        let mut views = JoinSet::new();
        for number in 0..40 {
            let store = edge.store.clone();
            views.spawn(async move {
                let order = format!("A-{number}");
                let view = ReadModel::conversion(&store, id(&order)).await.expect("read").expect("there");
                assert_eq!(view.conversion.external_order_id, order);
            });
        }
        while let Some(read) = views.join_next().await {
            read.expect("no panic");
        }
    });
    let most = cluster.reading.1.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at once");
    assert!(!cluster.readers.lock().expect("whole").contains(&thread::current().id()));
    cluster.trim(CONVERSIONS, 0, 1 << 20);
    let failed = (0..40).filter(|number| wait(ReadModel::conversion(&edge.store, id(&format!("A-{number}")))).is_err());
    assert!(failed.count() > 0, "a report that is gone is an error, and not absence");
}
