//! Who is first, among threads and against the feeder.

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{World, claim, id, message, publish, report, update, wait};
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
fn of_many_threads_one_is_first() {
    let world = World::new();
    let process = world.start();
    for round in 0..20 {
        let order = format!("A-{round}");
        let made = first(|number| {
            let claim = claim(&report(&order, &format!("cnvevt_{number}")), number as u64);
            match wait(process.store.claim_conversion(id(&order), &claim)).expect("claimed") {
                Claim::Claimed => true,
                Claim::Taken(other) => {
                    assert_ne!(other.event_id, claim.event_id);
                    false
                }
            }
        });
        assert_eq!(made, 1, "conversions, round {round}");
        assert_eq!(
            first(|number| claims_status(&process.store, &order, &format!("osevt_{number}"))),
            1,
            "updates, round {round}"
        );
    }
    let stats = process.store.stats();
    assert_eq!((stats.claims_made, stats.claims_taken), (40, 40 * (THREADS as u64 - 1)));
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
fn a_claim_that_the_feeder_made_is_its_callers_once() {
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

#[test]
fn the_first_in_the_log_has_the_claim_in_the_end() {
    let world = World::new();
    let mut process = world.start();
    let reports = [report("A", "cnvevt_1"), report("A", "cnvevt_2")];
    let claims = reports.map(|report| {
        let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
        claim(&report, offset)
    });
    let store = process.store.clone();
    assert_eq!(wait(store.claim_conversion(id("A"), &claims[1])).expect("ok"), Claim::Claimed);
    process.catch_up();
    assert_eq!(wait(store.conversion_claim_of("A")), Some(claims[0].clone()));
    // Its caller comes late: the other was answered RECEIVED, so this one is a duplicate.
    assert_eq!(wait(store.claim_conversion(id("A"), &claims[0])).expect("ok"), Claim::Taken(claims[0].clone()));
}

/// The claim on an order: both traits have a `conversion`.
trait ClaimOf {
    async fn conversion_claim_of(&self, order: &str) -> Option<store::ConversionClaim>;
}

impl ClaimOf for EmbeddedStore {
    async fn conversion_claim_of(&self, order: &str) -> Option<store::ConversionClaim> {
        Claims::conversion(self, id(order)).await.expect("read")
    }
}

#[test]
fn claims_survive_a_kill_ahead_of_the_stamp() {
    let world = World::new();
    let process = world.start();
    let report = report("A", "cnvevt_1");
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
    assert_eq!(wait(process.store.claim_conversion(id("A"), &claim(&report, offset))).expect("ok"), Claim::Claimed);
    let before = process.dump();
    drop(process);
    let mut process = world.start();
    assert_eq!(process.dump(), before, "rows written before the first batch are kept");
    process.catch_up();
    assert_eq!(process.dump(), before);
    assert_eq!(process.store.stats().claims_fed, 0);
}
