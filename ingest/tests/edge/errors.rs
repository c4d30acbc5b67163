//! The form of errors on every route, and what is refused before a body is understood.

use axum::http::Method;

use crate::support::{Bench, Call, LogMode, StoreMode};

const BODY: &str = r#"{"externalOrderId":"A","orderAmount":"1"}"#;

#[tokio::test]
async fn unknown_routes_and_methods() {
    let bench = Bench::new();
    for path in ["/", "/api", "/api/v1/conversion", "/api/v1/conversions/", "/api/v1/conversions/a/b", "/c/", "/c/none"]
    {
        bench.send(Call::get(path).unsigned()).await.error(404, "NOT_FOUND");
    }
    bench.send(Call::post("/nowhere", BODY)).await.error(404, "NOT_FOUND");
    for (method, path, allow) in [
        (Method::PATCH, "/api/v1/conversions", "POST,GET,HEAD"),
        (Method::DELETE, "/api/v1/conversions", "POST,GET,HEAD"),
        (Method::PUT, "/api/v1/order-status", "POST"),
        (Method::POST, "/api/v1/conversions/A", "GET,HEAD"),
        (Method::POST, "/c/lnk_one", "GET,HEAD"),
        (Method::POST, "/health/live", "GET,HEAD"),
        (Method::OPTIONS, "/metrics", "GET,HEAD"),
    ] {
        let reply = bench.send(Call::get(path).method(method.clone())).await;
        reply.error(405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let bench = Bench::new();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json", "\u{e9}"] {
        let call = Call::conversion(BODY).header("content-type", media_type);
        let messages = bench.send(call).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
        assert_eq!(messages, ["Content-Type must be application/json"]);
    }
    bench.send(Call::conversion(BODY).without("content-type")).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    for media_type in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x"]
    {
        let reply = bench.send(Call::conversion(BODY).header("content-type", media_type)).await;
        assert_eq!(reply.status, 202, "{media_type}");
    }
}

#[tokio::test]
async fn an_encoded_body_is_not_read() {
    let bench = Bench::new();
    for encoding in ["gzip", "br", "identity, gzip", "", "\u{e9}"] {
        for call in [Call::conversion(BODY), Call::status(BODY)] {
            let reply = bench.send(call.header("content-encoding", encoding)).await;
            let messages = reply.error(415, "UNSUPPORTED_MEDIA_TYPE");
            assert_eq!(messages, ["Content-Encoding must be absent or identity: send the JSON as it is"]);
        }
    }
    bench.send(Call::conversion(BODY).header("content-encoding", "Identity")).await.accepted("RECEIVED");
}

#[tokio::test]
async fn what_is_no_json_object() {
    let bench = Bench::new();
    for body in [
        &b""[..],
        b"[]",
        b"\"text\"",
        b"{",
        b"{\"externalOrderId\":\"A\",}",
        b"{'externalOrderId':'A'}",
        b"{\"externalOrderId\":\"A\"}{}",
        b"{\"externalOrderId\":\"\xff\"}",
        b"{\"externalOrderId\":\"\x01\"}",
    ] {
        for call in [Call::conversion(body), Call::status(body)] {
            bench.send(call).await.error(400, "MALFORMED_JSON");
        }
    }
    let twice = r#"{"externalOrderId":"A","orderAmount":"1","externalOrderId":"B"}"#;
    let messages = bench.send(Call::conversion(twice)).await.error(400, "MALFORMED_JSON");
    assert!(messages[0].starts_with("the field \"externalOrderId\" is given twice"), "{messages:?}");
    let deep = format!("{{\"metadata\":{}", "[".repeat(60_000));
    bench.send(Call::conversion(deep)).await.error(400, "MALFORMED_JSON");
    assert_eq!(bench.log.count(), 0);
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let bench = Bench::new();
    let longest = "r".repeat(128);
    for id in ["a", "trace/7f:00~!", &longest] {
        for path in ["/nowhere", "/health/live", "/api/v1/conversions", "/c/lnk_one", "/metrics"] {
            let reply = bench.send(Call::get(path).header("x-request-id", id)).await;
            assert_eq!(reply.header("x-request-id"), Some(id), "{path}");
        }
    }
    for id in ["", "a b", "é", &"r".repeat(129)] {
        let reply = bench.send(Call::get("/nowhere").header("x-request-id", id)).await;
        let made = reply.header("x-request-id").unwrap();
        assert_ne!(made, id);
        assert_eq!(made.len(), 32);
        reply.error(404, "NOT_FOUND");
    }
    let accepted = bench.send(Call::conversion(BODY).header("x-request-id", "mine")).await;
    accepted.accepted("RECEIVED");
    assert_eq!(accepted.header("x-request-id"), Some("mine"));
}

#[tokio::test]
async fn a_panic_is_an_error_like_any_other() {
    std::panic::set_hook(Box::new(|_| {}));
    let bench = Bench::new();
    bench.read_model.set(StoreMode::Panics);
    bench.send(Call::get("/api/v1/conversions/A")).await.error(500, "INTERNAL");
    bench.log.set(LogMode::Panics);
    let messages = bench.send(Call::conversion(BODY)).await.error(500, "INTERNAL");
    assert!(messages.iter().all(|message| !message.contains("panic")), "{messages:?}");
    bench.send(Call::get("/c/lnk_one").unsigned()).await.error(500, "INTERNAL");
    bench.log.set(LogMode::Works);
    bench.send(Call::conversion(BODY)).await.accepted("RECEIVED");
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_unavailable() {
    for (mode, message) in [
        (LogMode::Full, "the log takes no more at the moment; nothing was recorded, and a retry is safe"),
        (LogMode::Closed, "the log takes no more at the moment; nothing was recorded, and a retry is safe"),
        (LogMode::Fails, "the log did not confirm in time; it may have been recorded, and a retry is safe"),
        (LogMode::Holds, "the log did not confirm in time; it may have been recorded, and a retry is safe"),
    ] {
        let bench = Bench::with(|config| {
            config.ack_deadline = std::time::Duration::from_millis(20);
            config.retry_after = std::time::Duration::from_secs(7);
        });
        bench.log.set(mode);
        for call in [Call::conversion(BODY), Call::status(r#"{"externalOrderId":"A","status":"paid"}"#)] {
            let reply = bench.send(call.clone()).await;
            assert_eq!(reply.error(503, "UNAVAILABLE"), [message], "{mode:?}");
            assert_eq!(reply.header("retry-after"), Some("7"));
            // Nothing is consumed: the retry is the first, unless the log has the report after all.
            bench.log.set(LogMode::Works);
            bench.log.release();
            let (retried, known) = (bench.send(call).await, mode == LogMode::Holds);
            assert_eq!((retried.status.as_u16(), &retried.json()["duplicate"]), (202, &known.into()), "{mode:?}");
            bench.log.set(mode);
        }
    }
    let bench = Bench::new();
    bench.log.set(LogMode::TooLarge);
    bench.send(Call::conversion(BODY)).await.error(500, "INTERNAL");
}
