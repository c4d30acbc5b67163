//! Coupons and orders that come too soon after their click, through the whole pipeline.

use schemas::Timestamp;
use schemas::records::{
    CauseType, ClickRecorded, Confidence, ConfidenceReason, ConversionReported, ConversionState,
    ConversionTransitioned, ReportedStatus,
};

use crate::world::{DAY, REGISTRY, SECOND, T0, World, click, clicked, report, reported, status, updated};

/// An order placed at T0 with this coupon and no click.
fn with_coupon(id: &str, code: &str) -> ConversionReported {
    ConversionReported {
        external_order_id: id.to_owned(),
        event_id: format!("cnvevt_{id}"),
        click_id: None,
        coupon_code: Some(code.to_owned()),
        ordered_at: Some(Timestamp(T0)),
        ..report()
    }
}

/// The last transition of an order.
#[track_caller]
fn last(world: &World, id: &str) -> ConversionTransitioned {
    world.transitions().into_iter().rfind(|it| it.external_order_id == id).expect("a transition")
}

/// Why an order is LOW, and whom a review could credit.
#[track_caller]
fn judged(world: &World, id: &str) -> (Option<ConfidenceReason>, Option<String>) {
    let conversion = last(world, id);
    assert_eq!(conversion.confidence == Some(Confidence::High), conversion.confidence_reason.is_none());
    assert_eq!(conversion.affiliate_id.is_some(), conversion.confidence == Some(Confidence::High));
    (conversion.confidence_reason, conversion.suggested_affiliate_id)
}

fn low(reason: ConfidenceReason, suggested: Option<&str>) -> (Option<ConfidenceReason>, Option<String>) {
    (Some(reason), suggested.map(str::to_owned))
}

#[test]
fn whose_a_coupon_is() {
    let mut world = World::new();
    let only = |affiliate_id| low(ConfidenceReason::CouponOnly, Some(affiliate_id));
    let unknown = || low(ConfidenceReason::CouponUnknown, None);
    for (id, code, expected) in [
        ("O-1", "TEN", only("a2")),
        ("O-2", "ten", only("a2")),
        ("O-3", "Ten", only("a2")),
        ("O-4", "TENN", unknown()),
        ("O-5", "TE", unknown()),
        ("O-6", " TEN", unknown()),
        ("O-7", "TWO", unknown()),
    ] {
        world.send(reported(&with_coupon(id, code)));
        assert_eq!(judged(&world, id), expected, "{code:?}");
    }
    // 2026-06-13 and 2026-06-15 at midnight, UTC.
    let (from, until) = (T0 - 33 * 3_600 * SECOND - 1_800 * SECOND, T0 + 14 * 3_600 * SECOND + 1_800 * SECOND);
    let over = || low(ConfidenceReason::CouponOutsideWindow, None);
    for (id, at, expected) in [
        ("P-1", from - 1, only("a1")),
        ("P-2", from, only("a2")),
        ("P-3", until - 1, only("a2")),
        ("P-4", until, over()),
    ] {
        world.send(reported(&ConversionReported { ordered_at: Some(Timestamp(at)), ..with_coupon(id, "ten") }));
        assert_eq!(judged(&world, id), expected, "{id}");
    }
    let told = last(&world, "P-4");
    assert_eq!((told.state, told.coupon_code.as_deref()), (ConversionState::Received, Some("ten")));
    assert_eq!(told.timeline.last().map(|entry| entry.cause.kind), Some(CauseType::Reported));
    assert!(world.commissions().is_empty() && world.dead_letters().is_empty());
    assert_eq!(world.balances(), [0, 0, 0]);
}

#[test]
fn approval_by_the_merchant_pays_nobody_who_is_only_suggested() {
    let mut world = World::new();
    world.send(reported(&with_coupon("O-1", "TEN")));
    world.send(updated(&status(ReportedStatus::CommissionApproved, None, T0 + 1)));
    let conversion = world.conversion();
    assert_eq!(
        (conversion.state, conversion.commission, conversion.hold_until),
        (ConversionState::Received, None, None)
    );
    assert_eq!((world.commissions(), world.balances()), (Vec::new(), [0, 0, 0]));
}

#[test]
fn a_late_click_comes_before_the_coupon() {
    let mut world = World::new();
    world.send(reported(&ConversionReported { click_id: Some("clk_1".to_owned()), ..with_coupon("O-1", "TEN") }));
    assert_eq!(last(&world, "O-1").confidence, None);
    world.at(T0 + 60 * SECOND - 1);
    assert_eq!(last(&world, "O-1").suggested_affiliate_id, None, "nothing is said before the click was waited for");
    world.at(T0 + 60 * SECOND);
    assert_eq!(judged(&world, "O-1"), low(ConfidenceReason::CouponOnly, Some("a2")));
    assert_eq!(last(&world, "O-1").timeline[0].cause.kind, CauseType::ClickWaitElapsed);
    world.send(clicked(&click()));
    assert_eq!(judged(&world, "O-1"), (None, None));
    assert_eq!(last(&world, "O-1").affiliate_id.as_deref(), Some("a1"));
}

