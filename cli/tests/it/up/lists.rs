//! A merchant's list: every order once, whatever arrives while it is read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::up::client::{CONVERSIONS, Client, ONE, TWO};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::{Click, Order};
use crate::up::poll;

on_each_cluster!(every_order_is_listed_once_while_others_arrive);

const ORDERS: i64 = 120;
/// More than arrive while the list is read.
const LATE_MAX: i64 = 5_000;
/// Generous, for a machine that has other work: it is milliseconds, and the demo's hold a second or two.
const DEADLINE: Duration = Duration::from_secs(60);

fn every_order_is_listed_once_while_others_arrive<C: Cluster>() {
    let cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let orders: Vec<Order> = (0..ORDERS).map(order).collect();
    for order in &orders {
        assert_eq!(client.settle(CONVERSIONS, &order.body(), None).status, 202, "{order:?}");
    }
    let mut other = Client::new(&cluster.target(), &TWO);
    let foreign = Order::new(&TWO, "FOREIGN", 1_000);
    assert_eq!(other.settle(CONVERSIONS, &foreign.body(), None).status, 202, "{foreign:?}");
    let expected: BTreeSet<String> = orders.iter().map(|order| order.id.clone()).collect();
    poll(DEADLINE, || same(&expected, &listed(&mut client, "limit=100")));
    poll(DEADLINE, || same(&BTreeSet::from([foreign.id.clone()]), &listed(&mut other, "")));

    let seen = while_others_arrive(&cluster.target(), || listed(&mut client, "limit=7"));
    let (known, late): (Vec<Value>, Vec<Value>) = seen.into_iter().partition(|item| !id(item).starts_with("LATE-"));
    same(&expected, &known).expect("each that was there is found once");
    same(&late.iter().map(id).collect(), &late).expect("none of those that came is found twice");

    for order in &orders {
        poll(DEADLINE, || order.unsettled(&client.conversion(&order.id)).map_or(Ok(()), Err));
    }
    filters(&mut client, &orders);
}

/// Every fourth has no click, and ends otherwise.
fn order(number: i64) -> Order {
    let order = Order::new(&ONE, format!("LIST-{number}"), 1_000 + number);
    if number % 4 == 0 { Order { click: Click::Missing, ..order } } else { order }
}

fn id(item: &Value) -> String {
    item["externalOrderId"].as_str().expect("an item has its order's id").to_owned()
}

/// Whether a list holds exactly these orders, each once.
fn same(expected: &BTreeSet<String>, items: &[Value]) -> Result<(), String> {
    let found: BTreeSet<String> = items.iter().map(id).collect();
    let difference: Vec<&String> = expected.symmetric_difference(&found).collect();
    if items.len() == expected.len() && difference.is_empty() {
        Ok(())
    } else {
        Err(format!("{} items of {} orders, and {difference:?}", items.len(), expected.len()))
    }
}

/// All pages of a list, which have to be in order.
fn listed(client: &mut Client, query: &str) -> Vec<Value> {
    let (mut items, mut path) = (Vec::new(), format!("{CONVERSIONS}?{query}"));
    loop {
        let page = poll(DEADLINE, || match client.get(&path) {
            Ok(answer) if answer.status == 200 => Ok(answer.json()),
            Ok(answer) if answer.status < 500 => panic!("{path}: {answer:?}"),
            Ok(answer) => Err(format!("{answer:?}")),
            Err(error) => Err(error.to_string()),
        });
        items.extend(page["data"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { break };
        path = format!("{CONVERSIONS}?{query}&cursor={next}");
    }
    let place = |item: &Value| (item["receivedAt"].as_str().map(instant), item["conversionId"].to_string());
    assert!(items.is_sorted_by(|one, next| place(one) > place(next)), "newest first, and none twice: {items:?}");
    items
}

/// An instant as text that sorts: the milliseconds are there or not.
fn instant(text: &str) -> String {
    let (seconds, fraction) = text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<3}")
}

/// Does something while a merchant sends orders, again if none of them came while it was done.
fn while_others_arrive<T>(target: &Target, mut act: impl FnMut() -> T) -> T {
    let (sent, done) = (AtomicI64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut client = Client::new(target, &ONE);
            for number in (0..LATE_MAX).take_while(|_| !done.load(Ordering::Relaxed)) {
                let order = Order::new(&ONE, format!("LATE-{number}"), 1_000);
                assert_eq!(client.settle(CONVERSIONS, &order.body(), None).status, 202, "{order:?}");
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let acted = poll(DEADLINE, || {
            let before = sent.load(Ordering::Relaxed);
            let acted = act();
            let after = sent.load(Ordering::Relaxed);
            if before > 0 && after > before { Ok(acted) } else { Err(format!("{before} were sent, then {after}")) }
        });
        done.store(true, Ordering::Relaxed);
        sender.join().expect("all were answered");
        acted
    })
}

/// Each filter finds what it should of orders that nothing more happens to.
fn filters(client: &mut Client, orders: &[Order]) {
    let ours = |items: Vec<Value>| items.into_iter().filter(|item| !id(item).starts_with("LATE-")).collect::<Vec<_>>();
    let of = |wanted: &dyn Fn(&Order) -> bool| -> BTreeSet<String> {
        orders.iter().filter(|order| wanted(order)).map(|order| order.id.clone()).collect()
    };
    for (query, wanted) in [
        ("status=payable&limit=9", of(&|order| order.final_state() == "payable")),
        ("status=received&limit=9", of(&|order| order.final_state() == "received")),
        ("status=reversed", BTreeSet::new()),
        ("confidence=HIGH&limit=50", of(&|order| order.confidence().0 == "HIGH")),
        ("confidence=LOW", of(&|order| order.confidence().0 == "LOW")),
        ("status=received&confidence=HIGH", BTreeSet::new()),
    ] {
        same(&wanted, &ours(listed(client, query))).unwrap_or_else(|fault| panic!("{query}: {fault}"));
    }
    let all = ours(listed(client, "limit=100"));
    let middle = all[all.len() / 2]["receivedAt"].as_str().expect("an instant").to_owned();
    let is_newer = |item: &Value| item["receivedAt"].as_str().map(instant) >= Some(instant(&middle));
    let (newer, older): (Vec<Value>, Vec<Value>) = all.iter().cloned().partition(is_newer);
    assert_eq!(ours(listed(client, &format!("from={middle}"))), newer, "from {middle}");
    assert_eq!(ours(listed(client, &format!("to={middle}"))), older, "to {middle}");
    for item in all.iter().step_by(10) {
        let mut alone = client.conversion(&id(item)).json();
        alone.as_object_mut().expect("a conversion").remove("timeline").expect("its timeline");
        assert_eq!(&alone, item);
    }
}
