//! `POST /api/v1/order-status`.

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{OrderStatusReported, ReportedStatus};
use serde_json::{Value, json};

use crate::support::{Bench, Call, NOW_S, ONE_TEST, StoreMode};

const AT: &str = "2026-06-14T09:00:00Z";

#[tokio::test]
async fn an_update_is_published_as_sent() {
    let bench = Bench::new();
    let sent = json!({ "externalOrderId": "A", "status": "commission_rejected", "clickId": "clk_1",
        "statusUpdatedAt": AT, "reason": "fraud", "metadata": { "by": "ops" } });
    let reply = bench.send(Call::status(sent.to_string())).await;
    let record: OrderStatusReported = bench.published();
    let expected = format!(r#"{{"eventId":"{}","status":"ACCEPTED","duplicate":false}}"#, record.event_id);
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, expected.as_str()));
    assert!(record.event_id.starts_with("osevt_"));
    let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "A" };
    assert_eq!(bench.log.messages()[0].key, order.to_bytes());
    assert_eq!(
        record,
        OrderStatusReported {
            event_id: record.event_id.clone(),
            merchant_id: "mer_one".to_owned(),
            livemode: true,
            external_order_id: "A".to_owned(),
            status: ReportedStatus::CommissionRejected,
            click_id: Some("clk_1".to_owned()),
            status_updated_at: Some(Timestamp((NOW_S - 1_800) * 1_000)),
            refunded_thousandths: None,
            received_at: Timestamp(NOW_S * 1_000),
            reason: Some("fraud".to_owned()),
            metadata: Some(r#"{"by":"ops"}"#.to_owned()),
            idempotency: None,
        }
    );
    let again = bench.send(Call::status(sent.to_string())).await;
    let expected = format!(r#"{{"status":"DUPLICATE","conversionId":"{}","duplicate":true}}"#, order.conversion_id());
    assert_eq!((again.status.as_u16(), again.text.as_str()), (202, expected.as_str()));
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn a_partial_refund_is_published_in_thousandths_whatever_its_currency() {
    let bench = Bench::new();
    let sent = json!({ "externalOrderId": "A", "status": "returned", "refundedAmount": "12.5" });
    bench.send(Call::status(sent.to_string())).await.accepted("ACCEPTED");
    let record: OrderStatusReported = bench.published();
    assert_eq!((record.status, record.refunded_thousandths), (ReportedStatus::Returned, Some(12_500)));
    let refund = |amount: Option<&str>, at: Option<&str>| {
        let sent = json!({ "externalOrderId": "A", "status": "returned", "refundedAmount": amount,
            "statusUpdatedAt": at });
        Call::status(sent.to_string())
    };
    // Another amount, another time and the whole are other updates; the same amount in other words is not.
    for (amount, at) in [(Some("12.501"), None), (Some("12.5"), Some(AT)), (None, None)] {
        bench.send(refund(amount, at)).await.accepted("ACCEPTED");
        bench.send(refund(amount, at)).await.accepted("DUPLICATE");
    }
    bench.send(refund(Some("12.500"), None)).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 4);
}

#[tokio::test]
async fn the_same_is_order_status_and_time() {
    let bench = Bench::new();
    let update = |order: &str, status: &str, at: Option<&str>| {
        Call::status(json!({ "externalOrderId": order, "status": status, "statusUpdatedAt": at }).to_string())
    };
    let all = || {
        [
            update("A", "paid", None),
            update("A", "paid", Some(AT)),
            update("A", "paid", Some("2026-06-14T09:00:01Z")),
            update("A", "delivered", Some(AT)),
            update("B", "paid", Some(AT)),
            update("A", "paid", Some(AT)).by(ONE_TEST),
        ]
    };
    for call in all() {
        bench.send(call).await.accepted("ACCEPTED");
    }
    for call in all() {
        bench.send(call).await.accepted("DUPLICATE");
    }
    // The same instant written in another way, and other words about the same fact.
    bench.send(update("A", "paid", Some("2026-06-14T14:45:00+05:45"))).await.accepted("DUPLICATE");
    let told = json!({ "externalOrderId": "A", "status": "paid", "statusUpdatedAt": AT, "reason": "other" });
    bench.send(Call::status(told.to_string())).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 6);
}

