//! `/metrics` and `/health`.

use crate::support::{Bench, Call, LogMode};

#[tokio::test]
async fn health_follows_readiness() {
    let bench = Bench::new();
    let get = |path: &str| Call::get(path).unsigned();
    let live = bench.send(get("/health/live")).await;
    assert_eq!((live.status.as_u16(), live.text.as_str()), (200, r#"{"status":"live"}"#));
    let starting = bench.send(get("/health/ready")).await;
    assert_eq!(
        (starting.status.as_u16(), starting.text.as_str()),
        (503, r#"{"status":"not_ready","reasons":["starting"]}"#)
    );
    bench.readiness.caught_up();
    let ready = bench.send(get("/health/ready")).await;
    assert_eq!((ready.status.as_u16(), ready.text.as_str()), (200, r#"{"status":"ready"}"#));
    bench.readiness.degraded(vec!["claims are away".to_owned()]);
    let degraded = bench.send(get("/health/ready")).await;
    assert_eq!(
        (degraded.status.as_u16(), degraded.text.as_str()),
        (200, r#"{"status":"degraded","reasons":["claims are away"]}"#)
    );
    bench.readiness.failed("the log failed");
    bench.readiness.draining();
    let draining = bench.send(get("/health/ready")).await;
    assert_eq!(draining.text, r#"{"status":"not_ready","reasons":["draining","the log failed"]}"#);
    assert_eq!(bench.send(get("/health/live")).await.status, 200);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let bench = Bench::new();
    let order = |amount: &str| Call::conversion(format!(r#"{{"externalOrderId":"A","orderAmount":"{amount}"}}"#));
    bench.send(order("1")).await.accepted("RECEIVED");
    bench.send(order("1")).await.accepted("DUPLICATE");
    bench.send(order("2")).await.accepted("DUPLICATE");
    bench.send(order("x")).await.error(400, "VALIDATION_FAILED");
    bench.log.set(LogMode::Full);
    bench.send(order("3")).await.error(503, "UNAVAILABLE");
    bench.send(Call::get("/nowhere")).await.error(404, "NOT_FOUND");
    let reply = bench.send(Call::get("/metrics").unsigned()).await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "conversions_accepted_total 1",
        "conversions_duplicate_total 1",
        "conversions_conflict_total 1",
        "conversions_unclaimed_total 0",
        "publish_failures_total{reason=\"full\"} 1",
        "http_requests_in_flight 0",
        "http_requests_total{route=\"/api/v1/conversions\",status=\"202\",code=\"\"} 3",
        "http_requests_total{route=\"/api/v1/conversions\",status=\"400\",code=\"VALIDATION_FAILED\"} 1",
        "http_requests_total{route=\"/api/v1/conversions\",status=\"503\",code=\"UNAVAILABLE\"} 1",
        "http_requests_total{route=\"unmatched\",status=\"404\",code=\"NOT_FOUND\"} 1",
        "http_request_duration_seconds_count{route=\"/api/v1/conversions\"} 5",
    ] {
        assert!(reply.text.lines().any(|found| found == line), "{line} in {}", reply.text);
    }
    assert!(!reply.text.contains("mer_one"));
    assert!(reply.text.ends_with("# EOF\n"));
}
