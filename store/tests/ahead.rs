//! Claims on conversions between the edge, which keeps them in memory, and the feeder, which writes their rows.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, World, claim, id, message, publish, report, wait};
use schemas::topics::CONVERSIONS;
use store::{Claim, Claims, ConversionClaim};
use streams::log::Limits;

const ONE: Limits = Limits { records_max: 1, bytes_max: 1 };
const CLAIMS: u8 = 1;

fn found(process: &Process, order: &str) -> Option<ConversionClaim> {
    wait(Claims::conversion(&process.store, id(order))).expect("read")
}

fn claims(process: &Process, order: &str, claim: &ConversionClaim) -> Claim<ConversionClaim> {
    wait(process.store.claim_conversion(id(order), claim)).expect("claimed")
}

fn claim_rows(process: &Process) -> usize {
    process.dump().iter().filter(|(key, _)| key.first() == Some(&CLAIMS)).count()
}

/// Reports an order, durably.
fn reported(process: &Process, order: &str, event: &str) -> ConversionClaim {
    let report = report(order, event);
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
    claim(&report, offset)
}

/// What a store says that was fed with the same log by nobody but the feeder.
fn fed_anew(world: &World, process: Process) -> Vec<(Vec<u8>, Vec<u8>)> {
    drop(process);
    world.wipe_state();
    let mut process = world.start();
    process.catch_up();
    process.dump()
}

#[test]
fn a_claim_counts_at_once_and_has_its_row_with_its_record() {
    let world = World::new();
    let mut process = world.start();
    let mine = reported(&process, "A", "cnvevt_1");
    assert_eq!(claims(&process, "A", &mine), Claim::Claimed);
    let second = reported(&process, "A", "cnvevt_2");
    let check = |process: &Process, rows: usize| {
        assert_eq!(found(process, "A"), Some(mine.clone()));
        assert_eq!(claims(process, "A", &second), Claim::Taken(mine.clone()));
        assert_eq!(claim_rows(process), rows);
    };
    check(&process, 0);
    process.feeder.step(&ONE, Duration::ZERO).expect("fed");
    check(&process, 1);
    process.catch_up();
    check(&process, 1);
    let stats = process.store.stats();
    assert_eq!((stats.claims_made, stats.claims_taken, stats.claims_fed), (1, 3, 0));
    let rows = process.dump();
    assert_eq!(fed_anew(&world, process), rows);
}

/// Another edge's report is before it in the log, and was not fed when this edge claimed.
#[test]
fn the_first_in_the_log_has_the_claim_in_whatever_pieces_it_is_fed() {
    for limits in [ONE, Limits::default()] {
        let world = World::new();
        let mut process = world.start();
        let theirs = reported(&process, "A", "cnvevt_theirs");
        let mine = reported(&process, "A", "cnvevt_mine");
        assert_eq!(claims(&process, "A", &mine), Claim::Claimed);
        while process.feeder.step(&limits, Duration::ZERO).expect("fed") > 0 {
            assert_eq!(found(&process, "A"), Some(theirs.clone()));
        }
        assert_eq!(claims(&process, "A", &mine), Claim::Taken(theirs));
        let rows = process.dump();
        assert_eq!(fed_anew(&world, process), rows);
    }
}

#[test]
fn what_was_in_memory_is_there_again_after_a_kill() {
    let world = World::new();
    let process = world.start();
    let mine = reported(&process, "A", "cnvevt_1");
    assert_eq!(claims(&process, "A", &mine), Claim::Claimed);
    drop(process);
    let mut process = world.start();
    process.catch_up();
    assert_eq!(found(&process, "A"), Some(mine.clone()));
    assert!(matches!(
        claims(&process, "A", &ConversionClaim { event_id: "other".to_owned(), ..mine }),
        Claim::Taken(_)
    ));
}

/// Once the feeder runs, orders that are new are told from those of earlier processes without a look at the rows.
#[test]
fn claims_of_an_earlier_process_are_known_to_the_next() {
    const ORDERS: usize = 9_000;
    let world = World::new();
    let mut process = world.start();
    let order = |number: usize| format!("A-{number}");
    let messages = (0..ORDERS).map(|number| message(CONVERSIONS, &report(&order(number), &format!("cnvevt_{number}"))));
    for some in messages.collect::<Vec<_>>().chunks(500) {
        publish(&process.log, some.to_vec());
    }
    process.catch_up();
    drop(process);
    let mut process = world.start();
    process.catch_up();
    let (stop, store) = (&AtomicBool::new(false), process.store.clone());
    thread::scope(|scope| {
        let feeder = &mut process.feeder;
        let running = scope.spawn(move || feeder.run(stop));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let found = |order: &str| wait(Claims::conversion(&store, id(order))).expect("read").is_some();
            let known = (0..ORDERS).step_by(97).all(|number| found(&order(number)));
            assert!(known && !found("NEW"), "after {:?}", begun.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        running.join().expect("no panic").expect("fed");
    });
    let mine = reported(&process, "NEW", "cnvevt_new");
    assert_eq!(claims(&process, "NEW", &mine), Claim::Claimed);
    let other = ConversionClaim { event_id: "other".to_owned(), ..mine };
    assert!(matches!(claims(&process, &order(ORDERS - 1), &other), Claim::Taken(_)));
}

/// While records are fed one by one, and mostly as they are claimed.
#[test]
fn edge_and_feeder_race_for_every_claim_and_leave_the_rows_of_the_log() {
    const ORDERS: usize = 1_500;
    let world = World::new();
    let mut process = world.start();
    let (log, store) = (process.log.clone(), process.store.clone());
    let edge = thread::spawn(move || {
        for number in 0..ORDERS {
            let (order, event) = (format!("A-{number}"), format!("cnvevt_{number}"));
            let report = report(&order, &event);
            let offset = publish(&log, vec![message(CONVERSIONS, &report)]);
            let answer = wait(store.claim_conversion(id(&order), &claim(&report, offset)));
            assert_eq!(answer.expect("claimed"), Claim::Claimed, "{number}");
        }
    });
    while process.store.stats().records < ORDERS as u64 {
        process.feeder.step(&ONE, Duration::from_millis(1)).expect("fed");
    }
    edge.join().expect("each was told that it was first");
    let rows = process.dump();
    assert_eq!(rows.len(), ORDERS);
    assert_eq!(fed_anew(&world, process), rows);
}
