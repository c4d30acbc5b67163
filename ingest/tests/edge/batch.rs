//! `POST /api/v1/conversions/batch`: each item as if it had come alone, and none hiding another.

use std::time::Duration;

use schemas::decode;
use schemas::records::{ConversionReported, IdempotencyUse};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::server::until;
use crate::support::{Bench, Call, LogMode, NOW_S, ONE_TEST, Reply, StoreMode, TWO};

pub(crate) fn order(id: &str) -> String {
    format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#)
}

pub(crate) fn orders(count: usize) -> Vec<String> {
    (0..count).map(|id| order(&id.to_string())).collect()
}

/// The results of a batch that was answered.
#[track_caller]
pub(crate) fn results(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let json = reply.json();
    assert_eq!(json.as_object().unwrap().len(), 1, "{}", reply.text);
    json["results"].as_array().unwrap().clone()
}

/// The status of each result, or its code if it was not accepted.
#[track_caller]
pub(crate) fn told(reply: &Reply) -> Vec<String> {
    let word = |result: &Value| match result["status"].as_str().unwrap() {
        "REJECTED" => result["code"].as_str().unwrap().to_owned(),
        status => status.to_owned(),
    };
    results(reply).iter().map(word).collect()
}

#[tokio::test]
async fn each_item_is_answered_as_if_it_had_come_alone() {
    let items = [
        order("A"),
        order("known"),
        order("known").replace("\"1\"", "\"2\""),
        r#"{"externalOrderId":"","orderAmount":1,"note":true}"#.to_owned(),
        "7".to_owned(),
        r#"{"externalOrderId":"B","externalOrderId":"B","orderAmount":"1"}"#.to_owned(),
        order("A"),
        r#"{"externalOrderId":"A","orderAmount":"2","clickId":"clk_1"}"#.to_owned(),
        order("C"),
    ];
    let (alone, together) = (Bench::new(), Bench::new());
    for bench in [&alone, &together] {
        bench.send(Call::conversion(order("known"))).await.accepted("RECEIVED");
    }
    let reply = together.send(Call::batch(&items)).await;
    let found = results(&reply);
    assert_eq!(found.len(), items.len());
    for (item, found) in items.iter().zip(&found) {
        let single = alone.send(Call::conversion(item.as_str())).await;
        let mut expected = single.json();
        if let Some(conflict) = single.header("x-conflict") {
            expected["conflict"] = conflict.split(", ").collect();
        }
        if expected["status"] == "RECEIVED" {
            assert!(found["eventId"].as_str().unwrap().starts_with("cnvevt_"));
            expected["eventId"] = found["eventId"].clone();
        }
        if single.status.is_client_error() {
            expected = json!({ "status": "REJECTED", "code": expected["code"], "message": expected["message"] });
        }
        assert_eq!(*found, expected, "{item}");
    }
    let codes = [
        "RECEIVED",
        "DUPLICATE",
        "DUPLICATE",
        "VALIDATION_FAILED",
        "MALFORMED_JSON",
        "MALFORMED_JSON",
        "DUPLICATE",
        "DUPLICATE",
        "RECEIVED",
    ];
    assert_eq!(told(&reply), codes);
    assert_eq!(found[7]["conflict"], json!(["clickId", "orderAmount"]));
    assert_eq!(reply.header("retry-after"), None);
    // What is published is the same too: the two new orders, and the two reports that differ.
    let published = |bench: &Bench| {
        let mut records: Vec<ConversionReported> =
            bench.log.messages().iter().map(|message| decode(&message.value).unwrap()).collect();
        records.iter_mut().for_each(|record| record.event_id.clear());
        records.sort_by_key(|record| (record.external_order_id.clone(), record.amount_minor));
        records
    };
    assert_eq!(published(&together).len(), 5);
    assert_eq!(published(&together), published(&alone));
    assert!(together.metric("conversions_accepted_total 3").await);
    assert!(together.metric("conversions_conflict_total 2").await);
    assert!(together.metric("batch_items_rejected_total{code=\"MALFORMED_JSON\"} 2").await);
    assert!(together.metric("http_requests_in_flight 0").await);
}

#[tokio::test]
async fn a_thousand_items_and_no_more() {
    let bench = Bench::new();
    assert!(results(&bench.send(Call::batch(&orders(0))).await).is_empty());
    let reply = bench.send(Call::batch(&orders(1_000))).await;
    assert_eq!(told(&reply), ["RECEIVED"; 1_000]);
    let results = results(&reply);
    assert_eq!((bench.log.count(), bench.claims.conversions().len()), (1_000, 1_000));
    // Different orders are taken in no order; the answers are in that of the batch.
    for message in bench.log.messages() {
        let record: ConversionReported = decode(&message.value).unwrap();
        let index: usize = record.external_order_id.parse().unwrap();
        assert_eq!(results[index]["eventId"], record.event_id.as_str());
    }
    let messages = bench.send(Call::batch(&orders(1_001))).await.error(400, "VALIDATION_FAILED");
    assert_eq!(messages, ["conversions must have at most 1000 items, not 1001: send several batches"]);
    assert_eq!(bench.log.count(), 1_000);
}

