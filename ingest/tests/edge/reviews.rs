//! `/admin/v1/reviews`.

use std::time::Duration;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{
    Cause, CauseType, Confidence, ConfidenceReason, ConversionState, Review, ReviewDecided, ReviewDecision,
    TimelineEntry,
};
use schemas::{Timestamp, decode};
use serde_json::{Value, json};
use store::ConversionView;

use crate::reading::{AT, received};
use crate::support::{ASHA, BINA, Bench, CHANDRA, Call, ENDED, LogMode, ONE, SHORT};

const PATH: &str = "/admin/v1/reviews";

fn id(order: &str) -> ConversionId {
    OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: order }.conversion_id()
}

/// A conversion of merchant one that waits for a reviewer, as of revision 3.
fn low(order: &str) -> ConversionView {
    let mut view = received(order);
    view.conversion.revision = 3;
    (view.conversion.confidence, view.conversion.confidence_reason) =
        (Some(Confidence::Low), Some(ConfidenceReason::ClickNotYours));
    view
}

fn by(token: &str, call: Call) -> Call {
    call.unsigned().header("authorization", format!("Bearer {token}"))
}

fn decide(token: &str, order: &str, act: &str, body: &Value) -> Call {
    by(token, Call::post(&format!("{PATH}/{}/{act}", id(order)), body.to_string()))
}

fn approval() -> Value {
    json!({"revision": 3, "affiliateId": "aff_one", "reason": "the shopper called"})
}

fn rejection() -> Value {
    json!({"revision": 3, "reason": "made up"})
}

/// What `orders` does of each decision in the log of the bench, the first of which counts: told of in the read model.
async fn orders(bench: &Bench, order: &str, decisions: usize) {
    while bench.log.messages().len() < decisions {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut view = low(order);
    for (index, message) in bench.log.messages().iter().enumerate() {
        assert_eq!((message.topic.name, &*message.key), ("conversions", format!("mer_one/live/{order}").as_bytes()));
        let decided: ReviewDecided = decode(&message.value).unwrap();
        told(&mut view, &decided, index == 0);
    }
    bench.read_model.insert(view);
}

fn told(view: &mut ConversionView, decided: &ReviewDecided, applied: bool) {
    if applied {
        view.conversion.state = match decided.review.decision {
            ReviewDecision::Approve => ConversionState::Hold,
            ReviewDecision::Reject => ConversionState::Rejected,
            ReviewDecision::Reinstate => ConversionState::Received,
        };
    }
    view.conversion.revision += 1;
    view.conversion.seq += 1;
    let cause = Cause {
        kind: CauseType::Review,
        event_id: Some(decided.event_id.clone()),
        order_status: None,
        refunded_thousandths: None,
        applied,
        fields: Vec::new(),
        review: Some(decided.review.clone()),
    };
    view.timeline.push(TimelineEntry { seq: view.conversion.seq, state: view.conversion.state, at: AT, cause });
}

#[tokio::test]
async fn an_approval_is_published_and_answered_once_it_is_told() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    let call = decide(BINA, "A", "approve", &approval()).header("x-request-id", "req_7");
    let (reply, ()) = tokio::join!(bench.send(call), orders(&bench, "A", 1));
    assert_eq!(reply.status, 200, "{}", reply.text);
    let decided: ReviewDecided = bench.published();
    let expected = json!({
        "eventId": decided.event_id, "status": "DECIDED", "decision": "approve", "conversionId": id("A").to_string(),
        "revision": 4, "state": "hold",
    });
    assert_eq!(reply.json(), expected);
    assert!(decided.event_id.starts_with("revevt_"));
    let review = Review {
        decision: ReviewDecision::Approve,
        revision: 3,
        affiliate_id: Some("aff_one".to_owned()),
        reviewer: "bina".to_owned(),
        role: "reviewer".to_owned(),
        reason: "the shopper called".to_owned(),
        request_id: "req_7".to_owned(),
    };
    let record = ReviewDecided {
        event_id: decided.event_id.clone(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: "A".to_owned(),
        review,
        decided_at: Timestamp(AT.0),
    };
    assert_eq!(decided, record);

    // Pressed again it is the same decision, and nothing is published.
    let again = bench.send(decide(BINA, "A", "approve", &approval())).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected));
    assert_eq!(bench.log.messages().len(), 1);

    // Who decided what is for administrators to read, and that it was decided for the merchant.
    let shown = bench.send(by(CHANDRA, Call::get(&format!("{PATH}/{}", id("A"))))).await.json();
    assert_eq!((&shown["revision"], &shown["reason"]), (&json!(4), &json!("click_not_yours")));
    let act = json!({
        "eventId": decided.event_id, "at": "2026-06-14T09:30:00Z", "applied": true, "decision": "approve", "revision": 3,
        "affiliateId": "aff_one", "reviewer": "bina", "role": "reviewer", "reason": "the shopper called",
        "requestId": "req_7",
    });
    assert_eq!(shown["acts"], json!([act]));
    let merchant = bench.send(Call::get("/api/v1/conversions/A").by(ONE)).await;
    assert!(merchant.text.contains(r#""fields":[],"decision":"approve""#), "{}", merchant.text);
    assert!(!merchant.text.contains("bina") && !merchant.text.contains("called"), "{}", merchant.text);
}

#[tokio::test]
async fn of_two_at_once_one_wins_and_the_other_is_told_what_was_decided() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    let (first, second, ()) = tokio::join!(
        bench.send(decide(ASHA, "A", "approve", &approval())),
        bench.send(decide(BINA, "A", "reject", &rejection())),
        orders(&bench, "A", 2)
    );
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 409), "{} {}", first.text, second.text);
    assert_eq!(second.json()["code"], "REVIEW_CONFLICT");
    let message = "the conversion is hold as of revision 5, and approve by asha at 2026-06-14T09:30:00Z stands: read it again \
                   before you decide";
    assert_eq!(second.json()["message"], json!([message]));
    let shown = bench.send(by(ASHA, Call::get(&format!("{PATH}/{}", id("A"))))).await.json();
    let applied: Vec<&Value> = shown["acts"].as_array().unwrap().iter().map(|act| &act["applied"]).collect();
    assert_eq!(applied, [true, false]);
}

