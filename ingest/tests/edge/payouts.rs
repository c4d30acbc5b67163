//! `/admin/v1/payouts`.

use std::time::Duration;

use schemas::ids::PayoutKey;
use schemas::records::{Account, Administrator, PayoutChanged, PayoutOutcome, PayoutReported, PayoutState};
use schemas::{Currency, Timestamp, decode};
use serde_json::{Value, json};

use crate::reading::AT;
use crate::support::{ASHA, BINA, Bench, CHANDRA, Call, LogMode, ONE, StoreMode};

const PATH: &str = "/admin/v1/payouts";
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// A payout in transit of the cut-off that many weeks ago.
fn made(affiliate_id: &str, weeks: i64) -> PayoutChanged {
    let currency = Currency::parse("NPR").unwrap();
    let cut_off = Timestamp(AT.0 / 1_000 * 1_000 - weeks * WEEK_MS);
    PayoutChanged {
        payout_id: PayoutKey { affiliate_id, currency, cut_off }.payout_id(),
        number: 3,
        affiliate_id: affiliate_id.to_owned(),
        currency,
        livemode: true,
        state: PayoutState::InTransit,
        amount_minor: 35_988,
        cut_off,
        entries_to: 9,
        retries: vec!["pay_1_NPR_aff_one".to_owned()],
        debit: Account::AffiliatePayable,
        debit_entries: 10,
        credit: Account::PayoutInTransit,
        credit_entries: 5,
        reference: None,
        at: Timestamp(cut_off.0 + 7),
    }
}

/// The change that an outcome makes, by the state machine of the ledger.
fn ended(payout: &PayoutChanged, report: &PayoutReported) -> PayoutChanged {
    let (state, credit) = match report.outcome {
        PayoutOutcome::Paid => (PayoutState::Paid, Account::AffiliatePaid),
        PayoutOutcome::Failed => (PayoutState::Failed, Account::AffiliatePayable),
    };
    PayoutChanged {
        state,
        debit: Account::PayoutInTransit,
        debit_entries: 6,
        credit,
        credit_entries: 2,
        reference: report.reference.clone(),
        at: report.received_at,
        ..payout.clone()
    }
}

fn by(token: &str, call: Call) -> Call {
    call.unsigned().header("authorization", format!("Bearer {token}"))
}

fn report(token: &str, payout: &PayoutChanged, outcome: &str, body: &Value) -> Call {
    by(token, Call::post(&format!("{PATH}/{}/{outcome}", payout.payout_id), body.to_string()))
}

/// What `ledger` does of the reports in the log of the bench, the first of which counts.
async fn ledger(bench: &Bench, payout: &PayoutChanged, reports: usize) {
    while bench.log.messages().len() < reports {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = &bench.log.messages()[0];
    assert_eq!((first.topic.name, &*first.key), ("payout-reports", &b"aff_one/NPR/live"[..]));
    bench.read_model.insert_payout(ended(payout, &decode(&first.value).unwrap()));
}

#[tokio::test]
async fn an_outcome_is_published_once_and_answered_once_it_is_told() {
    let bench = Bench::new();
    let payout = made("aff_one", 0);
    bench.read_model.insert_payout(payout.clone());
    let call = report(ASHA, &payout, "paid", &json!({"reference": "BANK-7"})).header("x-request-id", "req_7");
    let (reply, ()) = tokio::join!(bench.send(call), ledger(&bench, &payout, 1));
    let reported: PayoutReported = decode(&bench.log.messages()[0].value).unwrap();
    assert!(reported.event_id.starts_with("payevt_"));
    let expected = PayoutReported {
        event_id: reported.event_id.clone(),
        payout_id: payout.payout_id.clone(),
        outcome: PayoutOutcome::Paid,
        reference: Some("BANK-7".to_owned()),
        reported_by: Some(Administrator {
            name: "asha".to_owned(),
            role: "administrator".to_owned(),
            request_id: "req_7".to_owned(),
        }),
        received_at: AT,
    };
    assert_eq!(reported, expected);
    let (made_at, ended_at) = (payout.at.to_string(), AT.to_string());
    let body = json!({
        "payoutId": payout.payout_id, "number": 3, "affiliateId": "aff_one", "state": "paid", "amount": "359.88",
        "currency": "NPR", "cutOff": payout.cut_off.to_string(), "entriesTo": 9, "retries": ["pay_1_NPR_aff_one"],
        "reference": "BANK-7", "at": ended_at,
        "entries": [
            {"state": "in_transit", "debit": "affiliate_payable", "debitEntries": 10, "credit": "payout_in_transit",
             "creditEntries": 5, "at": made_at},
            {"state": "paid", "debit": "payout_in_transit", "debitEntries": 6, "credit": "affiliate_paid",
             "creditEntries": 2, "at": ended_at},
        ],
    });
    assert_eq!((reply.status.as_u16(), reply.json()), (200, body.clone()));
    // The same again is the same, whatever it is called, and nothing is published.
    let again = bench.send(report(ASHA, &payout, "paid", &json!({"reference": "BANK-8"}))).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, body.clone()));
    let shown = bench.send(by(CHANDRA, Call::get(&format!("{PATH}/{}", payout.payout_id)))).await;
    assert_eq!((shown.status.as_u16(), shown.json()), (200, body));
    let other = bench.send(report(ASHA, &payout, "failed", &json!({}))).await;
    let told = format!(
        "the payout was reported paid at {ended_at}: the first report counts, so what happened after it is to be settled outside"
    );
    assert_eq!(other.error(409, "PAYOUT_CONFLICT"), [told]);
    assert_eq!(bench.log.messages().len(), 1);
}

