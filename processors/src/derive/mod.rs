//! What follows from the facts of an order: one pure function, [`derive()`].

use schemas::Timestamp;
use schemas::records::{
    Commission, CommissionState, Confidence, ConfidenceReason, ConversionState, HoldExplained, OrderStatus, StateReason,
};
use schemas::registry::Registry;
use schemas::state::{OrderState, PinnedTerms, ReportFact};

pub use attribution::Attribution;
pub use explain::Working;

mod attribution;
mod commission;
pub(crate) mod coupon;
mod explain;
pub mod lifecycle;
mod rules;

/// What is known of one order, and who it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The merchant.
    pub merchant_id: &'a str,
    /// The facts.
    pub state: &'a OrderState,
}

/// What follows from an order's facts at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Where the conversion is in its life.
    pub state: ConversionState,
    /// Who is credited, or why nobody.
    pub attribution: Attribution,
    /// Whom a review could credit, if nobody is; none where nothing points to anybody.
    pub suggested_affiliate_id: Option<String>,
    /// The commission, reversed or not; there is one exactly if the order is attributed and a rule matched.
    pub commission: Option<Commission>,
    /// When the hold ends or ended.
    pub hold_until: Option<Timestamp>,
    /// Where the merchant says the order is.
    pub order_status: OrderStatus,
    /// The sum of the partial refunds that count, in thousandths of the currency's unit; none without one.
    pub refunded: Option<i64>,
    /// The terms the commission was set under, to be pinned; there are some exactly if the order is attributed.
    pub terms: Option<PinnedTerms>,
    /// When time alone will next change the derivation, if ever.
    pub next_due: Option<Timestamp>,
}

impl Derivation {
    /// The confidence, and the reason of a LOW one; neither while a click is awaited.
    #[must_use]
    pub fn confidence(&self) -> (Option<Confidence>, Option<ConfidenceReason>) {
        match self.attribution {
            Attribution::Awaited { .. } => (None, None),
            Attribution::Low(reason) => (Some(Confidence::Low), Some(reason)),
            Attribution::High => (Some(Confidence::High), None),
        }
    }

    /// The commission's state; none without a commission.
    #[must_use]
    pub fn commission_state(&self) -> Option<CommissionState> {
        self.commission.as_ref().map(|_| match self.state {
            ConversionState::Hold => CommissionState::Held,
            ConversionState::Payable | ConversionState::Paid => CommissionState::Payable,
            ConversionState::Rejected | ConversionState::Reversed => CommissionState::Reversed,
            ConversionState::Received | ConversionState::Attributed | ConversionState::CommissionCreated => {
                CommissionState::Created
            }
        })
    }

    /// What the affiliate's accounts should hold for this order, in minor units: pending, and payable.
    #[must_use]
    pub fn affiliate_balances(&self) -> (i64, i64) {
        let amount = self.commission.as_ref().map_or(0, |commission| commission.amount_minor);
        match self.commission_state() {
            Some(CommissionState::Created | CommissionState::Held) => (amount, 0),
            Some(CommissionState::Payable) => (0, amount),
            Some(CommissionState::Reversed) | None => (0, 0),
        }
    }
}

/// When the order was placed: as reported, or else when its report was received.
#[must_use]
pub fn ordered_at(report: &ReportFact) -> Timestamp {
    report.ordered_at.unwrap_or(report.received_at)
}

/// Derives an order at `now`; `None` while its report has not come.
///
/// The same facts give the same derivation in whatever order they came, and pinned terms outrank the registry.
#[must_use]
pub fn derive(facts: Facts<'_>, registry: &Registry, now: Timestamp) -> Option<Derivation> {
    work_out(facts, registry, now).map(|(derivation, _)| derivation)
}

/// Derives an order as [`derive`] does, which is this, and keeps what it takes to explain the derivation.
#[must_use]
pub fn work_out(facts: Facts<'_>, registry: &Registry, now: Timestamp) -> Option<(Derivation, Working)> {
    let report = facts.state.report.as_ref()?;
    let judged = attribution::attribute(facts, report, registry, now);
    let attribution = judged.attribution;
    let click = facts.state.click.as_ref().filter(|_| attribution == Attribution::High);
    let terms = click.map(|click| match &facts.state.terms {
        Some(pinned) => pinned.clone(),
        None => commission::terms(facts.merchant_id, report, click, registry),
    });
    let course = lifecycle::fold(report, &facts.state.updates);
    let commission = terms.as_ref().and_then(|terms| commission::commission(report, terms, course.remaining));
    let (commission, sum) = commission.unzip();
    let hold = terms.as_ref().and_then(|terms| course.hold(terms));
    let hold_until = hold.map(|hold| hold.until());
    let (state, reason) = state(&course, attribution, commission.is_some(), hold, now);
    let awaited_until = match attribution {
        Attribution::Awaited { until } => Some(until),
        Attribution::Low(_) | Attribution::High => None,
    };
    let next_due = if state == ConversionState::Hold { hold_until } else { awaited_until };
    let (order_status, refunded) = (course.order_status, course.refunded);
    let suggested_affiliate_id = attribution::suggested_affiliate_id(facts.state, attribution).cloned();
    let derivation = Derivation {
        state,
        attribution,
        suggested_affiliate_id,
        commission,
        hold_until,
        order_status,
        refunded,
        terms,
        next_due,
    };
    Some((derivation, Working { judged, sum, hold, reason }))
}

fn state(
    course: &lifecycle::Course,
    attribution: Attribution,
    has_commission: bool,
    hold: Option<HoldExplained>,
    now: Timestamp,
) -> (ConversionState, StateReason) {
    if course.reversed {
        return (ConversionState::Reversed, StateReason::Reversed);
    }
    match attribution {
        Attribution::Awaited { .. } => (ConversionState::Received, StateReason::ClickAwaited),
        Attribution::Low(_) => (ConversionState::Received, StateReason::NotAttributed),
        Attribution::High if !has_commission => (ConversionState::Attributed, StateReason::NoRule),
        Attribution::High if course.approved => (ConversionState::Payable, StateReason::Approved),
        Attribution::High => match hold {
            None => (ConversionState::CommissionCreated, StateReason::HoldNotBegun),
            Some(hold) if now < hold.until() => (ConversionState::Hold, StateReason::OnHold),
            Some(_) => (ConversionState::Payable, StateReason::HoldEnded),
        },
    }
}