#[test]
fn a_coupon_is_what_it_was_when_its_order_was_reported() {
    let mut world = World::new();
    let without = REGISTRY.replace("code = \"TEN\"", "code = \"ELEVEN\"");
    world.send(reported(&with_coupon("O-1", "TEN"))).send(reported(&with_coupon("O-2", "eleven")));
    world.set_registry(&without).send(reported(&with_coupon("O-3", "TEN")));
    world.send(reported(&with_coupon("O-4", "eleven")));
    let pending = status(ReportedStatus::Pending, None, T0 + 1);
    for id in ["O-1", "O-2"] {
        world.send(updated(&schemas::records::OrderStatusReported {
            external_order_id: id.to_owned(),
            ..pending.clone()
        }));
        assert_eq!(last(&world, id).revision, 2, "it was judged again");
    }
    assert_eq!(judged(&world, "O-1"), low(ConfidenceReason::CouponOnly, Some("a2")));
    assert_eq!(judged(&world, "O-2"), low(ConfidenceReason::CouponUnknown, None));
    assert_eq!(judged(&world, "O-3"), low(ConfidenceReason::CouponUnknown, None));
    assert_eq!(judged(&world, "O-4"), low(ConfidenceReason::CouponOnly, Some("a2")));
}

/// An order that names the click of [`click`], which was a day before T0.
fn after_click(id: &str, ms: i64) -> ConversionReported {
    ConversionReported {
        external_order_id: id.to_owned(),
        event_id: format!("cnvevt_{id}"),
        ordered_at: Some(Timestamp(T0 - DAY + ms)),
        ..report()
    }
}

#[test]
fn of_many_orders_of_one_click_each_is_judged_by_its_own_time() {
    let mut world = World::new();
    world.send(reported(&after_click("early", 5 * SECOND - 1))).send(clicked(&click()));
    for (id, ms) in [("before", -1), ("at once", 0), ("first", 5 * SECOND), ("last", 30 * DAY), ("late", 30 * DAY + 1)]
    {
        world.send(reported(&after_click(id, ms)));
    }
    let recent = low(ConfidenceReason::ClickTooRecent, Some("a1"));
    assert_eq!(judged(&world, "early"), recent);
    assert_eq!(judged(&world, "at once"), recent);
    assert_eq!(judged(&world, "before"), low(ConfidenceReason::ClickAfterOrder, None));
    assert_eq!(judged(&world, "late"), low(ConfidenceReason::ClickOutsideWindow, None));
    for id in ["first", "last"] {
        assert_eq!(judged(&world, id), (None, None));
        assert_eq!(last(&world, id).commission.map(|it| it.amount_minor), Some(35_988));
    }
    assert_eq!(world.commissions().len(), 2, "those that wait for a review have earned nothing");
    assert_eq!(world.balances(), [2 * 35_988, 0, -2 * 35_988]);
}

#[test]
fn another_least_time_touches_what_is_not_attributed() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&after_click("fast", 4 * SECOND)));
    world.send(reported(&after_click("slow", 6 * SECOND)));
    let pending = |id: &str, at: i64| {
        let update = status(ReportedStatus::Pending, Some(at), at);
        updated(&schemas::records::OrderStatusReported { external_order_id: id.to_owned(), ..update })
    };
    world.set_registry(&REGISTRY.replace("min_click_to_order = \"5s\"", "min_click_to_order = \"7s\""));
    world.send(pending("fast", T0 + 1)).send(pending("slow", T0 + 1));
    assert_eq!(judged(&world, "fast"), low(ConfidenceReason::ClickTooRecent, Some("a1")));
    assert_eq!(judged(&world, "slow"), (None, None), "what is attributed keeps its terms");
    world.set_registry(&REGISTRY.replace("min_click_to_order = \"5s\"", "min_click_to_order = \"4s\""));
    world.send(pending("fast", T0 + 2));
    assert_eq!(judged(&world, "fast"), (None, None));
}

#[test]
fn anothers_click_and_a_coupon_look_like_an_unknown_click_and_a_coupon() {
    let foreign = ClickRecorded { merchant_id: "m2".to_owned(), ..click() };
    let named = ConversionReported { click_id: Some("clk_1".to_owned()), ..with_coupon("O-1", "TEN") };
    // As many records before the report, since an explanation tells where that is.
    let other = ClickRecorded { click_id: "clk_other".to_owned(), ..foreign.clone() };
    let mut unknown = World::new();
    unknown.send(clicked(&other)).send(reported(&named)).at(T0 + 60 * SECOND);
    let mut known = World::new();
    known.send(clicked(&foreign)).send(reported(&named)).at(T0 + 60 * SECOND);
    assert_eq!(known.transitions(), unknown.transitions());
    assert_eq!(judged(&known, "O-1"), low(ConfidenceReason::CouponOnly, Some("a2")));
}
