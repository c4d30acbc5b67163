//! An orderly end under load: what was accepted is answered, and what was answered is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::up::client::{CONVERSIONS, Client, ONE, connect, head, read_answer};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::Order;
use crate::up::poll;

on_each_cluster!(sigterm_under_load);

const CLIENTS: usize = 8;
const IN_FLIGHT: usize = 8;
/// How many orders are answered before the signal comes.
const BEFORE: usize = 200;

/// Sends new orders until a connection ends; returns those that were answered.
fn send(target: &Target, client_number: usize, answered: &AtomicUsize) -> Vec<Order> {
    let mut client = Client::new(target, &ONE);
    let mut orders = Vec::new();
    loop {
        let order = Order::new(&ONE, format!("STOP-{client_number}-{}", orders.len()), 1_000);
        match client.post(CONVERSIONS, &order.body()) {
            Ok(answer) => assert_eq!(answer.status, 202, "order {}: {answer:?}", order.id),
            Err(_) => return orders,
        }
        answered.fetch_add(1, Ordering::Relaxed);
        orders.push(order);
    }
}

/// A request of which the process has read the head, and waits for the body.
fn begin(target: &Target, order: &Order) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(connect(target).expect("it listens"));
    let request = head(&ONE, &format!("POST {CONVERSIONS}"), &order.body()) + "expect: 100-continue\r\n\r\n";
    stream.get_mut().write_all(request.as_bytes()).expect("sent");
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        stream.read_line(line).expect("it asks for the body");
    }
    assert_eq!(lines, ["HTTP/1.1 100 Continue\r\n", "\r\n"], "order {}", order.id);
    stream
}

fn sigterm_under_load<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    let answered = AtomicUsize::new(0);
    let mut kept: Vec<Order> = thread::scope(|scope| {
        let (target, answered) = (&target, &answered);
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || send(target, number, answered))).collect();
        poll(Duration::from_secs(60), || match answered.load(Ordering::Relaxed) {
            BEFORE.. => Ok(()),
            few => Err(format!("{few} orders were answered")),
        });
        // Last, since a body may not take for long to come.
        let begun: Vec<(Order, BufReader<TcpStream>)> = (0..IN_FLIGHT)
            .map(|number| {
                let order = Order::new(&ONE, format!("FLIGHT-{number}"), 2_000);
                let stream = begin(target, &order);
                (order, stream)
            })
            .collect();
        cluster.terminate();
        // What is before several edges goes on listening, and has nobody to give a connection to.
        poll(Duration::from_secs(10), || match Client::new(target, &ONE).get("/health/live") {
            Ok(_) => Err("it still takes connections"),
            Err(_) => Ok(()),
        });
        // It takes no new connection any more, and ends what it has begun.
        let mut kept = Vec::new();
        for (order, mut stream) in begun {
            stream.get_mut().write_all(order.body().as_bytes()).expect("the connection is there");
            let answer = read_answer(&mut stream).unwrap_or_else(|error| panic!("order {}: {error}", order.id));
            assert_eq!(answer.status, 202, "order {}: {answer:?}", order.id);
            kept.push(order);
        }
        kept.extend(clients.into_iter().flat_map(|client| client.join().expect("only 202 was answered")));
        kept
    });
    cluster.wait();
    cluster.restart();
    let mut client = Client::new(&cluster.target(), &ONE);
    assert!(kept.len() >= BEFORE, "{} orders", kept.len());
    for order in kept.drain(..) {
        let fault = order.fault(&client.conversion(&order.id));
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }
}
