//! Orders of a shop that is the affiliate's own, by click and by coupon: flagged for a reviewer, who may approve them.

use processors::derive::{Attribution, Derivation, Facts, derive};
use schemas::Timestamp;
use schemas::records::{
    ClickQuestion, Confidence, ConfidenceReason, ConversionReported, ConversionState, Review, ReviewDecided,
    ReviewDecision,
};
use schemas::registry::Registry;
use schemas::state::{CouponFact, OrderState};
use schemas::topics::CONVERSIONS;
use streams::log::Limits;

use crate::derivation::order;
use crate::world::{DAY, REGISTRY, SECOND, T0, World, click, clicked, key, message, report, reported};

use ConfidenceReason::{
    ClickAfterOrder, ClickNotYours, ClickOutsideWindow, ClickTooRecent, ClickUnknown, CouponOnly, NoClick, SelfReferral,
};

/// [`REGISTRY`], in which these merchants are the first affiliate's own, and these the second's.
fn owned(first: &str, second: &str) -> String {
    let own = |name: &str, own: &str| match own {
        "" => format!("name = \"{name}\"\n"),
        own => format!("name = \"{name}\"\nown_merchants = \"{own}\"\n"),
    };
    let with = |text: String, name, merchants| {
        let plain = format!("name = \"{name}\"\n");
        assert!(text.contains(&plain));
        text.replace(&plain, &own(name, merchants))
    };
    with(with(REGISTRY.to_owned(), "A", first), "B", second)
}

