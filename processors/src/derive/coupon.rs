//! What an order's coupon says of it: who might be credited, never who is.

use schemas::records::{ConfidenceReason, ConversionReported};
use schemas::registry::Registry;
use schemas::state::{CouponFact, ReportFact};

/// What the coupon of a report is, as the registry knows it now; judged at the order's own time, as rules are.
pub(crate) fn known(report: &ConversionReported, registry: &Registry) -> Option<CouponFact> {
    let coupons = registry.coupons().of(&report.merchant_id, report.coupon_code.as_deref()?);
    let ordered_at = report.ordered_at.unwrap_or(report.received_at);
    let holds = coupons.iter().find(|coupon| coupon.is_effective(ordered_at));
    // Of a code that the merchant never had there is nothing to be kept.
    coupons.first().map(|_| CouponFact {
        affiliate_id: holds.map(|coupon| coupon.affiliate_id.clone()),
        self_referral: holds.is_some_and(|coupon| registry.is_own_merchant(&coupon.affiliate_id, &report.merchant_id)),
    })
}

/// Why an order is LOW whose click attributes it to nobody, for the reason given.
pub(super) fn reason(by_click: ConfidenceReason, report: &ReportFact, coupon: Option<&CouponFact>) -> ConfidenceReason {
    let holds = coupon.filter(|coupon| coupon.affiliate_id.is_some());
    match (by_click, holds) {
        // There is a click that qualifies, and it comes before any coupon.
        (ConfidenceReason::SelfReferral | ConfidenceReason::ClickTooRecent, _) => by_click,
        (_, Some(coupon)) if coupon.self_referral => ConfidenceReason::SelfReferral,
        (_, Some(_)) => ConfidenceReason::CouponOnly,
        (ConfidenceReason::NoClick, None) if coupon.is_some() => ConfidenceReason::CouponOutsideWindow,
        (ConfidenceReason::NoClick, None) if report.coupon_code.is_some() => ConfidenceReason::CouponUnknown,
        (_, None) => by_click,
    }
}
