//! Who is credited with an order.

use schemas::Timestamp;
use schemas::records::ConfidenceReason;
use schemas::registry::Registry;
use schemas::state::ReportFact;

use super::{Facts, ordered_at};

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

/// A click qualifies if it is this merchant's, not after the order, and at most the lookback window before it.
pub(super) fn attribute(facts: Facts<'_>, report: &ReportFact, registry: &Registry, now: Timestamp) -> Attribution {
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
    let lookback_ms = match &facts.state.terms {
        Some(pinned) => pinned.lookback_ms,
        None => lookback_ms(registry, &click.campaign_id),
    };
    if ordered_at.0 - click.clicked_at.0 > lookback_ms {
        return Attribution::Low(ConfidenceReason::ClickOutsideWindow);
    }
    Attribution::High
}

/// The lookback window of a campaign, in milliseconds.
pub(super) fn lookback_ms(registry: &Registry, campaign_id: &str) -> i64 {
    let own = registry.campaign(campaign_id).and_then(|campaign| campaign.lookback);
    super::commission::milliseconds(own.unwrap_or(registry.policies().lookback))
}