fn parse(text: &str) -> Registry {
    Registry::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn at(state: &OrderState, registry: &Registry) -> Derivation {
    let facts = Facts { merchant_id: "m1", livemode: true, state };
    derive(facts, registry, Timestamp(T0 + 60 * SECOND)).expect("the order is reported")
}

/// An order with a click of `a1` so long before it, and a coupon of this affiliate, which may own the shop.
fn with(clicked_before_ms: Option<i64>, coupon: Option<(&str, bool)>) -> OrderState {
    let mut state = order(1_000, "NPR");
    let report = state.report.as_mut().expect("a report");
    report.coupon_code = coupon.map(|_| "TEN".to_owned());
    state.coupon = coupon
        .map(|(affiliate_id, self_referral)| CouponFact { affiliate_id: Some(affiliate_id.to_owned()), self_referral });
    match clicked_before_ms {
        Some(before) => state.click.as_mut().expect("a click").clicked_at = Timestamp(T0 - before),
        None => state.click = None,
    }
    state
}

#[test]
fn what_an_affiliate_refers_to_its_own_shop_is_low_and_which_reason_is_told() {
    let check = |registry: &str, state: &OrderState, low: Option<ConfidenceReason>, suggested: Option<&str>| {
        let found = at(state, &parse(registry));
        let expected = low.map_or(Attribution::High, Attribution::Low);
        assert_eq!((found.attribution, found.suggested_affiliate_id.as_deref()), (expected, suggested), "{state:?}");
        assert_eq!((found.commission.is_none(), found.terms.is_none()), (low.is_some(), low.is_some()));
        assert_eq!(found.state == ConversionState::Received, low.is_some());
    };
    let (none, own, all) = (REGISTRY, &*owned("m1", ""), &*owned("m2, m1", "m1,m2"));
    // Only a shop of the click's own affiliate is one.
    check(none, &with(Some(DAY), None), None, None);
    check(&owned("m2", "m1"), &with(Some(DAY), None), None, None);
    for registry in [own, all] {
        check(registry, &with(Some(DAY), None), Some(SelfReferral), Some("a1"));
        // It comes before that the order came too soon, and after whatever has the click not count.
        check(registry, &with(Some(5 * SECOND - 1), None), Some(SelfReferral), Some("a1"));
        check(registry, &with(Some(-1), None), Some(ClickAfterOrder), None);
        check(registry, &with(Some(31 * DAY), None), Some(ClickOutsideWindow), None);
        check(registry, &with(None, None), Some(ClickUnknown), None);
        let mut foreign = with(Some(DAY), None);
        foreign.click.as_mut().expect("a click").merchant_id = "m2".to_owned();
        check(registry, &foreign, Some(ClickNotYours), None);
        // A click that would credit somebody comes before a coupon, whosever that is.
        check(registry, &with(Some(DAY), Some(("a2", false))), Some(SelfReferral), Some("a1"));
        check(registry, &with(Some(DAY), Some(("a2", true))), Some(SelfReferral), Some("a1"));
    }
    check(none, &with(Some(DAY), Some(("a2", true))), None, None);
    check(none, &with(Some(SECOND), Some(("a2", true))), Some(ClickTooRecent), Some("a1"));
    // Where no click counts the coupon does, and its affiliate may own the shop.
    for before in [Some(-1), Some(31 * DAY), None] {
        check(none, &with(before, Some(("a2", true))), Some(SelfReferral), Some("a2"));
        check(none, &with(before, Some(("a2", false))), Some(CouponOnly), Some("a2"));
        check(all, &with(before, Some(("a2", false))), Some(CouponOnly), Some("a2"));
    }
    let mut over = with(None, Some(("a2", false)));
    over.coupon.as_mut().expect("a coupon").affiliate_id = None;
    check(all, &over, Some(ClickUnknown), None);
    let mut nothing = with(None, None);
    nothing.report.as_mut().expect("a report").click_id = None;
    check(all, &nothing, Some(NoClick), None);
}

#[test]
fn whose_shop_it_is_is_pinned_with_the_terms() {
    let (own, none) = (parse(&owned("m1", "")), parse(REGISTRY));
    let mut pinned = with(Some(DAY), None);
    pinned.terms = at(&pinned, &none).terms;
    assert_eq!(at(&pinned, &own), at(&pinned, &none), "what was attributed stays so");
    // While nobody is credited it is judged by the registry of the day.
    let low = with(Some(DAY), None);
    assert_eq!(
        (at(&low, &own).attribution, at(&low, &none).attribution),
        (Attribution::Low(SelfReferral), Attribution::High)
    );
}

/// A decision on a revision, which credits this affiliate.
fn approve(world: &mut World, revision: i64, affiliate_id: &str) {
    let decided = ReviewDecided {
        event_id: "revevt_1".to_owned(),
        merchant_id: "m1".to_owned(),
        livemode: true,
        external_order_id: "O-1".to_owned(),
        review: Review {
            decision: ReviewDecision::Approve,
            revision,
            affiliate_id: Some(affiliate_id.to_owned()),
            reviewer: "asha".to_owned(),
            role: "reviewer".to_owned(),
            reason: "known to us".to_owned(),
            request_id: "req_1".to_owned(),
        },
        decided_at: Timestamp(T0),
    };
    world.send(message(&CONVERSIONS, key("O-1"), &decided));
}

#[test]
fn a_reviewer_may_approve_it_for_the_commission_of_the_same_rules() {
    let mut world = World::with(&owned("m1", ""), Limits::default());
    let order = ConversionReported { external_product_id: None, ..report() };
    world.send(clicked(&click())).send(reported(&order));
    let low = world.conversion();
    assert_eq!((low.confidence_reason, low.suggested_affiliate_id.as_deref()), (Some(SelfReferral), Some("a1")));
    let failed = low.explanation.expect("explained").click_checks.pop().map(|check| (check.question, check.passed));
    assert_eq!(failed, Some((ClickQuestion::NotSelfReferral, false)));
    assert_eq!((world.commissions().len(), world.balances()), (0, [0, 0, 0]));
    world.at(T0 + 60 * SECOND);
    approve(&mut world, low.revision, "a1");
    let approved = world.conversion();
    assert_eq!((approved.confidence, approved.confidence_reason), (Some(Confidence::Low), Some(SelfReferral)));
    assert_eq!((approved.affiliate_id.as_deref(), approved.campaign_id.as_deref()), (Some("a1"), Some("c1")));
    assert_eq!(approved.commission.map(|it| (it.rule_id, it.amount_minor)), Some(("r-campaign".to_owned(), 29_990)));
    assert_eq!((approved.state, world.balances()), (ConversionState::Hold, [29_990, 0, -29_990]));
    // What it failed is told from then on too, whatever the registry says.
    world.set_registry(REGISTRY).at(T0 + 31 * DAY);
    let payable = world.conversion();
    assert_eq!((payable.state, payable.confidence_reason), (ConversionState::Payable, Some(SelfReferral)));
    let failed = payable.explanation.expect("explained").click_checks.pop().map(|check| (check.question, check.passed));
    assert_eq!(failed, Some((ClickQuestion::NotSelfReferral, false)));
}

#[test]
fn a_coupon_of_its_own_shop_is_flagged_as_it_was_when_the_order_was_reported() {
    let order = ConversionReported { click_id: None, coupon_code: Some("TEN".to_owned()), ..report() };
    let order = ConversionReported { ordered_at: Some(Timestamp(T0)), ..order };
    let mut world = World::with(&owned("", "m1"), Limits::default());
    world.send(reported(&order));
    world.set_registry(REGISTRY).send(reported(&ConversionReported {
        event_id: "cnvevt_2".to_owned(),
        amount_minor: 1,
        ..order
    }));
    let low = world.conversion();
    assert_eq!((low.confidence_reason, low.suggested_affiliate_id.as_deref()), (Some(SelfReferral), Some("a2")));
    assert_eq!((low.revision, low.conflicts), (2, 1), "it was judged again");
    approve(&mut world, low.revision, "a2");
    let approved = world.conversion();
    assert_eq!((approved.affiliate_id.as_deref(), approved.campaign_id), (Some("a2"), None));
    assert_eq!(approved.commission.map(|it| it.rule_id), Some("r-product".to_owned()));
}
