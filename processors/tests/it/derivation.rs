//! `derive`, row by row of the contract's tables.

use processors::derive::{Attribution, Derivation, Facts, derive};
use processors::orders::empty_state;
use schemas::records::{ConfidenceReason, ConversionState, OrderStatus, ReportedStatus, RuleLevel};
use schemas::registry::Registry;
use schemas::state::{ClickFact, CouponFact, OrderState, ReportFact, StatusFact};
use schemas::{Currency, Timestamp};

use crate::world::{DAY, SECOND, T0};

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
[[campaigns]]
id = "short"
merchant = "m1"
lookback = "1d"
[[campaigns]]
id = "slow"
merchant = "m1"
min_click_to_order = "30s"
"#;

fn registry(rules: &str) -> Registry {
    Registry::parse(&format!("{BASE}{rules}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A confirmed order with a click that counts.
pub(crate) fn order(amount_minor: i64, currency: &str) -> OrderState {
    let report = ReportFact {
        event_id: "cnvevt_1".to_owned(),
        click_id: Some("clk_1".to_owned()),
        external_product_id: Some("RED".to_owned()),
        amount_minor,
        currency: Currency::parse(currency).expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: Some(Timestamp(T0)),
        received_at: Timestamp(T0),
        coupon_code: None,
        metadata: None,
        set_aside: false,
        source: None,
    };
    let click = ClickFact {
        merchant_id: "m1".to_owned(),
        campaign_id: "c1".to_owned(),
        affiliate_id: "a1".to_owned(),
        clicked_at: Timestamp(T0 - DAY),
        source: None,
    };
    let awaited_until = Some(Timestamp(T0 + 60 * SECOND));
    OrderState { report: Some(report), click: Some(click), awaited_until, ..empty_state() }
}

fn at(state: &OrderState, registry: &Registry, now: i64) -> Derivation {
    derive(Facts { merchant_id: "m1", livemode: true, state }, registry, Timestamp(now)).expect("the order is reported")
}

#[test]
fn lookback_to_the_millisecond() {
    let registry = registry("");
    let check = |campaign: &str, clicked_at: i64, expected: Attribution| {
        let mut state = order(100, "NPR");
        let click = state.click.as_mut().expect("a click");
        (click.campaign_id, click.clicked_at) = (campaign.to_owned(), Timestamp(clicked_at));
        assert_eq!(at(&state, &registry, T0).attribution, expected, "{campaign} {}", clicked_at - T0);
    };
    let low = Attribution::Low;
    check("c1", T0 - 30 * DAY, Attribution::High);
    check("c1", T0 - 30 * DAY - 1, low(ConfidenceReason::ClickOutsideWindow));
    check("c1", T0 - 30 * DAY + SECOND, Attribution::High);
    check("c1", T0, Attribution::High);
    check("c1", T0 + 1, low(ConfidenceReason::ClickAfterOrder));
    check("short", T0 - DAY, Attribution::High);
    check("short", T0 - DAY - 1, low(ConfidenceReason::ClickOutsideWindow));
}

#[test]
fn a_click_counts_only_for_its_merchant_and_only_if_named() {
    let registry = registry("");
    let mut foreign = order(100, "NPR");
    foreign.click.as_mut().expect("a click").merchant_id = "m2".to_owned();
    let until = Timestamp(T0 + 60 * SECOND);
    let awaited = at(&foreign, &registry, until.0 - 1).attribution;
    assert_eq!(awaited, Attribution::Awaited { until }, "how long it takes tells nothing of another's click");
    assert_eq!(at(&foreign, &registry, until.0).attribution, Attribution::Low(ConfidenceReason::ClickNotYours));
    let mut unnamed = order(100, "NPR");
    unnamed.report.as_mut().expect("a report").click_id = None;
    unnamed.click = None;
    assert_eq!(at(&unnamed, &registry, T0).attribution, Attribution::Low(ConfidenceReason::NoClick));
    let unknown = OrderState { click: None, ..order(100, "NPR") };
    let until = Timestamp(T0 + 60 * SECOND);
    assert_eq!(at(&unknown, &registry, until.0 - 1).attribution, Attribution::Awaited { until });
    assert_eq!(at(&unknown, &registry, until.0 - 1).next_due, Some(until));
    assert_eq!(at(&unknown, &registry, until.0).attribution, Attribution::Low(ConfidenceReason::ClickUnknown));
    assert_eq!(at(&unknown, &registry, until.0).next_due, None);
}

#[test]
fn the_least_time_from_click_to_order_to_the_millisecond() {
    let check = |policies: &str, campaign: &str, before: i64, expected: Attribution| {
        let mut state = order(100, "NPR");
        let click = state.click.as_mut().expect("a click");
        (click.campaign_id, click.clicked_at) = (campaign.to_owned(), Timestamp(T0 - before));
        let found = at(&state, &registry(policies), T0);
        assert_eq!(found.attribution, expected, "{policies} {campaign} {before}");
        let low = found.attribution != Attribution::High;
        assert_eq!(found.suggested_affiliate_id, low.then(|| "a1".to_owned()), "{policies} {campaign} {before}");
        assert_eq!((found.terms.is_none(), found.hold_until.is_none()), (low, low), "nothing is earned yet");
    };
    let recent = Attribution::Low(ConfidenceReason::ClickTooRecent);
    let five = "[policies]\nmin_click_to_order = \"5s\"\n";
    check("", "c1", 0, Attribution::High);
    check(five, "c1", 5 * SECOND, Attribution::High);
    check(five, "c1", 5 * SECOND - 1, recent);
    check(five, "c1", 0, recent);
    check("", "slow", 30 * SECOND, Attribution::High);
    check("", "slow", 30 * SECOND - 1, recent);
    check(five, "slow", 30 * SECOND - 1, recent);
    check(five, "short", 5 * SECOND - 1, recent);
}

/// An order that names a coupon.
fn with_coupon() -> OrderState {
    let mut state = order(100, "NPR");
    state.report.as_mut().expect("a report").coupon_code = Some("TEN".to_owned());
    state
}

#[test]
fn a_coupon_suggests_and_never_attributes() {
    let registry = registry("");
    let held = Some(CouponFact { affiliate_id: Some("a2".to_owned()), self_referral: false });
    let over = Some(CouponFact { affiliate_id: None, self_referral: false });
    let check =
        |click: Option<ClickFact>, named: bool, coupon: &Option<CouponFact>, reason: Option<ConfidenceReason>| {
            let mut state = with_coupon();
            let report = state.report.as_mut().expect("a report");
            report.click_id = report.click_id.take().filter(|_| named);
            (state.click, state.coupon) = (click, coupon.clone());
            let found = at(&state, &registry, T0 + 60 * SECOND);
            let expected = reason.map_or(Attribution::High, Attribution::Low);
            assert_eq!(found.attribution, expected, "{named} {coupon:?}");
            let suggested = (reason == Some(ConfidenceReason::CouponOnly)).then(|| "a2".to_owned());
            assert_eq!(found.suggested_affiliate_id, suggested, "{named} {coupon:?}");
            assert_eq!(found.commission, None);
            let state = if reason.is_some() { ConversionState::Received } else { ConversionState::Attributed };
            assert_eq!((found.state, found.hold_until.is_some()), (state, reason.is_none()), "{named} {coupon:?}");
        };
    let own = order(100, "NPR").click.expect("a click");
    let late = ClickFact { clicked_at: Timestamp(T0 + 1), ..own.clone() };
    let old = ClickFact { clicked_at: Timestamp(T0 - 31 * DAY), ..own.clone() };
    let foreign = ClickFact { merchant_id: "m2".to_owned(), ..own.clone() };
    check(Some(own.clone()), true, &held, None);
    check(Some(own), true, &over, None);
    for click in [None, Some(late.clone()), Some(old.clone()), Some(foreign.clone())] {
        check(click, true, &held, Some(ConfidenceReason::CouponOnly));
    }
    check(None, false, &held, Some(ConfidenceReason::CouponOnly));
    check(None, false, &over, Some(ConfidenceReason::CouponOutsideWindow));
    check(None, false, &None, Some(ConfidenceReason::CouponUnknown));
    for coupon in [over, None] {
        check(None, true, &coupon, Some(ConfidenceReason::ClickUnknown));
        check(Some(late.clone()), true, &coupon, Some(ConfidenceReason::ClickAfterOrder));
        check(Some(old.clone()), true, &coupon, Some(ConfidenceReason::ClickOutsideWindow));
        check(Some(foreign.clone()), true, &coupon, Some(ConfidenceReason::ClickNotYours));
    }
    let mut awaited = with_coupon();
    (awaited.click, awaited.coupon) = (None, held);
    let found = at(&awaited, &registry, T0 + 60 * SECOND - 1);
    assert_eq!(found.attribution, Attribution::Awaited { until: Timestamp(T0 + 60 * SECOND) });
    assert_eq!(found.suggested_affiliate_id, None, "nothing is said before the click was waited for");
}

#[test]
fn a_campaign_that_ended_between_click_and_order_credits_by_the_next_rule() {
    let rules = |until: i64| {
        let ended = format!("{}effective_until = \"{}\"\n", LEVELS[1].1, Timestamp(until));
        format!(
            "[[rules]]\nid = \"ended\"\npercent = \"50\"\n{ended}[[rules]]\nid = \"next\"\npercent = \"10\"\n{}",
            LEVELS[2].1
        )
    };
    let paid = |until: i64| {
        let found = at(&order(1_000, "NPR"), &registry(&rules(until)), T0);
        assert_eq!(found.attribution, Attribution::High);
        found.commission.map(|it| (it.rule_id, it.amount_minor)).expect("a commission")
    };
    assert_eq!(paid(T0 + 1), ("ended".to_owned(), 500));
    assert_eq!(paid(T0), ("next".to_owned(), 100), "the order's time counts, not the click's");
    assert_eq!(paid(T0 - DAY), ("next".to_owned(), 100));
    // A campaign that is gone from the registry altogether has the policy's windows and no rule.
    let mut gone = order(1_000, "NPR");
    gone.click.as_mut().expect("a click").campaign_id = "gone".to_owned();
    let found = at(&gone, &registry(&rules(T0)), T0);
    assert_eq!(
        (found.attribution, found.commission.map(|it| it.rule_id)),
        (Attribution::High, Some("next".to_owned()))
    );
}

const LEVELS: [(RuleLevel, &str); 4] = [
    (RuleLevel::Product, "level = \"product\"\nmerchant = \"m1\"\nproduct = \"RED\"\n"),
    (RuleLevel::Campaign, "level = \"campaign\"\ncampaign = \"c1\"\n"),
    (RuleLevel::Merchant, "level = \"merchant\"\nmerchant = \"m1\"\n"),
    (RuleLevel::Platform, "level = \"platform\"\n"),
];

#[test]
fn the_most_particular_level_wins_in_every_subset() {
    for subset in 0..16u32 {
        let present = |index: usize| subset & (1 << index) != 0;
        let rules = LEVELS.iter().enumerate().filter(|(index, _)| present(*index));
        let text: String = rules
            .map(|(index, (_, scope))| format!("[[rules]]\nid = \"r{index}\"\npercent = \"{}\"\n{scope}", index + 1))
            .collect();
        let derivation = at(&order(10_000, "NPR"), &registry(&text), T0);
        let expected = (0..4).find(|index| present(*index));
        let won = derivation.commission.as_ref().map(|it| (it.level, it.amount_minor));
        assert_eq!(won, expected.map(|index| (LEVELS[index].0, 100 * (index as i64 + 1))), "{subset:04b}");
        let state = if expected.is_some() { ConversionState::Hold } else { ConversionState::Attributed };
        assert_eq!(derivation.state, state);
    }
}

#[track_caller]
fn check_amount(amount_minor: i64, currency: &str, rule: &str, expected: Option<i64>) {
    let rules = format!("[[rules]]\nid = \"r\"\nlevel = \"platform\"\n{rule}\n");
    let commission = at(&order(amount_minor, currency), &registry(&rules), T0).commission;
    assert_eq!(commission.map(|it| it.amount_minor), expected, "{amount_minor} {currency} under {rule}");
}

#[test]
fn amounts_bounds_and_rounding() {
    check_amount(299_900, "NPR", "percent = \"12\"", Some(35_988));
    check_amount(299_900, "NPR", "percent = \"0\"", Some(0));
    check_amount(0, "NPR", "percent = \"12\"", Some(0));
    check_amount(50, "NPR", "percent = \"5\"", Some(2));
    check_amount(70, "NPR", "percent = \"5\"", Some(4));
    check_amount(2_999, "JPY", "percent = \"12.5\"", Some(375));
    check_amount(2_999, "KWD", "percent = \"12.5\"", Some(375));
    check_amount(100, "NPR", "fixed = \"7.50\"\ncurrency = \"NPR\"", Some(750));
    check_amount(100, "USD", "fixed = \"7.50\"\ncurrency = \"NPR\"", None);
    check_amount(10_000, "NPR", "percent = \"1\"\nminimum = \"5.00\"\ncurrency = \"NPR\"", Some(500));
    check_amount(100_000_000, "NPR", "percent = \"10\"\ncap = \"5.00\"\ncurrency = \"NPR\"", Some(500));
    check_amount(10_000, "NPR", "percent = \"6\"\nminimum = \"5.00\"\ncap = \"7.00\"\ncurrency = \"NPR\"", Some(600));
    check_amount(10_000, "USD", "percent = \"1\"\nminimum = \"5.00\"\ncurrency = \"NPR\"", None);
}

#[test]
fn rules_hold_from_their_first_instant_until_before_their_last() {
    let bound = |field: &str, at: i64| format!("percent = \"10\"\neffective_{field} = \"{}\"", Timestamp(at));
    check_amount(1_000, "NPR", &bound("from", T0), Some(100));
    check_amount(1_000, "NPR", &bound("from", T0 + 1), None);
    check_amount(1_000, "NPR", &bound("until", T0), None);
    check_amount(1_000, "NPR", &bound("until", T0 + 1), Some(100));
}

#[test]
fn a_rule_that_does_not_hold_leaves_the_next_level_its_turn() {
    let rules = format!(
        "[[rules]]\nid = \"r0\"\npercent = \"50\"\neffective_until = \"{}\"\n{}[[rules]]\nid = \"r1\"\npercent = \"10\"\n{}",
        Timestamp(T0),
        LEVELS[0].1,
        LEVELS[3].1
    );
    let commission = at(&order(1_000, "NPR"), &registry(&rules), T0).commission.expect("a commission");
    assert_eq!((commission.rule_id.as_str(), commission.amount_minor), ("r1", 100));
}

#[test]
fn pinned_terms_outrank_a_changed_registry() {
    let old = registry("[[rules]]\nid = \"old\"\nlevel = \"platform\"\npercent = \"10\"\n");
    let mut state = order(1_000, "NPR");
    state.terms = at(&state, &old, T0).terms;
    let new = registry(
        "[policies]\nlookback = \"1d\"\nsettlement_window = \"1d\"\n[[rules]]\nid = \"new\"\nlevel = \"platform\"\npercent = \"20\"\n",
    );
    assert_eq!(at(&state, &new, T0), at(&state, &old, T0));
}

fn with_updates(updates: &[(ReportedStatus, i64)]) -> OrderState {
    let mut state = order(1_000, "NPR");
    let fact = |(status, at): &(ReportedStatus, i64)| StatusFact {
        event_id: String::new(),
        status: *status,
        status_updated_at: Some(Timestamp(*at)),
        refunded_thousandths: None,
        received_at: Timestamp(T0),
        set_aside: false,
        source: None,
    };
    state.updates = updates.iter().map(fact).collect();
    state.updates.sort_by(processors::derive::lifecycle::counts_before);
    state
}

#[test]
fn statuses_and_their_clocks() {
    use ReportedStatus::{
        Cancelled, CommissionApproved, CommissionRejected, Confirmed, Delivered, Paid, Pending, Refunded, Returned,
    };
    let registry = registry("[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"10\"\n");
    let check = |updates: &[(ReportedStatus, i64)], now: i64, state: ConversionState, hold_until: Option<i64>| {
        let derivation = at(&with_updates(updates), &registry, now);
        assert_eq!((derivation.state, derivation.hold_until.map(|it| it.0)), (state, hold_until), "{updates:?}");
    };
    let (hold, payable, reversed) = (ConversionState::Hold, ConversionState::Payable, ConversionState::Reversed);
    let settled = Some(T0 + 30 * DAY);
    check(&[], T0, hold, settled);
    check(&[], T0 + 30 * DAY - 1, hold, settled);
    check(&[], T0 + 30 * DAY, payable, settled);
    check(&[(Paid, T0 + DAY)], T0, hold, settled);
    check(&[(Pending, T0 + DAY)], T0, hold, settled);
    check(&[(Delivered, T0 + DAY)], T0 + 15 * DAY - 1, hold, Some(T0 + 15 * DAY));
    check(&[(Delivered, T0 + DAY)], T0 + 15 * DAY, payable, Some(T0 + 15 * DAY));
    check(&[(Delivered, T0 + DAY), (Delivered, T0 + 9 * DAY)], T0 + 15 * DAY, payable, Some(T0 + 15 * DAY));
    check(&[(Delivered, T0 - DAY)], T0, hold, Some(T0 + 13 * DAY));
    check(&[(CommissionApproved, T0)], T0, payable, settled);
    check(&[(CommissionApproved, T0), (CommissionRejected, T0)], T0, reversed, settled);
    for terminal in [Cancelled, Returned, Refunded, CommissionRejected] {
        check(&[(terminal, T0 + DAY)], T0, reversed, settled);
        check(&[(terminal, T0 + DAY), (Confirmed, T0 + DAY)], T0, reversed, settled);
        check(&[(terminal, T0 + DAY), (CommissionApproved, T0 + 2 * DAY)], T0 + 99 * DAY, reversed, settled);
        check(&[(Delivered, T0 + DAY), (terminal, T0 + 90 * DAY)], T0 + 99 * DAY, reversed, Some(T0 + 15 * DAY));
    }
}

/// A confirmed order of 100.00 with partial refunds of so many thousandths, a day after it each; then the status, the
/// commission, what is shown as refunded, and the order's status.
#[track_caller]
fn check_refunds(rule: &str, refunds: &[i64], expected: (ConversionState, i64, Option<i64>, OrderStatus)) {
    let rules = format!("[[rules]]\nid = \"r\"\nlevel = \"platform\"\n{rule}\n");
    let fact = |(number, thousandths): (i64, &i64)| StatusFact {
        event_id: String::new(),
        status: ReportedStatus::Refunded,
        status_updated_at: Some(Timestamp(T0 + DAY + number)),
        refunded_thousandths: Some(*thousandths),
        received_at: Timestamp(T0),
        set_aside: false,
        source: None,
    };
    let updates = (0..).zip(refunds).map(fact).collect();
    let derivation = at(&OrderState { updates, ..order(10_000, "NPR") }, &registry(&rules), T0);
    let amount = derivation.commission.as_ref().map_or(0, |it| it.amount_minor);
    let found = (derivation.state, amount, derivation.refunded, derivation.order_status);
    assert_eq!(found, expected, "{refunds:?} under {rule}");
}

#[test]
fn partial_refunds_shrink_the_commission_in_proportion() {
    let (ten, minimum) = ("percent = \"10\"", "percent = \"1\"\nminimum = \"5.00\"\ncurrency = \"NPR\"");
    let (cap, fixed) = ("percent = \"10\"\ncap = \"3.00\"\ncurrency = \"NPR\"", "fixed = \"7.50\"\ncurrency = \"NPR\"");
    let held = |amount, refunded| (ConversionState::Hold, amount, refunded, OrderStatus::Confirmed);
    let reversed = |amount| (ConversionState::Reversed, amount, Some(100_000), OrderStatus::Refunded);
    check_refunds(ten, &[], held(1_000, None));
    check_refunds(ten, &[40_000], held(600, Some(40_000)));
    check_refunds(ten, &[40_000, 40_000], held(200, Some(80_000)));
    // Finer than the currency each counts, and is rounded with the others, once.
    check_refunds(ten, &[15, 15, 15], held(1_000, Some(45)));
    check_refunds(ten, &[15, 15, 15, 15], held(999, Some(60)));
    // Half a hundredth goes to the even one.
    check_refunds(ten, &[50], held(1_000, Some(50)));
    check_refunds(ten, &[150], held(998, Some(150)));
    check_refunds(ten, &[99_999], held(0, Some(99_999)));
    // A minimum, a cap and a fixed amount are for the whole order, and shrink with it.
    check_refunds(minimum, &[50_000], held(250, Some(50_000)));
    check_refunds(cap, &[50_000], held(150, Some(50_000)));
    check_refunds(fixed, &[25_000], held(562, Some(25_000)));
    check_refunds(fixed, &[75_000], held(188, Some(75_000)));
    // Nothing left is a reversal, more than nothing is not less; the commission stays as it was before.
    check_refunds(ten, &[100_000], reversed(1_000));
    check_refunds(ten, &[40_000, 60_000], reversed(600));
    check_refunds(ten, &[60_000, 60_000, 10_000], reversed(400));
    check_refunds(ten, &[i64::MAX], reversed(1_000));
}

#[test]
fn of_one_instant_partial_refunds_count_after_clocks_and_before_the_end() {
    let registry = registry("[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"10\"\n");
    let mut state = with_updates(&[(ReportedStatus::Delivered, T0 + DAY), (ReportedStatus::Cancelled, T0 + DAY)]);
    let refund = |thousandths| StatusFact { refunded_thousandths: Some(thousandths), ..state.updates[1].clone() };
    let refunds = [refund(6_000), refund(3_000)].map(|it| StatusFact { status: ReportedStatus::Returned, ..it });
    state.updates.extend(refunds);
    state.updates.sort_by(processors::derive::lifecycle::counts_before);
    let derivation = at(&state, &registry, T0);
    assert_eq!(derivation.hold_until, Some(Timestamp(T0 + 15 * DAY)));
    assert_eq!(derivation.refunded, Some(9_000));
    assert_eq!(derivation.commission.map(|it| it.amount_minor), Some(10));
    assert_eq!((derivation.state, derivation.order_status), (ConversionState::Reversed, OrderStatus::Cancelled));
    // The smaller first: were the larger first, the commission would be of the rest of it.
    state.updates.pop();
    state.updates[2].refunded_thousandths = Some(7_000);
    let derivation = at(&state, &registry, T0);
    assert_eq!((derivation.refunded, derivation.commission.map(|it| it.amount_minor)), (Some(10_000), Some(70)));
    assert_eq!((derivation.state, derivation.order_status), (ConversionState::Reversed, OrderStatus::Returned));
}
