//! `POST /api/v1/test/clock`.

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{Cause, CauseType, ConversionState, Explanation, StateReason, TestClockAdvanced, TimelineEntry};
use serde_json::{Value, json};

use crate::reading::received;
use crate::support::{Bench, Call, LogMode, NOW_S, ONE, ONE_TEST, StoreMode};

const BODY: &str = r#"{"externalOrderId":"A","advanceTo":"2026-07-30T00:00:00Z"}"#;
/// 2026-07-30T00:00:00Z.
const AT: Timestamp = Timestamp(1_785_369_600_000);

#[tokio::test]
async fn a_moved_clock_is_published_as_sent() {
    let bench = Bench::new();
    let reply = bench.send(Call::test_clock(BODY).header("x-request-id", "r-1")).await;
    let record: TestClockAdvanced = bench.published();
    let expected = format!(r#"{{"eventId":"{}","status":"ACCEPTED","duplicate":false}}"#, record.event_id);
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, expected.as_str()));
    assert_eq!(reply.header("x-request-id"), Some("r-1"));
    assert!(record.event_id.starts_with("tcevt_"));
    let order = OrderKey { merchant_id: "mer_one", livemode: false, external_order_id: "A" };
    assert_eq!(bench.log.messages()[0].key, order.to_bytes());
    assert_eq!(
        record,
        TestClockAdvanced {
            event_id: record.event_id.clone(),
            merchant_id: "mer_one".to_owned(),
            livemode: false,
            external_order_id: "A".to_owned(),
            advanced_to: AT,
            received_at: Timestamp(NOW_S * 1_000),
            idempotency: None,
        }
    );
    // The same instant, however it is written, is the same request; another instant, or order, is another.
    let expected = format!(r#"{{"status":"DUPLICATE","conversionId":"{}","duplicate":true}}"#, order.conversion_id());
    for same in [BODY.to_owned(), BODY.replace("00:00:00Z", "05:45:00+05:45")] {
        let again = bench.send(Call::test_clock(same)).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (202, expected.as_str()));
    }
    for other in [BODY.replace("00:00Z", "00:01Z"), BODY.replace("-30T", "-29T"), BODY.replace("\"A\"", "\"B\"")] {
        bench.send(Call::test_clock(other)).await.accepted("ACCEPTED");
    }
    let keyed = Call::test_clock(BODY.replace("\"A\"", "\"C\"")).header("x-idempotency-key", "key-1");
    bench.send(keyed).await.accepted("ACCEPTED");
    let record: TestClockAdvanced = schemas::decode(&bench.log.messages()[4].value).unwrap();
    assert_eq!(record.idempotency.unwrap().key, "test-clock\0key-1", "the log has the key too");
    assert_eq!(bench.log.count(), 5);
    assert!(bench.metric("test_clocks_accepted_total 5").await);
    assert!(bench.metric("test_clocks_duplicate_total 2").await);
}

#[tokio::test]
async fn only_a_test_key_moves_a_clock() {
    let bench = Bench::new();
    let live = bench.send(Call::test_clock(BODY).by(ONE)).await;
    let told = live.error(403, "TEST_KEY_REQUIRED");
    assert!(told[0].contains("sign with a test key"), "{told:?}");
    // A live key learns that whatever it sends, if it signs rightly.
    bench.send(Call::test_clock("rubbish").by(ONE)).await.error(403, "TEST_KEY_REQUIRED");
    let forged = Call::test_clock(BODY).by(ONE).header("x-signature", "00".repeat(32));
    bench.send(forged).await.error(401, "INVALID_SIGNATURE");
    bench.send(Call::test_clock(BODY).unsigned()).await.error(401, "INVALID_API_KEY");
    bench.send(Call::get("/api/v1/test/clock").by(ONE_TEST)).await.error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(bench.log.count(), 0);
}

