//! Equal requests at once, requests abandoned in the middle, and stores that fail meanwhile.

use std::time::Duration;

use schemas::ids::OrderKey;
use schemas::records::ConversionReported;
use store::{ConversionClaim, Fingerprint};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::support::{Bench, Call, LogMode, Reply, StoreMode, TestLog};

const BODY: &str = r#"{"externalOrderId":"A","orderAmount":"1"}"#;
const STATUS: &str = r#"{"externalOrderId":"A","status":"paid"}"#;

async fn send_all(bench: &Bench, calls: impl IntoIterator<Item = Call>) -> Vec<Reply> {
    let mut tasks = JoinSet::new();
    for call in calls {
        let router = bench.router.clone();
        tasks.spawn(async move { Reply::of(router.oneshot(call.into_request()).await.unwrap()).await });
    }
    tasks.join_all().await
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn counted(replies: &[Reply], status: &str) -> usize {
    replies.iter().filter(|reply| reply.status == 202 && reply.json()["status"] == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_equal_requests_one_is_received() {
    for (call, first) in [
        (Call::conversion(BODY), "RECEIVED"),
        (Call::status(STATUS), "ACCEPTED"),
        (Call::conversion(BODY).header("x-idempotency-key", "k"), "RECEIVED"),
        (Call::status(STATUS).header("idempotency-key", "k"), "ACCEPTED"),
    ] {
        let bench = Bench::new();
        let replies = send_all(&bench, vec![call; 64]).await;
        assert_eq!((counted(&replies, first), counted(&replies, "DUPLICATE")), (1, 63));
        assert_eq!(bench.log.count(), 1);
    }
}

#[tokio::test]
async fn equal_requests_wait_for_the_first() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let router = bench.router.clone();
    let all = tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let router = router.clone();
            let request = Call::conversion(BODY).into_request();
            tasks.spawn(async move { Reply::of(router.oneshot(request).await.unwrap()).await });
        }
        tasks.join_all().await
    });
    eventually("the first is published", || bench.log.count() == 1).await;
    sleep(Duration::from_millis(30)).await;
    assert!(!all.is_finished());
    bench.log.release();
    let replies = all.await.unwrap();
    assert_eq!((counted(&replies, "RECEIVED"), counted(&replies, "DUPLICATE")), (1, 7));
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn waiting_for_the_first_has_a_deadline() {
    let bench = Bench::with(|config| {
        config.ack_deadline = Duration::from_millis(120);
        config.request_deadline = Duration::from_millis(120);
    });
    bench.log.set(LogMode::Holds);
    let replies = send_all(&bench, vec![Call::conversion(BODY); 8]).await;
    assert!(replies.iter().all(|reply| reply.status == 503), "{replies:?}");
    let waited = replies.iter().filter(|reply| reply.text.contains("an equal request is still under way")).count();
    assert_eq!((waited, bench.log.count()), (7, 1), "{replies:?}");
    bench.log.release();
    bench.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
}

