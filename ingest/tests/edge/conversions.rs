//! `POST /api/v1/conversions`: every field at its limit and one past it, and what is published.

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{ConversionReported, OrderStatus};
use serde_json::{Value, json};

use crate::support::{Bench, Call, NOW_S, ONE_TEST, TWO};

/// A valid body with some fields changed; `null` takes a field out.
fn body(changes: &Value) -> String {
    let mut body = json!({ "externalOrderId": "SHOP-1", "orderAmount": "1.00" });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    let fields = body.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
}

#[tokio::test]
async fn a_full_report_is_published_as_sent() {
    let bench = Bench::new();
    let sent = concat!(
        r#"{"clickId":"clk_8Q2c0r7m4w","externalOrderId":"SHOP/100245 é","externalProductId":"SKU-RED-42","#,
        r#""orderAmount":"2999.5","currency":"NPR","orderStatus":"confirmed","orderedAt":"2026-06-14T15:15:00+05:45","#,
        r#""couponCode":"AFF10","metadata": {"b" : 1.50, "a":"\u00e9", "a":[1e400]} }"#
    );
    let reply = bench.send(Call::conversion(sent)).await;
    let record: ConversionReported = bench.published();
    let expected = format!(r#"{{"eventId":"{}","status":"RECEIVED","duplicate":false}}"#, record.event_id);
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, expected.as_str()));
    let event_id = record.event_id.strip_prefix("cnvevt_").unwrap();
    assert_eq!(i64::from_str_radix(&event_id[..12], 16).unwrap(), NOW_S * 1_000, "the UUID's time is the clock's");
    let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "SHOP/100245 é" };
    assert_eq!(bench.log.messages()[0].key, order.to_bytes());
    assert_eq!(
        record,
        ConversionReported {
            event_id: record.event_id.clone(),
            merchant_id: "mer_one".to_owned(),
            livemode: true,
            external_order_id: "SHOP/100245 é".to_owned(),
            click_id: Some("clk_8Q2c0r7m4w".to_owned()),
            external_product_id: Some("SKU-RED-42".to_owned()),
            amount_minor: 299_950,
            currency: schemas::Currency::parse("NPR").unwrap(),
            order_status: OrderStatus::Confirmed,
            ordered_at: Some(Timestamp(NOW_S * 1_000)),
            received_at: Timestamp(NOW_S * 1_000),
            coupon_code: Some("AFF10".to_owned()),
            metadata: Some(r#"{"b" : 1.50, "a":"\u00e9", "a":[1e400]}"#.to_owned()),
            idempotency: None,
        }
    );
    let again = bench.send(Call::conversion(sent)).await;
    let expected = format!(r#"{{"status":"DUPLICATE","conversionId":"{}","duplicate":true}}"#, order.conversion_id());
    assert_eq!((again.status.as_u16(), again.text.as_str()), (202, expected.as_str()));
    assert_eq!(again.header("x-conflict"), None);
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    for sent in [
        r#"{"externalOrderId":"A","orderAmount":"7"}"#,
        r#"{"externalOrderId":"A","orderAmount":"7","clickId":null,"externalProductId":null,"currency":null,
            "orderStatus":null,"orderedAt":null,"couponCode":null,"metadata":null}"#,
        r#"{"externalOrderId":"A","orderAmount":"7","clickId":"","externalProductId":"","couponCode":""}"#,
    ] {
        let bench = Bench::new();
        bench.send(Call::conversion(sent).by(TWO)).await.accepted("RECEIVED");
        let record: ConversionReported = bench.published();
        assert_eq!((record.merchant_id.as_str(), record.livemode), ("mer_two", true));
        assert_eq!((record.currency.code(), record.amount_minor), ("JPY", 7));
        assert_eq!((record.order_status, record.ordered_at), (OrderStatus::Pending, None));
        assert_eq!((record.click_id, record.external_product_id, record.coupon_code), (None, None, None));
        assert_eq!(record.metadata, None);
    }
}

