//! Whose an order is and what it pays, through the whole pipeline.

use std::time::Duration;

use serde_json::{Value, json};

use crate::up::client::{CONVERSIONS, Client, Merchant, ONE, TWO};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::explaining::{explained, fact_topics, failed_check, outcomes};
use crate::up::orders::{Click, ORDERED_AT, Order};
use crate::up::poll;

on_each_cluster!(
    a_click_just_made,
    an_affiliates_own_shop,
    clicks_that_do_not_count,
    coupons_and_orders_too_soon,
    one_click_and_many_orders,
    rules_by_product_and_for_everybody
);

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
        let why = explained(&cluster.target(), &ONE, &conversion);
        let failed = if click == Click::Missing { "named" } else { "known" };
        assert_eq!(
            (failed_check(&why).as_deref(), &why["stateReason"]),
            (Some(failed), &json!("not_attributed")),
            "{id}"
        );
        // That it is another merchant's click is told by nothing.
        assert_eq!(
            (fact_topics(&why), &why["click"]["clickedAt"]),
            (vec!["conversions".to_owned()], &Value::Null),
            "{id}"
        );
        for path in [id.to_owned(), format!("{id}/explain")] {
            let elsewhere = Client::new(&cluster.target(), &TWO).conversion(&path);
            assert_eq!(elsewhere.status, 404, "another merchant's order {path}: {elsewhere:?}");
        }
    }
}

