//! What must become of one order, from its facts, the registries that were in force, and the time.

use std::collections::BTreeSet;
use std::fmt::Debug;

use schemas::Timestamp;
use schemas::records::{
    ClickRecorded, Commission, Confidence, ConfidenceReason, ConversionReported, ConversionState,
    ConversionTransitioned, OrderStatus, OrderStatusReported,
};
use schemas::registry::Registry;

mod commission;
mod coupon;
mod course;
pub(crate) mod explained;
mod fraction;
mod payouts;
mod review;
mod test_payout;

pub use payouts::{Payout, paid_with, payout_fault, pays_out, state_of, take_payout};
pub use review::{Decision, Reviews, Seen, changes};
pub use test_payout::earliest as earliest_test_payout;

/// All facts of an order.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The first report in the log.
    pub report: &'a ConversionReported,
    /// All updates in the log, in its order.
    pub updates: &'a [OrderStatusReported],
    /// The click it names, if `clicks` knew it.
    pub click: Option<&'a ClickRecorded>,
    /// Whether payouts have paid more for it than they took back.
    pub paid: bool,
    /// What reviewers have decided.
    pub reviews: &'a Reviews,
    /// The latest instant that its time was moved to, if it was.
    pub advanced_to: Option<Timestamp>,
}

/// The confidence, why it is LOW, and whom a review could credit.
pub type Judged = (Option<Confidence>, Option<ConfidenceReason>, Option<String>);

/// What an order must have become. Where the contract leaves something open there are several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The states it may be in.
    pub states: Vec<ConversionState>,
    /// HIGH, or LOW with why and whom a review could credit, or nothing while the click is awaited.
    pub judged: Vec<Judged>,
    /// The affiliate attributed.
    pub affiliate_id: Option<String>,
    /// The campaign attributed.
    pub campaign_id: Option<String>,
    /// Its commission.
    pub commission: Option<Commission>,
    /// When the hold ends or ended.
    pub hold_until: Option<Timestamp>,
    /// The sum of the partial refunds that count, in thousandths of the currency's unit.
    pub refunded: Option<i64>,
    /// The order's status.
    pub order_statuses: BTreeSet<OrderStatus>,
}

impl End {
    /// Whether a conversion is what it must be.
    pub(crate) fn is(&self, now: &ConversionTransitioned) -> bool {
        self.against(now).is_empty()
    }

    /// The fields in which a conversion is not what it must be: name, what was expected, what was found.
    #[must_use]
    pub fn against(&self, now: &ConversionTransitioned) -> Vec<(&'static str, String, String)> {
        let mut against = Vec::new();
        let mut check = |holds: bool, field, expected: &dyn Debug, found: &dyn Debug| {
            if !holds {
                against.push((field, format!("{expected:?}"), format!("{found:?}")));
            }
        };
        let confidence = (now.confidence, now.confidence_reason);
        let suggested = &now.suggested_affiliate_id;
        let alike = self.judged.iter().filter(|it| (it.0, it.1) == confidence);
        let suggestible: Vec<&Option<String>> = alike.map(|it| &it.2).collect();
        check(self.states.contains(&now.state), "state", &self.states, &now.state);
        check(!suggestible.is_empty(), "confidence", &self.judged, &confidence);
        let fits = suggestible.is_empty() || suggestible.contains(&suggested);
        check(fits, "suggestedAffiliateId", &suggestible, suggested);
        check(self.affiliate_id == now.affiliate_id, "affiliateId", &self.affiliate_id, &now.affiliate_id);
        check(self.campaign_id == now.campaign_id, "campaignId", &self.campaign_id, &now.campaign_id);
        check(self.commission == now.commission, "commission", &self.commission, &now.commission);
        check(self.hold_until == now.hold_until, "holdUntil", &self.hold_until, &now.hold_until);
        let refunded = now.refunded_thousandths;
        check(self.refunded == refunded, "refundedThousandths", &self.refunded, &refunded);
        let order_status = now.order_status;
        check(self.order_statuses.contains(&order_status), "orderStatus", &self.order_statuses, &order_status);
        against
    }
}

