//! Much state: after a kill only the changelog's tail is read, without the folder all of it, and nothing is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use schemas::codec::{decode, encode};
use schemas::ids::OrderKey;
use schemas::records::{ConversionReported, ConversionTransitioned, OrderStatus};
use schemas::{Currency, Timestamp, topics};
use streams::kafka::{Connection, KafkaPublisher, KafkaReader, PublisherOptions};
use streams::log::{Limits, Pending};
use streams::{Message, Publisher};
use testkit::Brokers;

use crate::check::verify;
use crate::facts::now_ms;
use crate::http::ONE;
use crate::member::Member;
use crate::stack::Stack;
use crate::{alone, number, say};

/// What a debug build gets through in a minute or two; `CONVERSIONS_ORDERS=1000000` for a release build.
const ORDERS: u64 = 100_000;
/// Orders that are sent again at the end.
const AGAIN: u64 = 1_000;
/// Reports under way to the log at once.
const UNDER_WAY: usize = 20_000;
const BACK_WITHIN: Duration = Duration::from_secs(5);
const DRAIN_DEADLINE: Duration = Duration::from_secs(900);
/// How often it is looked how far a restore is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const AGAIN_DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn what_was_known_is_known_after_a_kill_and_without_the_folder() {
    let _alone = alone();
    let orders = number("CONVERSIONS_ORDERS").unwrap_or(ORDERS);
    let stack = Stack::new(Brokers::One, &[]);
    let connection = Connection::new(stack.kafka.bootstrap(), stack.prefix());
    let processors = &stack.processors[0];
    processors.start();
    processors.ready();
    let publisher = KafkaPublisher::open(&connection, "reports", PublisherOptions::default()).expect("a publisher");
    let begun = Instant::now();
    publish(&publisher, 0..orders, 10_000);
    // The report and the answer to its look-up, and the look-up.
    drained(processors, 3 * orders);
    say(&format!("{orders} orders in {:?}, processors beside the broker and this test", begun.elapsed()));

    processors.kill(false);
    let Back { took, restored, .. } = back(processors);
    say(&format!("killed, and back in {took:?}: {restored} changelog positions were read"));
    assert!(took < BACK_WITHIN, "it took {took:?}");
    assert!(restored < orders / 10, "{restored} changelog positions were read of the state of {orders} orders");

    processors.kill(true);
    let Back { took, restored, restoring } = back(processors);
    let rate = u128::from(restored) * 1_000 / restoring.as_millis();
    say(&format!(
        "without its folder back in {took:?}: {restored} changelog positions in {restoring:?}, {rate} a second"
    ));
    assert!(restored >= orders, "{restored} changelog positions were read of the state of {orders} orders");

    known_orders_are_not_new(&connection, &publisher, orders);
    let begun = Instant::now();
    verify(&stack, "state");
    say(&format!("verified in {:?}", begun.elapsed()));
    publisher.close(Duration::from_secs(5));
    processors.end(Signal::TERM);
}

/// How processors came back.
struct Back {
    /// From their start until every partition is processed again.
    took: Duration,
    /// Changelog positions that were read for it.
    restored: u64,
    /// From the last look that found nothing read to the first that found all of it.
    restoring: Duration,
}

/// Starts processors that were killed, and looks on until they are ready.
fn back(processors: &Member) -> Back {
    let begun = Instant::now();
    processors.start();
    let mut looks = vec![(begun, 0)];
    processors.says_meanwhile("ready", LOOK_EVERY, || {
        looks.push((Instant::now(), processors.metric("processor_restored_total")));
    });
    let took = begun.elapsed();
    let restored = processors.metric("processor_restored_total");
    looks.push((Instant::now(), restored));
    let first = looks.iter().rev().find(|(_, read)| *read == 0).map_or(begun, |(at, _)| *at);
    let last = looks.iter().find(|(_, read)| *read == restored).expect("the last look").0;
    Back { took, restored, restoring: last.saturating_duration_since(first) }
}

/// The same reports again, and others of the same orders: the first change nothing, and of the others each is a conflict.
fn known_orders_are_not_new(connection: &Connection, publisher: &KafkaPublisher, orders: u64) {
    let limits = Limits::default();
    let mut transitions =
        KafkaReader::open(connection, "look", &[processors::topic(&topics::TRANSITIONS)], &BTreeMap::new())
            .expect("a reader");
    let (begun, mut read) = (Instant::now(), 0);
    while !transitions.caught_up() {
        read += transitions.next(&limits, Duration::from_secs(1)).expect("records").len() as u64;
    }
    say(&format!("{read} transitions read in {:?}", begun.elapsed()));
    let first = orders - AGAIN;
    publish(publisher, first..orders, 10_000);
    publish(publisher, first..orders, 10_001);
    let (begun, mut conflicts) = (Instant::now(), Vec::new());
    while conflicts.len() < usize::try_from(AGAIN).expect("a small number") {
        assert!(begun.elapsed() < AGAIN_DEADLINE, "{} of {AGAIN} conflicts were told", conflicts.len());
        for record in transitions.next(&limits, Duration::from_secs(1)).expect("records") {
            let change: ConversionTransitioned = decode(&record.value).expect("a transition");
            assert_eq!((change.conflicts, change.amount_minor), (1, 10_000), "{change:?}");
            conflicts.push(change.external_order_id);
        }
    }
    conflicts.sort();
    conflicts.dedup();
    assert_eq!(conflicts.len() as u64, AGAIN, "each order is told of once");
    let more = transitions.next(&limits, Duration::from_secs(2)).expect("records");
    assert!(more.is_empty(), "{} transitions of orders that were known", more.len());
}

/// Waits until so many records were processed and nothing is left.
fn drained(processors: &Member, records: u64) {
    let begun = Instant::now();
    loop {
        let done = processors.metric("processor_records_total");
        if done >= records && processors.metric("processor_lag_records") == 0 {
            return;
        }
        assert!(begun.elapsed() < DRAIN_DEADLINE, "{done} of {records} records are processed");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Writes reports as an edge does, and waits until they are durable.
fn publish(publisher: &KafkaPublisher, orders: std::ops::Range<u64>, amount_minor: i64) {
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let durable = |pending: Option<Pending>| {
        let ack = pending.map(|pending| runtime.block_on(pending));
        assert!(ack.is_none_or(|ack| ack.is_ok()), "a report is durable");
    };
    for order in orders {
        if under_way.len() == UNDER_WAY {
            durable(under_way.pop_front());
        }
        under_way.push_back(publisher.publish(vec![report(order, amount_minor)]).expect("there is room"));
    }
    while !under_way.is_empty() {
        durable(under_way.pop_front());
    }
}

fn report(order: u64, amount_minor: i64) -> Message {
    let external_order_id = format!("order-{order}");
    let key = OrderKey { merchant_id: ONE.id, livemode: true, external_order_id: &external_order_id }.to_bytes();
    let received_at = Timestamp(now_ms());
    let record = ConversionReported {
        // A re-send is an event of its own.
        event_id: format!("cnvevt_{order}_{amount_minor}_{}", received_at.0),
        merchant_id: ONE.id.to_owned(),
        livemode: true,
        external_order_id,
        click_id: Some(ONE.click.to_owned()),
        external_product_id: None,
        amount_minor,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Pending,
        ordered_at: None,
        received_at,
        coupon_code: None,
        metadata: None,
        idempotency: None,
    };
    Message { topic: processors::topic(&topics::CONVERSIONS), key, value: encode(&record) }
}