#[tokio::test]
async fn each_field_at_and_past_its_limit() {
    let s = |length: usize| "é".repeat(length);
    let metadata = |bytes: usize| json!({ "k": "x".repeat(bytes - 8) });
    let cut = |length: usize| format!("\"{}…", "é".repeat(length));
    let characters =
        |name: &str, max: usize| format!("{name} must have at most {max} characters, not {}; got {}", max + 1, cut(39));
    let decimal = "orderAmount must be a decimal string of at least 0 without sign, exponent or separators, such as \
                   \"2999.00\"; got";
    let instant = "orderedAt must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or \
                   2026-06-14T15:15:00+05:45; got";
    let number = "orderAmount must be a decimal string such as \"2999.00\", not a JSON number: put it in quotes; got";
    let code = "currency must be an ISO 4217 code of a currency in use, in capitals, such as NPR; got";
    let word = "orderStatus must be one of pending, confirmed, delivered, cancelled, returned, refunded; got";
    let required = "externalOrderId is required: a string of 1 to 160 characters";
    let cases: Vec<(Value, Option<String>)> = vec![
        (json!({ "externalOrderId": s(1) }), None),
        (json!({ "externalOrderId": s(160) }), None),
        (json!({ "externalOrderId": s(161) }), Some(characters("externalOrderId", 160))),
        (json!({ "externalOrderId": "" }), Some(required.to_owned())),
        (json!({ "externalOrderId": null }), Some(required.to_owned())),
        (json!({ "externalOrderId": 7 }), Some("externalOrderId must be a JSON string; got 7".to_owned())),
        (
            json!({ "externalOrderId": ["a"] }),
            Some("externalOrderId must be a JSON string; got a JSON array".to_owned()),
        ),
        (json!({ "externalOrderId": "\u{0}/live/x" }), None),
        (json!({ "clickId": s(128) }), None),
        (json!({ "clickId": s(129) }), Some(characters("clickId", 128))),
        (json!({ "clickId": true }), Some("clickId must be a JSON string; got true".to_owned())),
        (json!({ "externalProductId": s(160) }), None),
        (json!({ "externalProductId": s(161) }), Some(characters("externalProductId", 160))),
        (json!({ "couponCode": s(64) }), None),
        (json!({ "couponCode": s(65) }), Some(characters("couponCode", 64))),
        (json!({ "orderAmount": "0" }), None),
        (json!({ "orderAmount": "999999999999999.99" }), None),
        (
            json!({ "orderAmount": "1000000000000000" }),
            Some(
                "orderAmount must have at most 15 digits before the decimal point; got \"1000000000000000\"".to_owned(),
            ),
        ),
        (
            json!({ "orderAmount": "9".repeat(40) }),
            Some(format!(
                "orderAmount must have at most 15 digits before the decimal point; got \"{}…",
                "9".repeat(39)
            )),
        ),
        (
            json!({ "orderAmount": "1.001" }),
            Some("orderAmount must have at most 2 decimals, as NPR has; got \"1.001\"".to_owned()),
        ),
        (json!({ "orderAmount": "100", "currency": "JPY" }), None),
        (
            json!({ "orderAmount": "100.0", "currency": "JPY" }),
            Some("orderAmount must have at most 0 decimals, as JPY has; got \"100.0\"".to_owned()),
        ),
        (json!({ "orderAmount": "1.001", "currency": "KWD" }), None),
        (
            json!({ "orderAmount": "1.0001", "currency": "KWD" }),
            Some("orderAmount must have at most 3 decimals, as KWD has; got \"1.0001\"".to_owned()),
        ),
        (json!({ "orderAmount": "1e3" }), Some(format!("{decimal} \"1e3\""))),
        (json!({ "orderAmount": "-1" }), Some(format!("{decimal} \"-1\""))),
        (json!({ "orderAmount": "1,000.00" }), Some(format!("{decimal} \"1,000.00\""))),
        (json!({ "orderAmount": "+5" }), Some(format!("{decimal} \"+5\""))),
        (json!({ "orderAmount": "" }), Some(format!("{decimal} \"\""))),
        (json!({ "orderAmount": " 1" }), Some(format!("{decimal} \" 1\""))),
        (json!({ "orderAmount": 2999 }), Some(format!("{number} 2999"))),
        (json!({ "orderAmount": {} }), Some("orderAmount must be a JSON string; got a JSON object".to_owned())),
        (
            json!({ "orderAmount": null }),
            Some("orderAmount is required: a decimal string such as \"2999.00\"".to_owned()),
        ),
        (json!({ "currency": "npr" }), Some(format!("{code} \"npr\""))),
        (json!({ "currency": "XAU" }), Some(format!("{code} \"XAU\""))),
        (json!({ "currency": "" }), Some(format!("{code} \"\""))),
        (json!({ "currency": "XXX", "orderAmount": "1.00001" }), Some(format!("{code} \"XXX\""))),
        (json!({ "orderStatus": "refunded" }), None),
        (json!({ "orderStatus": "paid" }), Some(format!("{word} \"paid\""))),
        (json!({ "orderStatus": "Pending" }), Some(format!("{word} \"Pending\""))),
        (json!({ "orderedAt": "2026-06-14T09:35:00Z" }), None),
        (
            json!({ "orderedAt": "2026-06-14T09:35:00.001Z" }),
            Some(
                "orderedAt must not be more than 300 s after now, which is 2026-06-14T09:30:00Z; got \
                 \"2026-06-14T09:35:00.001Z\""
                    .to_owned(),
            ),
        ),
        (json!({ "orderedAt": "1970-01-01T00:00:00Z" }), None),
        (json!({ "orderedAt": "1969-12-31T23:59:59Z" }), Some(format!("{instant} \"1969-12-31T23:59:59Z\""))),
        (json!({ "orderedAt": "2026-06-14T09:30:00" }), Some(format!("{instant} \"2026-06-14T09:30:00\""))),
        (json!({ "orderedAt": "" }), Some(format!("{instant} \"\""))),
        (json!({ "orderedAt": NOW_S }), Some(format!("orderedAt must be a JSON string; got {NOW_S}"))),
        (json!({ "metadata": {} }), None),
        (json!({ "metadata": metadata(8_192) }), None),
        (json!({ "metadata": metadata(8_193) }), Some("metadata must have at most 8192 bytes, not 8193".to_owned())),
        (json!({ "metadata": "{}" }), Some("metadata must be a JSON object; got \"{}\"".to_owned())),
        (json!({ "metadata": [] }), Some("metadata must be a JSON object; got a JSON array".to_owned())),
        (
            json!({ "click_id": "clk_1" }),
            Some("\"click_id\" is not a field of this request: did you mean clickId?".to_owned()),
        ),
        (json!({ "note": "x" }), Some("\"note\" is not a field of this request: remove it".to_owned())),
    ];
    for (changes, fault) in cases {
        let bench = Bench::new();
        let reply = bench.send(Call::conversion(body(&changes))).await;
        match fault {
            None => reply.accepted("RECEIVED"),
            Some(fault) => {
                assert_eq!(reply.error(400, "VALIDATION_FAILED"), [fault], "{changes}");
                assert_eq!(bench.log.count(), 0);
            }
        }
    }
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let bench = Bench::new();
    let sent = r#"{"order_amount":"1","zzz":null,"orderAmount":1e3,"currency":"RUPEE","orderStatus":"PAID",
        "orderedAt":"now","metadata":7,"clickId":"\ud800","couponCode":{}}"#;
    let call = Call::conversion(sent).header("x-idempotency-key", "a b");
    let messages = bench.send(call).await.error(400, "VALIDATION_FAILED");
    let begins = [
        "\"order_amount\" is not a field of this request: did you mean orderAmount?",
        "\"zzz\" is not a field of this request: remove it",
        "X-Idempotency-Key must be 1 to 255 visible ASCII characters; got \"a b\"",
        "externalOrderId is required: a string of 1 to 160 characters",
        "currency must be an ISO 4217 code of a currency in use, in capitals, such as NPR; got \"RUPEE\"",
        "orderAmount must be a decimal string such as \"2999.00\", not a JSON number: put it in quotes; got 1e3",
        "clickId must hold no escape that is half of a surrogate pair; got \"\\ud800\"",
        "orderStatus must be one of pending, confirmed, delivered, cancelled, returned, refunded; got \"PAID\"",
        "orderedAt must be an ISO 8601",
        "couponCode must be a JSON string; got a JSON object",
        "metadata must be a JSON object; got 7",
    ];
    assert_eq!(messages.len(), begins.len(), "{messages:#?}");
    for (message, begin) in messages.iter().zip(begins) {
        assert!(message.starts_with(begin), "{message} for {begin}");
    }
    let many: Vec<String> = (0..1_000).map(|n| format!("\"f{n}\":0")).collect();
    let messages =
        bench.send(Call::conversion(format!("{{{}}}", many.join(",")))).await.error(400, "VALIDATION_FAILED");
    assert!(messages.contains(&"936 more fields are not fields of this request: remove them".to_owned()));
}

