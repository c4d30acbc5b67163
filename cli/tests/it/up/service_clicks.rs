//! Clicks that a service records: before the order that names them, while it waits, and after it was called LOW.

use std::time::Duration;

use serde_json::{Value, json};

use crate::up::attribution::{assert_pays, judged};
use crate::up::client::{Answer, CONVERSIONS, Client, ONE, SERVICE_TOKEN};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::ORDERED_AT;
use crate::up::poll;

on_each_cluster!(a_click_of_a_service_makes_an_order_high);

/// Where a service records clicks.
const SERVICE_CLICKS: &str = "/internal/v1/clicks";
const CLICKED_AT: &str = "2026-06-14T08:00:00Z";

/// The request line and headers of a service's request, without the empty line that ends them.
fn service_head(token: &str, line: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nauthorization: \
         Bearer {token}\r\n",
    )
}

fn record(target: &Target, token: &str, click: &str) -> Answer {
    let body = json!({"clickId": click, "linkId": "demo", "clickedAt": CLICKED_AT}).to_string();
    let head = service_head(token, &format!("POST {SERVICE_CLICKS}"), &body);
    Client::new(target, &ONE).send(&head, &body).expect("an answer")
}

#[track_caller]
fn recorded(target: &Target, click: &str) {
    let answer = record(target, SERVICE_TOKEN, click);
    assert_eq!((answer.status, answer.json()), (202, json!({"clickId": click, "status": "RECORDED"})), "{answer:?}");
}

fn order(id: &str, click: &str) -> Value {
    json!({"externalOrderId": id, "orderAmount": "1000.00", "clickId": click, "orderStatus": "confirmed", "orderedAt": ORDERED_AT})
}

fn wait_high(target: &Target, id: &str) -> Value {
    let mut client = Client::new(target, &ONE);
    poll(Duration::from_secs(20), || {
        let conversion = client.conversion(id).json();
        if conversion["confidence"] == "HIGH" { Ok(conversion) } else { Err(conversion.to_string()) }
    })
}

fn a_click_of_a_service_makes_an_order_high<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    let wrong = record(&target, &SERVICE_TOKEN.replace('5', "6"), "clk_before");
    assert_eq!((wrong.status, &wrong.json()["code"]), (401, &json!("INVALID_SERVICE_TOKEN")), "{wrong:?}");

    let low = judged(&target, &ONE, &order("TOLD-LATE", "clk_late"));
    assert_eq!((&low["confidence"], &low["confidenceReason"]), (&json!("LOW"), &json!("click_unknown")), "{low}");
    let mut client = Client::new(&target, &ONE);
    let answer = client.settle(CONVERSIONS, &order("TOLD-WAITING", "clk_waiting").to_string(), None);
    assert_eq!(answer.status, 202, "{answer:?}");
    recorded(&target, "clk_waiting");
    recorded(&target, "clk_late");
    recorded(&target, "clk_before");
    // A service that did not hear the answer tells it again.
    recorded(&target, "clk_before");
    let before = judged(&target, &ONE, &order("TOLD-BEFORE", "clk_before"));
    for conversion in [before, wait_high(&target, "TOLD-WAITING"), wait_high(&target, "TOLD-LATE")] {
        assert_pays(&conversion, "100.00", "campaign", "rul_campaign_one", "10");
        assert_eq!((&conversion["affiliateId"], &conversion["campaignId"]), (&json!("aff_one"), &json!("cmp_one")));
    }
    cluster.quiet("after the clicks");
    cluster.stop();
    let topics = cluster.topics();
    assert!(topics.dead_letters.is_empty(), "{:?}", topics.dead_letters);
    assert_eq!(topics.clicks.iter().filter(|click| click.click_id == "clk_before").count(), 2);
}
