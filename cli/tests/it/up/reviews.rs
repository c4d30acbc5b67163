//! Reviewers who press at once, before and after a refund, on every kind of installation.

use std::thread;
use std::time::Duration;

use schemas::records::CauseType;
use serde_json::{Value, json};

use crate::up::attribution::judged;
use crate::up::client::{ASHA, Answer, BINA, Client, ONE, ORDER_STATUS, REVIEWERS, reviewer};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::explaining::{explained, fact_topics, failed_check, outcomes};
use crate::up::poll;

on_each_cluster!(reviewers_decide_once_and_a_refund_that_came_first_wins);

const REVIEWS: &str = "/admin/v1/reviews";

/// A request of an administrator.
pub(crate) fn ask(target: &Target, token: &str, line: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nauthorization: \
         Bearer {token}\r\n",
    );
    Client::new(target, &ONE).send(&head, body).expect("an answer")
}

/// The answer to a decision on a revision of a conversion.
fn decide(target: &Target, token: &str, act: &str, (id, revision): (&str, i64)) -> Answer {
    let mut body = json!({"revision": revision, "reason": "seen"});
    if act == "approve" {
        body["affiliateId"] = json!("aff_one");
    }
    ask(target, token, &format!("POST {REVIEWS}/{id}/{act}"), &body.to_string())
}

/// A conversion that waits for a reviewer: its id and revision.
fn waiting(target: &Target, order: &str) -> (String, i64) {
    judged(target, &ONE, &json!({"externalOrderId": order, "orderAmount": "1000.00", "orderStatus": "confirmed"}));
    queued(target, order)
}

/// A conversion in the queue: its id and revision.
fn queued(target: &Target, order: &str) -> (String, i64) {
    let found = poll(Duration::from_secs(20), || {
        let page = ask(target, BINA, &format!("GET {REVIEWS}?limit=100"), "").json();
        let rows = page["data"].as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["conversion"]["externalOrderId"] == order);
        let found = row
            .and_then(|row| Some((row["conversion"]["conversionId"].as_str()?.to_owned(), row["revision"].as_i64()?)));
        found.ok_or_else(|| format!("{order} is not in the queue: {page}"))
    });
    // What waits of one merchant is a part of it.
    for (merchant, has) in [("mer_one", true), ("mer_two", false)] {
        let page = ask(target, BINA, &format!("GET {REVIEWS}?merchantId={merchant}&limit=100"), "").json();
        let mut rows = page["data"].as_array().expect("a list").iter();
        assert_eq!(rows.any(|row| row["conversion"]["conversionId"] == *found.0), has, "{page}");
    }
    found
}

/// A conversion as a reviewer reads it, once it is in a state.
fn in_state(target: &Target, id: &str, state: &str) -> Value {
    poll(Duration::from_secs(20), || {
        let shown = ask(target, BINA, &format!("GET {REVIEWS}/{id}"), "").json();
        if shown["conversion"]["state"] == state { Ok(shown) } else { Err(format!("not {state}: {shown}")) }
    })
}

fn reviewers_decide_once_and_a_refund_that_came_first_wins<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    for (order, reviewers) in [("AT-ONCE-2", 2), ("AT-ONCE-8", 8), ("AT-ONCE-ALL", REVIEWERS)] {
        let (id, revision) = waiting(&target, order);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let press = |number: usize| {
                let (target, id) = (&target, &*id);
                let act = if number.is_multiple_of(2) { "approve" } else { "reject" };
                scope.spawn(move || decide(target, &reviewer(number), act, (id, revision)))
            };
            let pressed: Vec<_> = (0..reviewers).map(press).collect();
            pressed.into_iter().map(|pressed| pressed.join().expect("an answer")).collect()
        });
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        // 202 is of an outcome that a starved machine did not tell in time.
        assert!(count(200) <= 1 && count(200) + count(409) + count(202) == reviewers, "{order}: {answers:?}");
        let shown = ask(&target, BINA, &format!("GET {REVIEWS}/{id}"), "").json();
        let acts = shown["acts"].as_array().expect("a list");
        assert_eq!(acts.iter().filter(|act| act["applied"] == true).count(), 1, "{shown}");
    }

    let (id, revision) = waiting(&target, "APPROVED");
    let answer = decide(&target, BINA, "approve", (&id, revision));
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("hold")), "{answer:?}");
    let shown = in_state(&target, &id, "hold");
    let conversion = &shown["conversion"];
    assert_eq!((&conversion["confidence"], &conversion["affiliateId"]), (&json!("LOW"), &json!("aff_one")), "{shown}");
    assert_ne!(conversion["commission"]["amount"], Value::Null, "{shown}");
    assert_eq!((&shown["acts"][0]["reviewer"], &shown["acts"][0]["applied"]), (&json!("bina"), &json!(true)));
    let why = explained(&target, &ONE, conversion);
    let decision = &why["decisions"][0];
    assert_eq!((&decision["decision"], &decision["decidedBy"]), (&json!("approve"), &json!("reviewer")), "{why}");
    assert_eq!(decision["eventId"], shown["acts"][0]["eventId"], "{why}");
    assert_eq!((failed_check(&why).as_deref(), fact_topics(&why)), (Some("named"), vec!["conversions".to_owned(); 2]));
    // Without a campaign the rules are considered in the same order.
    let won: Vec<_> =
        outcomes(&why).into_iter().filter(|(_, outcome)| outcome == "won").map(|(rule, _)| rule).collect();
    assert_eq!(won, ["rul_merchant_one"], "{why}");

    let (id, revision) = waiting(&target, "REFUNDED");
    let refund = json!({"externalOrderId": "REFUNDED", "status": "refunded"}).to_string();
    assert_eq!(Client::new(&target, &ONE).settle(ORDER_STATUS, &refund, None).status, 202);
    let reversed = in_state(&target, &id, "reversed")["revision"].as_i64().expect("a revision");
    let late = decide(&target, BINA, "approve", (&id, revision));
    assert_eq!((late.status, &late.json()["code"]), (409, &json!("REVIEW_CONFLICT")), "{late:?}");
    assert_eq!(decide(&target, BINA, "reinstate", (&id, reversed)).status, 403);
    let back = decide(&target, ASHA, "reinstate", (&id, reversed));
    assert_eq!((back.status, &back.json()["state"]), (200, &json!("received")), "{back:?}");
    assert_eq!(queued(&target, "REFUNDED").0, id, "it waits again");

    cluster.quiet("after the decisions");
    cluster.verified(5, "after the decisions");
    cluster.stop();
    let topics = cluster.topics();
    assert!(topics.dead_letters.is_empty(), "{:?}", topics.dead_letters);
    // Whatever was pressed, one decision counted on each conversion, and each that is in the log is told.
    let told = topics.transitions.iter().filter_map(|it| it.timeline.last()).map(|entry| &entry.cause);
    let told: Vec<_> = told.filter(|cause| cause.kind == CauseType::Review).collect();
    assert_eq!(told.iter().filter(|cause| cause.applied).count(), 5);
    assert_eq!(told.len(), topics.reviews.len());
}
