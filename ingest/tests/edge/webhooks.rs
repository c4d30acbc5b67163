//! `POST /api/v1/webhooks/{event}`: the events, what decides their status, and what their ids do.

use std::time::Duration;

use schemas::decode;
use schemas::records::{ConversionReported, OrderStatus, OrderStatusReported, ReportedStatus};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt;

use crate::server::until;
use crate::support::{Bench, Call, LogMode, NOW_S, ONE_TEST, Reply, StoreMode, TWO};

const STATUS_EVENTS: [(&str, &str, ReportedStatus); 5] = [
    ("order-paid", "paid", ReportedStatus::Paid),
    ("order-delivered", "delivered", ReportedStatus::Delivered),
    ("order-cancelled", "cancelled", ReportedStatus::Cancelled),
    ("order-returned", "returned", ReportedStatus::Returned),
    ("order-refunded", "refunded", ReportedStatus::Refunded),
];

fn event(name: &str, id: &str, body: &Value) -> Call {
    Call::post(&format!("/api/v1/webhooks/{name}"), body.to_string()).header("x-external-event-id", id)
}

fn created(id: &str, order: &str, amount: &str) -> Call {
    event("order-created", id, &json!({ "externalOrderId": order, "orderAmount": amount }))
}

fn paid(id: &str, order: &str, at: Option<&str>) -> Call {
    event("order-paid", id, &json!({ "externalOrderId": order, "statusUpdatedAt": at }))
}

