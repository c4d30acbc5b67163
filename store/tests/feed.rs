//! Feeding: the same rows however often, in whatever pieces, and after whatever end.

mod common;

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, World, claim, day, id, message, noise, publish, report, topic, transition, update, wait};
use proptest::prelude::*;
use schemas::records::{
    ConversionReported, ConversionTransitioned, IdempotencyUse, OrderStatusReported, ReportedStatus,
};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use schemas::{Timestamp, encode};
use store::embedded::{FeedError, Positions};
use store::{Claims, IdempotencyScope, status_digest};
use streams::log::Limits;
use streams::{LogError, Message, Record};

const ONE: Limits = Limits { records_max: 1, bytes_max: 1 };

/// One batch of at most one frame; `false` once there is nothing left.
fn step(process: &mut Process) -> bool {
    process.feeder.step(&ONE, Duration::ZERO).expect("fed") > 0
}

#[test]
fn a_kill_at_any_batch_leaves_the_same_rows_in_the_end() {
    let world = World::new();
    let mut whole = world.start();
    day(&whole.log);
    whole.catch_up();
    let expected = whole.dump();
    assert!(expected.len() > 60, "{} rows", expected.len());
    drop(whole);
    world.wipe_state();
    let mut batches = 0;
    loop {
        let mut process = world.start();
        let applied = process.store.applied_position();
        let more = step(&mut process);
        assert!(process.store.applied_position() > applied || !more);
        if !more {
            assert_eq!(process.dump(), expected);
            break;
        }
        batches += 1;
    }
    assert_eq!(batches, 36, "every frame of the two topics was a batch of its own");
}

#[test]
fn rows_of_the_edge_are_those_of_the_feeder() {
    let world = World::new();
    let mut process = world.start();
    let store = process.store.clone();
    for (number, order) in ["A", "B"].into_iter().enumerate() {
        let idempotency = Some(IdempotencyUse { key: order.to_owned(), body_digest: "01".repeat(16) });
        let report = ConversionReported { idempotency, ..report(order, "cnvevt_1") };
        let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
        let key = format!("order-status\0{order}");
        let idempotency = Some(IdempotencyUse { key: key.clone(), body_digest: "02".repeat(16) });
        let paid = OrderStatusReported { idempotency, ..update(order, ReportedStatus::Paid, Some(1)) };
        publish(&process.log, vec![message(CONVERSIONS, &paid)]);
        if number == 0 {
            process.catch_up();
        }
        let scope = IdempotencyScope { merchant_id: "mer_one".to_owned(), livemode: true };
        let digest = status_digest(id(order), &update(order, ReportedStatus::Paid, Some(1)));
        wait(store.claim_conversion(id(order), &claim(&report, offset))).expect("claimed");
        wait(store.claim_status(digest, "osevt_1")).expect("claimed");
        wait(store.remember_idempotency(&scope, order, [1; 16], report.received_at)).expect("remembered");
        wait(store.remember_idempotency(&scope, &key, [2; 16], paid.received_at)).expect("remembered");
    }
    let ahead = process.dump();
    process.catch_up();
    let fed = process.dump();
    assert_eq!(ahead.len() + 1, fed.len(), "the claim on B waited for its record");
    assert!(ahead.iter().all(|row| fed.contains(row)), "the feeder found all else of it");
    drop((process, store));
    world.wipe_state();
    let mut process = world.start();
    process.catch_up();
    assert_eq!(process.dump(), fed, "the log says all of it");
}

#[test]
fn an_edge_that_died_between_publish_and_claim_is_made_good() {
    let world = World::new();
    let mut process = world.start();
    let report = report("A", "cnvevt_1");
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
    process.catch_up();
    let found = wait(Claims::conversion(&process.store, id("A"))).expect("read");
    assert_eq!(found, Some(claim(&report, offset)));
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    let world = World::new();
    let mut process = world.start();
    let raw = |spec, value: Vec<u8>| Message { topic: topic(spec), key: Vec::new(), value };
    let whole = encode(&report("A", "cnvevt_1"));
    let key = Some(IdempotencyUse { key: "key".to_owned(), body_digest: "+".repeat(32) });
    let paid = OrderStatusReported { idempotency: key.clone(), ..update("A", ReportedStatus::Paid, None) };
    let nonsense = [
        raw(CONVERSIONS, Vec::new()),
        raw(CONVERSIONS, b"{}".to_vec()),
        raw(CONVERSIONS, whole[..whole.len() - 1].to_vec()),
        message(CONVERSIONS, &transition("A", 1)),
        message(CONVERSIONS, &ConversionReported { merchant_id: "no/name".to_owned(), ..report("A", "cnvevt_1") }),
        message(CONVERSIONS, &ConversionReported { idempotency: key, ..report("A", "cnvevt_1") }),
        message(CONVERSIONS, &paid),
        raw(TRANSITIONS, whole),
        message(TRANSITIONS, &ConversionTransitioned { revision: 0, ..transition("A", 1) }),
        message(TRANSITIONS, &transition("A", 0)),
        message(TRANSITIONS, &ConversionTransitioned { seq: 1, ..transition("A", 1) }),
    ];
    let count = nonsense.len() as u64;
    publish(&process.log, nonsense.to_vec());
    publish(&process.log, vec![message(CONVERSIONS, &report("B", "cnvevt_2"))]);
    process.catch_up();
    let stats = process.store.stats();
    assert_eq!((stats.skipped, stats.records, stats.rows), (count, 1, 1));
    assert_eq!((stats.applied_position, stats.lag), (process.log.durable(), 0));
}

