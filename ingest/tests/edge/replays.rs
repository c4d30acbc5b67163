//! Keys with `strict_replay`: a signature is taken once, unless its request failed.

use tower::ServiceExt;

use crate::keys::{OLD, order, with_old};
use crate::reading::received;
use crate::server::until;
use crate::support::{Bench, Call, LogMode, NOW_S, Reply};

fn strict(bench: &Bench) {
    bench.set_registry(&with_old("strict_replay = true"));
}

#[tokio::test]
async fn a_signature_is_taken_once() {
    let bench = Bench::new();
    strict(&bench);
    bench.send(order("A")).await.accepted("RECEIVED");
    let messages = bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
    assert_eq!(messages, ["the signature was taken before: sign again with the present time"]);
    // Signed again it is a re-send like any other, and another body has another signature.
    bench.send(order("A").at(NOW_S + 1)).await.accepted("DUPLICATE");
    bench.send(order("B")).await.accepted("RECEIVED");
    let signature = OLD.sign(&NOW_S.to_string(), br#"{"externalOrderId":"A","orderAmount":"1"}"#);
    let upper = order("A").header("x-signature", signature.to_uppercase());
    bench.send(upper).await.error(401, "REPLAY_DETECTED");
    // The route is no part of what is signed.
    let elsewhere = Call::status(r#"{"externalOrderId":"A","orderAmount":"1"}"#).by(OLD);
    bench.send(elsewhere).await.error(401, "REPLAY_DETECTED");
    assert!(bench.metric("auth_failures_total{code=\"REPLAY_DETECTED\"} 3").await);
    // It is told for as long as its timestamp is accepted, and after that for what it is then.
    bench.clock.set((NOW_S + 300) * 1_000 + 999);
    bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
    bench.clock.set((NOW_S + 301) * 1_000);
    bench.send(order("A")).await.error(401, "EXPIRED_TIMESTAMP");
    // Other keys are not strict.
    let mine = Call::conversion(r#"{"externalOrderId":"M","orderAmount":"1"}"#).at(NOW_S + 301);
    bench.send(mine.clone()).await.accepted("RECEIVED");
    bench.send(mine).await.accepted("DUPLICATE");
}

#[tokio::test]
async fn reads_of_one_second_are_one_signature() {
    let bench = Bench::new();
    strict(&bench);
    let read = |at: i64| Call::get("/api/v1/conversions/A").by(OLD).at(at);
    // A read that finds nothing has failed, and used nothing up.
    bench.send(read(NOW_S)).await.error(404, "NOT_FOUND");
    bench.send(read(NOW_S)).await.error(404, "NOT_FOUND");
    bench.read_model.insert(received("A"));
    assert_eq!(bench.send(read(NOW_S)).await.status, 200);
    bench.send(read(NOW_S)).await.error(401, "REPLAY_DETECTED");
    bench.send(Call::get("/api/v1/conversions/B").by(OLD)).await.error(401, "REPLAY_DETECTED");
    assert_eq!(bench.send(read(NOW_S - 1)).await.status, 200);
}

#[tokio::test]
async fn a_failed_request_uses_no_signature_up() {
    let bench = Bench::new();
    strict(&bench);
    let faulty = || Call::conversion("{}").by(OLD);
    bench.send(faulty()).await.error(400, "VALIDATION_FAILED");
    bench.send(faulty()).await.error(400, "VALIDATION_FAILED");
    for mode in [LogMode::Full, LogMode::Fails] {
        bench.log.set(mode);
        bench.send(order("A")).await.error(503, "UNAVAILABLE");
    }
    bench.send(order("A").header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
    bench.log.set(LogMode::Works);
    bench.send(order("A")).await.accepted("RECEIVED");
    bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
    bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
}

#[tokio::test]
async fn of_two_at_once_one_is_taken() {
    let bench = Bench::new();
    strict(&bench);
    bench.log.set(LogMode::Holds);
    let first = tokio::spawn(bench.router.clone().oneshot(order("A").into_request()));
    until(|| bench.log.count() == 1).await;
    bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
    bench.log.release();
    Reply::of(first.await.unwrap().unwrap()).await.accepted("RECEIVED");
    // One whose sender has gone may have been recorded.
    let gone = tokio::spawn(bench.router.clone().oneshot(order("B").into_request()));
    until(|| bench.log.count() == 2).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    bench.send(order("B")).await.error(401, "REPLAY_DETECTED");
    bench.log.release();
}

#[tokio::test]
async fn what_cannot_be_remembered_is_not_taken() {
    let bench = Bench::with(|config| (config.replays_max, config.merchant_share_percent) = (4, 50));
    strict(&bench);
    bench.send(order("A")).await.accepted("RECEIVED");
    bench.send(order("B")).await.accepted("RECEIVED");
    let reply = bench.send(order("C")).await;
    let full = "too many requests of keys with strictReplay lately; nothing was recorded, and a retry is safe";
    assert_eq!(reply.error(503, "UNAVAILABLE"), [full]);
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(bench.metric("requests_shed_total{reason=\"replays\"} 1").await);
    bench.clock.set((NOW_S + 301) * 1_000);
    bench.send(order("C").at(NOW_S + 301)).await.accepted("RECEIVED");
    assert_eq!(bench.log.count(), 3);
}
