//! The bodies of batches: larger than others', and few of those at once.

use std::time::Duration;

use axum::body::Body;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::batch::{order, told};
use crate::limits::Pieces;
use crate::server::until;
use crate::support::{Bench, Call, LogMode, ONE, ONE_TEST, Reply, Sender, TWO};

const SMALL: usize = 65_536;
const LARGE: usize = 4 << 20;
const STRANGER: Sender = Sender { key: "live_pk_nobody", secret: "sk_live_nobody_00000000000000000" };

/// A batch of one order, with a body of so many bytes.
fn body_of(bytes: usize, id: &str) -> String {
    let body = format!(r#"{{"conversions":[{}]}}"#, order(id));
    let rest = bytes - body.len();
    format!("{body}{}", " ".repeat(rest))
}

fn batch(body: &str) -> Call {
    Call::post("/api/v1/conversions/batch", body)
}

async fn send(bench: &Bench, call: Call, body: &str, piece: usize, claimed: Option<u64>) -> Reply {
    let pieces = body.as_bytes().chunks(piece).map(|piece| piece.to_vec().into()).collect();
    let request = call.into_request_with(Body::new(Pieces { pieces, claimed, stalls: false }));
    Reply::of(bench.router.clone().oneshot(request).await.unwrap()).await
}

/// A batch that has sent so many bytes, and then nothing more.
async fn stalled(bench: &Bench, bytes: usize, by: Sender) -> JoinHandle<Reply> {
    let body = Body::new(Pieces { pieces: [vec![b' '; bytes].into()].into(), claimed: None, stalls: true });
    let (router, request) = (bench.router.clone(), batch("").by(by).into_request_with(body));
    let task = tokio::spawn(async move { Reply::of(router.oneshot(request).await.unwrap()).await });
    sleep(Duration::from_millis(5)).await;
    task
}

#[tokio::test]
async fn a_batch_may_be_larger_than_another_body() {
    let bench = Bench::new();
    for (id, piece) in [("A", LARGE), ("B", 100_000), ("C", 1_000), ("D", SMALL), ("E", SMALL + 1)] {
        let body = body_of(LARGE, id);
        assert_eq!(told(&send(&bench, batch(&body), &body, piece, None).await), ["RECEIVED"], "{piece}");
        let over = body_of(LARGE + 1, id);
        for claimed in [None, Some(0), Some(LARGE as u64 + 1), Some(u64::MAX)] {
            let reply = send(&bench, batch(&over), &over, piece, claimed).await;
            assert_eq!(reply.error(413, "BODY_TOO_LARGE"), ["the body must have at most 4194304 bytes"]);
            assert_eq!(reply.header("connection"), Some("close"));
        }
        // The cap of the others is what it was.
        for path in ["/api/v1/conversions", "/api/v1/order-status"] {
            let call = Call::post(path, body_of(SMALL + 1, id));
            assert_eq!(bench.send(call).await.error(413, "BODY_TOO_LARGE"), ["the body must have at most 65536 bytes"]);
        }
    }
    let small = Bench::with(|config| (config.body_bytes_max, config.batch_bytes_max) = (1_024, SMALL));
    assert_eq!(told(&small.send(batch(&body_of(SMALL, "A"))).await), ["RECEIVED"]);
    small.send(batch(&body_of(SMALL + 1, "B"))).await.error(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn large_bodies_at_once_are_few_and_one_merchant_has_not_all_of_them() {
    let bench = Bench::with(|config| {
        (config.batch_bodies_max, config.merchant_share_percent) = (3, 60);
        config.body_deadline = Duration::from_millis(400);
    });
    let large = |id: &str| batch(&body_of(SMALL + 1, id));
    let held = [stalled(&bench, SMALL + 1, ONE).await, stalled(&bench, SMALL + 1, ONE_TEST).await];
    let messages = bench.send(large("A")).await.error(503, "UNAVAILABLE");
    let busy = "too many large batches at once; nothing was recorded, and a retry, or a smaller batch, is safe";
    assert_eq!(messages, [busy]);
    assert_eq!(told(&bench.send(large("A").by(TWO)).await), ["RECEIVED"]);
    let other = stalled(&bench, SMALL + 1, TWO).await;
    bench.send(large("B").by(TWO)).await.error(503, "UNAVAILABLE");
    assert!(bench.metric("requests_shed_total{reason=\"batch_bodies\"} 2").await);
    // None of it touches what is small, nor the places in flight.
    assert_eq!(told(&bench.send(batch(&body_of(SMALL, "C"))).await), ["RECEIVED"]);
    bench.send(Call::conversion(order("D"))).await.accepted("RECEIVED");
    assert!(bench.metric("http_requests_in_flight 0").await);
    for task in held.into_iter().chain([other]) {
        task.await.unwrap().error(408, "REQUEST_TIMEOUT");
    }
    for id in ["E", "F", "G", "H"] {
        assert_eq!(told(&bench.send(large(id)).await), ["RECEIVED"], "a body that is done with gives its place back");
    }
}

#[tokio::test]
async fn strangers_have_no_place_for_a_large_body() {
    let bench = Bench::with(|config| config.batch_bodies_max = 1);
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(stalled(&bench, 1 << 20, STRANGER).await);
    }
    assert_eq!(told(&bench.send(batch(&body_of(LARGE, "A"))).await), ["RECEIVED"]);
    strangers.iter().for_each(JoinHandle::abort);
    // What they are told is what they are told of a small one.
    for bytes in [SMALL, SMALL + 1, LARGE] {
        let call = batch(&body_of(bytes, "A"));
        for call in [call.clone().by(STRANGER), call.clone().unsigned()] {
            let messages = bench.send(call).await.error(401, "INVALID_API_KEY");
            assert_eq!(messages, ["X-Api-Key is missing or names no key"]);
        }
        bench.send(call.header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
    }
    bench.send(batch(&body_of(LARGE + 1, "A")).by(STRANGER)).await.error(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_large_body_keeps_its_place_until_its_batch_is_answered() {
    let bench = Bench::with(|config| config.batch_bodies_max = 1);
    bench.log.set(LogMode::Holds);
    let first = tokio::spawn(bench.router.clone().oneshot(batch(&body_of(SMALL + 1, "A")).into_request()));
    until(|| bench.log.count() == 1).await;
    bench.send(batch(&body_of(SMALL + 1, "B"))).await.error(503, "UNAVAILABLE");
    bench.log.set(LogMode::Works);
    bench.log.release();
    assert_eq!(told(&Reply::of(first.await.unwrap().unwrap()).await), ["RECEIVED"]);
    assert_eq!(told(&bench.send(batch(&body_of(SMALL + 1, "B"))).await), ["RECEIVED"]);
}
