//! What an order is told to have come by.

use processors::derive::{Facts, derive, work_out};
use processors::orders::empty_state;
use schemas::records::{
    Arithmetic, ClickQuestion, CouponFinding, Explanation, FactKind, HoldWindow, OrderStatus, PaidBy, ReportedStatus,
    Rounding, RuleOutcome, StateReason,
};
use schemas::registry::Registry;
use schemas::state::{ClickFact, CouponFact, FactSource, OrderState, ReportFact, StatusFact};
use schemas::{Currency, Timestamp};

use crate::world::{DAY, SECOND, T0, World, click, clicked, report, reported};

const BASE: &str = r#"
[[merchants]]
id = "m1"
name = "One"
[[affiliates]]
id = "a1"
name = "A"
[[campaigns]]
id = "c1"
merchant = "m1"
min_click_to_order = "30s"
"#;

fn registry(rules: &str) -> Registry {
    Registry::parse(&format!("{BASE}{rules}")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn source(offset: i64) -> Option<FactSource> {
    Some(FactSource { partition: 2, offset })
}

fn order(amount_minor: i64) -> OrderState {
    let report = ReportFact {
        event_id: "cnvevt_1".to_owned(),
        click_id: Some("clk_1".to_owned()),
        external_product_id: Some("RED".to_owned()),
        amount_minor,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: Some(Timestamp(T0)),
        received_at: Timestamp(T0),
        coupon_code: None,
        metadata: None,
        source: source(1),
    };
    let click = ClickFact {
        merchant_id: "m1".to_owned(),
        campaign_id: "c1".to_owned(),
        affiliate_id: "a1".to_owned(),
        clicked_at: Timestamp(T0 - DAY),
        source: source(2),
    };
    let awaited_until = Some(Timestamp(T0 + 60 * SECOND));
    OrderState { report: Some(report), click: Some(click), awaited_until, ..empty_state() }
}

/// Asserts too that what is told is told of the derivation that there is without it.
fn explained(state: &OrderState, registry: &Registry, now: i64) -> Explanation {
    let facts = Facts { merchant_id: "m1", state };
    let (derivation, working) = work_out(facts, registry, Timestamp(now)).expect("the order is reported");
    assert_eq!(derive(facts, registry, Timestamp(now)).as_ref(), Some(&derivation));
    let explanation = working.explain(facts, &derivation);
    assert_eq!(explanation.hold.map(|hold| hold.until()), derivation.hold_until);
    assert_eq!(
        explanation.arithmetic.as_ref().map(|it| it.amount_minor),
        derivation.commission.as_ref().map(|commission| commission.amount_minor)
    );
    explanation
}

#[test]
fn a_click_is_asked_up_to_the_question_that_it_fails() {
    use ClickQuestion::{AfterMinimum, BeforeOrder, Known, Named, WithinLookback};
    const QUESTIONS: [ClickQuestion; 5] = [Named, Known, BeforeOrder, WithinLookback, AfterMinimum];
    let registry = registry("");
    let check = |change: &dyn Fn(&mut OrderState), failed: Option<ClickQuestion>, reason: StateReason| {
        let mut state = order(100);
        change(&mut state);
        let explanation = explained(&state, &registry, T0 + 60 * SECOND);
        let passed: Vec<ClickQuestion> =
            explanation.click_checks.iter().filter(|it| it.passed).map(|it| it.question).collect();
        let last = explanation.click_checks.last().filter(|it| !it.passed).map(|it| it.question);
        assert_eq!((last, explanation.state_reason), (failed, reason), "{failed:?}");
        assert!(QUESTIONS.starts_with(&passed), "{passed:?}");
    };
    let clicked_at = |at: i64| move |state: &mut OrderState| state.click.as_mut().expect("one").clicked_at.0 = at;
    let low = StateReason::NotAttributed;
    check(&|_| (), None, StateReason::NoRule);
    check(&|state| state.report.as_mut().expect("one").click_id = None, Some(Named), low);
    check(&|state| state.click = None, Some(Known), low);
    check(&clicked_at(T0 + 1), Some(BeforeOrder), low);
    check(&clicked_at(T0 - 31 * DAY), Some(WithinLookback), low);
    check(&clicked_at(T0 - 30 * SECOND + 1), Some(AfterMinimum), low);

    let unknown = OrderState { click: None, ..order(100) };
    assert_eq!(explained(&unknown, &registry, T0).state_reason, StateReason::ClickAwaited);
    let mut foreign = order(100);
    foreign.click.as_mut().expect("one").merchant_id = "m2".to_owned();
    for now in [T0, T0 + 60 * SECOND] {
        assert_eq!(explained(&foreign, &registry, now), explained(&unknown, &registry, now), "nobody learns of it");
    }
}

#[test]
fn each_rule_has_why_it_lost() {
    let until = Timestamp(T0);
    let rules = format!(
        r#"
[[rules]]
id = "yen"
level = "product"
merchant = "m1"
product = "RED"
fixed = "5"
currency = "JPY"
[[rules]]
id = "over"
level = "campaign"
campaign = "c1"
percent = "20"
effective_until = "{until}"
[[rules]]
id = "later"
level = "campaign"
campaign = "c1"
percent = "20"
effective_from = "{}"
[[rules]]
id = "won"
level = "merchant"
merchant = "m1"
percent = "10"
[[rules]]
id = "other"
level = "product"
merchant = "m1"
product = "BLUE"
percent = "50"
[[rules]]
id = "last"
level = "platform"
percent = "5"
"#,
        Timestamp(T0 + 1)
    );
    let old = registry(&rules);
    let explanation = explained(&order(1_000), &old, T0);
    let found: Vec<_> = explanation.rules.iter().map(|rule| (rule.rule_id.as_str(), rule.outcome)).collect();
    let expected = [
        ("yen", RuleOutcome::OtherCurrency),
        ("later", RuleOutcome::NotYetEffective),
        ("over", RuleOutcome::NoLongerEffective),
        ("won", RuleOutcome::Won),
        ("last", RuleOutcome::Outranked),
    ];
    assert_eq!(found, expected);

    let version = |explanation: &Explanation, id: &str| {
        explanation.rules.iter().find(|rule| rule.rule_id == id).expect("considered").version.clone()
    };
    let new = registry(&rules.replace("percent = \"10\"", "percent = \"11\""));
    let again = explained(&order(1_000), &new, T0);
    assert_ne!(version(&again, "won"), version(&explanation, "won"));
    assert_eq!(version(&again, "last"), version(&explanation, "last"));
    let mut pinned = order(1_000);
    pinned.terms = derive(Facts { merchant_id: "m1", state: &pinned }, &old, Timestamp(T0)).expect("derived").terms;
    assert_eq!(explained(&pinned, &new, T0), explanation, "what was considered stays");
}

#[test]
fn of_many_rules_the_one_that_won_is_told() {
    let rule = |number: i64| {
        format!(
            "[[rules]]\nid = \"r{number}\"\nlevel = \"platform\"\npercent = \"5\"\neffective_from = \"{}\"\n",
            Timestamp(T0 + (40 - number) * 1_000)
        )
    };
    let rules: String = (1..=45).map(rule).collect();
    let explanation = explained(&order(1_000), &registry(&rules), T0);
    let last = explanation.rules.last().expect("some");
    assert_eq!((last.rule_id.as_str(), last.outcome), ("r40", RuleOutcome::Won));
    assert_eq!((explanation.rules.len(), explanation.rules_left_out), (32, 13));
}

#[track_caller]
fn check_arithmetic(rule: &str, amount: i64, refunded: Option<i64>, expected: (PaidBy, &str, &str, Rounding, i64)) {
    let mut state = order(amount);
    state.updates.extend(refunded.map(|thousandths| StatusFact {
        event_id: "osevt_1".to_owned(),
        status: ReportedStatus::Refunded,
        status_updated_at: Some(Timestamp(T0 + 1)),
        refunded_thousandths: Some(thousandths),
        received_at: Timestamp(T0 + 1),
        source: source(3),
    }));
    let registry = registry(&format!("[[rules]]\nid = \"r\"\nlevel = \"platform\"\n{rule}\n"));
    let Arithmetic { paid_by, numerator, denominator, rounding, amount_minor, .. } =
        explained(&state, &registry, T0).arithmetic.expect("a commission");
    assert_eq!((paid_by, &*numerator, &*denominator, rounding, amount_minor), expected, "{rule} {amount} {refunded:?}");
}

#[test]
fn the_arithmetic_is_a_fraction_rounded_once() {
    let percent = "percent = \"12.5\"";
    check_arithmetic(percent, 800, None, (PaidBy::Percentage, "1000000000", "10000000", Rounding::Exact, 100));
    check_arithmetic(percent, 801, None, (PaidBy::Percentage, "1001250000", "10000000", Rounding::Down, 100));
    check_arithmetic(percent, 807, None, (PaidBy::Percentage, "1008750000", "10000000", Rounding::Up, 101));
    check_arithmetic(percent, 804, None, (PaidBy::Percentage, "1005000000", "10000000", Rounding::HalfToEven, 100));
    check_arithmetic(percent, 801, Some(10), (PaidBy::Percentage, "1000000000", "10000000", Rounding::Exact, 100));
    let fixed = "fixed = \"1\"\ncurrency = \"NPR\"";
    check_arithmetic(fixed, 300, None, (PaidBy::Fixed, "100", "1", Rounding::Exact, 100));
    check_arithmetic(fixed, 300, Some(1_000), (PaidBy::Fixed, "200000", "3000", Rounding::Up, 67));
    let bounds = "percent = \"10\"\ncurrency = \"NPR\"\nminimum = \"1\"\ncap = \"2\"";
    check_arithmetic(bounds, 999, None, (PaidBy::Minimum, "100", "1", Rounding::Exact, 100));
    check_arithmetic(bounds, 1_000, None, (PaidBy::Percentage, "1000000000", "10000000", Rounding::Exact, 100));
    check_arithmetic(bounds, 2_001, None, (PaidBy::Cap, "200", "1", Rounding::Exact, 200));
}

#[test]
fn state_and_hold_have_their_reasons() {
    let registry = registry("[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"10\"\n");
    let check = |first: OrderStatus, updates: &[ReportedStatus], now: i64, reason, window: Option<HoldWindow>| {
        let mut state = order(1_000);
        state.report.as_mut().expect("one").order_status = first;
        state.updates = (1..)
            .zip(updates)
            .map(|(number, status)| StatusFact {
                event_id: format!("osevt_{number}"),
                status: *status,
                status_updated_at: Some(Timestamp(T0 + number)),
                refunded_thousandths: None,
                received_at: Timestamp(T0),
                source: source(2 + number),
            })
            .collect();
        let explanation = explained(&state, &registry, now);
        let found = (explanation.state_reason, explanation.hold.map(|hold| hold.window));
        assert_eq!(found, (reason, window), "{first:?} {updates:?}");
        assert_eq!(explanation.facts.len(), 2 + updates.len());
    };
    let (pending, confirmed) = (OrderStatus::Pending, OrderStatus::Confirmed);
    let (settlement, returning) = (Some(HoldWindow::Settlement), Some(HoldWindow::Return));
    check(pending, &[], T0, StateReason::HoldNotBegun, None);
    check(confirmed, &[], T0, StateReason::OnHold, settlement);
    check(confirmed, &[], T0 + 30 * DAY, StateReason::HoldEnded, settlement);
    check(confirmed, &[ReportedStatus::Delivered], T0, StateReason::OnHold, returning);
    check(confirmed, &[ReportedStatus::CommissionApproved], T0, StateReason::Approved, settlement);
    check(pending, &[ReportedStatus::Delivered, ReportedStatus::Returned], T0, StateReason::Reversed, returning);
}

#[test]
fn coupons_have_a_finding() {
    let registry = registry("");
    let check = |code: Option<&str>, coupon: Option<Option<&str>>, expected: Option<CouponFinding>| {
        let mut state = order(100);
        state.report.as_mut().expect("one").coupon_code = code.map(str::to_owned);
        state.coupon = coupon.map(|affiliate| CouponFact { affiliate_id: affiliate.map(str::to_owned) });
        assert_eq!(explained(&state, &registry, T0).coupon, expected, "{code:?} {coupon:?}");
    };
    check(None, None, None);
    check(Some("TEN"), None, Some(CouponFinding::Unknown));
    check(Some("TEN"), Some(None), Some(CouponFinding::OutsideWindow));
    check(Some("TEN"), Some(Some("a1")), Some(CouponFinding::Holds));
}

#[test]
fn a_transition_tells_where_its_facts_are() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    let explanation = world.conversion().explanation.expect("explained");
    let facts: Vec<_> = explanation.facts.iter().map(|it| (it.fact, it.topic.as_str())).collect();
    assert_eq!(facts, [(FactKind::Report, "conversions"), (FactKind::Click, "click-verdicts")]);
    assert_ne!(explanation.facts[0].offset, explanation.facts[1].offset, "each has its own place in one log");
    assert_eq!(explanation.facts[0].event_id, Some(report().event_id));
}
