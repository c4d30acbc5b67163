//! An edge dies between the publish and the claim: its record is in the log, and nobody was told.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use schemas::codec::{self, decode};
use schemas::records::ConversionReported;
use schemas::topics;
use serde_json::{Value, json};
use streams::kafka::{Connection, KafkaReader};
use streams::log::Limits;

use crate::check::{check, check_read_model};
use crate::http::{CONVERSIONS, ONE};
use crate::member::Member;
use crate::merchant::{Caller, Kind};
use crate::random::Random;
use crate::stack::Stack;
use crate::{alone, say};

const ROUNDS: usize = 3;
/// So long an edge waits for a server that is stalled: once before the publish, and once for the claim, in which it is killed.
const CLAIM_DEADLINE: &str = "3s";
const PATIENCE: Duration = Duration::from_secs(30);
const PUBLISH_DEADLINE: Duration = Duration::from_secs(10);
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn an_edge_that_dies_before_its_claim_costs_nothing() {
    let _alone = alone();
    let stack =
        Stack::start_with_cql(&[("INGEST_STORE_DEADLINE", CLAIM_DEADLINE), ("CQL_REQUEST_TIMEOUT", CLAIM_DEADLINE)]);
    let connection = Connection::new(stack.kafka.bootstrap(), stack.prefix());
    let reports = [processors::topic(&topics::CONVERSIONS)];
    let mut log = KafkaReader::open(&connection, "look", &reports, &BTreeMap::new()).expect("a reader");
    for round in 0..ROUNDS {
        let order = format!("UNCLAIMED-{round}");
        let (dies, lives) = (&stack.edges[round % 2], &stack.edges[1 - round % 2]);
        stack.cql().stall();
        thread::scope(|scope| {
            let cut_off = scope.spawn(|| caller(&stack, dies).once(&ONE, Kind::Report, &report(&order)));
            wait_for(&mut log, &order);
            dies.kill(false);
            let answer = cut_off.join().expect("it ends");
            assert!(answer.is_err(), "{order}: it was answered, so nothing was shown: {answer:?}");
        });
        stack.cql().resume();
        caller(&stack, lives).settle(&ONE, Kind::Report, &report(&order), 0);
        dies.start();
        stack.edges.iter().for_each(Member::ready);
        for edge in &stack.edges {
            let answer = caller(&stack, edge).once(&ONE, Kind::Report, &report(&order)).expect("it answers");
            assert_eq!(answer.json()["status"], "DUPLICATE", "{order}: {answer:?}");
            shows_it(edge, &order);
        }
    }
    check(&stack, "before the claim");
    check_read_model(&stack, "before the claim", CATCH_UP_DEADLINE);
    say(&format!("{ROUNDS} edges died between publish and claim"));
    stack.end();
}

fn caller(stack: &Stack, edge: &Member) -> Caller {
    Caller::new(std::slice::from_ref(&edge.target), PATIENCE, Random::new(0, 0), &stack.facts)
}

fn report(id: &str) -> Value {
    json!({
        "externalOrderId": id, "orderAmount": "100.00", "orderStatus": "confirmed", "clickId": ONE.click,
        "orderedAt": "2026-06-14T09:30:00Z",
    })
}

/// Waits until the log has a report of this order.
fn wait_for(log: &mut KafkaReader, order: &str) {
    let begun = Instant::now();
    loop {
        let records = log.next(&Limits::default(), Duration::from_millis(50)).expect("records");
        let reports = records.iter().filter(|record| codec::is::<ConversionReported>(&record.value));
        let mut orders = reports.map(|record| decode::<ConversionReported>(&record.value).expect("a report"));
        if orders.any(|report| report.external_order_id == order) {
            return;
        }
        assert!(begun.elapsed() < PUBLISH_DEADLINE, "{order} is not in the log after {PUBLISH_DEADLINE:?}");
    }
}

/// Waits until an edge shows that the order has a commission.
fn shows_it(edge: &Member, order: &str) {
    let begun = Instant::now();
    loop {
        let answer = edge.ask(&format!("{CONVERSIONS}/{order}")).expect("it answers");
        if answer.status == 200 && answer.json()["commission"]["amount"] == "50.00" {
            return;
        }
        assert!(begun.elapsed() < CATCH_UP_DEADLINE, "{order}: {answer:?}");
        thread::sleep(Duration::from_millis(50));
    }
}