#[tokio::test]
async fn a_report_that_is_confirmed_late_is_not_overtaken() {
    let bench = Bench::with(|config| config.ack_deadline = Duration::from_millis(20));
    bench.log.set(LogMode::Holds);
    let keyed = |body: &str| Call::conversion(body).header("x-idempotency-key", "k");
    bench.send(keyed(BODY)).await.error(503, "UNAVAILABLE");
    assert!(bench.metric("http_requests_in_flight 1").await, "it keeps its place");
    // Its retry, and another report of the order, wait for it.
    bench.log.set(LogMode::Works);
    bench.send(keyed(r#"{"externalOrderId":"B","orderAmount":"1"}"#)).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let retry = send(keyed(BODY));
    let other = send(Call::conversion(BODY.replace("\"1\"", "\"2\"")));
    sleep(Duration::from_millis(30)).await;
    assert!(!retry.is_finished() && !other.is_finished());
    bench.log.release();
    Reply::of(retry.await.unwrap().unwrap()).await.accepted("DUPLICATE");
    let other = Reply::of(other.await.unwrap().unwrap()).await;
    other.accepted("DUPLICATE");
    assert_eq!((other.header("x-conflict"), bench.log.count()), (Some("orderAmount"), 2));
    assert_eq!(bench.claims.conversions().values().next().unwrap().offset, 0);
    assert!(bench.metric("conversions_accepted_total 1").await);
    assert!(bench.metric("http_requests_in_flight 0").await);
}

#[tokio::test]
async fn a_conflict_is_told_only_after_asking_the_claims() {
    let bench = Bench::new();
    bench.send(Call::conversion(BODY)).await.accepted("RECEIVED");
    // The log had another report of the order before ours, which the claims learn later.
    let mut record: ConversionReported = bench.published();
    record.amount_minor = 200;
    let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "A" };
    let claim = ConversionClaim {
        event_id: "cnvevt_0".to_owned(),
        fingerprint: Fingerprint::of(&record),
        partition: 0,
        offset: 0,
    };
    bench.claims.insert(order.conversion_id(), claim);
    let (first, questions) = (Call::conversion(BODY.replace("\"1\"", "\"2\"")), bench.claims.questions());
    for _ in 0..2 {
        let reply = bench.send(first.clone()).await;
        reply.accepted("DUPLICATE");
        assert_eq!(reply.header("x-conflict"), None);
    }
    assert_eq!((bench.claims.questions(), bench.log.count()), (questions + 1, 1), "asked once, published never");
    let reply = bench.send(Call::conversion(BODY)).await;
    assert_eq!(reply.header("x-conflict"), Some("orderAmount"));
}

#[tokio::test]
async fn who_waits_for_an_equal_request_is_bounded() {
    let bench = Bench::with(|config| config.lane_seats_max = 3);
    bench.log.set(LogMode::Holds);
    for call in [Call::conversion(BODY), Call::status(STATUS).header("x-idempotency-key", "k")] {
        let before = bench.log.count();
        let mut waiting = JoinSet::new();
        for _ in 0..3 {
            waiting.spawn(bench.router.clone().oneshot(call.clone().into_request()));
        }
        eventually("one is published", || bench.log.count() == before + 1).await;
        sleep(Duration::from_millis(10)).await;
        let messages = bench.send(call).await.error(503, "UNAVAILABLE");
        assert_eq!(messages, ["too many equal requests at once; this one was not recorded, and a retry is safe"]);
        bench.log.release();
        for response in waiting.join_all().await {
            assert_eq!(response.unwrap().status(), 202);
        }
    }
    assert!(bench.metric("requests_shed_total{reason=\"lane\"} 2").await);
}

#[tokio::test]
async fn of_different_reports_of_one_order_one_is_received() {
    let bench = Bench::new();
    let calls = (0..32).map(|n| Call::conversion(format!(r#"{{"externalOrderId":"A","orderAmount":"{n}"}}"#)));
    let replies = send_all(&bench, calls).await;
    assert_eq!((counted(&replies, "RECEIVED"), counted(&replies, "DUPLICATE")), (1, 31));
    let conflicts = replies.iter().filter(|reply| reply.header("x-conflict") == Some("orderAmount")).count();
    assert_eq!((conflicts, bench.log.count()), (31, 32));
}

#[tokio::test]
async fn a_request_abandoned_in_the_middle_is_finished() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let call = Call::conversion(BODY).header("x-idempotency-key", "k");
    let abandoned = tokio::spawn(bench.router.clone().oneshot(call.clone().into_request()));
    eventually("it is published", || bench.log.count() == 1).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    bench.log.set(LogMode::Works);
    bench.log.release();
    bench.send(call).await.accepted("DUPLICATE");
    assert_eq!((bench.log.count(), bench.claims.conversions().len()), (1, 1));
    let gone = "http_requests_total{route=\"/api/v1/conversions\",status=\"499\",code=\"SENDER_GONE\"} 1";
    assert!(bench.metric(gone).await);
    assert!(bench.metric("http_requests_in_flight 0").await);
}

#[tokio::test]
async fn an_abandoned_waiter_leaves_no_stuck_entry() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let first = tokio::spawn(bench.router.clone().oneshot(Call::conversion(BODY).into_request()));
    eventually("it is published", || bench.log.count() == 1).await;
    for _ in 0..4 {
        let waiter = tokio::spawn(bench.router.clone().oneshot(Call::conversion(BODY).into_request()));
        sleep(Duration::from_millis(5)).await;
        waiter.abort();
    }
    first.abort();
    bench.log.set(LogMode::Works);
    bench.log.release();
    bench.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
    assert_eq!(bench.log.count(), 1);
}

#[tokio::test]
async fn without_claims_orders_are_still_accepted() {
    for mode in [StoreMode::Fails, StoreMode::Stalls] {
        let bench = Bench::with(|config| config.store_deadline = Duration::from_millis(10));
        bench.claims.set(mode);
        let call = Call::conversion(BODY).header("x-idempotency-key", "k");
        bench.send(call.clone()).await.accepted("RECEIVED");
        assert!(bench.metric("conversions_unclaimed_total 1").await, "{mode:?}");
        for operation in ["conversion", "claim_conversion", "idempotency", "remember_idempotency"] {
            assert!(bench.metric(&format!("claims_failures_total{{operation=\"{operation}\"}} 1")).await);
        }
        // The process itself remembers.
        bench.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
        assert_eq!(bench.log.count(), 1);
    }
}

#[tokio::test]
async fn repeats_are_answered_without_the_store() {
    let bench = Bench::new();
    bench.send(Call::conversion(BODY)).await.accepted("RECEIVED");
    let questions = bench.claims.questions();
    bench.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
    assert_eq!(bench.claims.questions(), questions);
    // Another process asks the store once.
    let other = Bench::on(bench.claims.clone(), ingest::Config::default());
    other.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
    other.send(Call::conversion(BODY)).await.accepted("DUPLICATE");
    assert_eq!((bench.claims.questions(), other.log.count()), (questions + 1, 0));
}

#[tokio::test]
async fn who_loses_the_race_for_the_claim_is_a_duplicate() {
    for (theirs, conflict) in [("1.00", None), ("2.00", Some("orderAmount"))] {
        let bench = Bench::new();
        bench.log.set(LogMode::Holds);
        let mine = tokio::spawn(bench.router.clone().oneshot(Call::conversion(BODY).into_request()));
        eventually("it is published", || bench.log.count() == 1).await;
        // Another edge claims the order between our look and our claim.
        let mut record: ConversionReported = bench.published();
        record.amount_minor = if theirs == "1.00" { 100 } else { 200 };
        let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "A" };
        let claim = ConversionClaim {
            event_id: "cnvevt_other".to_owned(),
            fingerprint: Fingerprint::of(&record),
            partition: 0,
            offset: 9,
        };
        bench.claims.insert(order.conversion_id(), claim);
        bench.log.release();
        let reply = Reply::of(mine.await.unwrap().unwrap()).await;
        reply.accepted("DUPLICATE");
        assert_eq!(reply.header("x-conflict"), conflict);
    }
}

#[tokio::test]
async fn the_claim_holds_the_place_of_the_acknowledgement() {
    let bench = Bench::new();
    for order in ["A", "B"] {
        let body = format!(r#"{{"externalOrderId":"{order}","orderAmount":"1"}}"#);
        bench.send(Call::conversion(body)).await.accepted("RECEIVED");
    }
    let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "B" };
    let claim = &bench.claims.conversions()[&order.conversion_id()];
    assert_eq!((claim.partition, claim.offset), (TestLog::PARTITION, 1));
}
