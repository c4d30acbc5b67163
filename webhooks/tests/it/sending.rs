//! What becomes of attempts.

use std::time::{Duration, Instant};

use schemas::Timestamp;
use schemas::records::{WebhookAttempt, WebhookResult};
use schemas::registry::{Registry, Secret};
use std::sync::Arc;
use webhooks::signature::sign;
use webhooks::{ClientOptions, SenderOptions};

use crate::receiver::Receiver;
use crate::world::{SECOND_SECRET, SECRET, World, registry};

const TIMEOUT: Duration = Duration::from_millis(500);

/// A registry with an endpoint for each path of a receiver, named like it.
fn paths(receiver: &Receiver, paths: &[&str]) -> Arc<Registry> {
    let urls: Vec<String> = paths.iter().map(|path| format!("http://{}/{path}", receiver.address)).collect();
    let endpoints: Vec<(&str, &str)> = paths.iter().copied().zip(urls.iter().map(String::as_str)).collect();
    registry(&endpoints)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_what_the_standard_says() {
    let receiver = Receiver::start().await;
    let mut world = World::local(paths(&receiver, &["ok"]), TIMEOUT);
    let attempt = world.send("ok");
    let outcome = world.outcome(&attempt).await;
    assert_eq!((outcome.result, outcome.http_status, outcome.reason), (WebhookResult::Delivered, Some(200), None));
    assert_eq!((outcome.sequence, outcome.attempt), (4, 1));
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert_eq!((&*request.path, &*request.body), ("/ok", &*attempt.body));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), attempt.webhook_id);
    let timestamp: i64 = request.header("webhook-timestamp").parse().expect("seconds");
    assert!((outcome.at.seconds() - timestamp).abs() <= 2, "{timestamp}");
    let secrets = [SECRET, SECOND_SECRET].map(|secret| Secret::new(secret.to_owned()));
    let expected = sign(&secrets, &attempt.webhook_id, timestamp, attempt.body.as_bytes());
    assert_eq!(request.header("webhook-signature"), expected);
    assert_eq!(expected.split(' ').count(), 2, "while secrets change there are two signatures");
    let told = format!("{:?} {}", world.sender, world.exposed());
    assert!(!told.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_answer_has_its_outcome() {
    use WebhookResult::{Delivered, Failed, Gone};
    let receiver = Receiver::start().await;
    let cases = [
        ("huge", Delivered, Some(200), None, None),
        ("unfinished", Delivered, Some(200), None, None),
        ("gone", Gone, Some(410), None, None),
        ("busy", Failed, Some(503), None, Some(7_000)),
        ("redirect", Failed, Some(307), None, None),
        ("hang", Failed, None, Some("timeout"), None),
        ("closed", Failed, None, Some("broken"), None),
        ("nonsense", Failed, None, Some("broken"), None),
    ];
    let mut world = World::local(paths(&receiver, &cases.map(|case| case.0)), TIMEOUT);
    let attempts: Vec<WebhookAttempt> = cases.iter().map(|(path, ..)| world.send(path)).collect();
    for (attempt, (path, result, status, reason, retry_after_ms)) in attempts.iter().zip(cases) {
        let outcome = world.outcome(attempt).await;
        let found = (outcome.result, outcome.http_status, outcome.reason.as_deref(), outcome.retry_after_ms);
        assert_eq!(found, (result, status, reason, retry_after_ms), "{path}");
        assert!(outcome.duration_ms < 5_000, "{path}: {} ms", outcome.duration_ms);
    }
    assert_eq!(receiver.arrived("/ok"), 0, "a redirect is not followed");
    world.counted("webhook_attempts_total{result=\"delivered\"} 2").await;
    world.counted("webhook_attempts_total{result=\"failed\"} 5").await;
    world.counted("webhook_attempts_total{result=\"gone\"} 1").await;
    world.counted("webhook_in_flight 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut world = World::local(registry(&[("a", &format!("http://127.0.0.1:{port}/"))]), TIMEOUT);
    let attempt = world.send("a");
    assert_eq!(world.outcome(&attempt).await.reason.as_deref(), Some("connect_failed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_an_address_that_is_not_the_internet_s() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let urls = [
        format!("https://127.0.0.1:{port}/ok"),
        format!("https://2130706433:{port}/ok"),
        format!("https://[::ffff:127.0.0.1]:{port}/ok"),
        // By its name: what it resolves to is looked at.
        format!("https://localhost:{port}/ok"),
    ];
    let ids = ["a", "b", "c", "d"];
    let endpoints: Vec<(&str, &str)> = ids.into_iter().zip(urls.iter().map(String::as_str)).collect();
    let insecure = format!("http://localhost:{port}/ok");
    let registry = registry(&[&endpoints[..], &[("e", &insecure)]].concat());
    let mut world = World::new(registry, ClientOptions::default(), SenderOptions::default());
    for id in ids {
        let attempt = world.send(id);
        let outcome = world.outcome(&attempt).await;
        assert_eq!(
            (outcome.result, outcome.reason.as_deref()),
            (WebhookResult::Failed, Some("address_not_allowed")),
            "{id}"
        );
    }
    let attempt = world.send("e");
    assert_eq!(world.outcome(&attempt).await.reason.as_deref(), Some("insecure_url"));
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_holds_no_other() {
    let receiver = Receiver::start().await;
    let options = SenderOptions { in_flight_max: 8, in_flight_per_endpoint_max: 3, waiting_max: 64 };
    let client = ClientOptions { timeout: Duration::from_secs(2), allow_private_addresses: true };
    let mut world = World::new(paths(&receiver, &["hang", "ok"]), client, options);
    let began = Instant::now();
    let hanging: Vec<WebhookAttempt> = (0..6).map(|_| world.send("hang")).collect();
    for _ in 0..10 {
        let attempt = world.send("ok");
        assert_eq!(world.outcome(&attempt).await.result, WebhookResult::Delivered);
    }
    world.counted("webhook_in_flight 3").await;
    world.counted("webhook_waiting 3").await;
    let hung_at_first = receiver.arrived("/hang");
    assert!(began.elapsed() < client.timeout, "none of them has ended yet: {:?}", began.elapsed());
    assert!(hung_at_first <= 3, "{hung_at_first}");
    for attempt in &hanging {
        assert_eq!(world.outcome(attempt).await.reason.as_deref(), Some("timeout"));
    }
    assert_eq!(receiver.arrived("/hang"), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_left_to_come_again() {
    let receiver = Receiver::start().await;
    let options = SenderOptions { in_flight_max: 8, in_flight_per_endpoint_max: 1, waiting_max: 8 };
    let client = ClientOptions { timeout: TIMEOUT, allow_private_addresses: true };
    let mut world = World::new(paths(&receiver, &["hang", "ok"]), client, options);
    world.send("hang");
    world.counted("webhook_in_flight 1").await;
    (0..5).for_each(|_| drop(world.send("hang")));
    // A quarter of those that wait may be one endpoint's.
    world.counted("webhook_attempts_left_total{reason=\"full\"} 3").await;
    let attempt = world.send("ok");
    assert_eq!(world.outcome(&attempt).await.result, WebhookResult::Delivered);
    world.counted("webhook_attempts_total{result=\"failed\"} 3").await;
    world.counted("webhook_waiting 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_hang_leave_room_for_one_that_does_not() {
    let receiver = Receiver::start().await;
    let options = SenderOptions { in_flight_max: 8, in_flight_per_endpoint_max: 1, waiting_max: 16 };
    let client = ClientOptions { timeout: Duration::from_secs(10), allow_private_addresses: true };
    let [hang, ok] = ["hang", "ok"].map(|path| format!("http://{}/{path}", receiver.address));
    let ids = ["a", "b", "c", "d"];
    let endpoints = [&ids.map(|id| (id, &*hang))[..], &[("ok", &*ok)]].concat();
    let mut world = World::new(registry(&endpoints), client, options);
    ids.iter().for_each(|id| drop(world.send(id)));
    world.counted("webhook_in_flight 4").await;
    (0..16).for_each(|index| drop(world.send(ids[index / 4])));
    world.counted("webhook_waiting 16").await;
    let attempt = world.send("ok");
    assert_eq!(world.outcome(&attempt).await.result, WebhookResult::Delivered);
    world.counted("webhook_attempts_left_total{reason=\"full\"} 1").await;
    world.counted("webhook_waiting 15").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_much_together_leave_room_for_a_small_one() {
    let receiver = Receiver::start().await;
    let options = SenderOptions { in_flight_max: 8, in_flight_per_endpoint_max: 1, waiting_max: 4_096 };
    let client = ClientOptions { timeout: Duration::from_secs(10), allow_private_addresses: true };
    let mut world = World::new(paths(&receiver, &["hang", "ok"]), client, options);
    world.send("hang");
    world.counted("webhook_in_flight 1").await;
    // 32 MiB of bodies may wait.
    for _ in 0..32 {
        let large = WebhookAttempt { body: "x".repeat(1 << 20), ..world.attempt("hang") };
        world.hand_over(&large);
    }
    world.counted("webhook_waiting 32").await;
    let attempt = world.send("ok");
    assert_eq!(world.outcome(&attempt).await.result, WebhookResult::Delivered);
    world.counted("webhook_attempts_left_total{reason=\"full\"} 1").await;
    world.counted("webhook_waiting 31").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_late_or_nobody_s_is_left() {
    let receiver = Receiver::start().await;
    let mut world = World::local(paths(&receiver, &["ok"]), TIMEOUT);
    let late = WebhookAttempt { send_before: Timestamp(0), ..world.attempt("ok") };
    world.hand_over(&late);
    world.counted("webhook_attempts_left_total{reason=\"late\"} 1").await;
    world.send("unknown");
    let other = WebhookAttempt { merchant_id: "n".to_owned(), ..world.attempt("ok") };
    world.hand_over(&other);
    let test = WebhookAttempt { livemode: false, ..world.attempt("ok") };
    world.hand_over(&test);
    world.counted("webhook_attempts_left_total{reason=\"no_endpoint\"} 3").await;
    world.sender.set_registry(registry(&[]));
    world.send("ok");
    world.counted("webhook_attempts_left_total{reason=\"no_endpoint\"} 4").await;
    assert_eq!((receiver.connections(), world.outcomes().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_what_is_under_way() {
    let receiver = Receiver::start().await;
    let options = SenderOptions { in_flight_per_endpoint_max: 1, ..SenderOptions::default() };
    let client = ClientOptions { timeout: Duration::from_secs(5), allow_private_addresses: true };
    let mut world = World::new(paths(&receiver, &["slow", "hang"]), client, options);
    let slow = world.send("slow");
    world.send("slow");
    world.counted("webhook_in_flight 1").await;
    let sender = world.sender.clone();
    let stopped = tokio::task::spawn_blocking(move || sender.stop(Duration::from_secs(4))).await.expect("it stops");
    assert!(stopped);
    let delivered: Vec<String> = world.outcomes().into_iter().map(|it| it.external_order_id).collect();
    assert_eq!(delivered, [slow.external_order_id], "what waited is left");
}