#[tokio::test]
async fn merchants_and_modes_never_meet() {
    let bench = Bench::new();
    let sent = r#"{"externalOrderId":"A","orderAmount":"1"}"#;
    for call in [Call::conversion(sent), Call::conversion(sent).by(ONE_TEST), Call::conversion(sent).by(TWO)] {
        bench.send(call).await.accepted("RECEIVED");
    }
    let keys: Vec<Vec<u8>> = bench.log.messages().into_iter().map(|message| message.key).collect();
    assert_eq!(keys, [&b"mer_one/live/A"[..], b"mer_one/test/A", b"mer_two/live/A"]);
}

#[tokio::test]
async fn a_resend_that_differs_is_a_fact_and_a_duplicate() {
    let first = json!({ "clickId": "clk_1", "couponCode": "A" });
    for (changes, conflict) in [
        (json!({ "clickId": "clk_1", "couponCode": "A" }), None),
        (json!({ "clickId": "clk_1", "couponCode": "A", "orderAmount": "1" }), None),
        (json!({ "clickId": "clk_2", "couponCode": "A", "orderAmount": "2" }), Some("clickId, orderAmount")),
        (json!({ "clickId": "clk_1" }), Some("couponCode")),
        (json!({ "clickId": "clk_1", "couponCode": "A", "metadata": {} }), Some("metadata")),
    ] {
        let bench = Bench::new();
        bench.send(Call::conversion(body(&first))).await.accepted("RECEIVED");
        let reply = bench.send(Call::conversion(body(&changes))).await;
        reply.accepted("DUPLICATE");
        assert_eq!(reply.header("x-conflict"), conflict, "{changes}");
        assert_eq!(bench.log.count(), if conflict.is_some() { 2 } else { 1 }, "{changes}");
        // What was first stays first.
        let again = bench.send(Call::conversion(body(&first))).await;
        again.accepted("DUPLICATE");
        assert_eq!(again.header("x-conflict"), None);
        assert!(!bench.metric("conversions_conflict_total 0").await || conflict.is_none());
    }
}