#[tokio::test]
async fn of_two_outcomes_at_once_the_first_in_the_log_counts() {
    let bench = Bench::new();
    let payout = made("aff_one", 0);
    bench.read_model.insert_payout(payout.clone());
    let (first, second, third, ()) = tokio::join!(
        bench.send(report(ASHA, &payout, "failed", &json!({}))),
        bench.send(report(ASHA, &payout, "paid", &json!({}))),
        bench.send(report(ASHA, &payout, "failed", &json!({"reference": "closed"}))),
        ledger(&bench, &payout, 3)
    );
    assert_eq!((first.status.as_u16(), &first.json()["state"]), (200, &json!("failed")));
    second.error(409, "PAYOUT_CONFLICT");
    assert_eq!((third.status.as_u16(), &third.json()["reference"]), (200, &Value::Null));
}

#[tokio::test]
async fn an_outcome_that_is_not_told_in_time_is_pending() {
    let bench = Bench::with(|config| {
        (config.ack_deadline, config.request_deadline) = (Duration::from_millis(100), Duration::from_millis(200));
    });
    let payout = made("aff_one", 0);
    bench.read_model.insert_payout(payout.clone());
    let reply = bench.send(report(ASHA, &payout, "failed", &json!({"reference": null}))).await;
    let reported: PayoutReported = decode(&bench.log.messages()[0].value).unwrap();
    let expected = json!({"eventId": reported.event_id, "status": "PENDING", "payoutId": payout.payout_id});
    assert_eq!((reply.status.as_u16(), reply.json()), (202, expected));
}

