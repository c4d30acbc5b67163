//! `conversions watch` against a server that answers as each test says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{KEY, Reply, Server, conversions, text};

fn entry(seq: u64, state: &str) -> Value {
    json!({"seq": seq, "state": state, "at": format!("2026-06-14T09:30:0{seq}Z"), "cause": {"type": "reported"}})
}

fn view(state: &str, hold: Option<&str>, timeline: &[Value]) -> Reply {
    let commission =
        hold.map(|_| json!({"amount": "359.88", "currency": "NPR", "level": "product", "ruleId": "r", "rate": "12"}));
    let view = json!({"conversionId": "cnv_1", "state": state, "confidence": hold.map(|_| "HIGH"), "confidenceReason": null,
        "commission": commission, "holdUntil": hold, "timeline": timeline});
    Reply::Answer(200, "", view.to_string())
}

#[test]
fn the_timeline_as_it_happens() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Answer(404, "", r#"{"code":"NOT_FOUND","message":"no"}"#.to_owned()),
        1 | 2 => view("received", None, &[entry(1, "received")]),
        3 => Reply::Answer(503, "retry-after: 0\r\n", String::new()),
        4 => view(
            "hold",
            Some("2026-06-14T09:30:09Z"),
            &[entry(1, "received"), entry(2, "attributed"), entry(3, "hold")],
        ),
        _ => view(
            "payable",
            Some("2026-06-14T09:30:09Z"),
            &[entry(1, "received"), entry(2, "attributed"), entry(3, "hold"), entry(4, "payable")],
        ),
    });
    let output = conversions(&["watch", "--interval", "20ms", "--to", &server.url(), "--key", KEY, "SHOP/1 ü"], "");
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout);
    let words: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words,
        [
            &["1", "2026-06-14T09:30:01Z", "received", "reported"][..],
            &["2", "2026-06-14T09:30:02Z", "attributed", "reported"],
            &["3", "2026-06-14T09:30:03Z", "hold", "reported"],
            &["confidence", "HIGH"],
            &["commission", "359.88", "NPR", "(product", "rule", "12", "%)"],
            &["held", "until", "2026-06-14T09:30:09Z"],
            &["4", "2026-06-14T09:30:04Z", "payable", "reported"],
        ]
    );
    assert!(text(&output.stderr).contains("is not known yet"), "{output:?}");
    let requests = server.requests();
    assert_eq!(requests[0].line, "GET /api/v1/conversions/SHOP%2F1%20%C3%BC");
    assert!(requests.iter().all(|request| request.body.is_empty() && request.headers.contains_key("x-signature")));
    // On a busy machine a connection may not be idle again yet when the next request comes, which then opens another.
    let last = requests.iter().map(|request| request.connection).max();
    assert!(last.is_some_and(|last| last + 1 < requests.len()), "connections are kept: {last:?}");
}

#[test]
fn until_a_state() {
    let server = Server::start(|_, _| view("hold", None, &[entry(1, "received"), entry(2, "hold")]));
    let output = conversions(&["watch", "--until", "hold", "--to", &server.url(), "--key", KEY, "A1"], "");
    assert!(output.status.success(), "{output:?}");
    let server = Server::start(|_, _| view("reversed", None, &[entry(1, "received"), entry(2, "reversed")]));
    let output = conversions(&["watch", "--until", "paid", "--to", &server.url(), "--key", KEY, "A1"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("ended as reversed"), "{output:?}");
}

#[test]
fn an_order_that_never_comes() {
    let server = Server::start(|_, _| Reply::Answer(404, "", r#"{"code":"NOT_FOUND","message":"no"}"#.to_owned()));
    let begun = Instant::now();
    let url = server.url();
    let args = ["watch", "--wait", "300ms", "--interval", "50ms", "--to", &url, "--key", KEY, "A1"];
    let output = conversions(&args, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(text(&output.stderr).contains("knows no order \"A1\""), "{output:?}");
}

#[test]
fn a_refusal_ends_it() {
    let server =
        Server::start(|_, _| Reply::Answer(401, "", r#"{"code":"EXPIRED_TIMESTAMP","message":"old"}"#.to_owned()));
    let output = conversions(&["watch", "--to", &server.url(), "--key", KEY, "A1"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("set this machine's clock"), "{output:?}");
    assert_eq!(server.requests().len(), 1);
    let output = conversions(&["watch", "--to", &server.url(), "--key", KEY, ".."], "");
    assert_eq!(output.status.code(), Some(2));
}
