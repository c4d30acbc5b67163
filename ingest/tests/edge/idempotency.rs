//! Idempotency keys: a key belongs to a body for a day, in one merchant and mode.

use std::time::Duration;

use schemas::decode;
use schemas::records::{ConversionReported, IdempotencyUse, OrderStatusReported};
use tokio::time::sleep;
use tower::ServiceExt;

use crate::support::{Bench, Call, LogMode, NOW_S, ONE_TEST, Reply, TWO};

const BODY: &str = r#"{"externalOrderId":"A","orderAmount":"1"}"#;
const OTHER: &str = r#"{"externalOrderId":"B","orderAmount":"1"}"#;
const STATUS: &str = r#"{"externalOrderId":"A","status":"paid"}"#;

fn keyed(call: Call) -> Call {
    call.header("x-idempotency-key", "key-1")
}

#[tokio::test]
async fn a_key_belongs_to_its_body_for_a_day() {
    let bench = Bench::new();
    bench.send(keyed(Call::conversion(BODY))).await.accepted("RECEIVED");
    let record: ConversionReported = bench.published();
    // printf '%s' '<body>' | openssl dgst -sha256 | cut -c1-32
    let body_digest = "2046b94492411e22040cba190dca8cba".to_owned();
    assert_eq!(record.idempotency, Some(IdempotencyUse { key: "key-1".to_owned(), body_digest }));
    bench.send(keyed(Call::conversion(BODY))).await.accepted("DUPLICATE");
    for call in [Call::conversion(OTHER), Call::conversion(format!("{BODY} "))] {
        bench.send(keyed(call)).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    }
    let alias = Call::conversion(OTHER).header("idempotency-key", "key-1");
    bench.send(alias).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    // Other merchants and modes have keys of their own.
    bench.send(keyed(Call::conversion(OTHER)).by(ONE_TEST)).await.accepted("RECEIVED");
    bench.send(keyed(Call::conversion(OTHER)).by(TWO)).await.accepted("RECEIVED");
    let tomorrow = NOW_S + 86_400;
    bench.clock.set(tomorrow * 1_000 - 1);
    bench.send(keyed(Call::conversion(OTHER)).at(tomorrow)).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    bench.clock.set(tomorrow * 1_000);
    bench.send(keyed(Call::conversion(OTHER)).at(tomorrow)).await.accepted("RECEIVED");
}

#[tokio::test]
async fn a_failed_request_consumes_no_key() {
    let bench = Bench::new();
    bench.send(keyed(Call::conversion("{}"))).await.error(400, "VALIDATION_FAILED");
    bench.log.set(LogMode::Full);
    bench.send(keyed(Call::conversion(BODY))).await.error(503, "UNAVAILABLE");
    bench.log.set(LogMode::Works);
    bench.send(keyed(Call::conversion(OTHER))).await.accepted("RECEIVED");
    bench.send(keyed(Call::conversion(BODY))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn each_route_has_keys_of_its_own() {
    let bench = Bench::new();
    bench.send(keyed(Call::conversion(BODY))).await.accepted("RECEIVED");
    bench.send(keyed(Call::status(STATUS))).await.accepted("ACCEPTED");
    let record: OrderStatusReported = decode(&bench.log.messages()[1].value).expect("a status update");
    // printf '%s' '<body>' | openssl dgst -sha256 | cut -c1-32
    let body_digest = "35ef2b17dd7d2744f20921ce6c34cb7c".to_owned();
    let used = IdempotencyUse { key: "order-status\0key-1".to_owned(), body_digest };
    assert_eq!(record.idempotency, Some(used), "the log has the key too");
    bench.send(keyed(Call::status(STATUS))).await.accepted("DUPLICATE");
    let delivered = STATUS.replace("paid", "delivered");
    bench.send(keyed(Call::status(delivered))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    bench.send(keyed(Call::conversion(OTHER))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    // No key of a conversion looks like one of a status update.
    for key in ["order-status:key-1", "order-statuskey-1"] {
        let body = format!(r#"{{"externalOrderId":"{key}","orderAmount":"1"}}"#);
        bench.send(Call::conversion(body).header("x-idempotency-key", key)).await.accepted("RECEIVED");
    }
    // Nor while one is under way.
    bench.log.set(LogMode::Holds);
    let send = |call: Call| {
        let call = call.header("x-idempotency-key", "key-2");
        tokio::spawn(bench.router.clone().oneshot(call.into_request()))
    };
    let (conversion, status) = (send(Call::conversion(OTHER)), send(Call::status(STATUS.replace('A', "B"))));
    while bench.log.count() < 6 {
        sleep(Duration::from_millis(1)).await;
    }
    bench.log.release();
    Reply::of(conversion.await.unwrap().unwrap()).await.accepted("RECEIVED");
    Reply::of(status.await.unwrap().unwrap()).await.accepted("ACCEPTED");
}

#[tokio::test]
async fn a_duplicate_consumes_its_key() {
    let bench = Bench::new();
    bench.send(Call::conversion(BODY)).await.accepted("RECEIVED");
    bench.send(keyed(Call::conversion(BODY))).await.accepted("DUPLICATE");
    bench.send(keyed(Call::conversion(OTHER))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_key_in_flight_is_taken() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let first = send(keyed(Call::conversion(BODY)));
    while bench.log.count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    bench.send(keyed(Call::conversion(OTHER))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    let twin = send(keyed(Call::conversion(BODY)));
    sleep(Duration::from_millis(20)).await;
    assert!(!twin.is_finished());
    bench.log.release();
    Reply::of(first.await.unwrap().unwrap()).await.accepted("RECEIVED");
    Reply::of(twin.await.unwrap().unwrap()).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let bench = Bench::new();
    let call = Call::conversion(BODY).header("x-idempotency-key", "a").header("idempotency-key", "b");
    let messages = bench.send(call).await.error(400, "VALIDATION_FAILED");
    assert_eq!(messages, ["X-Idempotency-Key and Idempotency-Key differ: send one of them"]);
    let call = Call::conversion(BODY).header("x-idempotency-key", "k".repeat(256));
    bench.send(call).await.error(400, "VALIDATION_FAILED");
    let call = Call::conversion(BODY).header("x-idempotency-key", "k".repeat(255));
    bench.send(call.header("idempotency-key", "k".repeat(255))).await.accepted("RECEIVED");
}
