//! `POST /internal/v1/clicks`.

use std::time::Duration;

use axum::http::Method;
use schemas::records::ClickRecorded;
use schemas::topics::CLICKS;
use schemas::{Timestamp, decode};
use serde_json::{Value, json};

use crate::support::{Bench, Call, Lines, LogMode, NOW_S, REGISTRY, SERVICE_TOKEN};

const PATH: &str = "/internal/v1/clicks";
const CLICKED_AT: &str = "2026-06-14T09:29:59.5Z";

fn click() -> Value {
    json!({"clickId": "clk_elsewhere", "linkId": "lnk_one", "clickedAt": CLICKED_AT})
}

fn call(body: &Value) -> Call {
    raw(&body.to_string())
}

fn raw(body: &str) -> Call {
    Call::post(PATH, body).unsigned().header("authorization", format!("Bearer {SERVICE_TOKEN}"))
}

/// [`click`] with these fields besides or instead; a null takes one away.
fn with(fields: Value) -> Value {
    let mut click = click();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(click.as_object_mut().unwrap().remove(name)),
            value => click[name] = value.clone(),
        }
    }
    click
}

#[tokio::test]
async fn a_click_is_kept_and_kept_the_same_when_it_is_told_again() {
    let bench = Bench::new();
    for _ in 0..2 {
        let reply = bench.send(call(&click())).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert_eq!(reply.json(), json!({"clickId": "clk_elsewhere", "status": "RECORDED"}));
        // Whatever the time is: the state machine takes a record that is the same for the same click.
        bench.clock.set((NOW_S + 60) * 1_000);
    }
    let messages = bench.log.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert_eq!((message.topic.id, &*message.key), (CLICKS.number, &b"clk_elsewhere"[..]));
        assert_eq!(
            decode::<ClickRecorded>(&message.value).unwrap(),
            ClickRecorded {
                click_id: "clk_elsewhere".to_owned(),
                merchant_id: "mer_one".to_owned(),
                campaign_id: "cmp_one".to_owned(),
                affiliate_id: "aff_one".to_owned(),
                link_id: Some("lnk_one".to_owned()),
                clicked_at: Timestamp(NOW_S * 1_000 - 500),
            }
        );
    }
    assert!(bench.metric("clicks_recorded_total 2").await);
}

#[tokio::test]
async fn a_click_without_a_link_says_campaign_and_affiliate() {
    let bench = Bench::new();
    let named = with(json!({"linkId": null, "campaignId": "cmp_one", "affiliateId": "aff_one"}));
    assert_eq!(bench.send(call(&named)).await.status, 202);
    let record: ClickRecorded = decode(&bench.log.messages()[0].value).unwrap();
    assert_eq!((&*record.merchant_id, record.link_id), ("mer_one", None));
}

#[tokio::test]
async fn every_fault_is_told() {
    const AT: &str = "clickedAt is required: ISO 8601 with offset, such as \"2026-06-14T09:30:00Z\"";
    let long = "x".repeat(129);
    let bench = Bench::new();
    for (body, expected) in [
        (
            json!({}),
            &[
                "clickId is required: a string of 1 to 128 characters",
                "campaignId is required without linkId: the id of one in the registry",
                "affiliateId is required without linkId: the id of one in the registry",
                AT,
            ][..],
        ),
        (with(json!({"clickId": ""})), &["clickId is required: a string of 1 to 128 characters"]),
        (with(json!({"clickId": "a b"})), &["clickId must have visible ASCII characters only; got \"a b\""]),
        (with(json!({"clickId": "é"})), &["clickId must have visible ASCII characters only; got \"é\""]),
        (with(json!({"clickId": 7})), &["clickId must be a JSON string; got 7"]),
        (with(json!({"clickId": long})), &["clickId must have at most 128 characters, not 129"]),
        (with(json!({"linkId": "lnk_two"})), &["linkId must be the id of a link in the registry; got \"lnk_two\""]),
        (
            with(json!({"campaignId": "cmp_one"})),
            &["campaignId must be left out with linkId, which decides it; got \"cmp_one\""],
        ),
        (
            with(json!({"linkId": null, "campaignId": "cmp_two", "affiliateId": 1})),
            &[
                "campaignId must be the id of a campaign in the registry; got \"cmp_two\"",
                "affiliateId must be a JSON string; got 1",
            ],
        ),
        (with(json!({"clickedAt": null})), &[AT]),
        (with(json!({"clickedAt": "2026-06-14T09:35:00.001Z"})), &["clickedAt must not be more than 300 s after now"]),
        (with(json!({"clickedAt": "yesterday"})), &["clickedAt must be "]),
        (with(json!({"clickid": "x"})), &["\"clickid\" is not a field of this request: did you mean clickId?"]),
    ] {
        let messages = bench.send(call(&body)).await.error(400, "VALIDATION_FAILED");
        assert_eq!(messages.len(), expected.len(), "{messages:?}");
        for (message, expected) in messages.iter().zip(expected) {
            assert!(message.starts_with(expected), "{message}\nshould begin with\n{expected}");
        }
    }
    for fits in [json!({"clickId": "x".repeat(128)}), json!({"clickedAt": "2026-06-14T09:35:00Z"})] {
        assert_eq!(bench.send(call(&with(fits))).await.status, 202);
    }
    bench.send(raw("[]")).await.error(400, "MALFORMED_JSON");
    bench.send(call(&click()).without("content-type")).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    bench.send(raw(&format!("{{\"clickId\":\"{}\"}}", "x".repeat(1 << 16)))).await.error(413, "BODY_TOO_LARGE");
    assert_eq!(bench.log.count(), 2);
}