#[test]
fn the_position_passes_other_topics_and_wakes_those_who_wait() {
    let world = World::new();
    let process = world.start();
    publish(&process.log, vec![noise()]);
    let end = process.log.durable();
    let store = process.store.clone();
    assert!(!store.wait_applied(end, Instant::now() + Duration::from_millis(5)), "nobody feeds");
    let (mut feeder, log, stop) = (process.feeder, process.log, AtomicBool::new(false));
    thread::scope(|scope| {
        let fed = scope.spawn(|| feeder.run(&stop));
        assert!(store.wait_applied(end, Instant::now() + Duration::from_secs(10)));
        publish(&log, vec![message(CONVERSIONS, &report("A", "cnvevt_1"))]);
        assert!(store.wait_applied(log.durable(), Instant::now() + Duration::from_secs(10)));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        fed.join().expect("no panic").expect("stopped");
    });
    assert_eq!(store.stats().lag, 0);
    let applied = log.durable();
    drop((feeder, store, process.store, process.state, log));
    assert_eq!(world.start().store.applied_position(), applied, "the position is stamped");
}

#[test]
fn stopping_and_closing() {
    let world = World::new();
    let process = world.start();
    day(&process.log);
    let before = process.log.durable();
    drop(process);
    let mut process = world.start();
    assert_eq!(process.store.stats().lag, before);
    assert!(!process.feeder.catch_up(&AtomicBool::new(true)).expect("no error"), "stopped before the end");
    assert!(process.feeder.catch_up(&AtomicBool::new(false)).expect("no error"));
    assert_eq!(process.store.applied_position(), before);
    publish(&process.log, vec![message(CONVERSIONS, &report("Z", "cnvevt_1"))]);
    process.log.close().expect("closed");
    process.feeder.run(&AtomicBool::new(false)).expect("a log closed in order is no error");
    assert_eq!(process.store.applied_position(), process.log.durable(), "all of it was applied first");
    let error = process.feeder.step(&ONE, Duration::ZERO).expect_err("closed");
    assert!(matches!(error, FeedError::Log(LogError::Closed)), "{error}");
}

/// A record of a small world, in which most things meet.
fn record() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let order = (0..3_u8).prop_map(|order| format!("A-{order}"));
    let used = prop::option::of((0..2_u8, 0..2_u8));
    let used = used.prop_map(|used| {
        used.map(|(key, body)| IdempotencyUse { key: key.to_string(), body_digest: format!("{body:032x}") })
    });
    let received_at = (0..40_i64).prop_map(|hours| Timestamp(common::NOW.0 - hours * 3_600_000));
    let when = (used, received_at);
    let report =
        (order.clone(), 0..2_i64, when.clone()).prop_map(|(order, amount_minor, (idempotency, received_at))| {
            encode(&ConversionReported { amount_minor, idempotency, received_at, ..report(&order, "cnvevt_1") })
        });
    let statuses = prop::sample::select(vec![ReportedStatus::Paid, ReportedStatus::Returned]);
    let status = (order.clone(), statuses, prop::option::of(0..2_i64), when).prop_map(
        |(order, status, at, (idempotency, received_at))| {
            encode(&OrderStatusReported { idempotency, received_at, ..update(&order, status, at) })
        },
    );
    let transition = (order, 1..5_i64).prop_map(|(order, revision)| encode(&transition(&order, revision)));
    let nonsense = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        (Just(CONVERSIONS.number), prop_oneof![report, status]),
        (Just(TRANSITIONS.number), transition),
        (prop::sample::select(vec![CONVERSIONS.number, TRANSITIONS.number]), nonsense),
    ]
}

/// Feeds records in batches of these sizes to a new store and returns its rows.
fn fed(records: &[Record], sizes: &[usize]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let world = World::new();
    let mut process = world.start();
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = records;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        let position = batch.last().expect("not empty").offset + 1;
        process.feeder.apply(batch, &Positions::from([((0, 0), position)])).expect("applied");
        rest = after;
    }
    process.dump()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn neither_pieces_nor_repetition_nor_order_change_a_row(
        values in prop::collection::vec(record(), 1..25),
        sizes in prop::collection::vec(1..9_usize, 1..5),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let records: Vec<Record> = values.into_iter().enumerate().map(|(index, (topic, value))| Record {
            topic,
            partition: 0,
            offset: index as u64,
            key: Default::default(),
            value: value.into(),
        }).collect();
        let expected = fed(&records, &[records.len()]);
        prop_assert_eq!(&fed(&records, &sizes), &expected, "in pieces");
        let twice = [records.clone(), records.clone()].concat();
        prop_assert_eq!(&fed(&twice, &sizes), &expected, "twice");
        let mut turned = records.clone();
        turned.rotate_left(shuffled.index(records.len()));
        turned.reverse();
        prop_assert_eq!(&fed(&turned, &sizes), &expected, "in another order");
    }
}
