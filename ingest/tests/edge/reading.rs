//! `GET /api/v1/conversions/{id}`.

use std::time::Duration;

use schemas::ids::OrderKey;
use schemas::records::{
    Arithmetic, Cause, CauseType, ClickCheck, ClickMeasured, ClickQuestion, Commission, Confidence, ConfidenceReason,
    ConversionState, ConversionTransitioned, CouponFinding, DecisionExplained, Explanation, FactKind, FactPlace,
    HoldExplained, HoldWindow, OrderStatus, PaidBy, ReportedStatus, ReviewDecision, Rounding, RuleConsidered,
    RuleLevel, RuleOutcome, StateReason, TimelineEntry,
};
use schemas::{Currency, Timestamp};
use store::ConversionView;

use crate::support::{Bench, Call, NOW_S, ONE_TEST, StoreMode, TWO};

pub(crate) const AT: Timestamp = Timestamp(NOW_S * 1_000);

fn entry(seq: i32, kind: CauseType) -> TimelineEntry {
    let cause = Cause {
        kind,
        event_id: None,
        order_status: None,
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
    };
    TimelineEntry { seq, state: ConversionState::Received, at: AT, cause }
}

/// A conversion of merchant one of which nothing is known yet.
pub(crate) fn received(order: &str) -> ConversionView {
    let key = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: order };
    let conversion = ConversionTransitioned {
        conversion_id: key.conversion_id(),
        revision: 1,
        seq: 1,
        event_id: "cnvevt_1".to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        state: ConversionState::Received,
        confidence: None,
        confidence_reason: None,
        click_id: None,
        affiliate_id: None,
        campaign_id: None,
        suggested_affiliate_id: None,
        external_product_id: None,
        amount_minor: 299_900,
        currency: Currency::parse("NPR").unwrap(),
        order_status: OrderStatus::Pending,
        ordered_at: AT,
        received_at: AT,
        coupon_code: None,
        metadata: None,
        commission: None,
        hold_until: None,
        refunded_thousandths: None,
        conflicts: 0,
        timeline: Vec::new(),
        explanation: None,
        at: AT,
    };
    ConversionView { conversion, timeline: vec![entry(1, CauseType::Reported)] }
}

