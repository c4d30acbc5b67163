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
}

/// An attribution, and what was found of the click on the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) attribution: Attribution,
    /// What it would be if there were no coupons.
    pub(super) by_click: Attribution,
    /// The merchant's own click, if it is known, and what it was held against.
    pub(super) click: Option<ClickMeasured>,
}

/// Attributes by the click alone; where that leaves nobody, the coupon may be a better reason.
pub(super) fn attribute(facts: Facts<'_>, report: &ReportFact, registry: &Registry, now: Timestamp) -> Judged {
    let (by_click, click) = by_click(facts, report, registry, now);
    let attribution = match by_click {
        Attribution::Low(reason) => Attribution::Low(coupon::reason(reason, report, facts.state.coupon.as_ref())),
        other @ (Attribution::Awaited { .. } | Attribution::High) => other,
    };
    Judged { attribution, by_click, click }
}

/// A click qualifies if it is this merchant's, not after the order, and at most the lookback window before it. One that
/// is followed by its order too soon is for a reviewer to judge.
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
    let (lookback_ms, min_click_to_order_ms) = match &facts.state.terms {
        Some(pinned) => (pinned.lookback_ms, pinned.min_click_to_order_ms),
        None => (lookback_ms(registry, &click.campaign_id), min_click_to_order_ms(registry, &click.campaign_id)),
    };
    let measured = ClickMeasured { clicked_at: click.clicked_at, lookback_ms, min_click_to_order_ms };
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
    if passed_ms < click.min_click_to_order_ms {
        return Attribution::Low(ConfidenceReason::ClickTooRecent);
    }
    Attribution::High
}

/// Whom a review could credit with an order that is LOW.
pub(super) fn suggested_affiliate_id(state: &OrderState, attribution: Attribution) -> Option<&String> {
    match attribution {
        Attribution::Low(ConfidenceReason::CouponOnly) => state.coupon.as_ref()?.affiliate_id.as_ref(),
        Attribution::Low(ConfidenceReason::ClickTooRecent) => state.click.as_ref().map(|click| &click.affiliate_id),
        Attribution::Awaited { .. } | Attribution::Low(_) | Attribution::High => None,
    }
}

/// The lookback window of a campaign, in milliseconds.
pub(super) fn lookback_ms(registry: &Registry, campaign_id: &str) -> i64 {
    let own = registry.campaign(campaign_id).and_then(|campaign| campaign.lookback);
    super::commission::milliseconds(own.unwrap_or(registry.policies().lookback))
}

/// The least time from a click of a campaign to its order, in milliseconds.
pub(super) fn min_click_to_order_ms(registry: &Registry, campaign_id: &str) -> i64 {
    let own = registry.campaign(campaign_id).and_then(|campaign| campaign.min_click_to_order);
    super::commission::milliseconds(own.unwrap_or(registry.policies().min_click_to_order))
}
