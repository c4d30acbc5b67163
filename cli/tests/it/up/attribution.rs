//! Whose an order is and what it pays, through the whole pipeline.

use std::time::Duration;

use serde_json::{Value, json};

use crate::up::client::{CONVERSIONS, Client, Merchant, ONE, TWO};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::{Click, Order};
use crate::up::poll;

on_each_cluster!(a_click_just_made, clicks_that_do_not_count, rules_by_product_and_for_everybody);

/// Follows a link and returns where it leads, split at the click id, and the click id.
fn follow(target: &Target, link: &str) -> (String, String) {
    let answer = Client::new(target, &ONE).get(&format!("/c/{link}")).expect("an answer");
    assert_eq!(answer.status, 302, "link {link}: {answer:?}");
    let location = answer.header("location").unwrap_or_else(|| panic!("link {link}: {answer:?}")).to_owned();
    let (destination, parameters) = location.split_once('?').unwrap_or_else(|| panic!("link {link}: {location}"));
    let click = parameters.split('&').find_map(|pair| pair.strip_prefix("affiliate_click_id="));
    let click = click.unwrap_or_else(|| panic!("link {link}: {location}"));
    assert!(click.starts_with("clk_") && parameters.contains("aff_id=aff_"), "link {link}: {location}");
    (destination.to_owned(), click.to_owned())
}

/// Reports an order and waits until it is judged.
pub(crate) fn judged(target: &Target, merchant: &'static Merchant, order: &Value) -> Value {
    let mut client = Client::new(target, merchant);
    let answer = client.settle(CONVERSIONS, &order.to_string(), None);
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("RECEIVED")), "{order}: {answer:?}");
    let id = order["externalOrderId"].as_str().expect("an order id");
    poll(Duration::from_secs(20), || {
        let conversion = client.conversion(id).json();
        if conversion["confidence"].is_null() { Err(format!("{order}: {conversion}")) } else { Ok(conversion) }
    })
}

#[track_caller]
pub(crate) fn assert_pays(conversion: &Value, amount: &str, level: &str, rule: &str, rate: &str) {
    assert_eq!(conversion["confidence"], "HIGH", "{conversion}");
    let commission = json!({"amount": amount, "currency": "NPR", "level": level, "ruleId": rule, "rate": rate});
    assert_eq!(conversion["commission"], commission, "{conversion}");
}

fn a_click_just_made<C: Cluster>() {
    let cluster = C::start();
    let target = cluster.target();
    let (destination, click) = follow(&target, "demo");
    assert_eq!(destination, "https://shop-one.example/products/sku-red-42");
    let order =
        json!({"externalOrderId": "FRESH-1", "orderAmount": "1000.05", "clickId": click, "orderStatus": "confirmed"});
    let conversion = judged(&target, &ONE, &order);
    assert_pays(&conversion, "100.00", "campaign", "rul_campaign_one", "10");
    assert_eq!((&conversion["affiliateId"], &conversion["campaignId"]), (&json!("aff_one"), &json!("cmp_one")));

    let (_, click) = follow(&target, "demo-two");
    let order =
        json!({"externalOrderId": "FRESH-1", "orderAmount": "1000.05", "clickId": click, "orderStatus": "confirmed"});
    let conversion = judged(&target, &TWO, &order);
    assert_pays(&conversion, "50.00", "platform", "rul_platform", "5");
    assert_eq!((&conversion["affiliateId"], &conversion["campaignId"]), (&json!("aff_two"), &json!("cmp_two")));

    let unknown = Client::new(&target, &ONE).get("/c/nobody").expect("an answer");
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("NOT_FOUND")), "{unknown:?}");
}

fn clicks_that_do_not_count<C: Cluster>() {
    let cluster = C::start();
    let cases = [
        ("LOW-FOREIGN", Click::Foreign, "click_unknown"),
        ("LOW-MISSING", Click::Missing, "no_click"),
        ("LOW-UNKNOWN", Click::Unknown, "click_unknown"),
    ];
    for (id, click, reason) in cases {
        let order = Order { click, product: Some("SKU-RED-42"), ..Order::new(&ONE, id, 299_900) };
        let body = serde_json::from_str(&order.body()).expect("JSON");
        let conversion = judged(&cluster.target(), &ONE, &body);
        assert_eq!(
            (&conversion["confidence"], &conversion["confidenceReason"]),
            (&json!("LOW"), &json!(reason)),
            "{conversion}"
        );
        assert_eq!(
            (&conversion["state"], &conversion["commission"]),
            (&json!("received"), &Value::Null),
            "{conversion}"
        );
        assert_eq!(
            (&conversion["affiliateId"], &conversion["campaignId"]),
            (&Value::Null, &Value::Null),
            "{conversion}"
        );
        let elsewhere = Client::new(&cluster.target(), &TWO).conversion(id);
        assert_eq!(elsewhere.status, 404, "another merchant's order {id}: {elsewhere:?}");
    }
}

fn rules_by_product_and_for_everybody<C: Cluster>() {
    let cluster = C::start();
    let order = |merchant, id: &str, product| {
        let body = Order { product, ..Order::new(merchant, id, 12_345) }.body();
        judged(&cluster.target(), merchant, &serde_json::from_str(&body).expect("JSON"))
    };
    // 0 % is a rule that matches, not a rule that is missing.
    assert_pays(&order(&ONE, "RULE-ZERO", Some("SKU-ZERO")), "0.00", "product", "rul_sku_zero", "0");
    assert_pays(&order(&ONE, "RULE-RED", Some("SKU-RED-42")), "14.81", "product", "rul_sku_red_42", "12");
    assert_pays(&order(&ONE, "RULE-OTHER", Some("sku-red-42")), "12.34", "campaign", "rul_campaign_one", "10");
    assert_pays(&order(&TWO, "RULE-TWO", Some("SKU-RED-42")), "6.17", "platform", "rul_platform", "5");
}
