//! `GET /api/v1/conversions`.

use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{Confidence, ConfidenceReason, ConversionState};
use store::ConversionView;

use crate::reading::{AT, received};
use crate::support::{Bench, Call, NOW_S, ONE_TEST, Reply, StoreMode, TWO};

fn list(query: &str) -> Call {
    Call::get(&format!("/api/v1/conversions{query}"))
}

/// A conversion that was received so many seconds after the bench's time.
fn after(order: &str, seconds: i64) -> ConversionView {
    let mut view = received(order);
    view.conversion.received_at = Timestamp((NOW_S + seconds) * 1_000);
    view
}

fn of(merchant_id: &str, livemode: bool, mut view: ConversionView) -> ConversionView {
    let key = OrderKey { merchant_id, livemode, external_order_id: &view.conversion.external_order_id };
    view.conversion.conversion_id = key.conversion_id();
    view.conversion.merchant_id = merchant_id.to_owned();
    view.conversion.livemode = livemode;
    view
}

#[track_caller]
fn orders(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let json = reply.json();
    let data = json["data"].as_array().unwrap();
    data.iter().map(|item| item["externalOrderId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn items_are_as_by_id_without_their_timeline() {
    let bench = Bench::new();
    assert_eq!(bench.send(list("")).await.text, r#"{"data":[],"nextCursor":null}"#);
    let mut view = received("A");
    view.conversion.confidence = Some(Confidence::Low);
    view.conversion.confidence_reason = Some(ConfidenceReason::ClickNotYours);
    view.conversion.affiliate_id = Some("aff_theirs".to_owned());
    view.conversion.metadata = Some(r#"{ "b": 1.50 }"#.to_owned());
    bench.read_model.insert(view);
    let reply = bench.send(list("")).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
    let alone = bench.send(Call::get("/api/v1/conversions/A")).await.text;
    let (item, _timeline) = alone.split_once(r#","timeline":"#).unwrap();
    assert_eq!(reply.text, format!(r#"{{"data":[{item}}}],"nextCursor":null}}"#));
    assert!(item.contains(r#""confidenceReason":"click_unknown""#) && item.contains(r#""affiliateId":null"#), "{item}");
    assert!(item.contains(r#""metadata":{ "b": 1.50 }"#), "{item}");
}

#[tokio::test]
async fn each_parameter_does_what_it_says() {
    let bench = Bench::new();
    for (order, seconds, state, confidence) in [
        ("A", 0, ConversionState::Received, None),
        ("B", 10, ConversionState::Hold, Some(Confidence::High)),
        ("C", 20, ConversionState::Hold, Some(Confidence::Low)),
        ("D", 30, ConversionState::Reversed, Some(Confidence::High)),
    ] {
        let mut view = after(order, seconds);
        (view.conversion.state, view.conversion.confidence) = (state, confidence);
        bench.read_model.insert(view);
    }
    for (query, expected) in [
        ("", "DCBA"),
        ("?", "DCBA"),
        ("?&&", "DCBA"),
        ("?status=hold", "CB"),
        ("?status=reversed", "D"),
        ("?status=received", "A"),
        ("?status=paid", ""),
        ("?confidence=HIGH", "DB"),
        ("?confidence=LOW", "C"),
        ("?status=hold&confidence=HIGH", "B"),
        ("?from=2026-06-14T09:30:10Z", "DCB"),
        ("?from=2026-06-14T09:30:10.001Z", "DC"),
        ("?to=2026-06-14T09:30:20Z", "BA"),
        ("?to=2026-06-14T09:30:20.001Z", "CBA"),
        ("?from=2026-06-14T09:30:10Z&to=2026-06-14T09:30:20Z", "B"),
        ("?from=2026-06-14T09:30:10Z&to=2026-06-14T09:30:10Z", ""),
        // Percent-encoded or not: a plus sign is one.
        ("?from=2026-06-14T15%3A15%3A10%2B05%3A45", "DCB"),
        ("?from=2026-06-14T15:15:10+05:45", "DCB"),
        ("?%73tatus=%68old", "CB"),
        ("?limit=1", "D"),
        ("?limit=100", "DCBA"),
        ("?limit=2&confidence=HIGH", "DB"),
    ] {
        assert_eq!(orders(&bench.send(list(query)).await).concat(), expected, "{query}");
    }
    for state in ["attributed", "commission_created", "payable", "rejected"] {
        assert!(orders(&bench.send(list(&format!("?status={state}"))).await).is_empty(), "{state}");
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let bench = Bench::new();
    for number in 0..205 {
        // Two at each instant.
        bench.read_model.insert(after(&format!("A-{number}"), number / 2));
    }
    let (mut seen, mut query, mut sizes) = (Vec::new(), "?limit=100".to_owned(), Vec::new());
    loop {
        let reply = bench.send(list(&query)).await;
        let page = orders(&reply);
        sizes.push(page.len());
        seen.extend(page);
        let json = reply.json();
        let Some(next) = json["nextCursor"].as_str() else { break };
        query = format!("?limit=100&cursor={next}");
        bench.read_model.insert(after(&format!("new-{}", sizes.len()), 1_000));
    }
    assert_eq!(sizes, [100, 100, 5]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 205, "none twice");
    assert_eq!(orders(&bench.send(list("")).await).len(), 20, "as many as the default says");
    let filtered = bench.send(list("?limit=100&to=2026-06-14T09:30:50Z")).await;
    assert_eq!((orders(&filtered).len(), filtered.json()["nextCursor"].is_null()), (100, true));
}

#[tokio::test]
async fn nobody_sees_anothers() {
    let bench = Bench::new();
    for order in ["A", "B"] {
        bench.read_model.insert(of("mer_one", true, after(order, 0)));
        bench.read_model.insert(of("mer_one", false, after(&format!("{order}-test"), 0)));
        bench.read_model.insert(of("mer_two", true, after(&format!("{order}-two"), -1)));
    }
    let first = bench.send(list("?limit=1")).await.json();
    let next = first["nextCursor"].as_str().unwrap();
    assert_eq!(orders(&bench.send(list(&format!("?cursor={next}"))).await).len(), 1);
    // A cursor is a place, and whose list it is in is decided by who asks.
    let theirs = bench.send(list(&format!("?cursor={next}")).by(TWO)).await;
    let mut theirs = orders(&theirs);
    theirs.sort();
    assert_eq!(theirs, ["A-two", "B-two"]);
    let reply = bench.send(list("").by(ONE_TEST)).await;
    assert!(orders(&reply).iter().all(|order| order.ends_with("-test")), "{}", reply.text);
    assert_eq!(reply.json()["data"][0]["livemode"], false);
    assert_eq!(orders(&reply).len(), 2);
}

#[tokio::test]
async fn every_fault_is_named_with_its_remedy() {
    let bench = Bench::new();
    let states = "received, attributed, commission_created, hold, payable, paid, rejected, reversed";
    let instant =
        "must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or 2026-06-14T15:15:00+05:45";
    let cursor = "cursor must be the nextCursor of a page, as it came: leave it out to begin with the newest";
    let long = "9".repeat(200);
    for (query, expected) in [
        ("?status=", format!(r#"status must be one of {states}; got """#)),
        ("?status", format!(r#"status must be one of {states}; got """#)),
        ("?status=Hold", format!(r#"status must be one of {states}; got "Hold""#)),
        ("?status=hold,paid", format!(r#"status must be one of {states}; got "hold,paid""#)),
        ("?status=%FF", r#"status must be percent-encoded UTF-8; got "%FF""#.to_owned()),
        ("?confidence=high", r#"confidence must be one of HIGH, LOW; got "high""#.to_owned()),
        ("?confidence=null", r#"confidence must be one of HIGH, LOW; got "null""#.to_owned()),
        ("?from=2026-06-14", format!(r#"from {instant}; got "2026-06-14""#)),
        ("?from=2026-06-14T09:30:00", format!(r#"from {instant}; got "2026-06-14T09:30:00""#)),
        ("?to=1781429400", format!(r#"to {instant}; got "1781429400""#)),
        ("?to=1969-12-31T23:59:59Z", format!(r#"to {instant}; got "1969-12-31T23:59:59Z""#)),
        (
            "?from=2026-06-14T09:30:00Z&to=2026-06-14T09:29:59.999Z",
            r#"to must not be before from, which is 2026-06-14T09:30:00Z; got "2026-06-14T09:29:59.999Z""#.to_owned(),
        ),
        ("?limit=0", r#"limit must be a whole number from 1 to 100; got "0""#.to_owned()),
        ("?limit=101", r#"limit must be a whole number from 1 to 100; got "101""#.to_owned()),
        ("?limit=-1", r#"limit must be a whole number from 1 to 100; got "-1""#.to_owned()),
        ("?limit=+1", r#"limit must be a whole number from 1 to 100; got "+1""#.to_owned()),
        ("?limit=1.0", r#"limit must be a whole number from 1 to 100; got "1.0""#.to_owned()),
        ("?limit=", r#"limit must be a whole number from 1 to 100; got """#.to_owned()),
        (&format!("?limit={long}"), format!(r#"limit must be a whole number from 1 to 100; got "{}…"#, "9".repeat(39))),
        ("?cursor=", format!(r#"{cursor}; got """#)),
        ("?cursor=abc", format!(r#"{cursor}; got "abc""#)),
        ("?cursor=%00%0A", format!(r#"{cursor}; got "\u0000\n""#)),
        ("?limit=5&limit=5", "limit is given more than once: give it once".to_owned()),
        ("?limit=5&%6cimit=6&limit=7", "limit is given more than once: give it once".to_owned()),
        ("?state=hold", r#""state" is not a parameter of this request: did you mean status?"#.to_owned()),
        ("?Limit=5", r#""Limit" is not a parameter of this request: did you mean limit?"#.to_owned()),
        ("?page=2", r#""page" is not a parameter of this request: remove it"#.to_owned()),
        ("?page=2&page=3", r#""page" is not a parameter of this request: remove it"#.to_owned()),
        ("?%FF=2", r#""�" is not a parameter of this request: remove it"#.to_owned()),
        ("?=2", r#""" is not a parameter of this request: remove it"#.to_owned()),
    ] {
        let messages = bench.send(list(query)).await.error(400, "VALIDATION_FAILED");
        // A value that cannot be decoded is none of the words either.
        assert_eq!(messages[0], expected, "{query}");
        assert!(messages.len() == 1 || query.contains("%FF"), "{query}: {messages:?}");
    }
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let bench = Bench::new();
    let reply = bench.send(list("?status=x&confidence=x&from=x&to=x&limit=x&cursor=x&page=x&limit=x")).await;
    let named: Vec<String> = reply.error(400, "VALIDATION_FAILED");
    let named: Vec<&str> = named.iter().map(|message| message.split(' ').next().unwrap()).collect();
    assert_eq!(named, ["limit", "\"page\"", "status", "confidence", "from", "to", "limit", "cursor"]);
    let many: String = (0..70).map(|number| format!("&unknown{number:02}=1")).collect();
    let messages = bench.send(list(&format!("?{many}"))).await.error(400, "VALIDATION_FAILED");
    assert_eq!(messages.len(), 65);
    assert_eq!(messages[64], "6 more parameters are not parameters of this request: remove them");
}

#[tokio::test]
async fn a_cursor_that_was_changed_is_refused() {
    let bench = Bench::new();
    for order in ["A", "B"] {
        bench.read_model.insert(after(order, 0));
    }
    let next = bench.send(list("?limit=1")).await.json()["nextCursor"].as_str().unwrap().to_owned();
    let last = if next.ends_with('0') { "1" } else { "0" };
    let changed = [
        next[1..].to_owned(),
        next[..next.len() - 1].to_owned(),
        format!("{}{last}", &next[..next.len() - 1]),
        format!("{next}00"),
        next.to_uppercase(),
        format!("ff{}", &next[2..]),
        format!("\"{next}\"").replace('"', "%22"),
    ];
    for cursor in changed {
        let messages = bench.send(list(&format!("?cursor={cursor}"))).await.error(400, "VALIDATION_FAILED");
        assert!(messages[0].starts_with("cursor must be the nextCursor of a page, as it came: leave"), "{messages:?}");
    }
    assert_eq!(orders(&bench.send(list(&format!("?cursor={next}"))).await).len(), 1);
    // With other filters it is the same place.
    assert_eq!(orders(&bench.send(list(&format!("?status=hold&cursor={next}"))).await).len(), 0);
}

#[tokio::test]
async fn who_asks_comes_before_what() {
    let bench = Bench::new();
    bench.read_model.insert(received("A"));
    bench.send(list("?limit=0").unsigned()).await.error(401, "INVALID_API_KEY");
    bench.send(list("?limit=0").header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
    // The signature is over the timestamp and the body, of which there is none: not over the query.
    let signature = crate::support::ONE.sign(&(AT.0 / 1_000).to_string(), b"");
    assert_eq!(orders(&bench.send(list("?limit=1").header("x-signature", signature)).await), ["A"]);
    assert!(bench.metric("http_requests_total{route=\"GET /api/v1/conversions\",status=\"200\",code=\"\"} 1").await);
}

#[tokio::test]
async fn a_read_model_that_fails_is_unavailable() {
    for mode in [StoreMode::Fails, StoreMode::Stalls] {
        let bench = Bench::with(|config| config.store_deadline = Duration::from_millis(10));
        bench.read_model.set(mode);
        let reply = bench.send(list("?limit=1")).await;
        assert_eq!(reply.error(503, "UNAVAILABLE"), ["what was asked for cannot be read at the moment: try again"]);
        assert_eq!(reply.header("retry-after"), Some("1"));
        bench.send(list("?limit=0")).await.error(400, "VALIDATION_FAILED");
    }
}
