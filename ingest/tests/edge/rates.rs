//! Rate limits of keys, in the time of the edge's clock.

use crate::batch::{orders, told};
use crate::keys::{OLD, order, with_old};
use crate::support::{Bench, Call, LogMode, NOW_S, Reply};

const LIMIT: &str = "rate_limit = \"2/s\"\nrate_burst = \"3\"";

fn limited(fields: &str) -> Bench {
    let bench = Bench::new();
    bench.set_registry(&with_old(fields));
    bench
}

/// The headers of a limited key's answer.
#[track_caller]
fn check(reply: &Reply, policy: &str, left: &str) {
    let found = (reply.header("ratelimit-policy"), reply.header("ratelimit"));
    assert_eq!(found, (Some(policy), Some(left)), "{}", reply.text);
}

#[tokio::test]
async fn a_key_over_its_limit_is_told_when_to_come_again() {
    let bench = limited(LIMIT);
    let policy = "\"key\";q=3;w=2";
    for (id, left) in [("A", "\"key\";r=2;t=1"), ("B", "\"key\";r=1;t=1"), ("C", "\"key\";r=0;t=2")] {
        let reply = bench.send(order(id)).await;
        reply.accepted("RECEIVED");
        check(&reply, policy, left);
        assert_eq!(reply.header("retry-after"), None);
    }
    for _ in 0..5 {
        let reply = bench.send(order("D")).await;
        let messages = reply.error(429, "RATE_LIMITED");
        assert_eq!(messages, ["the key's rate limit is reached; nothing was recorded: come again in 1s"]);
        assert_eq!(reply.header("retry-after"), Some("1"));
        check(&reply, policy, "\"key\";r=0;t=2");
    }
    bench.clock.set(NOW_S * 1_000 + 499);
    bench.send(order("D")).await.error(429, "RATE_LIMITED");
    bench.clock.set(NOW_S * 1_000 + 500);
    bench.send(order("D")).await.accepted("RECEIVED");
    bench.send(order("E")).await.error(429, "RATE_LIMITED");
    assert_eq!(bench.log.count(), 4);
    let counted = "http_requests_total{route=\"/api/v1/conversions\",status=\"429\",code=\"RATE_LIMITED\"} 7";
    assert!(bench.metric(counted).await);
    // A long time brings no more than a burst.
    bench.clock.set((NOW_S + 200) * 1_000);
    let mut accepted = 0;
    while bench.send(order(&format!("F{accepted}"))).await.status == 202 {
        accepted += 1;
    }
    assert_eq!(accepted, 3);
}

#[tokio::test]
async fn every_signed_request_counts_and_no_other() {
    let bench = limited(LIMIT);
    // Nobody uses up what is another's.
    for _ in 0..5 {
        bench.send(order("A").header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
        bench.send(order("A").at(NOW_S - 301)).await.error(401, "EXPIRED_TIMESTAMP");
    }
    let unsigned = bench.send(order("A").header("x-signature", "0".repeat(64))).await;
    assert_eq!(unsigned.header("ratelimit"), None);
    let read = bench.send(Call::get("/api/v1/conversions/A").by(OLD)).await;
    read.error(404, "NOT_FOUND");
    check(&read, "\"key\";q=3;w=2", "\"key\";r=2;t=1");
    bench.send(Call::conversion("{}").by(OLD)).await.error(400, "VALIDATION_FAILED");
    bench.log.set(LogMode::Full);
    bench.send(order("A")).await.error(503, "UNAVAILABLE");
    bench.log.set(LogMode::Works);
    bench.send(order("A")).await.error(429, "RATE_LIMITED");
    bench.send(Call::get("/api/v1/conversions/A").by(OLD)).await.error(429, "RATE_LIMITED");
    // Other keys of the merchant have limits of their own, or none.
    let mine = bench.send(Call::conversion(r#"{"externalOrderId":"A","orderAmount":"1"}"#)).await;
    mine.accepted("RECEIVED");
    assert_eq!((mine.header("ratelimit"), mine.header("ratelimit-policy")), (None, None));
}

#[tokio::test]
async fn a_batch_counts_for_each_item_and_may_be_larger_than_a_burst() {
    let bench = limited(LIMIT);
    let reply = bench.send(Call::batch(&orders(9)).by(OLD)).await;
    assert_eq!(told(&reply), ["RECEIVED"; 9]);
    check(&reply, "\"key\";q=3;w=2", "\"key\";r=0;t=5");
    // Six more than there were, and one for the next, at two a second.
    let reply = bench.send(order("A")).await;
    reply.error(429, "RATE_LIMITED");
    assert_eq!(reply.header("retry-after"), Some("4"));
    bench.clock.set(NOW_S * 1_000 + 3_499);
    bench.send(order("A")).await.error(429, "RATE_LIMITED");
    bench.clock.set(NOW_S * 1_000 + 3_500);
    bench.send(order("A")).await.accepted("RECEIVED");
    bench.clock.set((NOW_S + 100) * 1_000);
    let reply = bench.send(Call::post("/api/v1/conversions/batch", "{}").by(OLD)).await;
    reply.error(400, "VALIDATION_FAILED");
    check(&reply, "\"key\";q=3;w=2", "\"key\";r=2;t=1");
}

#[tokio::test]
async fn a_limit_follows_the_registry_and_a_change_gives_nothing_away() {
    let bench = limited("rate_limit = \"60/m\"");
    let reply = bench.send(order("A")).await;
    check(&reply, "\"key\";q=60;w=60", "\"key\";r=59;t=1");
    bench.set_registry(&with_old(LIMIT));
    for id in ["B", "C", "D"] {
        bench.send(order(id)).await.accepted("RECEIVED");
    }
    bench.send(order("E")).await.error(429, "RATE_LIMITED");
    bench.set_registry(&with_old(LIMIT));
    bench.send(order("E")).await.error(429, "RATE_LIMITED");
    bench.set_registry(&with_old(""));
    let reply = bench.send(order("E")).await;
    reply.accepted("RECEIVED");
    assert_eq!(reply.header("ratelimit"), None);
}

#[tokio::test]
async fn a_replay_takes_no_token_and_a_request_over_the_limit_no_signature() {
    let bench = limited(&format!("{LIMIT}\nstrict_replay = true"));
    bench.send(order("A")).await.accepted("RECEIVED");
    for _ in 0..5 {
        bench.send(order("A")).await.error(401, "REPLAY_DETECTED");
    }
    bench.send(order("B")).await.accepted("RECEIVED");
    bench.send(order("C")).await.accepted("RECEIVED");
    bench.send(order("D")).await.error(429, "RATE_LIMITED");
    bench.clock.set((NOW_S + 1) * 1_000);
    bench.send(order("D")).await.accepted("RECEIVED");
}
