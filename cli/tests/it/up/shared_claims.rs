//! Two edges with one store: of an order that both accept at once, one says that it is new.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::up::audit::audit;
use crate::up::client::{Answer, CONVERSIONS, ONE, connect, head, read_answer};
use crate::up::cluster::{Cluster, Target, alone};
use crate::up::kafka::OnKafkaAndCql;
use crate::up::orders::{Click, Order};

const ORDERS: i64 = 10_000;
const SENDERS: usize = 32;

/// Without a click, so that nothing but the claims takes long.
fn order(number: i64) -> Order {
    Order { click: Click::Missing, ..Order::new(&ONE, format!("ONCE-{number}"), 1_000 + number) }
}

/// Sends a body to both before either is read.
fn send_to_both(streams: &mut [BufReader<TcpStream>], body: &str) -> io::Result<Vec<Answer>> {
    let request = format!("{}\r\n{body}", head(&ONE, &format!("POST {CONVERSIONS}"), body));
    for stream in streams.iter_mut() {
        stream.get_mut().write_all(request.as_bytes())?;
    }
    streams.iter_mut().map(read_answer).collect()
}

fn send_until(edges: &[Target], next: &AtomicI64) {
    let mut streams: Vec<_> = edges.iter().map(|edge| BufReader::new(connect(edge).expect("it listens"))).collect();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= ORDERS {
            return;
        }
        let order = order(number);
        let answers = send_to_both(&mut streams, &order.body()).unwrap_or_else(|error| panic!("{}: {error}", order.id));
        assert!(answers.iter().all(|answer| answer.status == 202), "{}: {answers:?}", order.id);
        let told: Vec<Value> = answers.iter().map(|answer| answer.json()["status"].clone()).collect();
        let times = |status: &str| told.iter().filter(|told| *told == status).count();
        assert_eq!((times("RECEIVED"), times("DUPLICATE")), (1, 1), "{}: {answers:?}", order.id);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "how long it took is looked at by hand")]
fn each_order_is_new_to_one_of_two_edges() {
    let _alone = alone();
    let mut cluster = OnKafkaAndCql::start();
    let (edges, next, begun) = (cluster.edges(), AtomicI64::new(0), Instant::now());
    thread::scope(|scope| (0..SENDERS).for_each(|_| drop(scope.spawn(|| send_until(&edges, &next)))));
    eprintln!("{ORDERS} orders to two edges at once in {:?}", begun.elapsed());
    cluster.quiet("to both at once");
    cluster.stop();
    let topics = cluster.topics();
    let orders: Vec<Order> = (0..ORDERS).map(order).collect();
    assert!(topics.reports.len() > orders.len(), "no order was published by both, so nothing was shown");
    audit(&topics, &orders, "to both at once");
}