#[tokio::test]
async fn an_order_that_was_created_is_a_conversion() {
    let bench = Bench::new();
    let body = json!({ "externalOrderId": "A", "orderAmount": "2999.5", "clickId": "clk_1", "metadata": { "k": 1 } });
    let reply = bench.send(event("order-created", "evt-1", &body)).await;
    let record: ConversionReported = bench.published();
    let expected = format!(r#"{{"eventId":"{}","status":"RECEIVED","duplicate":false}}"#, record.event_id);
    assert_eq!((reply.status.as_u16(), reply.text), (202, expected));
    assert_eq!((record.external_order_id.as_str(), record.amount_minor), ("A", 299_950));
    assert_eq!((record.click_id.as_deref(), record.order_status), (Some("clk_1"), OrderStatus::Pending));
    assert_eq!(record.idempotency.unwrap().key, "event\0evt-1", "the log tells other edges");
    // It is the same pipeline: the order is known by whichever way it came.
    bench.send(Call::conversion(body.to_string())).await.accepted("DUPLICATE");
    bench.send(event("order-created", "evt-2", &body)).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn the_event_decides_the_status() {
    for (name, word, status) in STATUS_EVENTS {
        let bench = Bench::new();
        let body = |said: Option<&str>| json!({ "externalOrderId": "A", "status": said, "reason": "r" });
        bench.send(event(name, "1", &body(None))).await.accepted("ACCEPTED");
        let record: OrderStatusReported = bench.published();
        assert_eq!((record.status, record.reason.as_deref()), (status, Some("r")));
        assert_eq!(record.idempotency.unwrap().key, "event\x001", "the log tells other edges");
        bench.send(event(name, "2", &body(Some(word)))).await.accepted("DUPLICATE");
        bench.send(Call::status(body(Some(word)).to_string())).await.accepted("DUPLICATE");
        for said in ["pending", "commission_approved", "nonsense", ""] {
            let messages = bench.send(event(name, "3", &body(Some(said)))).await.error(400, "VALIDATION_FAILED");
            let must = format!("status must be {word} or left out, since the event {name} says so; got \"{said}\"");
            assert_eq!(messages, [must]);
        }
        assert_eq!(bench.log.count(), 1);
    }
    let bench = Bench::new();
    let body = |said: Value| json!({ "externalOrderId": "A", "orderAmount": "1", "orderStatus": said });
    bench.send(event("order-created", "1", &body(json!("pending")))).await.accepted("RECEIVED");
    for (said, fault) in [
        (
            json!("confirmed"),
            "orderStatus must be pending or left out, since the event order-created says so; got \"confirmed\"",
        ),
        (json!(7), "orderStatus must be a JSON string; got 7"),
    ] {
        let messages = bench.send(event("order-created", "2", &body(said))).await.error(400, "VALIDATION_FAILED");
        assert_eq!(messages, [fault]);
    }
    // The field of the other body is none of this one.
    let other = json!({ "externalOrderId": "A", "orderStatus": "paid" });
    let messages = bench.send(event("order-paid", "3", &other)).await.error(400, "VALIDATION_FAILED");
    assert_eq!(messages, ["\"orderStatus\" is not a field of this request: remove it"]);
}

#[tokio::test]
async fn events_that_there_are_not() {
    let bench = Bench::new();
    for name in ["order-updated", "Order-Paid", "order-confirmed", "orders/paid", "order%2Dpaid", ""] {
        let reply = bench.send(event(name, "1", &json!({ "externalOrderId": "A" }))).await;
        reply.error(404, "NOT_FOUND");
    }
    let reply = bench.send(Call::get("/api/v1/webhooks/order-paid")).await;
    reply.error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(reply.header("allow"), Some("POST"));
    bench.send(paid("1", "A", None).unsigned()).await.error(401, "INVALID_API_KEY");
    bench.send(paid("1", "A", None).header("content-type", "text/plain")).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(bench.log.count(), 0);
}

#[tokio::test]
async fn ids_at_and_past_their_limits() {
    let must = "X-External-Event-Id must be 1 to 255 visible ASCII characters; got";
    for (id, fault) in [
        ("x", None),
        (&*"x".repeat(255), None),
        ("/~!", None),
        ("", Some(format!("{must} \"\""))),
        ("a b", Some(format!("{must} \"a b\""))),
        ("é", Some(format!("{must} \"é\""))),
        (&*"x".repeat(256), Some(format!("{must} \"{}…", "x".repeat(39)))),
    ] {
        for (path, body) in [
            ("order-created", json!({ "externalOrderId": format!("order {}", id.len()), "orderAmount": "1" })),
            ("order-paid", json!({ "externalOrderId": "A" })),
        ] {
            let bench = Bench::new();
            let reply = bench.send(event(path, id, &body)).await;
            match &fault {
                None => assert_eq!(reply.status, 202, "{}", reply.text),
                Some(fault) => assert_eq!(reply.error(400, "VALIDATION_FAILED"), std::slice::from_ref(fault)),
            }
        }
    }
    let bench = Bench::new();
    let required = "X-External-Event-Id is required: 1 to 255 visible ASCII characters";
    let without = created("x", "A", "nonsense").without("x-external-event-id");
    let messages = bench.send(without).await.error(400, "VALIDATION_FAILED");
    assert_eq!(messages.len(), 2, "told with the faults of the fields: {messages:?}");
    assert_eq!(messages[0], required);
    // An idempotency key stands for nothing here.
    let keyed = paid("x", "A", None).without("x-external-event-id").header("x-idempotency-key", "x");
    assert_eq!(bench.send(keyed).await.error(400, "VALIDATION_FAILED"), [required]);
}

#[tokio::test]
async fn a_delivery_is_known_by_its_id_whatever_its_body_says() {
    let bench = Bench::new();
    bench.send(created("evt-1", "A", "1")).await.accepted("RECEIVED");
    bench.send(created("evt-1", "A", "1")).await.accepted("DUPLICATE");
    // A conversion that differs is a conflict, as it is on its own route.
    let reply = bench.send(created("evt-1", "A", "2")).await;
    reply.accepted("DUPLICATE");
    assert_eq!((reply.header("x-conflict"), bench.log.count()), (Some("orderAmount"), 2));
    // A status is told once: an update of another time is another one, but not under the id of the first.
    bench.send(paid("evt-2", "A", Some("2026-06-14T09:00:00Z"))).await.accepted("ACCEPTED");
    for at in [Some("2026-06-14T09:00:00Z"), Some("2026-06-14T09:10:00Z"), None] {
        bench.send(paid("evt-2", "A", at)).await.accepted("DUPLICATE");
    }
    assert_eq!(bench.log.count(), 3);
    bench.send(paid("evt-3", "A", Some("2026-06-14T09:10:00Z"))).await.accepted("ACCEPTED");
    assert_eq!(bench.log.count(), 4);
}

#[tokio::test]
async fn an_id_names_one_event_about_one_order() {
    let bench = Bench::new();
    let reused = "X-External-Event-Id was used for another event or order in the last 24 h: each event needs an id of its \
                  own";
    bench.send(paid("evt-1", "A", None)).await.accepted("ACCEPTED");
    for call in [
        paid("evt-1", "B", None),
        created("evt-1", "A", "1"),
        event("order-delivered", "evt-1", &json!({ "externalOrderId": "A" })),
    ] {
        assert_eq!(bench.send(call).await.error(422, "IDEMPOTENCY_KEY_REUSED"), [reused]);
    }
    assert_eq!(bench.log.count(), 1);
    // Other merchants, modes and routes have ids of their own.
    bench.send(paid("evt-1", "B", None).by(TWO)).await.accepted("ACCEPTED");
    bench.send(paid("evt-1", "B", None).by(ONE_TEST)).await.accepted("ACCEPTED");
    let body = r#"{"externalOrderId":"B","orderAmount":"1"}"#;
    bench.send(Call::conversion(body).header("x-idempotency-key", "evt-1")).await.accepted("RECEIVED");
    let tomorrow = NOW_S + 86_400;
    bench.clock.set(tomorrow * 1_000 - 1);
    bench.send(paid("evt-1", "B", None).at(tomorrow)).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    bench.clock.set(tomorrow * 1_000);
    bench.send(paid("evt-1", "B", None).at(tomorrow)).await.accepted("ACCEPTED");
    // What it was first used for is still known by what it says.
    bench.send(paid("evt-9", "A", None).at(tomorrow)).await.accepted("DUPLICATE");
}

#[tokio::test]
async fn a_failed_delivery_consumes_nothing() {
    let bench = Bench::new();
    bench.send(event("order-paid", "1", &json!({}))).await.error(400, "VALIDATION_FAILED");
    for mode in [LogMode::Full, LogMode::Fails] {
        bench.log.set(mode);
        bench.send(paid("1", "A", None)).await.error(503, "UNAVAILABLE");
    }
    let count = bench.log.count();
    bench.log.set(LogMode::Works);
    bench.send(paid("1", "B", None)).await.accepted("ACCEPTED");
    assert_eq!(bench.log.count(), count + 1);
    // Without the claims deliveries are taken all the same.
    bench.claims.set(StoreMode::Fails);
    bench.send(paid("2", "C", None)).await.accepted("ACCEPTED");
    bench.send(paid("2", "C", None)).await.accepted("DUPLICATE");
}

#[tokio::test]
async fn of_two_deliveries_at_once_the_second_waits() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let first = send(paid("evt-1", "A", Some("2026-06-14T09:00:00Z")));
    until(|| bench.log.count() == 1).await;
    let second = send(paid("evt-1", "A", Some("2026-06-14T09:10:00Z")));
    bench.send(paid("evt-1", "B", None)).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    sleep(Duration::from_millis(20)).await;
    assert!(!second.is_finished());
    bench.log.release();
    Reply::of(first.await.unwrap().unwrap()).await.accepted("ACCEPTED");
    Reply::of(second.await.unwrap().unwrap()).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 1);
    let published: OrderStatusReported = decode(&bench.log.messages()[0].value).unwrap();
    assert_eq!(published.external_order_id, "A");
}
