//! What is worth a line in the log, and at which level.

use crate::support::{Bench, Call, Lines, LogMode};

const BODY: &str = r#"{"externalOrderId":"A","orderAmount":"1"}"#;

#[tokio::test]
async fn load_is_shed_without_a_line_each() {
    let (bench, lines) = (Bench::new(), Lines::of_all_tests());
    bench.log.set(LogMode::Full);
    let shed = "req-of-load-that-is-shed";
    for call in [Call::conversion(BODY), Call::get("/c/lnk_one").unsigned()] {
        bench.send(call.header("x-request-id", shed)).await;
    }
    let found = lines.about(shed);
    assert_eq!(found.iter().filter(|line| line.contains("DEBUG")).count(), 2, "{found:?}");
    assert!(found.iter().all(|line| !line.contains("ERROR") && !line.contains("WARN")), "{found:?}");
    assert!(bench.metric("requests_shed_total{reason=\"log_full\"} 1").await);
    assert!(bench.metric("clicks_lost_total 1").await);
    // A fault of ours is told.
    bench.log.set(LogMode::Fails);
    let fault = "req-of-a-fault-of-ours";
    bench.send(Call::conversion(BODY).header("x-request-id", fault)).await.error(503, "UNAVAILABLE");
    assert!(lines.about(fault).iter().any(|line| line.contains("ERROR")), "{:?}", lines.about(fault));
}
