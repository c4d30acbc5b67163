//! `conversions send` against a server that answers as each test says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::{KEY, Recorded, Reply, SECRET, Server, command, conversions, run, text};

const RECEIVED: &str = r#"{"eventId":"cnvevt_1","status":"RECEIVED","duplicate":false}"#;
const REFUSED: &str = r#"{"statusCode":400,"error":"Bad Request","code":"VALIDATION_FAILED","message":["orderAmount must be a decimal string"],"requestId":"r"}"#;

fn received() -> Reply {
    Reply::Answer(202, "", RECEIVED.to_owned())
}

fn is_signed(request: &Recorded) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(format!("{}.", request.headers["x-timestamp"]).as_bytes());
    mac.update(&request.body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    request.headers["x-signature"] == expected
}

fn timestamp(request: &Recorded) -> u64 {
    request.headers["x-timestamp"].parse().expect("seconds")
}

#[test]
fn one_object_over_many_lines() {
    let server = Server::start(|_, _| received());
    let object = "{\n  \"externalOrderId\": \"A1\",\n  \"metadata\": {\n    \"ü\": [1, 2]\n  }\n}";
    let output = conversions(&["send", "--to", &server.url(), "--key", KEY, "-"], &format!("\n{object}\n"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{RECEIVED}\n"));
    let summary = text(&output.stderr);
    assert!(summary.contains("RECEIVED 1  DUPLICATE 0  refused 0  failed 0"), "{summary}");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "POST /api/v1/conversions");
    assert_eq!(text(&requests[0].body), object);
    assert_eq!(requests[0].headers["x-api-key"], KEY);
    assert_eq!(requests[0].headers["content-type"], "application/json");
    assert!(is_signed(&requests[0]));
}

#[test]
fn a_status_from_a_file() {
    let server = Server::start(|_, _| Reply::Answer(202, "", r#"{"status":"ACCEPTED"}"#.to_owned()));
    let directory = tempfile::tempdir().expect("a directory");
    let (file, secret) = (directory.path().join("status.json"), directory.path().join("secret"));
    std::fs::write(&file, r#"{"externalOrderId":"A1","status":"delivered"}"#).expect("written");
    std::fs::write(&secret, format!("{SECRET}\n")).expect("written");
    let (file, secret) = (file.to_str().expect("UTF-8"), secret.to_str().expect("UTF-8"));
    let url = server.url();
    let args = ["send", "--status", "--to", &url, "--key", KEY, "--secret-file", secret, file];
    let output = run(&mut command(&args), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.requests()[0].line, "POST /api/v1/order-status");
    assert!(is_signed(&server.requests()[0]));
}

#[test]
fn retried_as_asked_with_the_same_key_and_a_fresh_signature() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Answer(503, "retry-after: 1\r\n", r#"{"code":"UNAVAILABLE","message":"log"}"#.to_owned()),
        1 => Reply::Answer(429, "retry-after: 1\r\n", r#"{"code":"RATE_LIMITED","message":"slow"}"#.to_owned()),
        2 => Reply::Answer(500, "", "oops".to_owned()),
        _ => received(),
    });
    let begun = Instant::now();
    let output = conversions(&["send", "--to", &server.url(), "--key", KEY, "-"], "{\"externalOrderId\":\"A1\"}");
    assert!(output.status.success(), "{output:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "it waits for as long as it was asked to");
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(is_signed));
    let same: BTreeSet<_> = requests.iter().map(|r| (&r.headers["x-idempotency-key"], &r.body)).collect();
    assert_eq!(same.len(), 1, "one idempotency key and one body");
    assert!(timestamp(&requests[0]) < timestamp(&requests[1]) && timestamp(&requests[1]) < timestamp(&requests[2]));
    assert_ne!(requests[0].headers["x-signature"], requests[1].headers["x-signature"]);
    assert!(text(&output.stderr).contains("retries 3"), "{output:?}");
}

#[test]
fn a_fault_of_the_request_is_not_retried() {
    for status in [400, 401, 404, 409, 413, 415, 422] {
        let server = Server::start(move |_, _| Reply::Answer(status, "retry-after: 0\r\n", REFUSED.to_owned()));
        let output = conversions(&["send", "--to", &server.url(), "--key", KEY, "-"], "{}");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(server.requests().len(), 1, "{status}");
        assert_eq!(text(&output.stdout), format!("{REFUSED}\n"));
        let summary = text(&output.stderr);
        assert!(summary.contains("line 1: VALIDATION_FAILED: orderAmount must be a decimal string"), "{summary}");
    }
}

#[test]
fn no_answer_in_time_is_retried() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Hang(Duration::from_secs(5)),
        1 => Reply::Hang(Duration::ZERO),
        _ => received(),
    });
    let begun = Instant::now();
    let output = conversions(&["send", "--timeout", "300ms", "--to", &server.url(), "--key", KEY, "-"], "{}");
    assert!(output.status.success(), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "the deadline is of each attempt");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].headers["x-idempotency-key"], requests[2].headers["x-idempotency-key"]);
}

