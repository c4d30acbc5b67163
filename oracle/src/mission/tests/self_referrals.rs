//! Orders of a shop that is the affiliate's own.

use schemas::Timestamp;
use schemas::records::{Confidence, ConfidenceReason, ConversionState};
use schemas::registry::Registry;

use super::super::{Judged, Now, end};
use super::{Case, DAY, REGISTRY, T0};

/// What [`Case`] comes to if this affiliate, `A` or `B`, has these shops.
#[track_caller]
fn check(owner: &str, own: &str, case: &Case, expected: Option<(ConfidenceReason, Option<&str>)>) {
    let name = format!("name = \"{owner}\"\n");
    assert!(REGISTRY.contains(&name));
    let text = REGISTRY.replace(&name, &format!("{name}own_merchants = \"{own}\"\n"));
    let registry = Registry::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let found = end(case.order(), &registry, &registry, Now { at: Timestamp(case.now_ms), skew_ms: 0 });
    let judged: Judged = match expected {
        Some((reason, suggested)) => (Some(Confidence::Low), Some(reason), suggested.map(str::to_owned)),
        None => (Some(Confidence::High), None, None),
    };
    assert_eq!((&*found.judged, found.commission.is_some()), (&[judged][..], expected.is_none()), "{owner} {own}");
    assert_eq!(found.states == [ConversionState::Received], expected.is_some(), "{owner} {own}");
}

#[test]
fn self_referrals() {
    use ConfidenceReason::{ClickAfterOrder, ClickOutsideWindow, ClickTooRecent, CouponOnly, SelfReferral};
    let by_click = Some((SelfReferral, Some("a1")));
    check("A", "m1", &Case::new(), by_click);
    check("A", "m2, m1", &Case::new(), by_click);
    check("A", "m2", &Case::new(), None);
    check("B", "m1,m2", &Case::new(), None);
    // Before that it came too soon, and after what has the click not count.
    let soon = || Case::new().click(|it| (it.campaign_id, it.clicked_at) = ("c1-slow".to_owned(), Timestamp(T0 - 1)));
    check("A", "m1", &soon(), by_click);
    check("A", "m2", &soon(), Some((ClickTooRecent, Some("a1"))));
    let clicked = |at: i64| Case::new().click(move |it| it.clicked_at = Timestamp(at));
    check("A", "m1", &clicked(T0 + 1), Some((ClickAfterOrder, None)));
    check("A", "m1", &clicked(T0 - 31 * DAY), Some((ClickOutsideWindow, None)));
    // A coupon of `a2`, with a click that counts, with one of an own shop, and without one.
    let with_coupon = |case: Case| case.report(|it| it.coupon_code = Some("TEN-OFF".to_owned()));
    check("B", "m1", &with_coupon(Case::new()), None);
    check("A", "m1", &with_coupon(Case::new()), by_click);
    check("B", "m1", &with_coupon(soon()), Some((ClickTooRecent, Some("a1"))));
    check("B", "m1", &with_coupon(clicked(T0 + 1)), Some((SelfReferral, Some("a2"))));
    check("B", "m1", &with_coupon(Case::new().unknown_click()), Some((SelfReferral, Some("a2"))));
    check("A", "m1", &with_coupon(Case::new().unknown_click()), Some((CouponOnly, Some("a2"))));
}
