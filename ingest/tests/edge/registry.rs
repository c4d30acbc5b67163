//! Another registry in the place of the present one, while requests come and are under way.

use std::time::Duration;

use schemas::records::ConversionReported;
use schemas::{Currency, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::server::{open, start, until};
use crate::support::{Bench, Call, LogMode, ONE, ONE_TEST, REGISTRY, Reply, Sender, TWO};

fn order(id: &str) -> Call {
    Call::conversion(format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#))
}

/// The bench's registry with the live key of [`ONE`] in another status.
fn with_status(status: &str) -> String {
    REGISTRY.replace(ONE.secret, &format!("{}\"\nstatus = \"{status}", ONE.secret))
}

/// The bench's registry without any key of merchant one.
fn without_merchant_one() -> String {
    let tables = REGISTRY.split("\n[[").map(|table| format!("\n[[{table}"));
    let text: String = tables.filter(|table| !(table.contains("[[keys") && table.contains("\"mer_one\""))).collect();
    text.replacen("\n[[", "", 1)
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.expect("a length").parse::<usize>().expect("a number") {
                    return text;
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.expect("it reads"), 0, "closed after {text}");
        }
    };
    timeout(Duration::from_secs(10), read).await.expect("an answer comes")
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_a_connection_that_it_was_let_in_on() {
    let served = start(|_| {}).await;
    let mut stream = open(&served, &order("A").into_wire()).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
    for (status, code) in [("revoked", "API_KEY_REVOKED"), ("disabled", "API_KEY_DISABLED")] {
        // Signed, and half sent: what counts is the registry when it is whole.
        let wire = order("B").into_wire();
        let (half, rest) = wire.split_at(wire.len() - 5);
        stream.write_all(half).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        served.bench.set_registry(&with_status(status));
        stream.write_all(rest).await.unwrap();
        let text = answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 401 ") && text.contains(code), "{text}");
    }
    served.bench.set_registry(REGISTRY);
    stream.write_all(&order("B").into_wire()).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 202 ") && text.contains("RECEIVED"), "{text}");
}

#[tokio::test]
async fn a_new_merchant_is_let_in_and_its_links_lead_somewhere() {
    let bench = Bench::new();
    let sender = Sender { key: "live_pk_three", secret: "sk_live_three_000000000000000000" };
    let click = || Call::get("/c/lnk_three").unsigned();
    bench.send(order("A").by(sender)).await.error(401, "INVALID_API_KEY");
    bench.send(click()).await.error(404, "NOT_FOUND");
    let added = r#"
        [[merchants]]
        id = "mer_three"
        name = "Three"
        currency = "KWD"
        [[keys]]
        id = "live_pk_three"
        merchant = "mer_three"
        secret = "sk_live_three_000000000000000000"
        [[campaigns]]
        id = "cmp_three"
        merchant = "mer_three"
        [[links]]
        id = "lnk_three"
        campaign = "cmp_three"
        affiliate = "aff_one"
        destination = "https://three.example/"
    "#;
    bench.set_registry(&format!("{REGISTRY}{added}"));
    bench.send(order("A").by(sender)).await.accepted("RECEIVED");
    let record: ConversionReported = bench.published();
    assert_eq!((record.merchant_id.as_str(), record.currency.code()), ("mer_three", "KWD"));
    let reply = bench.send(click()).await;
    assert!(reply.header("location").is_some_and(|location| location.starts_with("https://three.example/?")));
    bench.send(order("A")).await.accepted("RECEIVED");
    bench.set_registry(REGISTRY);
    bench.send(order("B").by(sender)).await.error(401, "INVALID_API_KEY");
    bench.send(click()).await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn what_was_let_in_ends_under_the_registry_that_let_it_in() {
    let bench = Bench::new();
    bench.log.set(LogMode::Holds);
    let before = tokio::spawn(bench.router.clone().oneshot(order("A").into_request()));
    until(|| bench.log.count() == 1).await;
    bench.set_registry(&without_merchant_one());
    bench.send(order("B")).await.error(401, "INVALID_API_KEY");
    assert!(bench.metric("http_requests_in_flight 1").await);
    bench.log.release();
    Reply::of(before.await.unwrap().unwrap()).await.accepted("RECEIVED");
    assert!(bench.metric("http_requests_in_flight 0").await);
    // And what comes after it, under the terms that hold then.
    bench.log.set(LogMode::Works);
    bench.set_registry(&REGISTRY.replacen("currency = \"NPR\"", "currency = \"USD\"", 1));
    bench.send(order("C")).await.accepted("RECEIVED");
    let currency = |index: usize| decode::<ConversionReported>(&bench.log.messages()[index].value).unwrap().currency;
    assert_eq!([currency(0), currency(1)], ["NPR", "USD"].map(|code| Currency::parse(code).unwrap()));
}

#[tokio::test]
async fn no_merchant_gains_places_by_a_change_of_the_registry() {
    let bench = Bench::with(|config| config.in_flight_max = 4);
    bench.log.set(LogMode::Holds);
    let send = |call: Call| tokio::spawn(bench.router.clone().oneshot(call.into_request()));
    let held = [send(order("1")), send(order("2")), send(order("3").by(ONE_TEST))];
    until(|| bench.log.count() == 3).await;
    bench.log.set(LogMode::Works);
    for text in [REGISTRY, &with_status("active"), &without_merchant_one(), &without_merchant_one(), REGISTRY] {
        bench.set_registry(text);
        bench.send(order("other").by(TWO)).await;
    }
    let messages = bench.send(order("4")).await.error(503, "UNAVAILABLE");
    assert_eq!(messages, ["too many requests of this merchant at once; nothing was recorded, and a retry is safe"]);
    bench.log.release();
    for reply in held {
        assert_eq!(reply.await.unwrap().unwrap().status(), 202);
    }
    // Nor does it lose any.
    bench.log.set(LogMode::Holds);
    let again = ["5", "6", "7"].map(|id| send(order(id)));
    until(|| bench.log.count() == 7).await;
    bench.send(order("8")).await.error(503, "UNAVAILABLE");
    bench.log.release();
    for reply in again {
        assert_eq!(reply.await.unwrap().unwrap().status(), 202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_meets_one_registry_as_a_whole() {
    let bench = Bench::new();
    let mut senders = JoinSet::new();
    for sender in [ONE, TWO] {
        let router = bench.router.clone();
        senders.spawn(async move {
            let mut refused = 0;
            for number in 0..300 {
                let call = order(&number.to_string()).by(sender);
                let reply = Reply::of(router.clone().oneshot(call.into_request()).await.unwrap()).await;
                match reply.status.as_u16() {
                    202 => {}
                    _ => {
                        reply.error(401, "API_KEY_REVOKED");
                        assert_eq!(sender.key, ONE.key);
                        refused += 1;
                    }
                }
            }
            refused
        });
    }
    let (revoked, mut refused) = (with_status("revoked"), 0);
    while !senders.is_empty() {
        bench.set_registry(&revoked);
        sleep(Duration::from_millis(1)).await;
        bench.set_registry(REGISTRY);
        sleep(Duration::from_millis(1)).await;
        while let Some(joined) = senders.try_join_next() {
            refused += joined.unwrap();
        }
    }
    assert!(refused > 0, "some met the one, and some the other");
    assert!(bench.metric("http_requests_in_flight 0").await);
}