#[tokio::test]
async fn what_is_known_to_be_too_late_is_not_published() {
    let bench = Bench::new();
    for (state, confidence, act) in [
        (ConversionState::Hold, Some(Confidence::High), "approve"),
        (ConversionState::Received, None, "approve"),
        (ConversionState::Reversed, Some(Confidence::Low), "reject"),
        (ConversionState::Received, Some(Confidence::Low), "reinstate"),
        (ConversionState::Payable, Some(Confidence::High), "reinstate"),
    ] {
        let mut view = low("A");
        (view.conversion.state, view.conversion.confidence) = (state, confidence);
        bench.read_model.insert(view);
        let body = if act == "approve" { approval() } else { rejection() };
        let reply = bench.send(decide(ASHA, "A", act, &body)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (409, &json!("REVIEW_CONFLICT")), "{state:?} {act}");
    }
    assert!(bench.log.messages().is_empty());
    let reply = bench.send(decide(ASHA, "B", "reject", &rejection())).await;
    assert_eq!(reply.status, 404, "{}", reply.text);
}

#[tokio::test]
async fn a_decision_whose_outcome_is_not_told_is_pending() {
    let bench = Bench::with(|config| {
        (config.ack_deadline, config.request_deadline) = (Duration::from_millis(100), Duration::from_millis(200));
    });
    bench.read_model.insert(low("A"));
    let reply = bench.send(decide(BINA, "A", "reject", &rejection())).await;
    let decided: ReviewDecided = bench.published();
    let expected = json!({"eventId": decided.event_id, "status": "PENDING", "conversionId": id("A").to_string()});
    assert_eq!((reply.status.as_u16(), reply.json()), (202, expected));
}

#[tokio::test]
async fn a_log_that_fails_is_told() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    bench.log.set(LogMode::Fails);
    let reply = bench.send(decide(BINA, "A", "reject", &rejection())).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("UNAVAILABLE")));
}

#[tokio::test]
async fn a_role_is_what_its_token_may_do() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    let one = format!("{PATH}/{}", id("A"));
    for (role, token, may) in [
        ("administrator", ASHA, [true; 5]),
        ("reviewer", BINA, [true, true, true, true, false]),
        ("auditor", CHANDRA, [true, true, false, false, false]),
    ] {
        let calls = [
            by(token, Call::get(PATH)),
            by(token, Call::get(&one)),
            decide(token, "B", "approve", &approval()),
            decide(token, "B", "reject", &rejection()),
            decide(token, "B", "reinstate", &rejection()),
        ];
        for (index, (call, may)) in calls.into_iter().zip(may).enumerate() {
            let reply = bench.send(call).await;
            match (may, index) {
                (true, 0 | 1) => assert_eq!(reply.status, 200, "{role} {index}: {}", reply.text),
                // Whoever may decide is told that there is no such conversion.
                (true, _) => drop(reply.error(404, "NOT_FOUND")),
                (false, _) => drop(reply.error(403, "FORBIDDEN")),
            }
        }
    }
    assert!(bench.log.messages().is_empty());
}

