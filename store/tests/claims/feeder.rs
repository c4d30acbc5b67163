//! Claims in the embedded store: who is first among threads, against the feeder, and after a kill.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::{World, claim, id, message, publish, report, update, wait};
use schemas::records::{OrderStatusReported, ReportedStatus};
use schemas::topics::CONVERSIONS;
use store::{Claim, Claims, EmbeddedStore, status_digest};

const THREADS: usize = 64;

fn delivered(order: &str) -> [u8; 16] {
    status_digest(id(order), &update(order, ReportedStatus::Delivered, None))
}

/// Runs `claims` in many threads at once and returns how many were first.
fn first(claims: impl Fn(usize) -> bool + Sync) -> usize {
    let (barrier, first) = (Barrier::new(THREADS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (barrier, first, claims) = (&barrier, &first, &claims);
            scope.spawn(move || {
                barrier.wait();
                first.fetch_add(usize::from(claims(number)), Ordering::Relaxed);
            });
        }
    });
    first.into_inner()
}

fn claims_status(store: &EmbeddedStore, order: &str, event: &str) -> bool {
    wait(store.claim_status(delivered(order), event)).expect("claimed") == Claim::Claimed
}

#[test]
fn of_many_threads_and_the_feeder_one_thread_is_first() {
    let world = World::new();
    let mut process = world.start();
    let stop = AtomicBool::new(false);
    let (log, store, feeder) = (&process.log, &process.store, &mut process.feeder);
    thread::scope(|scope| {
        scope.spawn(|| feeder.run(&stop).expect("fed"));
        for round in 0..15 {
            let order = format!("A-{round}");
            let made = first(|number| {
                let report = report(&order, &format!("cnvevt_{number}"));
                let offset = publish(log, vec![message(CONVERSIONS, &report)]);
                wait(store.claim_conversion(id(&order), &claim(&report, offset))).expect("claimed") == Claim::Claimed
            });
            // One whose caller is first in the log and late to claim leaves the order to nobody else.
            assert_eq!(made, 1, "conversions, round {round}");
            let made = first(|number| {
                let event_id = format!("osevt_{number}");
                let update = update(&order, ReportedStatus::Delivered, None);
                let update = OrderStatusReported { event_id: event_id.clone(), ..update };
                publish(log, vec![message(CONVERSIONS, &update)]);
                claims_status(store, &order, &event_id)
            });
            assert_eq!(made, 1, "updates, round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_claim_that_the_feeder_made_is_its_callers_and_once() {
    let world = World::new();
    let mut process = world.start();
    let (own, other) = (report("A", "cnvevt_1"), report("A", "cnvevt_2"));
    let offset = publish(&process.log, vec![message(CONVERSIONS, &own)]);
    publish(&process.log, vec![message(CONVERSIONS, &update("A", ReportedStatus::Delivered, None))]);
    process.catch_up();
    let store = &process.store;
    let (own, other) = (claim(&own, offset), claim(&other, offset + 9));
    assert_eq!(wait(store.claim_conversion(id("A"), &other)).expect("ok"), Claim::Taken(own.clone()));
    assert_eq!(wait(store.claim_conversion(id("A"), &own)).expect("ok"), Claim::Claimed);
    assert_eq!(wait(store.claim_conversion(id("A"), &own)).expect("ok"), Claim::Taken(own.clone()));
    assert!(wait(store.status(delivered("A"))).expect("ok"));
    assert!(!claims_status(store, "A", "osevt_2"), "another edge's update is a duplicate here");
    assert!(claims_status(store, "A", "osevt_1"));
    assert!(!claims_status(store, "A", "osevt_1"));
    assert_eq!(store.stats().claims_fed, 2);
}

/// Those of updates; a conversion's is in memory until it is fed.
#[test]
fn claims_survive_a_kill_ahead_of_the_stamp() {
    let world = World::new();
    let process = world.start();
    publish(&process.log, vec![message(CONVERSIONS, &update("A", ReportedStatus::Delivered, None))]);
    assert!(claims_status(&process.store, "A", "osevt_1"));
    let before = process.dump();
    assert_eq!(before.len(), 1);
    drop(process);
    let mut process = world.start();
    assert_eq!(process.dump(), before, "rows written before the first batch are kept");
    process.catch_up();
    assert_eq!(process.dump(), before);
    assert_eq!(process.store.stats().claims_fed, 0);
}
