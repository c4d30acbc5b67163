//! Who is credited with an order.

use schemas::Timestamp;
use schemas::records::ConfidenceReason;
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

/// Attributes by the click alone; where that leaves nobody, the coupon may be a better reason.
pub(super) fn attribute(facts: Facts<'_>, report: &ReportFact, registry: &Registry, now: Timestamp) -> Attribution {
    match by_click(facts, report, registry, now) {
        Attribution::Low(reason) => Attribution::Low(coupon::reason(reason, report, facts.state.coupon.as_ref())),
        other @ (Attribution::Awaited { .. } | Attribution::High) => other,
    }
}

/// A click qualifies if it is this merchant's, not after the order, and at most the lookback window before it. One that
/// is followed by its order too soon is for a reviewer to judge.
fn by_click(facts: Facts<'_>, report: &ReportFact, registry: &Registry, now: Timestamp) -> Attribution {
    if report.click_id.is_none() {
        return Attribution::Low(ConfidenceReason::NoClick);
    }
    let own = facts.state.click.as_ref().filter(|click| click.merchant_id == facts.merchant_id);
    let Some(click) = own else {
        // Another merchant's click is awaited like one that nobody knows: how long it takes tells nothing of it.
        return match facts.state.awaited_until {
            Some(until) if now < until => Attribution::Awaited { until },
            _ if facts.state.click.is_some() => Attribution::Low(ConfidenceReason::ClickNotYours),
            _ => Attribution::Low(ConfidenceReason::ClickUnknown),
        };
    };
    let ordered_at = ordered_at(report);
    if click.clicked_at > ordered_at {
        return Attribution::Low(ConfidenceReason::ClickAfterOrder);
    }
    let (lookback_ms, min_click_to_order_ms) = match &facts.state.terms {
        Some(pinned) => (pinned.lookback_ms, pinned.min_click_to_order_ms),
        None => (lookback_ms(registry, &click.campaign_id), min_click_to_order_ms(registry, &click.campaign_id)),
    };
    let passed_ms = ordered_at.0 - click.clicked_at.0;
    if passed_ms > lookback_ms {
        return Attribution::Low(ConfidenceReason::ClickOutsideWindow);
    }
    if passed_ms < min_click_to_order_ms {
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