#[tokio::test]
async fn what_is_no_payout_is_not_found_and_what_fails_is_ours() {
    let bench = Bench::new();
    let payout = made("aff_one", 0);
    bench.read_model.insert_payout(payout.clone());
    for id in ["pay_1_NPR_aff_one", "pay_01_NPR_aff_one", "pay_", "x", &payout.payout_id.to_uppercase()] {
        bench.send(by(ASHA, Call::get(&format!("{PATH}/{id}")))).await.error(404, "NOT_FOUND");
        bench.send(by(ASHA, Call::post(&format!("{PATH}/{id}/paid"), "{}".to_owned()))).await.error(404, "NOT_FOUND");
    }
    for (body, fault) in [
        (json!({"reference": "é".repeat(201)}), "reference must have at most 200 characters, not 201"),
        (json!({"reference": 7}), "reference must be a JSON string"),
        (json!({"ref": "BANK-7"}), "\"ref\" is not a field"),
    ] {
        let told = bench.send(report(ASHA, &payout, "paid", &body)).await.error(400, "VALIDATION_FAILED");
        assert!(told.len() == 1 && told[0].starts_with(fault), "{told:?}");
    }
    bench.send(report(ASHA, &payout, "paid", &json!([]))).await.error(400, "MALFORMED_JSON");
    assert!(bench.log.messages().is_empty());
    bench.log.set(LogMode::Fails);
    bench.send(report(ASHA, &payout, "paid", &json!({}))).await.error(503, "UNAVAILABLE");
    bench.read_model.set(StoreMode::Fails);
    for call in [by(ASHA, Call::get(PATH)), report(ASHA, &payout, "paid", &json!({}))] {
        bench.send(call).await.error(503, "UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_role_is_what_its_token_may_do() {
    let bench = Bench::new();
    let payout = made("aff_one", 0);
    bench.read_model.insert_payout(payout.clone());
    let one = format!("{PATH}/{}", payout.payout_id);
    for (token, may_report) in [(BINA, false), (CHANDRA, false), (ASHA, true)] {
        for path in [PATH, &one] {
            assert_eq!(bench.send(by(token, Call::get(path))).await.status, 200);
        }
        let unknown = made("aff_two", 0);
        let reply = bench.send(report(token, &unknown, "paid", &json!({}))).await;
        if may_report {
            reply.error(404, "NOT_FOUND");
        } else {
            let told = reply.error(403, "FORBIDDEN");
            assert!(told[0].ends_with("may not report what became of payouts"), "{told:?}");
        }
    }
    // A merchant's key opens nothing here, and without administrators there is nothing.
    bench.send(Call::get(PATH).by(ONE)).await.error(401, "INVALID_ADMIN_TOKEN");
    for call in [by(ASHA, Call::get(PATH)), by(ASHA, Call::get(&one)), report(ASHA, &payout, "paid", &json!({}))] {
        Bench::without_admins().send(call).await.error(404, "NOT_FOUND");
    }
    assert!(bench.log.messages().is_empty());
}

#[tokio::test]
async fn payouts_are_listed_by_state_and_cut_off() {
    let bench = Bench::new();
    for weeks in 0..5 {
        bench.read_model.insert_payout(made("aff_one", weeks));
    }
    let reported = PayoutReported {
        event_id: "payevt_1".to_owned(),
        payout_id: made("aff_one", 2).payout_id,
        outcome: PayoutOutcome::Paid,
        reference: None,
        reported_by: None,
        received_at: AT,
    };
    bench.read_model.insert_payout(ended(&made("aff_one", 2), &reported));
    let week = |weeks| made("aff_one", weeks).cut_off.to_string();
    for (query, weeks) in [
        (String::new(), vec![0, 1, 2, 3, 4]),
        ("state=in_transit".to_owned(), vec![0, 1, 3, 4]),
        ("state=paid".to_owned(), vec![2]),
        ("state=failed".to_owned(), vec![]),
        (format!("from={}&to={}", week(3), week(1)), vec![2, 3]),
    ] {
        let page = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?{query}")))).await.json();
        let found: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|it| &it["cutOff"]).collect();
        assert_eq!(found, weeks.into_iter().map(|it| json!(week(it))).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert!(page["data"].as_array().unwrap().iter().all(|it| it.get("entries").is_none()), "{page}");
    }
    let first = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?limit=3")))).await.json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?limit=3&cursor={cursor}")))).await.json();
    let found: Vec<&Value> = rest["data"].as_array().unwrap().iter().map(|it| &it["cutOff"]).collect();
    assert_eq!((found, &rest["nextCursor"]), (vec![&json!(week(3)), &json!(week(4))], &Value::Null));
    for (query, fault) in [
        ("state=made", "state must be one of in_transit, paid, failed"),
        ("status=paid", "\"status\" is not a parameter"),
        ("limit=101", "limit must be a whole number"),
    ] {
        let told = bench.send(by(CHANDRA, Call::get(&format!("{PATH}?{query}")))).await.error(400, "VALIDATION_FAILED");
        assert!(told[0].starts_with(fault), "{query}: {told:?}");
    }
}