#[tokio::test]
async fn each_field_at_and_past_its_limit() {
    let words = "pending, confirmed, paid, delivered, cancelled, returned, refunded, commission_approved, \
                 commission_rejected";
    let refund = |status: &str, amount: Value, fault: Option<&str>| {
        let fault = fault.map(|fault| format!("refundedAmount {fault}"));
        (json!({ "status": status, "refundedAmount": amount }), fault)
    };
    let cases: Vec<(Value, Option<String>)> = vec![
        (json!({ "status": "commission_approved" }), None),
        (json!({ "status": "Paid" }), Some(format!("status must be one of {words}; got \"Paid\""))),
        (json!({ "status": "" }), Some(format!("status must be one of {words}; got \"\""))),
        (json!({ "status": null }), Some(format!("status is required: one of {words}"))),
        (json!({ "reason": "é".repeat(500) }), None),
        (json!({ "reason": "" }), None),
        (
            json!({ "reason": "é".repeat(501) }),
            Some(format!("reason must have at most 500 characters, not 501; got \"{}…", "é".repeat(39))),
        ),
        (json!({ "statusUpdatedAt": "2026-06-14T09:35:00Z" }), None),
        (
            json!({ "statusUpdatedAt": "2026-06-14T09:35:01Z" }),
            Some(
                "statusUpdatedAt must not be more than 300 s after now, which is 2026-06-14T09:30:00Z; got \
                 \"2026-06-14T09:35:01Z\""
                    .to_owned(),
            ),
        ),
        (json!({ "refundedAmount": null }), None),
        (
            json!({ "refundedAmount": "1.00" }),
            Some("refundedAmount must be left out unless the status is refunded or returned; got \"1.00\"".to_owned()),
        ),
        refund("refunded", json!("0.001"), None),
        refund("returned", json!("999999999999999.999"), None),
        refund("refunded", json!("0.0"), Some("must be more than 0; left out, it is the whole order; got \"0.0\"")),
        refund(
            "refunded",
            json!("1.0001"),
            Some("must have at most 3 decimals, for no currency has more; got \"1.0001\""),
        ),
        refund(
            "refunded",
            json!("1000000000000000"),
            Some("must have at most 15 digits before the decimal point; got \"1000000000000000\""),
        ),
        refund(
            "refunded",
            json!("-1"),
            Some(
                "must be a decimal string of at least 0 without sign, exponent or separators, such as \"2999.00\"; \
                 got \"-1\"",
            ),
        ),
        refund(
            "refunded",
            json!(1.5),
            Some("must be a decimal string such as \"2999.00\", not a JSON number: put it in quotes; got 1.5"),
        ),
        refund("refunded", json!({}), Some("must be a JSON string; got a JSON object")),
        (
            json!({ "status": "refunded", "currency": "NPR" }),
            Some("\"currency\" is not a field of this request: remove it".to_owned()),
        ),
        (
            json!({ "orderStatus": "paid" }),
            Some("\"orderStatus\" is not a field of this request: remove it".to_owned()),
        ),
        (
            json!({ "externalOrderId": null }),
            Some("externalOrderId is required: a string of 1 to 160 characters".to_owned()),
        ),
    ];
    for (changes, fault) in cases {
        let bench = Bench::new();
        let mut body = json!({ "externalOrderId": "A", "status": "paid" });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = bench.send(Call::status(body.to_string())).await;
        match fault {
            None => reply.accepted("ACCEPTED"),
            Some(fault) => assert_eq!(reply.error(400, "VALIDATION_FAILED"), [fault], "{changes}"),
        }
    }
}

#[tokio::test]
async fn without_claims_updates_are_still_accepted() {
    let bench = Bench::new();
    bench.claims.set(StoreMode::Fails);
    let sent = r#"{"externalOrderId":"A","status":"paid"}"#;
    bench.send(Call::status(sent)).await.accepted("ACCEPTED");
    assert!(bench.metric("order_statuses_unclaimed_total 1").await);
    // The process itself remembers.
    bench.send(Call::status(sent)).await.accepted("DUPLICATE");
}
