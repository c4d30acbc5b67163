//! Batches, through the whole pipeline.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::up::attribution::assert_pays;
use crate::up::client::{Answer, Client, ONE, TWO};
use crate::up::cluster::{Cluster, on_each_cluster};
use crate::up::orders::ORDERED_AT;
use crate::up::poll;

on_each_cluster!(a_batch_is_what_its_items_are_alone, a_batch_has_a_thousand_items_at_most);

const BATCH: &str = "/api/v1/conversions/batch";

fn order(id: &str, amount: &str) -> Value {
    json!({"externalOrderId": id, "orderAmount": amount, "clickId": ONE.click, "orderStatus": "confirmed", "orderedAt": ORDERED_AT})
}

fn send(client: &mut Client, items: &[Value]) -> Answer {
    client.settle(BATCH, &json!({"conversions": items}).to_string(), None)
}

/// The status of each result.
#[track_caller]
fn statuses(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().expect("results").clone();
    results.iter().map(|result| result["status"].as_str().expect("a status").to_owned()).collect()
}

fn a_batch_is_what_its_items_are_alone<C: Cluster>() {
    let mut cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let items = [
        order("BATCH-1", "1000.00"),
        json!({"externalOrderId": "BATCH-BAD", "orderAmount": 7}),
        order("BATCH-1", "2000.00"),
        json!("nothing"),
        order("BATCH-2", "500.00"),
        order("BATCH-2", "500.00"),
    ];
    let first = send(&mut client, &items);
    let expected = ["RECEIVED", "REJECTED", "DUPLICATE", "REJECTED", "RECEIVED", "DUPLICATE"];
    assert_eq!(statuses(&first), expected, "{first:?}");
    let results = &first.json()["results"];
    let codes = (&results[1]["code"], &results[3]["code"]);
    assert_eq!(codes, (&json!("VALIDATION_FAILED"), &json!("MALFORMED_JSON")), "{first:?}");
    assert_eq!(results[2]["conflict"], json!(["orderAmount"]), "{first:?}");
    assert!(results[5].get("conflict").is_none(), "{first:?}");

    // The whole of it again, as a sender does that heard no answer.
    let again = send(&mut client, &items);
    let expected = ["DUPLICATE", "REJECTED", "DUPLICATE", "REJECTED", "DUPLICATE", "DUPLICATE"];
    assert_eq!(statuses(&again), expected, "{again:?}");
    for (id, amount) in [("BATCH-1", "100.00"), ("BATCH-2", "50.00")] {
        let conversion = poll(Duration::from_secs(20), || {
            let conversion = client.conversion(id).json();
            if conversion["commission"].is_null() { Err(conversion.to_string()) } else { Ok(conversion) }
        });
        assert_pays(&conversion, amount, "campaign", "rul_campaign_one", "10");
    }
    assert_eq!(client.conversion("BATCH-BAD").status, 404);
    assert_eq!(Client::new(&cluster.target(), &TWO).conversion("BATCH-1").status, 404);
    cluster.quiet("after the batches");
    cluster.stop();
    let topics = cluster.topics();
    let paid: BTreeSet<&str> = topics.commissions.iter().map(|change| &*change.external_order_id).collect();
    assert_eq!(paid, BTreeSet::from(["BATCH-1", "BATCH-2"]));
    assert!(topics.dead_letters.is_empty(), "{:?}", topics.dead_letters);
}

fn a_batch_has_a_thousand_items_at_most<C: Cluster>() {
    let cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let items: Vec<Value> = (0..=1_000).map(|number| order(&format!("MANY-{number}"), "1.00")).collect();
    let refused = send(&mut client, &items);
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("VALIDATION_FAILED")), "{refused:?}");
    assert_eq!(client.conversion("MANY-0").status, 404, "nothing of it was recorded");
    let taken = send(&mut client, &items[..1_000]);
    let statuses = statuses(&taken);
    assert!(statuses.len() == 1_000 && statuses.iter().all(|status| status == "RECEIVED"), "{taken:?}");
    // A shared store that a thousand claims keep busy is asked again.
    poll(Duration::from_secs(20), || {
        let answer = client.conversion("MANY-999");
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}