#[tokio::test]
async fn every_field_is_there() {
    let bench = Bench::new();
    bench.read_model.insert(received("A"));
    let reply = bench.send(Call::get("/api/v1/conversions/A")).await;
    let expected = concat!(
        r#"{"conversionId":"CNV","eventId":"cnvevt_1","externalOrderId":"A","livemode":true,"state":"received","#,
        r#""confidence":null,"confidenceReason":null,"clickId":null,"affiliateId":null,"campaignId":null,"suggestedAffiliateId":null,"#,
        r#""externalProductId":null,"orderAmount":"2999.00","currency":"NPR","orderStatus":"pending","#,
        r#""orderedAt":"2026-06-14T09:30:00Z","receivedAt":"2026-06-14T09:30:00Z","couponCode":null,"#,
        r#""metadata":null,"commission":null,"holdUntil":null,"refundedAmount":null,"conflicts":0,"timeline":[{"seq":1,"#,
        r#""state":"received","at":"2026-06-14T09:30:00Z","cause":{"type":"reported","eventId":null,"#,
        r#""orderStatus":null,"refundedAmount":null,"applied":true,"fields":[]}}]}"#
    );
    let id = received("A").conversion.conversion_id.to_string();
    assert_eq!((reply.status.as_u16(), reply.text), (200, expected.replace("CNV", &id)));
    assert_eq!(reply.headers["content-type"], "application/json");

    let mut full = received("B");
    full.conversion = ConversionTransitioned {
        state: ConversionState::Hold,
        confidence: Some(Confidence::High),
        click_id: Some("clk_1".to_owned()),
        affiliate_id: Some("aff_one".to_owned()),
        campaign_id: Some("cmp_one".to_owned()),
        external_product_id: Some("SKU".to_owned()),
        order_status: OrderStatus::Confirmed,
        coupon_code: Some("AFF10".to_owned()),
        metadata: Some(r#"{ "b": 1.50, "a": null }"#.to_owned()),
        commission: Some(Commission {
            amount_minor: 35_988,
            currency: Currency::parse("NPR").unwrap(),
            level: RuleLevel::Product,
            rule_id: "rul_1".to_owned(),
            rate: Some("12".to_owned()),
        }),
        hold_until: Some(Timestamp(AT.0 + 1_500)),
        refunded_thousandths: Some(1_000_005),
        conflicts: 1,
        ..full.conversion
    };
    let cause = Cause {
        kind: CauseType::Conflict,
        event_id: Some("cnvevt_2".to_owned()),
        order_status: Some(ReportedStatus::Refunded),
        refunded_thousandths: Some(20_500),
        applied: false,
        fields: vec!["orderAmount".to_owned()],
        review: None,
    };
    full.timeline.push(TimelineEntry { seq: 2, state: ConversionState::Hold, at: AT, cause });
    bench.read_model.insert(full);
    let text = bench.send(Call::get("/api/v1/conversions/B")).await.text;
    for part in [
        r#""state":"hold","confidence":"HIGH","confidenceReason":null,"clickId":"clk_1","affiliateId":"aff_one","campaignId":"cmp_one","suggestedAffiliateId":null,"externalProductId":"SKU""#,
        r#""couponCode":"AFF10","metadata":{ "b": 1.50, "a": null },"#,
        r#""commission":{"amount":"359.88","currency":"NPR","level":"product","ruleId":"rul_1","rate":"12"},"holdUntil":"2026-06-14T09:30:01.5Z","refundedAmount":"1000.005","conflicts":1,"#,
        r#"{"seq":2,"state":"hold","at":"2026-06-14T09:30:00Z","cause":{"type":"conflict","eventId":"cnvevt_2","orderStatus":"refunded","refundedAmount":"20.50","applied":false,"fields":["orderAmount"]}}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn found_by_either_id_by_its_merchant_and_mode_alone() {
    let bench = Bench::new();
    bench.read_model.insert(received("A"));
    bench.read_model.insert(received("SHOP/1 é%"));
    let id = received("A").conversion.conversion_id;
    // An order that is named like another conversion.
    bench.read_model.insert(received(&received("SHOP/1 é%").conversion.conversion_id.to_string()));
    let get = |id: &str| Call::get(&format!("/api/v1/conversions/{id}"));
    for (path, order) in [
        ("A", "A".to_owned()),
        ("%41", "A".to_owned()),
        (&id.to_string(), "A".to_owned()),
        ("SHOP%2F1%20%C3%A9%25", "SHOP/1 é%".to_owned()),
        (
            &received("SHOP/1 é%").conversion.conversion_id.to_string(),
            received("SHOP/1 é%").conversion.conversion_id.to_string(),
        ),
    ] {
        let reply = bench.send(get(path)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["externalOrderId"]), (200, &order.into()), "{path}");
    }
    let mut told = Vec::new();
    for call in [
        get("B"),
        get("%FF"),
        get("cnv_00000000000000000000000000000000"),
        get("A").by(TWO),
        get("A").by(ONE_TEST),
        get(&id.to_string()).by(TWO),
        get(&id.to_string()).by(ONE_TEST),
    ] {
        told.push(bench.send(call.header("x-request-id", "r")).await.error(404, "NOT_FOUND"));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "nobody can tell another's conversion from none: {told:?}");
}

#[tokio::test]
async fn a_conversion_is_explained_to_its_merchant() {
    let bench = Bench::new();
    let mut view = received("A/1");
    let get = |path: &str| Call::get(&format!("/api/v1/conversions/{path}/explain"));
    bench.read_model.insert(received("B"));
    let unprocessed = bench.send(get("B")).await;
    assert_eq!((unprocessed.status.as_u16(), &unprocessed.json()["explanation"]), (200, &serde_json::Value::Null));
    view.conversion.coupon_code = Some("AFF10".to_owned());
    view.conversion.explanation = Some(Explanation {
        state_reason: StateReason::OnHold,
        click_checks: vec![ClickCheck { question: ClickQuestion::Named, passed: true }],
        click: Some(ClickMeasured {
            clicked_at: AT,
            lookback_ms: 86_400_000,
            min_click_to_order_ms: 0,
            self_referral: false,
        }),
        coupon: Some(CouponFinding::Holds),
        decisions: vec![DecisionExplained {
            decision: ReviewDecision::Reinstate,
            event_id: "revevt_1".to_owned(),
            role: "administrator".to_owned(),
            decided_at: AT,
        }],
        rules: vec![RuleConsidered {
            level: RuleLevel::Product,
            rule_id: "rul_1".to_owned(),
            version: "0123456789abcdef".to_owned(),
            outcome: RuleOutcome::Won,
        }],
        rules_left_out: 0,
        arithmetic: Some(Arithmetic {
            paid_by: PaidBy::Percentage,
            rate: Some("12".to_owned()),
            flat_minor: None,
            remaining_thousandths: 2_999_000,
            numerator: "359880000000".to_owned(),
            denominator: "10000000".to_owned(),
            rounding: Rounding::Exact,
            amount_minor: 35_988,
        }),
        hold: Some(HoldExplained { window: HoldWindow::Return, since: AT, window_ms: 1_500 }),
        facts: vec![FactPlace {
            fact: FactKind::Report,
            event_id: Some("cnvevt_1".to_owned()),
            topic: "conversions".to_owned(),
            partition: 3,
            offset: 7,
        }],
    });
    bench.read_model.insert(view);
    let text = bench.send(get("A%2F1")).await.text;
    let expected = concat!(
        r#""externalOrderId":"A/1","state":"received","explanation":{"stateReason":"on_hold","click":{"clickId":null,"#,
        r#""clickedAt":"2026-06-14T09:30:00Z","orderedAt":"2026-06-14T09:30:00Z","lookbackMs":86400000,"#,
        r#""minClickToOrderMs":0,"checks":[{"question":"named","passed":true}]},"#,
        r#""coupon":{"code":"AFF10","finding":"holds"},"decisions":[{"decision":"reinstate","eventId":"revevt_1","#,
        r#""decidedBy":"administrator","decidedAt":"2026-06-14T09:30:00Z"}],"rules":[{"level":"product","ruleId":"rul_1","#,
        r#""version":"0123456789abcdef","outcome":"won"}],"rulesLeftOut":0,"arithmetic":{"paidBy":"percentage","#,
        r#""rate":"12","flatAmount":null,"orderAmount":"2999.00","remainingAmount":"2999.00","#,
        r#""numerator":"359880000000","denominator":"10000000","rounding":"exact","amount":"359.88","currency":"NPR"},"#,
        r#""hold":{"window":"return","since":"2026-06-14T09:30:00Z","windowMs":1500,"until":"2026-06-14T09:30:01.5Z"},"#,
        r#""facts":[{"fact":"report","eventId":"cnvevt_1","topic":"conversions","partition":3,"offset":7}]}}"#
    );
    assert!(text.ends_with(expected), "{text}");
    for call in [get("C"), get("A%2F1").by(TWO), get("A%2F1").by(ONE_TEST)] {
        bench.send(call).await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn anothers_click_is_not_told() {
    let bench = Bench::new();
    let mut view = received("A");
    view.conversion.confidence = Some(Confidence::Low);
    view.conversion.confidence_reason = Some(ConfidenceReason::ClickNotYours);
    view.conversion.click_id = Some("clk_theirs".to_owned());
    view.conversion.affiliate_id = Some("aff_theirs".to_owned());
    view.conversion.campaign_id = Some("cmp_theirs".to_owned());
    view.timeline.push(entry(2, CauseType::Click));
    bench.read_model.insert(view);
    let json = bench.send(Call::get("/api/v1/conversions/A")).await.json();
    assert_eq!((&json["confidence"], &json["confidenceReason"]), (&"LOW".into(), &"click_unknown".into()));
    assert!(json["affiliateId"].is_null() && json["campaignId"].is_null());
    assert_eq!(json["timeline"][1]["cause"]["type"], "click_wait_elapsed");
    assert_eq!(json["clickId"], "clk_theirs", "the merchant's own words stay");
}

#[tokio::test]
async fn who_is_suggested_is_told_in_both_places() {
    for (reason, word) in [
        (ConfidenceReason::CouponOnly, "coupon_only"),
        (ConfidenceReason::CouponOutsideWindow, "coupon_outside_window"),
        (ConfidenceReason::CouponUnknown, "coupon_unknown"),
        (ConfidenceReason::ClickTooRecent, "click_too_recent"),
        (ConfidenceReason::SelfReferral, "self_referral"),
    ] {
        let bench = Bench::new();
        let mut view = received("A");
        view.conversion.confidence = Some(Confidence::Low);
        view.conversion.confidence_reason = Some(reason);
        view.conversion.suggested_affiliate_id = Some("aff_one".to_owned());
        bench.read_model.insert(view);
        let by_id = bench.send(Call::get("/api/v1/conversions/A")).await.json();
        let listed = bench.send(Call::get("/api/v1/conversions")).await.json()["data"][0].clone();
        for json in [by_id, listed] {
            assert_eq!((&json["confidence"], &json["confidenceReason"]), (&"LOW".into(), &word.into()));
            assert_eq!(json["suggestedAffiliateId"], "aff_one");
            assert!(json["affiliateId"].is_null() && json["campaignId"].is_null());
        }
    }
}

#[tokio::test]
async fn a_read_model_that_fails_is_unavailable() {
    for mode in [StoreMode::Fails, StoreMode::Stalls] {
        let bench = Bench::with(|config| config.store_deadline = Duration::from_millis(10));
        bench.read_model.set(mode);
        let reply = bench.send(Call::get("/api/v1/conversions/A")).await;
        assert_eq!(reply.error(503, "UNAVAILABLE"), ["what was asked for cannot be read at the moment: try again"]);
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}
