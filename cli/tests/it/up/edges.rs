//! Two edges on one Kafka: what one accepted the other knows a moment later, and an order that both accepted at once is
//! one order.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::up::audit::audit;
use crate::up::client::{Answer, CONVERSIONS, Client, ONE};
use crate::up::cluster::{Cluster, Target};
use crate::up::kafka::OnKafka;
use crate::up::orders::Order;
use crate::up::poll;

const ORDERS: i64 = 100;
/// Generous, for a machine that has other work: it is milliseconds.
const KNOWN_DEADLINE: Duration = Duration::from_secs(5);

/// Sends the two bodies to the two edges at the same time, over connections that are open before.
fn send_at_once(clients: &mut [Client; 2], bodies: [String; 2]) -> [Answer; 2] {
    let barrier = Barrier::new(2);
    let [first, second] = clients;
    let send = |client: &mut Client, body: &str| {
        barrier.wait();
        client.post(CONVERSIONS, body).unwrap_or_else(|error| panic!("{body}: {error}"))
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| send(second, &bodies[1]));
        [send(first, &bodies[0]), other.join().expect("it was answered")]
    })
}

/// Waits until both edges show the same of an order, and returns it.
fn agree(clients: &mut [Client; 2], order: &str, settled: impl Fn(&Answer) -> Option<String>) -> Value {
    poll(KNOWN_DEADLINE, || {
        let [one, other] = clients.each_mut().map(|client| client.conversion(order));
        if let Some(why) = settled(&one) {
            return Err(why);
        }
        if one.body == other.body { Ok(one.json()) } else { Err(format!("{one:?} and {other:?}")) }
    })
}

fn statuses(answers: &[Answer; 2]) -> [Value; 2] {
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    answers.each_ref().map(|answer| answer.json()["status"].clone())
}

#[test]
fn what_one_accepted_the_other_knows() {
    let cluster = OnKafka::start();
    let (target, _edge) = cluster.another_edge();
    let mut clients = [cluster.target(), target].map(|target: Target| Client::new(&target, &ONE));
    for number in 0..ORDERS {
        let order = Order::new(&ONE, format!("EDGES-{number}"), 1_000 + number);
        let (accepts, other) = if number % 2 == 0 { (0, 1) } else { (1, 0) };
        let accepted = clients[accepts].settle(CONVERSIONS, &order.body(), None);
        assert_eq!(accepted.json()["status"], "RECEIVED", "{accepted:?}");
        poll(KNOWN_DEADLINE, || order.fault(&clients[other].conversion(&order.id)).map_or(Ok(()), Err));
        let repeated = clients[other].settle(CONVERSIONS, &order.body(), None);
        assert_eq!(repeated.json()["status"], "DUPLICATE", "order {}: {repeated:?}", order.id);
        let shown = agree(&mut clients, &order.id, |answer| order.fault(answer));
        assert_eq!(shown["eventId"], accepted.json()["eventId"], "order {}: {shown}", order.id);
    }
}

#[test]
fn what_both_accepted_at_once_counts_once() {
    let mut cluster = OnKafka::start();
    let (target, edge) = cluster.another_edge();
    let mut clients = [cluster.target(), target].map(|target: Target| Client::new(&target, &ONE));
    let mut received_twice = 0;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let mut order = Order::new(&ONE, format!("BOTH-{number}"), 10_000);
        // Every other time the two say different things: the first in the log is the order.
        let differs = number % 2 == 1;
        let bodies = [order.body(), order.body_with(10_000 + i64::from(differs))];
        let statuses = statuses(&send_at_once(&mut clients, bodies));
        assert!(statuses.contains(&json!("RECEIVED")), "order {}: {statuses:?}", order.id);
        received_twice += i64::from(statuses == ["RECEIVED", "RECEIVED"]);
        if differs {
            order.conflicts = 1;
            let shown = poll(KNOWN_DEADLINE, || {
                let shown = clients[0].conversion(&order.id).json();
                if shown["conflicts"] == 1 { Ok(shown) } else { Err(format!("order {}: {shown}", order.id)) }
            });
            order.amount_minor += i64::from(shown["orderAmount"] == "100.01");
        }
        orders.push(order);
    }
    assert!(received_twice > 0, "no order was accepted by both, so nothing was shown");
    for order in &orders {
        poll(Duration::from_secs(30), || order.unsettled(&clients[0].conversion(&order.id)).map_or(Ok(()), Err));
        agree(&mut clients, &order.id, |answer| order.unsettled(answer));
    }
    cluster.quiet("two edges");
    edge.terminate();
    edge.wait();
    cluster.stop();
    let topics = cluster.topics();
    assert!(topics.reports.len() > orders.len(), "{} reports", topics.reports.len());
    audit(&topics, &orders, "two edges");
}