#[test]
fn retries_are_bounded() {
    let server = Server::start(|_, _| Reply::Answer(503, "", r#"{"code":"UNAVAILABLE","message":"log"}"#.to_owned()));
    let output = conversions(&["send", "--retries", "2", "--to", &server.url(), "--key", KEY, "-"], "{}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(server.requests().len(), 3);
    assert!(text(&output.stderr).contains("failed: line 1: UNAVAILABLE: log"), "{output:?}");
    let output = conversions(&["send", "--retries", "1", "--to", "http://127.0.0.1:1", "--key", KEY, "-"], "{}");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot connect to http://127.0.0.1:1"), "{output:?}");
    let server = Server::start(|_, _| Reply::Answer(503, "retry-after: 3600\r\n", String::new()));
    let output = conversions(&["send", "--to", &server.url(), "--key", KEY, "-"], "{}");
    assert_eq!((output.status.code(), server.requests().len()), (Some(1), 1), "nobody waits for an hour");
}

#[test]
fn bad_lines_do_not_stop_the_others() {
    let server = Server::start(|request, _| match text(&request.body).as_str() {
        r#"{"externalOrderId":"A3"}"# => Reply::Answer(400, "", REFUSED.to_owned()),
        r#"{"externalOrderId":"A4"}"# => Reply::Answer(202, "", r#"{"status":"DUPLICATE"}"#.to_owned()),
        _ => received(),
    });
    let directory = tempfile::tempdir().expect("a directory");
    let results = directory.path().join("results.ndjson");
    let lines = "{\"externalOrderId\":\"A1\"}\nno JSON\n{\"externalOrderId\":\"A3\"}\r\n\n{\"externalOrderId\":\"A4\"}\n\
                 {\"externalOrderId\":\"A6\"\n{\"externalOrderId\":\"A7\"}\n[]\n{\"externalOrderId\":\"A9\"}";
    let url = server.url();
    let args = ["send", "--to", &url, "--key", KEY, "--output", results.to_str().expect("UTF-8"), "-"];
    let output = conversions(&args, lines);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    let summary = text(&output.stderr);
    assert!(summary.contains("RECEIVED 3  DUPLICATE 1  refused 4  failed 0"), "{summary}");
    assert!(summary.contains("line 2: NOT_SENT: is no JSON"), "{summary}");
    assert!(summary.contains("line 3 (\"A3\"): VALIDATION_FAILED: orderAmount"), "{summary}");
    assert!(summary.contains("line 6: NOT_SENT: is no JSON"), "{summary}");
    assert!(summary.contains("line 8: NOT_SENT: is a JSON array"), "{summary}");
    let sent: BTreeSet<String> = server.requests().iter().map(|request| text(&request.body)).collect();
    assert_eq!(sent, ["A1", "A3", "A4", "A7", "A9"].map(|id| format!("{{\"externalOrderId\":\"{id}\"}}")).into());

    let rows = std::fs::read_to_string(&results).expect("written");
    let mut rows: Vec<serde_json::Value> = rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    rows.sort_by_key(|row| row["line"].as_u64());
    let numbers: Vec<_> = rows.iter().map(|row| row["line"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 5, 6, 7, 8, 9].map(Some));
    assert_eq!(rows[0]["externalOrderId"], "A1");
    assert_eq!((rows[0]["status"].as_u64(), rows[0]["response"]["status"].as_str()), (Some(202), Some("RECEIVED")));
    assert!(rows[1]["status"].is_null() && rows[1]["response"].is_null());
    assert_eq!(
        (rows[2]["status"].as_u64(), rows[2]["response"]["code"].as_str()),
        (Some(400), Some("VALIDATION_FAILED"))
    );
}

#[test]
fn connections_are_kept_and_bounded() {
    let server = Server::start(|_, _| received());
    let lines: String = (0..500).map(|n| format!("{{\"externalOrderId\":\"A{n}\"}}\n")).collect();
    let output = conversions(&["send", "--connections", "4", "--to", &server.url(), "--key", KEY, "-"], &lines);
    assert!(output.status.success(), "{output:?}");
    let requests = server.requests();
    let connections: BTreeSet<usize> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(requests.len(), 500);
    // A request that finds none idle opens one, which is then one of the four kept.
    assert!(connections.len() <= 8, "{} connections", connections.len());
    let keys: BTreeSet<&String> = requests.iter().map(|request| &request.headers["x-idempotency-key"]).collect();
    assert_eq!(keys.len(), 500);
}

#[test]
fn the_secret_shows_nowhere() {
    let server =
        Server::start(|_, _| Reply::Answer(401, "", r#"{"code":"INVALID_SIGNATURE","message":"no"}"#.to_owned()));
    let url = server.url();
    let mut traced = command(&["send", "--to", &url, "--key", KEY, "-"]);
    let output = run(traced.env("CONVERSIONS_SECRET", SECRET).env("RUST_LOG", "trace"), "{}\n{");
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(!all.contains(SECRET) && all.contains("does not belong to this --key"), "{all}");
    assert!(server.requests().iter().all(|request| !format!("{request:?}").contains(SECRET)));

    for args in [
        &["send", "--secret", SECRET, "--to", &url, "--key", KEY, "-"][..],
        &["send", &format!("--secret={SECRET}"), "--to", &url, "--key", KEY, "-"],
        &["send", "--to", &url, "--key", SECRET, "-"],
    ] {
        let output = conversions(args, "{}");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!format!("{} {}", text(&output.stdout), text(&output.stderr)).contains(SECRET), "{output:?}");
    }
}

#[test]
fn usage() {
    let none = run(&mut command(&["send", "--to", "http://127.0.0.1:1", "--key", KEY, "-"]), "{}");
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("set CONVERSIONS_SECRET"), "{none:?}");
    for args in [
        &["send", "--to", "127.0.0.1:1", "--key", KEY, "-"][..],
        &["send", "--to", "http://127.0.0.1:1", "--key", KEY, "--connections", "0", "-"],
        &["send", "--to", "http://127.0.0.1:1", "--key", KEY, "--connections", "1025", "-"],
        &["send", "--to", "http://127.0.0.1:1", "--key", KEY],
        &["send", "--log", "a=b=c", "--to", "http://127.0.0.1:1", "--key", KEY, "-"],
    ] {
        assert_eq!(conversions(args, "{}").status.code(), Some(2), "{args:?}");
    }
    let missing = conversions(&["send", "--to", "http://127.0.0.1:1", "--key", KEY, "/no/such/file"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("cannot read /no/such/file"), "{missing:?}");
    let empty = conversions(&["send", "--to", "http://127.0.0.1:1", "--key", KEY, "-"], "");
    assert!(empty.status.success() && text(&empty.stderr).contains("sent 0"), "{empty:?}");
}
