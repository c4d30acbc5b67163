//! `conversions verify` on a real log: clean while it is written and after, and not when something is wrong with it.

use std::time::Duration;

use schemas::encode;
use schemas::topics::{CONVERSIONS as REPORTS, LEDGER_ENTRIES, TRANSITIONS};
use serde_json::json;

use crate::support::text;
use crate::up::client::{Client, ONE};
use crate::up::cluster::{Cluster, on_each_cluster};
use crate::up::explaining::{explained, fact_topics};
use crate::up::orders::{Click, Order};
use crate::up::{poll, what_if};

on_each_cluster!(differences_are_told);

fn differences_are_told<C: Cluster>() {
    let mut cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let order = |(number, amount): (usize, &i64)| Order::new(&ONE, format!("VERIFY-{number}"), *amount);
    let mut orders: Vec<Order> = what_if::AMOUNTS.iter().enumerate().map(order).collect();
    orders[1].click = Click::Missing;
    for order in &mut orders {
        order.deliver(&mut client);
        // Also while there is more to do.
        let output = cluster.verify(&[]);
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    for order in &orders {
        poll(Duration::from_secs(20), || order.unsettled(&client.conversion(&order.id)).map_or(Ok(()), Err));
    }
    let why = explained(&cluster.target(), &ONE, &client.conversion(&orders[0].id).json());
    assert_eq!((&why["stateReason"], &why["hold"]["window"]), (&json!("hold_ended"), &json!("return")), "{why}");
    assert_eq!(fact_topics(&why), ["conversions", "conversions", "click-verdicts"], "{why}");
    cluster.quiet("verifying");
    cluster.verified(orders.len(), "while it runs");
    what_if::checked(&cluster);
    cluster.stop();
    cluster.verified(orders.len(), "after it has ended");

    let topics = cluster.topics();
    let entry = topics.entries.last().expect("an entry");
    let ledger = format!("{}/{}/live", entry.affiliate_id, entry.currency);
    cluster.write(&LEDGER_ENTRIES, ledger.as_bytes(), &encode(entry));
    let mut change = topics.transitions.last().expect("a change").clone();
    change.revision += 1;
    change.timeline.clear();
    change.explanation.as_mut().expect("it is explained").facts[0].offset += 1;
    change.order_status = schemas::records::OrderStatus::Cancelled;
    let order = format!("{}/live/{}", change.merchant_id, change.external_order_id);
    cluster.write(&TRANSITIONS, order.as_bytes(), &encode(&change));
    cluster.write(&REPORTS, b"not an order", b"rubbish");
    let output = cluster.verify(&["--limit", "50"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    let of_order = format!("order {} of {}", change.external_order_id, change.merchant_id);
    for expected in [
        &*format!("{of_order}: orderStatus"),
        &*format!("{of_order}: explanation"),
        "Cancelled",
        "ledgerEntry",
        "ledger-entries/",
        "conversions/",
    ] {
        assert!(said.contains(expected), "{expected:?} expected: {said}");
    }
    let none = cluster.verify(&["--limit", "0", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text(&none.stdout)).expect("JSON");
    assert!(json["differences"].as_array().is_some_and(Vec::is_empty), "{json}");
    assert!(json["differencesTotal"].as_u64() > Some(1) && json["clean"] == false, "{json}");
}
