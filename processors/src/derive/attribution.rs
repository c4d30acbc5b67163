//! Who is credited with an order.

use schemas::Timestamp;
use schemas::records::{ClickMeasured, ConfidenceReason};
use schemas::registry::Registry;
use schemas::state::{OrderState, ReportFact};

use super::{Facts, coupon, ordered_at};

/// Who is credited with an order, or why nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// The click named is unknown, and may still come.
    Awaited {
        /// Until then; from then on the order is LOW.
        until: Timestamp,
    },
    /// Nobody, for this reason.
    Low(ConfidenceReason),
    /// The click's affiliate.
    High,
    /// The affiliate whom a reviewer credited, of an order that was LOW for this reason.
    Approved(ConfidenceReason),
    /// Nobody, by a reviewer's decision, of an order that was LOW for this reason.
    Rejected(ConfidenceReason),
}

/// Who is credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credited {
    /// The affiliate.
    pub affiliate_id: String,
    /// The campaign of the click; none if a reviewer credited somebody without a click of theirs.
    pub campaign_id: Option<String>,
}

/// An attribution, and what was found of the click on the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) attribution: Attribution,
    /// What it would be if there were neither coupons nor reviewers.
    pub(super) by_click: Attribution,
    /// The merchant's own click, if it is known, and what it was held against.
    pub(super) click: Option<ClickMeasured>,
}

/// Attributes as a reviewer decided, and else by the click alone; where that leaves nobody, the coupon may be a better
/// reason.
pub(super) fn attribute(facts: Facts<'_>, report: &ReportFact, registry: &Registry, now: Timestamp) -> Judged {
    let (by_click, click) = by_click(facts, report, registry, now);
    let attribution = match (&facts.state.review, by_click) {
        (Some(review), _) if review.affiliate_id.is_some() => Attribution::Approved(review.confidence_reason),
        (Some(review), _) => Attribution::Rejected(review.confidence_reason),
        (None, Attribution::Low(reason)) => {
            Attribution::Low(coupon::reason(reason, report, facts.state.coupon.as_ref()))
        }
        (None, by_click) => by_click,
    };
    Judged { attribution, by_click, click }
}

/// Who is credited by an attribution.
pub(super) fn credited(state: &OrderState, attribution: Attribution) -> Option<Credited> {
    match attribution {
        Attribution::Awaited { .. } | Attribution::Low(_) | Attribution::Rejected(_) => None,
        Attribution::High => state.click.as_ref().map(|click| Credited {
            affiliate_id: click.affiliate_id.clone(),
            campaign_id: Some(click.campaign_id.clone()),
        }),
        Attribution::Approved(_) => {
            let review = state.review.as_ref()?;
            Some(Credited { affiliate_id: review.affiliate_id.clone()?, campaign_id: review.campaign_id.clone() })
        }
    }
}

/// A click qualifies if it is this merchant's, not after the order, and at most the lookback window before it. One of an
/// affiliate whose own the shop is, or that is followed by its order too soon, is for a reviewer to judge.
fn by_click(
    facts: Facts<'_>,
    report: &ReportFact,
    registry: &Registry,
    now: Timestamp,
) -> (Attribution, Option<ClickMeasured>) {
    if report.click_id.is_none() {
        return (Attribution::Low(ConfidenceReason::NoClick), None);
    }
    let own = facts.state.click.as_ref().filter(|click| click.merchant_id == facts.merchant_id);
    let Some(click) = own else {
        // Another merchant's click is awaited like one that nobody knows: how long it takes tells nothing of it.
        let attribution = match facts.state.awaited_until {
            Some(until) if now < until => Attribution::Awaited { until },
            _ if facts.state.click.is_some() => Attribution::Low(ConfidenceReason::ClickNotYours),
            _ => Attribution::Low(ConfidenceReason::ClickUnknown),
        };
        return (attribution, None);
    };
    let campaign_id = Some(&*click.campaign_id);
    let measured = match &facts.state.terms {
        Some(pinned) => ClickMeasured {
            clicked_at: click.clicked_at,
            lookback_ms: pinned.lookback_ms,
            min_click_to_order_ms: pinned.min_click_to_order_ms,
            self_referral: pinned.self_referral,
        },
        None => ClickMeasured {
            clicked_at: click.clicked_at,
            lookback_ms: lookback_ms(registry, campaign_id),
            min_click_to_order_ms: min_click_to_order_ms(registry, campaign_id),
            self_referral: registry.is_own_merchant(&click.affiliate_id, facts.merchant_id),
        },
    };
    (judge(&measured, ordered_at(report)), Some(measured))
}

fn judge(click: &ClickMeasured, ordered_at: Timestamp) -> Attribution {
    if click.clicked_at > ordered_at {
        return Attribution::Low(ConfidenceReason::ClickAfterOrder);
    }
    let passed_ms = ordered_at.0.saturating_sub(click.clicked_at.0);
    if passed_ms > click.lookback_ms {
        return Attribution::Low(ConfidenceReason::ClickOutsideWindow);
    }
    // The graver one is told, of the two that a reviewer may approve all the same.
    if click.self_referral {
        return Attribution::Low(ConfidenceReason::SelfReferral);
    }
    if passed_ms < click.min_click_to_order_ms {
        return Attribution::Low(ConfidenceReason::ClickTooRecent);
    }
    Attribution::High
}

/// Whom a review could credit with an order that is LOW.
pub(super) fn suggested_affiliate_id<'a>(state: &'a OrderState, judged: &Judged) -> Option<&'a String> {
    let by_click = || state.click.as_ref().map(|click| &click.affiliate_id);
    let by_coupon = || state.coupon.as_ref()?.affiliate_id.as_ref();
    match judged.attribution {
        Attribution::Low(ConfidenceReason::CouponOnly) => by_coupon(),
        Attribution::Low(ConfidenceReason::ClickTooRecent) => by_click(),
        Attribution::Low(ConfidenceReason::SelfReferral) if judged.by_click == judged.attribution => by_click(),
        Attribution::Low(ConfidenceReason::SelfReferral) => by_coupon(),
        Attribution::Awaited { .. }
        | Attribution::Low(_)
        | Attribution::High
        | Attribution::Approved(_)
        | Attribution::Rejected(_) => None,
    }
}

/// The lookback window of a campaign, or of an order without one, in milliseconds.
pub(super) fn lookback_ms(registry: &Registry, campaign_id: Option<&str>) -> i64 {
    let own = campaign_id.and_then(|id| registry.campaign(id)).and_then(|campaign| campaign.lookback);
    super::commission::milliseconds(own.unwrap_or(registry.policies().lookback))
}

/// The least time from a click of a campaign, or of none, to its order, in milliseconds.
pub(super) fn min_click_to_order_ms(registry: &Registry, campaign_id: Option<&str>) -> i64 {
    let own = campaign_id.and_then(|id| registry.campaign(id)).and_then(|campaign| campaign.min_click_to_order);
    super::commission::milliseconds(own.unwrap_or(registry.policies().min_click_to_order))
}
