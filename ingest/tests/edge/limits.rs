//! Bodies in pieces, slow, oversized or broken off, and the bound on requests in flight.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;
use tower::ServiceExt;

use crate::support::{Bench, Call, LogMode, ONE_TEST, Reply, TWO};

/// A body that comes in pieces, of unknown or of any claimed length; it stalls after the last piece if told to.
pub(crate) struct Pieces {
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) claimed: Option<u64>,
    pub(crate) stalls: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.claimed.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn body_of(length: usize) -> String {
    let body = r#"{"externalOrderId":"A","orderAmount":"1"}"#;
    format!("{body}{}", " ".repeat(length - body.len()))
}

async fn send(bench: &Bench, body: &str, piece: usize, claimed: Option<u64>, stalls: bool) -> Reply {
    let pieces = body.as_bytes().chunks(piece).map(Bytes::copy_from_slice).collect();
    let request = Call::conversion(body).into_request_with(Body::new(Pieces { pieces, claimed, stalls }));
    Reply::of(bench.router.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_body_may_come_in_pieces() {
    for piece in [1, 7, 1_000, 65_536] {
        let bench = Bench::new();
        send(&bench, &body_of(65_536), piece, None, false).await.accepted("RECEIVED");
    }
}

#[tokio::test]
async fn no_body_is_over_the_cap_whatever_it_claims() {
    let bench = Bench::new();
    let over = body_of(65_537);
    // `None`: no length; `Some(0)`: a lie; the last: a length that need not even be read.
    for claimed in [None, Some(0), Some(65_537), Some(u64::MAX)] {
        for piece in [1_000, 65_537] {
            let reply = send(&bench, &over, piece, claimed, false).await;
            assert_eq!(reply.error(413, "BODY_TOO_LARGE"), ["the body must have at most 65536 bytes"]);
            assert_eq!(reply.header("connection"), Some("close"));
        }
    }
    let endless = body_of(65_536 * 17);
    send(&bench, &endless, 65_536, None, true).await.error(413, "BODY_TOO_LARGE");
    send(&bench, &body_of(65_536), 65_536, Some(65_536), false).await.accepted("RECEIVED");
    assert_eq!(bench.log.count(), 1);
    let small = Bench::with(|config| config.body_bytes_max = 1_024);
    send(&small, &body_of(1_025), 1_025, None, false).await.error(413, "BODY_TOO_LARGE");
    send(&small, &body_of(1_024), 1_024, None, false).await.accepted("RECEIVED");
}

#[tokio::test]
async fn a_slow_body_is_cut() {
    let bench = Bench::with(|config| config.body_deadline = Duration::from_millis(100));
    let reply = send(&bench, &body_of(100), 10, Some(200), true).await;
    assert_eq!(reply.error(408, "REQUEST_TIMEOUT"), ["the body must arrive within 100ms"]);
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told() {
    let bench = Bench::new();
    let broken = Body::new(
        http_body_util::Full::new(Bytes::from_static(b"{"))
            .map_err(|never| -> std::io::Error { match never {} })
            .with_trailers(async { Some(Err(std::io::Error::other("reset"))) }),
    );
    let request = Call::conversion("{").into_request_with(broken);
    let reply = Reply::of(bench.router.clone().oneshot(request).await.unwrap()).await;
    reply.error(400, "MALFORMED_JSON");
}

#[tokio::test]
async fn requests_beyond_the_bound_are_refused_at_once() {
    let bench = Bench::with(|config| config.in_flight_max = 2);
    bench.log.set(LogMode::Holds);
    let order = |id: &str| Call::conversion(format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#));
    let held: Vec<_> = ["A", "B"].map(|id| tokio::spawn(bench.router.clone().oneshot(order(id).into_request()))).into();
    while bench.log.count() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(bench.metric("http_requests_in_flight 2").await);
    let reply = bench.send(order("C")).await;
    assert_eq!(
        reply.error(503, "UNAVAILABLE"),
        ["too many requests at once; nothing was recorded, and a retry is safe"]
    );
    assert_eq!(reply.header("retry-after"), Some("1"));
    // What is no API request still goes.
    assert_eq!(bench.send(Call::get("/health/live").unsigned()).await.status, 200);
    assert_eq!(bench.send(Call::get("/c/lnk_one").unsigned()).await.status, 302);
    bench.send(Call::get("/nowhere")).await.error(404, "NOT_FOUND");
    // A sender who goes away keeps its place until its report is finished.
    held.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(Duration::from_millis(10)).await;
    bench.send(order("C")).await.error(503, "UNAVAILABLE");
    bench.log.set(LogMode::Works);
    bench.log.release();
    while !bench.metric("http_requests_in_flight 0").await {
        sleep(Duration::from_millis(1)).await;
    }
    bench.send(order("C")).await.accepted("RECEIVED");
}

#[tokio::test]
async fn strangers_with_slow_bodies_take_nobodys_place() {
    let bench = Bench::with(|config| config.in_flight_max = 1);
    let stalled = || Body::new(Pieces { pieces: VecDeque::new(), claimed: Some(100), stalls: true });
    let mut strangers = tokio::task::JoinSet::new();
    for path in ["/api/v1/conversions", "/api/v1/order-status"].repeat(8) {
        let call = Call::post(path, "").header("x-signature", "0".repeat(64));
        strangers.spawn(bench.router.clone().oneshot(call.into_request_with(stalled())));
    }
    strangers.spawn(bench.router.clone().oneshot(Call::get("/api/v1/conversions/A").into_request_with(stalled())));
    sleep(Duration::from_millis(20)).await;
    assert!(bench.metric("http_requests_in_flight 0").await);
    bench.send(Call::conversion(body_of(100))).await.accepted("RECEIVED");
    // Nor does one without a key learn how busy we are.
    bench.log.set(LogMode::Holds);
    let order = Call::conversion(r#"{"externalOrderId":"B","orderAmount":"1"}"#);
    let held = tokio::spawn(bench.router.clone().oneshot(order.into_request()));
    while bench.log.count() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    bench.send(Call::conversion("{}").unsigned()).await.error(401, "INVALID_API_KEY");
    bench.send(Call::conversion(body_of(100))).await.error(503, "UNAVAILABLE");
    assert!(bench.metric("requests_shed_total{reason=\"in_flight\"} 1").await);
    bench.log.release();
    assert_eq!(held.await.unwrap().unwrap().status(), 202);
}

#[tokio::test]
async fn one_merchant_does_not_keep_the_others_out() {
    let bench = Bench::with(|config| config.in_flight_max = 4);
    bench.log.set(LogMode::Holds);
    let order = |id: usize| Call::conversion(format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#));
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let held = [send(order(1)), send(order(2)), send(order(3).by(ONE_TEST))];
    while bench.log.count() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    bench.log.set(LogMode::Works);
    let messages = bench.send(order(4)).await.error(503, "UNAVAILABLE");
    assert_eq!(messages, ["too many requests of this merchant at once; nothing was recorded, and a retry is safe"]);
    bench.send(order(4).by(TWO)).await.accepted("RECEIVED");
    assert!(bench.metric("requests_shed_total{reason=\"merchant_share\"} 1").await);
    bench.log.release();
    for reply in held {
        assert_eq!(reply.await.unwrap().unwrap().status(), 202);
    }
    bench.send(order(4)).await.accepted("RECEIVED");
}
