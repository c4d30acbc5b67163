//! Many equal requests at the same time: one is the first, the others are told so.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::up::audit::audit;
use crate::up::client::{Answer, CONVERSIONS, Client, ONE, ORDER_STATUS};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::Order;
use crate::up::poll;

on_each_cluster!(one_is_the_first);

const AT_ONCE: usize = 64;

/// Sends the same body from many connections at once, each of which is open before.
fn send_at_once(target: &Target, path: &str, body: &str) -> Vec<Answer> {
    let barrier = Barrier::new(AT_ONCE);
    let send = || {
        let mut client = Client::new(target, &ONE);
        let live = client.get("/health/live").expect("it is there");
        assert_eq!(live.status, 200, "{live:?}");
        barrier.wait();
        client.post(path, body).unwrap_or_else(|error| panic!("{body}: {error}"))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it was answered")).collect()
    })
}

/// Counts the answers by status; each has to be a 202, and every duplicate has to say the same.
fn count(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut duplicates = Vec::new();
    for answer in answers {
        let json = answer.json();
        assert_eq!(answer.status, 202, "{answer:?}");
        *counts.entry(json["status"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        if json["duplicate"] == Value::Bool(true) {
            duplicates.push(json);
        }
    }
    assert!(duplicates.windows(2).all(|pair| pair[0] == pair[1]), "{duplicates:?}");
    counts
}

fn counts(first: &str) -> BTreeMap<String, usize> {
    [(first.to_owned(), 1), ("DUPLICATE".to_owned(), AT_ONCE - 1)].into()
}

fn one_is_the_first<C: Cluster>() {
    let mut cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let mut order = Order { product: Some("SKU-RED-42"), ..Order::new(&ONE, "SAME-1", 100_050) };

    let answers = send_at_once(&cluster.target(), CONVERSIONS, &order.body());
    assert_eq!(count(&answers), counts("RECEIVED"), "{}: {answers:?}", order.id);
    let shown = client.conversion(&order.id).json();
    let told = answers.iter().map(Answer::json).find(|json| json["status"] == "DUPLICATE").expect("63 of them");
    assert_eq!(told["conversionId"], shown["conversionId"], "{}: {told}, {shown}", order.id);

    let answers = send_at_once(&cluster.target(), ORDER_STATUS, &order.status_body("delivered"));
    assert_eq!(count(&answers), counts("ACCEPTED"), "{}: {answers:?}", order.id);
    order.updates.insert("delivered");
    poll(Duration::from_secs(20), || order.unsettled(&client.conversion(&order.id)).map_or(Ok(()), Err));
    let shown = client.conversion(&order.id).json();
    let delivered = |entry: &&Value| entry["cause"]["orderStatus"] == "delivered";
    let times = shown["timeline"].as_array().expect("a timeline").iter().filter(delivered).count();
    assert_eq!(times, 1, "{}: {shown}", order.id);
    assert_eq!(shown["conflicts"], 0, "{}: {shown}", order.id);

    cluster.quiet("64 at once");
    cluster.stop();
    let topics = cluster.topics();
    // Each edge may have published one before the claim told who is the first.
    for records in [topics.reports.len(), topics.statuses.len()] {
        assert!((1..=C::EDGES).contains(&records), "{}: {records} records of one thing", order.id);
    }
    audit(&topics, &[order], "64 at once");
}