/// When everything has come to rest, as clocks show it that may be off by so much.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The instant.
    pub at: Timestamp,
    /// How far a clock may be off, in milliseconds.
    pub skew_ms: i64,
}

/// What clocks may show, of which an order's own is never behind where it was moved to.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    earliest: Timestamp,
    latest: Timestamp,
}

impl Clocks {
    fn of(order: Order<'_>, now: Now) -> Clocks {
        let moved = order.advanced_to.unwrap_or(Timestamp::MIN);
        let off_by = |ms: i64| Timestamp(now.at.0 + ms).max(moved);
        Clocks { earliest: off_by(-now.skew_ms), latest: off_by(now.skew_ms) }
    }

    /// Whether they may say that an instant has come, and whether they may say that it has not.
    fn has_come(self, instant: Timestamp) -> (bool, bool) {
        (instant <= self.latest, instant > self.earliest)
    }
}

/// When an order was placed.
pub(crate) fn ordered_at(report: &ConversionReported) -> Timestamp {
    report.ordered_at.unwrap_or(report.received_at)
}

/// Until when the click named is awaited: as the registry says that was in force when the report came.
#[must_use]
pub fn awaited_until(report: &ConversionReported, registry: &Registry) -> Timestamp {
    later(report.received_at, registry.policies().click_wait)
}

/// What an order must have become, its terms being those of `terms`, and its wait and its coupon those of `begun`.
#[must_use]
pub fn end(order: Order<'_>, terms: &Registry, begun: &Registry, now: Now) -> End {
    let Order { report, updates, click, reviews, paid, .. } = order;
    let now = Clocks::of(order, now);
    let course = course::course(report, updates, reviews.set_aside);
    let judged = match &reviews.decided {
        Some(decision) => vec![(Some(Confidence::Low), Some(decision.reason), None)],
        None => judged(report, click, terms, begun, now),
    };
    let by_click = click.filter(|_| judged.contains(&(Some(Confidence::High), None, None)));
    let credited = match &reviews.decided {
        Some(Decision { affiliate_id, campaign_id, .. }) => affiliate_id.clone().map(|it| (it, campaign_id.clone())),
        None => by_click.map(|click| (click.affiliate_id.clone(), Some(click.campaign_id.clone()))),
    };
    let Some((affiliate_id, campaign_id)) = credited else {
        let state = match &reviews.decided {
            _ if course.reversed => ConversionState::Reversed,
            Some(_) => ConversionState::Rejected,
            None => ConversionState::Received,
        };
        return End {
            states: vec![state],
            judged,
            affiliate_id: None,
            campaign_id: None,
            commission: None,
            hold_until: None,
            refunded: course.refunded,
            order_statuses: course.order_statuses,
        };
    };
    let commission = commission::commission(report, campaign_id.as_deref(), terms, course.left);
    let hold_until = hold_until(course.delivered, course.settled, terms);
    let earned = commission.as_ref().filter(|_| !course.reversed).map(|commission| commission.amount_minor);
    End {
        states: match states(&course, commission.is_some(), hold_until, now) {
            // What is paid stays so, unless it is reversed, or taken back by a payout.
            _ if paid && earned.is_some() => vec![ConversionState::Paid],
            states if !report.livemode && earned.is_some_and(|minor| minor > 0) => {
                test_payout::or_paid(states, &course, terms, now)
            }
            states => states,
        },
        judged,
        affiliate_id: Some(affiliate_id),
        campaign_id,
        commission,
        hold_until,
        refunded: course.refunded,
        order_statuses: course.order_statuses,
    }
}

/// Until when an order is held that was delivered, and confirmed or paid for, at these instants, if it was.
fn hold_until(delivered: Option<Timestamp>, settled: Option<Timestamp>, terms: &Registry) -> Option<Timestamp> {
    let policies = terms.policies();
    match (delivered, settled) {
        (Some(delivered), _) => Some(later(delivered, policies.return_window)),
        (None, Some(settled)) => Some(later(settled, policies.settlement_window)),
        (None, None) => None,
    }
}

