//! What an order is told to have come by.

use processors::derive::{Facts, derive, work_out};
use schemas::records::{
    Arithmetic, ClickQuestion, ConfidenceReason, ConversionReported, ConversionTransitioned, CouponFinding,
    Explanation, FactKind, HoldWindow, OrderStatus, OrderStatusReported, PaidBy, ReportedStatus, ReviewDecision,
    Rounding, RuleOutcome, StateReason,
};
use schemas::registry::Registry;
use schemas::state::{CouponFact, DecisionFact, FactSource, OrderState, ReviewFact, StatusFact};
use schemas::{Timestamp, encode};

use crate::derivation;
use crate::world::{DAY, SECOND, T0, World, click, clicked, report, reported, status, updated};

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

/// An order whose facts say where they came from.
fn order(amount_minor: i64) -> OrderState {
    let mut state = derivation::order(amount_minor, "NPR");
    state.report.as_mut().expect("a report").source = source(1);
    state.click.as_mut().expect("a click").source = source(2);
    state
}

/// Asserts too that what is told is told of the derivation that there is without it.
fn explained(state: &OrderState, registry: &Registry, now: i64) -> Explanation {
    let facts = Facts { merchant_id: "m1", livemode: true, state };
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
    use ClickQuestion::{AfterMinimum, BeforeOrder, Known, Named, NotSelfReferral, WithinLookback};
    const QUESTIONS: [ClickQuestion; 6] = [Named, Known, BeforeOrder, WithinLookback, NotSelfReferral, AfterMinimum];
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
    pinned.terms = derive(Facts { merchant_id: "m1", livemode: true, state: &pinned }, &old, Timestamp(T0))
        .expect("derived")
        .terms;
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
        set_aside: false,
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
                set_aside: false,
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
fn a_decision_is_told_and_the_rule_is_chosen_by_the_same_order() {
    let rules = r#"
[[rules]]
id = "campaign"
level = "campaign"
campaign = "c1"
percent = "20"
[[rules]]
id = "merchant"
level = "merchant"
merchant = "m1"
percent = "10"
"#;
    let registry = registry(rules);
    let decided = |event: &str, offset| DecisionFact {
        event_id: event.to_owned(),
        role: "administrator".to_owned(),
        decided_at: Timestamp(T0 + offset),
        source: FactSource { partition: 2, offset },
    };
    let check =
        |affiliate: Option<&str>, campaign: Option<&str>, reinstated: Option<i64>, reason, ruled: &[(&str, _)]| {
            let mut state = order(1_000);
            // Without the decision the click would be too old.
            state.click.as_mut().expect("one").clicked_at = Timestamp(T0 - 31 * DAY);
            state.review = Some(ReviewFact {
                affiliate_id: affiliate.map(str::to_owned),
                campaign_id: campaign.map(str::to_owned),
                confidence_reason: ConfidenceReason::ClickOutsideWindow,
                decided: decided("revevt_1", 5),
            });
            state.reinstated = reinstated.map(|offset| decided("revevt_2", offset));
            let explanation = explained(&state, &registry, T0);
            let rules: Vec<_> = explanation.rules.iter().map(|rule| (rule.rule_id.as_str(), rule.outcome)).collect();
            assert_eq!((explanation.state_reason, &rules[..]), (reason, ruled), "{affiliate:?} {campaign:?}");
            let last = explanation.click_checks.last().expect("asked");
            assert_eq!(
                (last.question, last.passed),
                (ClickQuestion::WithinLookback, false),
                "what is found of the click stays"
            );
            let told = explanation.decisions.iter().map(|it| (it.decision, it.decided_at));
            let made = if affiliate.is_some() { ReviewDecision::Approve } else { ReviewDecision::Reject };
            let mut expected = vec![(made, Timestamp(T0 + 5))];
            expected.extend(reinstated.map(|offset| (ReviewDecision::Reinstate, Timestamp(T0 + offset))));
            expected.sort_by_key(|(_, at)| *at);
            assert_eq!(told.collect::<Vec<_>>(), expected, "in the order of the log");
            let places = explanation.facts.iter().filter(|it| it.fact == FactKind::Review);
            let places: Vec<_> = places.map(|it| (it.topic.as_str(), Timestamp(T0 + it.offset))).collect();
            assert_eq!(places, expected.iter().map(|(_, at)| ("conversions", *at)).collect::<Vec<_>>());
        };
    let (won, outranked) = (RuleOutcome::Won, RuleOutcome::Outranked);
    let both = [("campaign", won), ("merchant", outranked)];
    check(Some("a1"), Some("c1"), None, StateReason::OnHold, &both);
    check(Some("a2"), None, None, StateReason::OnHold, &[("merchant", won)]);
    check(Some("a1"), Some("c1"), Some(9), StateReason::OnHold, &both);
    check(None, None, None, StateReason::Rejected, &[]);
    check(None, None, Some(3), StateReason::Rejected, &[]);
}

/// The click's campaign asks for 30 s, and everybody else for nothing: an approval for no campaign changes nothing of that.
#[test]
fn a_click_is_held_against_the_same_once_the_terms_are_pinned() {
    let registry = registry("");
    let mut state = order(1_000);
    state.click.as_mut().expect("one").clicked_at = Timestamp(T0 - 10 * SECOND);
    state.review = Some(ReviewFact {
        affiliate_id: Some("a2".to_owned()),
        campaign_id: None,
        confidence_reason: ConfidenceReason::ClickTooRecent,
        decided: DecisionFact {
            event_id: "revevt_1".to_owned(),
            role: "reviewer".to_owned(),
            decided_at: Timestamp(T0),
            source: FactSource { partition: 2, offset: 5 },
        },
    });
    let first = explained(&state, &registry, T0);
    let facts = Facts { merchant_id: "m1", livemode: true, state: &state };
    let terms = derive(facts, &registry, Timestamp(T0)).expect("the order is reported").terms;
    state.terms = Some(terms.expect("it is attributed"));
    assert_eq!(explained(&state, &registry, T0), first);
    assert_eq!(first.click.map(|click| click.min_click_to_order_ms), Some(30_000));
    let last = first.click_checks.last().map(|check| (check.question, check.passed));
    assert_eq!(last, Some((ClickQuestion::AfterMinimum, false)), "why it had to be reviewed");
}

#[test]
fn coupons_have_a_finding() {
    let registry = registry("");
    let check = |code: Option<&str>, coupon: Option<Option<&str>>, expected: Option<CouponFinding>| {
        let mut state = order(100);
        state.report.as_mut().expect("one").coupon_code = code.map(str::to_owned);
        state.coupon =
            coupon.map(|affiliate| CouponFact { affiliate_id: affiliate.map(str::to_owned), self_referral: false });
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

/// What an ordinary order costs more because it is explained; the figures stand in ARCHITECTURE.
#[test]
fn an_explanation_costs_some_hundred_bytes() {
    let mut world = World::new();
    let event_id = |prefix: &str| format!("{prefix}_{}", "0".repeat(26));
    let report = ConversionReported { event_id: event_id("cnvevt"), ..report() };
    world.send(clicked(&click())).send(reported(&report));
    for (reported, at) in [(ReportedStatus::Paid, T0 + 1), (ReportedStatus::Delivered, T0 + 2)] {
        world.send(updated(&OrderStatusReported { event_id: event_id("osevt"), ..status(reported, Some(at), at) }));
    }
    let explained = world.conversion();
    let bare = ConversionTransitioned { explanation: None, ..explained.clone() };
    let transition = encode(&explained).len() - encode(&bare).len();

    let mut state = order(299_900);
    state.terms = derive(Facts { merchant_id: "m1", livemode: true, state: &state }, &registry(""), Timestamp(T0))
        .expect("derived")
        .terms;
    let rules = explained.explanation.expect("explained").rules;
    let mut unexplained = state.clone();
    state.terms.as_mut().expect("attributed").considered = rules;
    unexplained.report.as_mut().expect("reported").source = None;
    unexplained.click.as_mut().expect("clicked").source = None;
    let row = encode(&state).len() - encode(&unexplained).len();
    assert!((300..=380).contains(&transition) && (70..=120).contains(&row), "{transition} and {row} bytes");
}
