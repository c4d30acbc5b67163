//! What an order's coupon says, where no click has it credited.

use schemas::records::{ConfidenceReason, ConversionReported};
use schemas::registry::{Coupon, Registry};

use super::{is_own_shop, ordered_at};

/// Why an order is LOW and whom a review could credit, given why it is LOW by its click.
pub(super) fn judged(
    by_click: ConfidenceReason,
    report: &ConversionReported,
    registry: &Registry,
) -> (ConfidenceReason, Option<String>) {
    let Some(code) = &report.coupon_code else { return (by_click, None) };
    let named: Vec<&Coupon> = registry
        .coupons()
        .iter()
        .filter(|coupon| coupon.merchant_id == report.merchant_id && is_same(&coupon.code, code))
        .collect();
    if let Some(coupon) = named.iter().find(|coupon| holds(coupon, report)) {
        let own = is_own_shop(&coupon.affiliate_id, report, registry);
        let reason = if own { ConfidenceReason::SelfReferral } else { ConfidenceReason::CouponOnly };
        return (reason, Some(coupon.affiliate_id.clone()));
    }
    let reason = match (by_click, named.len()) {
        (ConfidenceReason::NoClick, 0) => ConfidenceReason::CouponUnknown,
        (ConfidenceReason::NoClick, _) => ConfidenceReason::CouponOutsideWindow,
        (other, _) => other,
    };
    (reason, None)
}

/// Whether two codes differ in case alone.
fn is_same(one: &str, other: &str) -> bool {
    let upper = |code: &str| code.chars().map(|character| character.to_ascii_uppercase()).collect::<String>();
    upper(one) == upper(other)
}

/// From its first instant, until before its last.
fn holds(coupon: &Coupon, report: &ConversionReported) -> bool {
    let at = ordered_at(report);
    let early = coupon.effective_from.is_some_and(|from| at < from);
    let late = coupon.effective_until.is_some_and(|until| at >= until);
    !early && !late
}