/// The states of an order that is attributed.
fn states(
    course: &course::Course,
    with_commission: bool,
    hold_until: Option<Timestamp>,
    now: Clocks,
) -> Vec<ConversionState> {
    if course.reversed {
        return vec![ConversionState::Reversed];
    }
    if !with_commission {
        return vec![ConversionState::Attributed];
    }
    if course.approved.is_some() {
        return vec![ConversionState::Payable];
    }
    let Some(hold_until) = hold_until else { return vec![ConversionState::CommissionCreated] };
    let (elapsed, held) = now.has_come(hold_until);
    let states = [(ConversionState::Payable, elapsed), (ConversionState::Hold, held)];
    states.into_iter().filter(|(_, possible)| *possible).map(|(state, _)| state).collect()
}

/// HIGH, or LOW with why and whom a review could credit, or neither while the click is awaited.
fn judged(
    report: &ConversionReported,
    click: Option<&ClickRecorded>,
    terms: &Registry,
    begun: &Registry,
    now: Clocks,
) -> Vec<Judged> {
    let possible = by_click(report, click, terms, begun, now).into_iter();
    let judged = possible.map(|(confidence, reason)| match reason {
        Some(ConfidenceReason::SelfReferral | ConfidenceReason::ClickTooRecent) => {
            (confidence, reason, click.map(|it| it.affiliate_id.clone()))
        }
        Some(by_click) => {
            let (reason, suggested) = coupon::judged(by_click, report, begun);
            (confidence, Some(reason), suggested)
        }
        None => (confidence, None, None),
    });
    judged.collect()
}

/// The same by the click alone.
fn by_click(
    report: &ConversionReported,
    click: Option<&ClickRecorded>,
    terms: &Registry,
    begun: &Registry,
    now: Clocks,
) -> Vec<(Option<Confidence>, Option<ConfidenceReason>)> {
    let low = |reason| (Some(Confidence::Low), Some(reason));
    if report.click_id.is_none() {
        return vec![low(ConfidenceReason::NoClick)];
    }
    let own = click.filter(|click| click.merchant_id == report.merchant_id);
    let Some(own) = own else {
        // Another merchant's is awaited like one that nobody knows; the topic, unlike the API, tells the two apart.
        let unknown = click.map_or(ConfidenceReason::ClickUnknown, |_| ConfidenceReason::ClickNotYours);
        let (over, awaited) = now.has_come(awaited_until(report, begun));
        let possible = [(low(unknown), over), ((None, None), awaited)];
        return possible.into_iter().filter(|(_, possible)| *possible).map(|(it, _)| it).collect();
    };
    let ordered_at = ordered_at(report);
    if own.clicked_at > ordered_at {
        return vec![low(ConfidenceReason::ClickAfterOrder)];
    }
    let campaign = terms.campaign(&own.campaign_id);
    let lookback = campaign.and_then(|campaign| campaign.lookback).unwrap_or(terms.policies().lookback);
    if later(own.clicked_at, lookback) < ordered_at {
        return vec![low(ConfidenceReason::ClickOutsideWindow)];
    }
    if is_own_shop(&own.affiliate_id, report, terms) {
        return vec![low(ConfidenceReason::SelfReferral)];
    }
    let least = campaign.and_then(|it| it.min_click_to_order).unwrap_or(terms.policies().min_click_to_order);
    if later(own.clicked_at, least) > ordered_at {
        return vec![low(ConfidenceReason::ClickTooRecent)];
    }
    vec![(Some(Confidence::High), None)]
}

/// Whether an order is one of a shop that is the affiliate's own.
fn is_own_shop(affiliate_id: &str, report: &ConversionReported, registry: &Registry) -> bool {
    let own = registry.affiliate(affiliate_id).map(|affiliate| &affiliate.own_merchants);
    own.into_iter().flatten().any(|merchant_id| *merchant_id == report.merchant_id)
}

fn later(from: Timestamp, window: std::time::Duration) -> Timestamp {
    Timestamp(from.0 + i64::try_from(window.as_millis()).expect("a window is at most ten years"))
}

#[cfg(test)]
mod tests;