#[tokio::test]
async fn only_the_service_is_let_in() {
    let lines = Lines::of_all_tests();
    let bench = Bench::new();
    for call in [
        call(&click()).without("authorization"),
        call(&click()).header("authorization", SERVICE_TOKEN),
        call(&click()).header("authorization", format!("Bearer {SERVICE_TOKEN}x")),
        // A merchant's key is no service's token, and nothing is looked at before the token.
        Call::post(PATH, click().to_string()),
        raw("nonsense").header("authorization", "Bearer nonsense"),
    ] {
        let messages = bench.send(call).await.error(401, "INVALID_SERVICE_TOKEN");
        assert_eq!(messages, ["Authorization is missing or wrong: send Bearer and the service token"]);
    }
    assert!(bench.metric("auth_failures_total{code=\"INVALID_SERVICE_TOKEN\"} 5").await);
    bench.send(call(&click()).method(Method::GET)).await.error(405, "METHOD_NOT_ALLOWED");
    let off = Bench::without_service_token();
    for call in [call(&click()), call(&click()).method(Method::GET), Call::post(PATH, click().to_string())] {
        off.send(call).await.error(404, "NOT_FOUND");
    }
    assert_eq!((bench.log.count(), off.log.count()), (0, 0));
    // The token opens nothing else.
    let conversion = Call::conversion(r#"{"externalOrderId":"A","orderAmount":"1"}"#).unsigned();
    let conversion = conversion.header("authorization", format!("Bearer {SERVICE_TOKEN}"));
    bench.send(conversion).await.error(401, "INVALID_API_KEY");
    assert!(!lines.text().contains(SERVICE_TOKEN) && !format!("{:?}", bench.edge).contains(SERVICE_TOKEN));
}

#[tokio::test]
async fn what_is_not_known_to_be_durable_is_not_answered_202() {
    for (mode, status, code) in [
        (LogMode::Full, 503, "UNAVAILABLE"),
        (LogMode::Closed, 503, "UNAVAILABLE"),
        (LogMode::Fails, 503, "UNAVAILABLE"),
        (LogMode::Holds, 503, "UNAVAILABLE"),
        (LogMode::TooLarge, 500, "INTERNAL"),
    ] {
        let bench = Bench::with(|config| config.ack_deadline = Duration::from_millis(10));
        bench.log.set(mode);
        let reply = bench.send(call(&click())).await;
        reply.error(status, code);
        assert_eq!(reply.header("retry-after").is_some(), status == 503, "{mode:?}");
    }
}

#[tokio::test]
async fn clicks_in_flight_are_bounded() {
    let bench = Bench::with(|config| {
        config.clicks_in_flight_max = 2;
        config.ack_deadline = Duration::from_millis(10);
    });
    bench.log.set(LogMode::Holds);
    for expected in ["it may have been recorded", "it may have been recorded", "too many clicks at once"] {
        let messages = bench.send(call(&click())).await.error(503, "UNAVAILABLE");
        assert!(messages[0].contains(expected), "{messages:?}");
    }
    assert_eq!(bench.log.count(), 2);
    assert!(bench.metric("requests_shed_total{reason=\"clicks\"} 1").await);
    bench.log.release();
    bench.log.set(LogMode::Works);
    while bench.send(call(&click())).await.status != 202 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_registry_is_that_of_the_moment() {
    let bench = Bench::new();
    bench.set_registry(&REGISTRY.replace("lnk_one", "lnk_new"));
    bench.send(call(&click())).await.error(400, "VALIDATION_FAILED");
    assert_eq!(bench.send(call(&with(json!({"linkId": "lnk_new"})))).await.status, 202);
}