#[tokio::test]
async fn a_token_that_is_nobodys_any_more_or_never_was_is_not_let_in() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    let unknown = "nobody_0123456789abcdef0123456789abcdef";
    for (token, code) in [
        (unknown, "INVALID_ADMIN_TOKEN"),
        (&ASHA[..ASHA.len() - 1], "INVALID_ADMIN_TOKEN"),
        (&*ASHA.to_uppercase(), "INVALID_ADMIN_TOKEN"),
        ("", "INVALID_ADMIN_TOKEN"),
        (SHORT, "INVALID_ADMIN_TOKEN"),
        (ENDED, "ADMIN_TOKEN_EXPIRED"),
    ] {
        let one = format!("{PATH}/{}", id("A"));
        let calls =
            [by(token, Call::get(PATH)), by(token, Call::get(&one)), decide(token, "A", "reject", &rejection())];
        for call in calls {
            let reply = bench.send(call).await;
            assert!(token.is_empty() || !reply.text.contains(token), "{}", reply.text);
            reply.error(401, code);
        }
    }
    // A merchant's key opens nothing here, and neither does a request without a token.
    bench.send(Call::get(PATH).by(ONE)).await.error(401, "INVALID_ADMIN_TOKEN");
    bench.send(Call::get(PATH).unsigned()).await.error(401, "INVALID_ADMIN_TOKEN");
    assert!(bench.log.messages().is_empty());
}

#[tokio::test]
async fn every_fault_is_told() {
    let bench = Bench::new();
    bench.read_model.insert(low("A"));
    let reply = bench.send(decide(BINA, "A", "approve", &json!({}))).await;
    let told = json!([
        "revision is required: that of the conversion which the decision is on",
        "affiliateId is required: the id of the affiliate in the registry who is credited",
        "reason is required: a string of 1 to 500 characters",
    ]);
    assert_eq!((reply.status.as_u16(), &reply.json()["message"]), (400, &told));
    let body = json!({"revision": "3", "affiliateId": "aff_none", "reason": "x".repeat(501), "affiliate": 1});
    let reply = bench.send(decide(BINA, "A", "approve", &body)).await;
    let message = reply.json()["message"].clone();
    let starts =
        ["\"affiliate\" is not a field", "revision must be a whole number", "affiliateId must be the id of an"];
    for (index, start) in starts.into_iter().enumerate() {
        let found = message[index].as_str().unwrap();
        assert!(
            found.starts_with(start) || index == 2 && found.starts_with("affiliateId must be the id of a"),
            "{found}"
        );
    }
    assert_eq!(message.as_array().unwrap().len(), 4);
    // An affiliate is credited by an approval alone.
    let reply = bench.send(decide(BINA, "A", "reject", &approval())).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert!(bench.log.messages().is_empty());
}

#[tokio::test]
async fn the_queue_is_what_is_low_and_undecided() {
    let bench = Bench::new();
    for (order, state, confidence) in [
        ("A", ConversionState::Received, Some(Confidence::Low)),
        ("B", ConversionState::Received, None),
        ("C", ConversionState::Hold, Some(Confidence::Low)),
        ("D", ConversionState::Rejected, Some(Confidence::Low)),
        ("E", ConversionState::Hold, Some(Confidence::High)),
    ] {
        let mut view = low(order);
        (view.conversion.state, view.conversion.confidence) = (state, confidence);
        bench.read_model.insert(view);
    }
    let mut test = low("T");
    test.conversion.livemode = false;
    bench.read_model.insert(test);
    let reply = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?merchantId=mer_one")))).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let page = reply.json();
    let orders: Vec<&Value> =
        page["data"].as_array().unwrap().iter().map(|it| &it["conversion"]["externalOrderId"]).collect();
    assert_eq!((orders, &page["nextCursor"]), (vec![&json!("A")], &Value::Null));
    let first = &page["data"][0];
    let heads = (&first["revision"], &first["merchantId"], &first["reason"], first.get("acts"));
    assert_eq!(heads, (&json!(3), &json!("mer_one"), &json!("click_not_yours"), None));
    // Without a merchant it is that of all of them.
    let mut other = low("A");
    (other.conversion.merchant_id, other.conversion.conversion_id) = ("mer_two".to_owned(), ConversionId([7; 16]));
    bench.read_model.insert(other);
    let page = bench.send(by(CHANDRA, Call::get(PATH))).await.json();
    let mut merchants: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|it| &it["merchantId"]).collect();
    merchants.sort_by_key(|it| it.to_string());
    assert_eq!(merchants, [&json!("mer_one"), &json!("mer_two")]);
    let page = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?mode=test")))).await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    for (query, fault) in [
        ("merchantId=mer_none", "merchantId must be the id of a merchant"),
        ("merchantId=mer_one&mode=both", "mode must be one of live, test"),
        ("merchantId=mer_one&limit=101", "limit must be a whole number"),
        ("merchantId=mer_one&status=hold", "\"status\" is not a parameter"),
    ] {
        let reply = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?{query}")))).await;
        let told = reply.json()["message"][0].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 400 && told.starts_with(fault), "{query}: {told}");
    }
}

#[tokio::test]
async fn without_administrators_there_are_no_routes() {
    let bench = Bench::without_admins();
    bench.read_model.insert(low("A"));
    for call in [by(ASHA, Call::get(PATH)), decide(ASHA, "A", "reject", &rejection())] {
        assert_eq!(bench.send(call).await.status, 404);
    }
}