#[tokio::test]
async fn faults_of_the_whole_refuse_it_as_a_whole() {
    let must = "conversions must be an array of at most 1000 conversions; got";
    let order = order("A");
    for (body, faults) in [
        (String::from("{}"), vec!["conversions is required: an array of at most 1000 conversions".to_owned()]),
        (
            String::from(r#"{"conversions":null}"#),
            vec!["conversions is required: an array of at most 1000 conversions".to_owned()],
        ),
        (format!(r#"{{"conversions":{order}}}"#), vec![format!("{must} a JSON object")]),
        (String::from(r#"{"conversions":"x"}"#), vec![format!("{must} \"x\"")]),
        (
            format!(r#"{{"conversion":[{order}]}}"#),
            vec![
                "\"conversion\" is not a field of this request: did you mean conversions?".to_owned(),
                "conversions is required: an array of at most 1000 conversions".to_owned(),
            ],
        ),
        (
            format!(r#"{{"conversions":[{order}],"dryRun":true}}"#),
            vec!["\"dryRun\" is not a field of this request: remove it".to_owned()],
        ),
    ] {
        let bench = Bench::new();
        let reply = bench.send(Call::post("/api/v1/conversions/batch", body.clone())).await;
        assert_eq!(reply.error(400, "VALIDATION_FAILED"), faults, "{body}");
        assert_eq!(bench.log.count(), 0);
    }
    let bench = Bench::new();
    for body in [format!("[{order}]"), format!(r#"{{"conversions":[{order},]}}"#), String::new()] {
        bench.send(Call::post("/api/v1/conversions/batch", body)).await.error(400, "MALFORMED_JSON");
    }
    bench.send(Call::batch(&[&order]).header("content-type", "text/plain")).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    bench.send(Call::batch(&[&order]).header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
    assert_eq!(bench.log.count(), 0);
}

#[tokio::test]
async fn merchants_and_modes_have_their_own() {
    let bench = Bench::new();
    for call in [Call::batch(&orders(2)), Call::batch(&orders(2)).by(ONE_TEST), Call::batch(&orders(2)).by(TWO)] {
        assert_eq!(told(&bench.send(call.clone()).await), ["RECEIVED"; 2]);
        assert_eq!(told(&bench.send(call).await), ["DUPLICATE"; 2]);
    }
}

#[tokio::test]
async fn reports_of_one_order_follow_each_other() {
    let bench = Bench::new();
    let amounts: Vec<String> = (0..50).map(|n| order("A").replace("\"1\"", &format!("\"{n}\""))).collect();
    let reply = bench.send(Call::batch(&amounts)).await;
    let mut expected = vec!["DUPLICATE"; 50];
    expected[0] = "RECEIVED";
    assert_eq!(told(&reply), expected);
    assert!(results(&reply)[1..].iter().all(|result| result["conflict"] == json!(["orderAmount"])));
    let published = bench.log.messages();
    let amount = |value: &[u8]| decode::<ConversionReported>(value).unwrap().amount_minor;
    let found: Vec<i64> = published.iter().map(|message| amount(&message.value)).collect();
    assert_eq!(found, (0..50).map(|n| 100 * n).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_log_has_all_of_it_before_it_acknowledges_any() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let call = Call::batch(&[orders(300), orders(1)].concat());
    let batch = tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    until(|| bench.log.count() == 300).await;
    assert!(bench.metric("http_requests_in_flight 301").await);
    bench.log.release();
    let reply = Reply::of(batch.await.unwrap().unwrap()).await;
    let mut expected = vec!["RECEIVED"; 300];
    expected.push("DUPLICATE");
    assert_eq!(told(&reply), expected);
    assert!(bench.metric("http_requests_in_flight 0").await);
}

#[tokio::test]
async fn what_could_not_be_recorded_hides_nothing_else() {
    let bench = Bench::with(|config| config.retry_after = Duration::from_secs(7));
    bench.log.fail("/bad");
    let reply = bench.send(Call::batch(&[order("A"), order("bad"), order("bad"), "{}".to_owned(), order("B")])).await;
    assert_eq!(told(&reply), ["RECEIVED", "UNAVAILABLE", "UNAVAILABLE", "VALIDATION_FAILED", "RECEIVED"]);
    let message = "the log did not confirm in time; it may have been recorded, and a retry is safe";
    assert_eq!(results(&reply)[1], json!({ "status": "REJECTED", "code": "UNAVAILABLE", "message": [message] }));
    assert_eq!(reply.header("retry-after"), Some("7"));
    bench.log.fail("/none");
    let reply = bench.send(Call::batch(&[order("A"), order("bad"), order("B")])).await;
    assert_eq!(told(&reply), ["DUPLICATE", "RECEIVED", "DUPLICATE"]);
    for (mode, code) in [
        (LogMode::Full, "UNAVAILABLE"),
        (LogMode::Closed, "UNAVAILABLE"),
        (LogMode::Fails, "UNAVAILABLE"),
        (LogMode::TooLarge, "INTERNAL"),
    ] {
        let bench = Bench::new();
        bench.log.set(mode);
        let reply = bench.send(Call::batch(&orders(3))).await;
        assert_eq!(told(&reply), [code; 3], "{mode:?}");
        assert_eq!(reply.header("retry-after").is_some(), code == "UNAVAILABLE");
    }
}

#[tokio::test]
async fn an_acknowledgement_that_is_late_is_waited_for_no_longer_than_a_single_ones() {
    let bench = Bench::with(|config| config.ack_deadline = Duration::from_millis(50));
    bench.log.set(LogMode::Holds);
    let reply = bench.send(Call::batch(&[order("A"), order("B")])).await;
    assert_eq!(told(&reply), ["UNAVAILABLE"; 2]);
    // They keep their places, and their retry waits for them.
    assert!(bench.metric("http_requests_in_flight 2").await);
    let retry = tokio::spawn(bench.router.clone().oneshot(Call::batch(&[order("B"), order("C")]).into_request()));
    until(|| bench.log.count() == 3).await;
    bench.log.release();
    let reply = Reply::of(retry.await.unwrap().unwrap()).await;
    assert_eq!(told(&reply), ["DUPLICATE", "RECEIVED"]);
    assert_eq!(bench.log.count(), 3);
}

#[tokio::test]
async fn a_store_that_is_away_costs_a_batch_what_it_costs_a_report() {
    for mode in [StoreMode::Fails, StoreMode::Stalls] {
        let bench = Bench::with(|config| config.store_deadline = Duration::from_millis(100));
        bench.claims.set(mode);
        let began = Instant::now();
        let reply = bench.send(Call::batch(&orders(500)).header("x-idempotency-key", "k")).await;
        assert_eq!(told(&reply), ["RECEIVED"; 500]);
        assert!(began.elapsed() < Duration::from_secs(3), "{mode:?} {:?}", began.elapsed());
        assert!(bench.metric("conversions_unclaimed_total 500").await);
    }
}

#[tokio::test]
async fn a_batch_abandoned_in_the_middle_is_finished() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let call = Call::batch(&[order("A"), order("A").replace("\"1\"", "\"2\""), order("B")]);
    let abandoned = tokio::spawn(bench.router.clone().oneshot(call.clone().into_request()));
    until(|| bench.log.count() == 2).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    bench.log.set(LogMode::Works);
    bench.log.release();
    until(|| bench.log.count() == 3 && bench.claims.conversions().len() == 2).await;
    while !bench.metric("http_requests_in_flight 0").await {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(told(&bench.send(call).await), ["DUPLICATE"; 3]);
}

#[tokio::test]
async fn a_batch_counts_for_as_many_as_it_has_items() {
    let bench = Bench::with(|config| config.in_flight_max = 12);
    bench.log.set(LogMode::Holds);
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let held = send(Call::batch(&orders(6)));
    until(|| bench.log.count() == 6).await;
    // Nine are a merchant's share: four more are too many for it, and three are not.
    let more = |count: usize| Call::batch(&(0..count).map(|n| order(&format!("more-{n}"))).collect::<Vec<_>>());
    let messages = bench.send(more(4)).await.error(503, "UNAVAILABLE");
    assert_eq!(messages, ["too many requests of this merchant at once; nothing was recorded, and a retry is safe"]);
    assert!(bench.metric("http_requests_in_flight 6").await);
    let more = send(more(3));
    until(|| bench.log.count() == 9).await;
    bench.send(Call::conversion(order("single"))).await.error(503, "UNAVAILABLE");
    bench.send(Call::batch(&orders(4)).by(TWO)).await.error(503, "UNAVAILABLE");
    assert!(bench.metric("requests_shed_total{reason=\"merchant_share\"} 2").await);
    assert!(bench.metric("requests_shed_total{reason=\"in_flight\"} 1").await);
    assert_eq!(bench.log.count(), 9, "of what is refused, nothing is recorded");
    bench.log.set(LogMode::Works);
    bench.log.release();
    for (batch, items) in [(held, 6), (more, 3)] {
        assert_eq!(told(&Reply::of(batch.await.unwrap().unwrap()).await), vec!["RECEIVED"; items]);
    }
    // One of more items than a merchant has places needs all of them, and goes on with those.
    assert_eq!(told(&bench.send(Call::batch(&orders(20)).by(TWO)).await), ["RECEIVED"; 20]);
    assert!(bench.metric("http_requests_in_flight 0").await);
    // Faulty items need none.
    bench.log.set(LogMode::Holds);
    let held = send(Call::batch(&orders(8).iter().map(|item| item.replace(":\"1\"}", ":\"3\"}")).collect::<Vec<_>>()));
    until(|| bench.log.count() == 9 + 20 + 8).await;
    bench.log.set(LogMode::Works);
    let faulty = bench.send(Call::batch(&[order("last"), "{}".to_owned(), "{}".to_owned()])).await;
    assert_eq!(told(&faulty), ["RECEIVED", "VALIDATION_FAILED", "VALIDATION_FAILED"]);
    bench.log.release();
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_guards_the_whole_body() {
    let bench = Bench::new();
    let keyed = |items: &[String]| Call::batch(items).header("x-idempotency-key", "key-1");
    assert_eq!(told(&bench.send(keyed(&orders(2))).await), ["RECEIVED"; 2]);
    let record: ConversionReported = decode(&bench.log.messages()[1].value).unwrap();
    let IdempotencyUse { key, body_digest } = record.idempotency.unwrap();
    assert_eq!((key.as_str(), body_digest.len()), ("batch\0key-1", 32), "the log tells other edges");
    assert_eq!(told(&bench.send(keyed(&orders(2))).await), ["DUPLICATE"; 2]);
    bench.send(keyed(&orders(3))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(bench.log.count(), 2);
    // Other routes, merchants and modes have keys of their own.
    bench.send(Call::conversion(order("X")).header("x-idempotency-key", "key-1")).await.accepted("RECEIVED");
    for by in [ONE_TEST, TWO] {
        assert_eq!(told(&bench.send(keyed(&orders(3)).by(by)).await), ["RECEIVED"; 3]);
    }
    let tomorrow = NOW_S + 86_400;
    bench.clock.set(tomorrow * 1_000);
    assert_eq!(told(&bench.send(keyed(&orders(3)).at(tomorrow)).await), ["DUPLICATE", "DUPLICATE", "RECEIVED"]);
    let messages = bench.send(Call::batch(&orders(1)).header("idempotency-key", "a b").at(tomorrow)).await;
    messages.error(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_batch_of_which_nothing_was_accepted_consumes_no_key() {
    let bench = Bench::new();
    let keyed = |items: &[String]| Call::batch(items).header("x-idempotency-key", "k");
    assert_eq!(told(&bench.send(keyed(&["{}".to_owned()])).await), ["VALIDATION_FAILED"]);
    bench.log.set(LogMode::Full);
    assert_eq!(told(&bench.send(keyed(&orders(1))).await), ["UNAVAILABLE"]);
    bench.log.set(LogMode::Works);
    // One accepted item is enough for the key to be used; its retry finishes the rest.
    bench.log.fail("/bad");
    let half = [order("A"), order("bad")];
    assert_eq!(told(&bench.send(keyed(&half)).await), ["RECEIVED", "UNAVAILABLE"]);
    bench.log.fail("/none");
    bench.send(keyed(&orders(1))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(told(&bench.send(keyed(&half)).await), ["DUPLICATE", "RECEIVED"]);
}

#[tokio::test]
async fn two_at_once_with_one_key() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let keyed = |items: &[String]| Call::batch(items).header("x-idempotency-key", "k").into_request();
    let send = |items: &[String]| tokio::spawn(bench.router.clone().oneshot(keyed(items)));
    let first = send(&orders(2));
    until(|| bench.log.count() == 2).await;
    let second = send(&orders(2));
    let other = Reply::of(bench.router.clone().oneshot(keyed(&orders(3))).await.unwrap()).await;
    other.error(422, "IDEMPOTENCY_KEY_REUSED");
    sleep(Duration::from_millis(10)).await;
    bench.log.set(LogMode::Works);
    bench.log.release();
    assert_eq!(told(&Reply::of(first.await.unwrap().unwrap()).await), ["RECEIVED"; 2]);
    assert_eq!(told(&Reply::of(second.await.unwrap().unwrap()).await), ["DUPLICATE"; 2]);
    assert_eq!(bench.log.count(), 2);
}

#[tokio::test]
async fn an_order_may_be_called_batch() {
    let bench = Bench::new();
    bench.send(Call::conversion(order("batch"))).await.accepted("RECEIVED");
    let messages = bench.send(Call::get("/api/v1/conversions/batch")).await.error(404, "NOT_FOUND");
    assert_eq!(messages, ["no such conversion of this merchant in this mode"], "the read model is a double");
}