fn coupons_and_orders_too_soon<C: Cluster>() {
    let cluster = C::start();
    let target = cluster.target();
    let (_, just_now) = follow(&target, "demo-slow");
    let dated = |more: Value| {
        let mut body = json!({"orderAmount": "1000.00", "orderStatus": "confirmed", "orderedAt": ORDERED_AT});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    // The demo's slow campaign has a click at 09:27, and wants two minutes.
    let soon = |at: &str| dated(json!({"clickId": "clk_5Lw8t1p3vd", "couponCode": "AFF10", "orderedAt": at}));
    let cases = [
        (&ONE, dated(json!({"couponCode": "AFF10"})), Some(("coupon_only", Some("aff_one")))),
        (&ONE, dated(json!({"couponCode": "aFf10"})), Some(("coupon_only", Some("aff_one")))),
        (&ONE, dated(json!({"couponCode": "AFF10", "clickId": "clk_nobody"})), Some(("coupon_only", Some("aff_one")))),
        (&ONE, dated(json!({"couponCode": "AFF10", "clickId": TWO.click})), Some(("coupon_only", Some("aff_one")))),
        (&ONE, dated(json!({"couponCode": "AFF10", "clickId": ONE.click})), None),
        (&ONE, dated(json!({"couponCode": "SPRING"})), Some(("coupon_outside_window", None))),
        (&ONE, dated(json!({"couponCode": "TWO10"})), Some(("coupon_unknown", None))),
        (&TWO, dated(json!({"couponCode": "two10"})), Some(("coupon_only", Some("aff_two")))),
        (&ONE, soon("2026-06-14T09:29:00Z"), None),
        (&ONE, soon("2026-06-14T09:28:59.999Z"), Some(("click_too_recent", Some("aff_two")))),
        (&ONE, json!({"orderAmount": "1000.00", "clickId": just_now}), Some(("click_too_recent", Some("aff_two")))),
    ];
    for (number, (merchant, mut order, low)) in cases.into_iter().enumerate() {
        let id = format!("COUPON-{number}");
        order["externalOrderId"] = json!(id);
        let conversion = judged(&target, merchant, &order);
        let (reason, suggested) = low.map_or((None, None), |(reason, suggested)| (Some(reason), suggested));
        let confidence = if low.is_some() { "LOW" } else { "HIGH" };
        for shown in [&conversion, &listed(&target, merchant, confidence, &id)] {
            assert_eq!(shown["confidence"], confidence, "{order}: {shown}");
            assert_eq!(shown["confidenceReason"], json!(reason), "{order}: {shown}");
            assert_eq!(shown["suggestedAffiliateId"], json!(suggested), "{order}: {shown}");
            assert_eq!(shown["affiliateId"].is_null(), low.is_some(), "{order}: {shown}");
            assert_eq!(shown["commission"].is_null(), low.is_some(), "{order}: {shown}");
            assert_eq!(shown["state"] == "received", low.is_some(), "{order}: {shown}");
        }
        let finding = match order["couponCode"].as_str() {
            None => None,
            Some("SPRING") => Some("outside_window"),
            Some("TWO10") => Some("unknown"),
            Some(_) => Some("holds"),
        };
        let why = explained(&target, merchant, &conversion);
        assert_eq!(why["coupon"]["finding"], json!(finding), "{order}: {why}");
        let too_soon = reason == Some("click_too_recent");
        assert_eq!(failed_check(&why).as_deref() == Some("after_minimum"), too_soon, "{order}: {why}");
    }
}

fn an_affiliates_own_shop<C: Cluster>() {
    const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");
    let mut cluster = C::start();
    // So that the processors, too, begin under it.
    cluster.stop();
    let (plain, own) = ("name = \"Affiliate One\"\n", "name = \"Affiliate One\"\nown_merchants = \"mer_one\"\n");
    assert!(DEMO.contains(plain), "the demo's affiliates are as they were");
    cluster.apply(&DEMO.replace(plain, own));
    cluster.restart();
    let target = cluster.target();
    let dated = |more: Value| {
        let mut body = json!({"orderAmount": "1000.00", "orderStatus": "confirmed", "orderedAt": ORDERED_AT});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (id, merchant, order, low, failed) in [
        ("OWN-CLICK", &ONE, dated(json!({"clickId": ONE.click})), true, Some("not_self_referral")),
        ("OWN-COUPON", &ONE, dated(json!({"couponCode": "AFF10"})), true, Some("named")),
        ("OWN-OTHER", &TWO, dated(json!({"clickId": TWO.click})), false, None),
    ] {
        let mut order = order;
        order["externalOrderId"] = json!(id);
        let conversion = judged(&target, merchant, &order);
        let reason = low.then_some("self_referral");
        assert_eq!(conversion["confidenceReason"], json!(reason), "{conversion}");
        assert_eq!(conversion["suggestedAffiliateId"], json!(low.then_some("aff_one")), "{conversion}");
        assert_eq!(conversion["commission"].is_null(), low, "{conversion}");
        assert_eq!(failed_check(&explained(&target, merchant, &conversion)).as_deref(), failed, "{conversion}");
    }
}

fn one_click_and_many_orders<C: Cluster>() {
    let cluster = C::start();
    let target = cluster.target();
    let order = |id: &str, click: &str, at: &str| {
        let order = json!({"externalOrderId": id, "orderAmount": "1000.00", "clickId": click, "orderedAt": at});
        judged(&target, &ONE, &order)
    };
    for id in ["MANY-1", "MANY-2", "MANY-3"] {
        assert_pays(&order(id, ONE.click, ORDERED_AT), "100.00", "campaign", "rul_campaign_one", "10");
    }
    let early = order("MANY-EARLY", ONE.click, "2026-06-13T09:29:59.999Z");
    assert_eq!((&early["confidenceReason"], &early["commission"]), (&json!("click_after_order"), &Value::Null));
    // The slow campaign's rule ends at 09:30, between this click and the second order.
    let slow = "clk_5Lw8t1p3vd";
    let last = order("SALE-LAST", slow, "2026-06-14T09:29:59.999Z");
    assert_pays(&last, "200.00", "campaign", "rul_campaign_slow", "20");
    let over = order("SALE-OVER", slow, ORDERED_AT);
    assert_pays(&over, "80.00", "merchant", "rul_merchant_one", "8");
    let told = outcomes(&explained(&target, &ONE, &over));
    let expected =
        [("rul_campaign_slow", "no_longer_effective"), ("rul_merchant_one", "won"), ("rul_platform", "outranked")];
    assert_eq!(told, expected.map(|(rule, outcome)| (rule.to_owned(), outcome.to_owned())));
    assert_eq!(failed_check(&explained(&target, &ONE, &early)).as_deref(), Some("before_order"));
}

/// An order as it stands in its merchant's list, once it does.
fn listed(target: &Target, merchant: &'static Merchant, confidence: &str, id: &str) -> Value {
    let mut client = Client::new(target, merchant);
    poll(Duration::from_secs(20), || {
        let answer = client.get(&format!("{CONVERSIONS}?limit=100&confidence={confidence}")).expect("an answer");
        let page = answer.json();
        let found = page["data"].as_array().into_iter().flatten().find(|item| item["externalOrderId"] == id);
        found.cloned().ok_or_else(|| format!("{id}: {answer:?}"))
    })
}

fn rules_by_product_and_for_everybody<C: Cluster>() {
    let cluster = C::start();
    let order = |merchant, id: &str, product| {
        let body = Order { product, ..Order::new(merchant, id, 12_345) }.body();
        judged(&cluster.target(), merchant, &serde_json::from_str(&body).expect("JSON"))
    };
    // 0 % is a rule that matches, not a rule that is missing.
    assert_pays(&order(&ONE, "RULE-ZERO", Some("SKU-ZERO")), "0.00", "product", "rul_sku_zero", "0");
    let red = order(&ONE, "RULE-RED", Some("SKU-RED-42"));
    assert_pays(&red, "14.81", "product", "rul_sku_red_42", "12");
    explains_red(&explained(&cluster.target(), &ONE, &red));
    assert_pays(&order(&ONE, "RULE-OTHER", Some("sku-red-42")), "12.34", "campaign", "rul_campaign_one", "10");
    assert_pays(&order(&TWO, "RULE-TWO", Some("SKU-RED-42")), "6.17", "platform", "rul_platform", "5");
}

/// Whether what is told of an order of 123.45 adds up to what it pays.
fn explains_red(why: &Value) {
    assert_eq!(failed_check(why), None, "{why}");
    let click = &why["click"];
    assert_eq!((&click["clickId"], &click["orderedAt"]), (&json!(ONE.click), &json!(ORDERED_AT)), "{why}");
    assert_eq!(
        (&click["clickedAt"], &click["lookbackMs"]),
        (&json!("2026-06-13T09:30:00Z"), &json!(2_592_000_000_u64)),
        "{why}"
    );
    let expected = [
        ("rul_sku_red_42", "won"),
        ("rul_campaign_one", "outranked"),
        ("rul_merchant_one", "outranked"),
        ("rul_platform", "outranked"),
    ];
    assert_eq!(outcomes(why), expected.map(|(rule, outcome)| (rule.to_owned(), outcome.to_owned())));
    let arithmetic = json!({"paidBy": "percentage", "rate": "12", "flatAmount": null, "orderAmount": "123.45",
        "remainingAmount": "123.45", "numerator": "14814000000", "denominator": "10000000", "rounding": "down",
        "amount": "14.81", "currency": "NPR"});
    assert_eq!(why["arithmetic"], arithmetic, "{why}");
    assert_eq!((&why["hold"]["window"], &why["hold"]["windowMs"]), (&json!("settlement"), &json!(5_000)), "{why}");
    assert_eq!(fact_topics(why), ["conversions", "click-verdicts"], "{why}");
}