#[tokio::test]
async fn each_field_at_and_past_its_limit() {
    let cases: Vec<(Value, Option<&str>)> = vec![
        (json!({ "advanceTo": "2020-01-01T00:00:00Z" }), None),
        (json!({ "advanceTo": "2027-07-19T09:30:00Z" }), None),
        (
            json!({ "advanceTo": "2027-07-19T09:30:00.001Z" }),
            Some(
                "advanceTo must not be more than 400 days after now, which is 2026-06-14T09:30:00Z; got \
                 \"2027-07-19T09:30:00.001Z\"",
            ),
        ),
        (
            json!({ "advanceTo": null }),
            Some("advanceTo is required: an instant with an offset, such as \"2026-07-30T00:00:00Z\""),
        ),
        (json!({ "advanceTo": 1_785_369_600 }), Some("advanceTo must be a JSON string; got 1785369600")),
        (json!({ "externalOrderId": "é".repeat(160) }), None),
        (json!({ "externalOrderId": null }), Some("externalOrderId is required: a string of 1 to 160 characters")),
        (json!({ "externalOrderId": "" }), Some("externalOrderId is required: a string of 1 to 160 characters")),
        (json!({ "status": "paid" }), Some("\"status\" is not a field of this request: remove it")),
    ];
    for (changes, fault) in cases {
        let bench = Bench::new();
        let mut body: Value = serde_json::from_str(BODY).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = bench.send(Call::test_clock(body.to_string())).await;
        match fault {
            None => reply.accepted("ACCEPTED"),
            Some(fault) => assert_eq!(reply.error(400, "VALIDATION_FAILED"), [fault], "{changes}"),
        }
    }
    let bench = Bench::new();
    let long = BODY.replace("\"A\"", &format!("\"{}\"", "x".repeat(161)));
    let told = bench.send(Call::test_clock(long)).await.error(400, "VALIDATION_FAILED");
    assert!(told[0].starts_with("externalOrderId must have at most 160 characters, not 161"), "{told:?}");
    let told = bench.send(Call::test_clock(BODY.replace("2026-07-30T00:00:00Z", "tomorrow"))).await;
    assert!(told.error(400, "VALIDATION_FAILED")[0].starts_with("advanceTo "), "{}", told.text);
    bench.send(Call::test_clock("{")).await.error(400, "MALFORMED_JSON");
    bench.send(Call::test_clock(BODY).without("content-type")).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_key_guards_it_and_is_no_other_routes() {
    let bench = Bench::new();
    let keyed = |call: Call| call.header("x-idempotency-key", "key-1");
    let status = r#"{"externalOrderId":"A","status":"paid"}"#;
    bench.send(keyed(Call::status(status).by(ONE_TEST))).await.accepted("ACCEPTED");
    bench.send(keyed(Call::test_clock(BODY))).await.accepted("ACCEPTED");
    bench.send(keyed(Call::test_clock(BODY))).await.accepted("DUPLICATE");
    let other = BODY.replace("-30T", "-31T");
    bench.send(keyed(Call::test_clock(other.clone()))).await.error(422, "IDEMPOTENCY_KEY_REUSED");
    let told = bench.send(Call::test_clock(other).header("x-idempotency-key", "")).await;
    told.error(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn it_goes_on_without_claims_and_not_without_a_log() {
    let bench = Bench::new();
    bench.log.set(LogMode::Full);
    let refused = bench.send(Call::test_clock(BODY)).await;
    refused.error(503, "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    bench.log.set(LogMode::Works);
    bench.claims.set(StoreMode::Fails);
    bench.send(Call::test_clock(BODY)).await.accepted("ACCEPTED");
    bench.send(Call::test_clock(BODY)).await.accepted("DUPLICATE");
}

#[tokio::test]
async fn a_simulated_payout_is_told() {
    let bench = Bench::new();
    let mut view = received("A");
    let key = OrderKey { merchant_id: "mer_one", livemode: false, external_order_id: "A" };
    (view.conversion.livemode, view.conversion.conversion_id) = (false, key.conversion_id());
    view.conversion.state = ConversionState::Paid;
    let entry = |seq: i32, state, kind| TimelineEntry {
        seq,
        state,
        cause: Cause { kind, ..view.timeline[0].cause.clone() },
        ..view.timeline[0].clone()
    };
    let passed = [
        entry(2, ConversionState::Payable, CauseType::TestClock),
        entry(3, ConversionState::Paid, CauseType::PayoutSimulated),
    ];
    view.timeline.extend(passed);
    view.conversion.explanation = Some(Explanation {
        state_reason: StateReason::PayoutSimulated,
        click_checks: Vec::new(),
        click: None,
        coupon: None,
        decisions: Vec::new(),
        rules: Vec::new(),
        rules_left_out: 0,
        arithmetic: None,
        hold: None,
        facts: Vec::new(),
    });
    bench.read_model.insert(view);
    let json = bench.send(Call::get("/api/v1/conversions/A").by(ONE_TEST)).await.json();
    let told: Vec<_> =
        json["timeline"].as_array().unwrap().iter().map(|it| (&it["state"], &it["cause"]["type"])).collect();
    let expected = [("received", "reported"), ("payable", "test_clock"), ("paid", "payout_simulated")];
    assert_eq!(
        told,
        expected.map(|(state, cause)| (json!(state), json!(cause))).each_ref().map(|(a, b)| (a, b)),
        "{json}"
    );
    let why = bench.send(Call::get("/api/v1/conversions/A/explain").by(ONE_TEST)).await.json();
    assert_eq!(
        (&why["state"], &why["explanation"]["stateReason"]),
        (&json!("paid"), &json!("payout_simulated")),
        "{why}"
    );
}
