//! What follows from the facts of an order: one pure function, [`derive()`].

use schemas::Timestamp;
use schemas::records::{
    Commission, CommissionState, Confidence, ConfidenceReason, ConversionState, HoldExplained, OrderStatus, StateReason,
};
use schemas::registry::Registry;
use schemas::state::{OrderState, PinnedTerms, ReportFact};

pub use attribution::{Attribution, Credited};
pub use explain::Working;

mod attribution;
mod commission;
pub(crate) mod coupon;
mod explain;
pub mod lifecycle;
mod rules;
mod simulated;

/// What is known of one order, and who it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The merchant.
    pub merchant_id: &'a str,
    /// Whether it is of live mode; a payout of one of test mode is simulated.
    pub livemode: bool,
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
    /// The affiliate who is credited, if one is.
    pub credited: Option<Credited>,
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
    /// The confidence, and the reason of a LOW one; neither while a click is awaited. A reviewer's decision leaves both as
    /// they were.
    #[must_use]
    pub fn confidence(&self) -> (Option<Confidence>, Option<ConfidenceReason>) {
        match self.attribution {
            Attribution::Awaited { .. } => (None, None),
            Attribution::Low(reason) | Attribution::Approved(reason) | Attribution::Rejected(reason) => {
                (Some(Confidence::Low), Some(reason))
            }
            Attribution::High => (Some(Confidence::High), None),
        }
    }

    /// The commission's state; none without a commission.
    #[must_use]
    pub fn commission_state(&self) -> Option<CommissionState> {
        self.commission.as_ref().map(|_| match self.state {
            ConversionState::Hold => CommissionState::Held,
            ConversionState::Payable => CommissionState::Payable,
            ConversionState::Paid => CommissionState::Paid,
            ConversionState::Rejected | ConversionState::Reversed => CommissionState::Reversed,
            ConversionState::Received | ConversionState::Attributed | ConversionState::CommissionCreated => {
                CommissionState::Created
            }
        })
    }

    /// What this order should have brought the affiliate's accounts, in minor units: pending, and payable. What is paid
    /// out leaves payable by the payout, not by the order: one that is reversed after that takes back what is gone.
    #[must_use]
    pub fn affiliate_balances(&self) -> (i64, i64) {
        let amount = self.commission.as_ref().map_or(0, |commission| commission.amount_minor);
        match self.commission_state() {
            Some(CommissionState::Created | CommissionState::Held) => (amount, 0),
            Some(CommissionState::Payable | CommissionState::Paid) => (0, amount),
            Some(CommissionState::Reversed) | None => (0, 0),
        }
    }
}

/// When the order was placed: as reported, or else when its report was received.
#[must_use]
pub fn ordered_at(report: &ReportFact) -> Timestamp {
    report.ordered_at.unwrap_or(report.received_at)
}

/// The time of an order when the clock says `now`: later, if that of an order of test mode was moved.
fn own_time(state: &OrderState, now: Timestamp) -> Timestamp {
    state.test_clock.as_ref().map_or(now, |clock| clock.advanced_to.max(now))
}

/// Derives an order at `now`, or at its own time if that is later; `None` while its report has not come.
///
/// The same facts give the same derivation in whatever order they came, and pinned terms outrank the registry.
#[must_use]
pub fn derive(facts: Facts<'_>, registry: &Registry, now: Timestamp) -> Option<Derivation> {
    work_out(facts, registry, now).map(|(derivation, _)| derivation)
}

/// Derives an order as [`derive()`] does, which is this, and keeps what it takes to explain the derivation.
#[must_use]
pub fn work_out(facts: Facts<'_>, registry: &Registry, now: Timestamp) -> Option<(Derivation, Working)> {
    let report = facts.state.report.as_ref()?;
    let now = own_time(facts.state, now);
    let judged = attribution::attribute(facts, report, registry, now);
    let attribution = judged.attribution;
    let credited = attribution::credited(facts.state, attribution);
    let terms = credited.as_ref().map(|credited| match &facts.state.terms {
        Some(pinned) => pinned.clone(),
        None => {
            let campaign_id = credited.campaign_id.as_deref();
            commission::terms(facts, report, campaign_id, judged.click, registry)
        }
    });
    let course = lifecycle::fold(report, &facts.state.updates);
    let commission = terms.as_ref().and_then(|terms| commission::commission(report, terms, course.remaining));
    let (commission, sum) = commission.unzip();
    let hold = terms.as_ref().and_then(|terms| course.hold(terms));
    let hold_until = hold.map(|hold| hold.until());
    let earns = commission.as_ref().is_some_and(|commission| commission.amount_minor > 0);
    let simulated_at = terms.as_ref().filter(|_| earns).and_then(|terms| simulated::cut_off(&course, terms));
    let stage = Stage { has_commission: commission.is_some(), paid: paid(facts.state, simulated_at, now), hold };
    let (state, reason) = state(&course, attribution, stage, now);
    let next_due = next_due(state, attribution, hold_until, simulated_at);
    let (order_status, refunded) = (course.order_status, course.refunded);
    let suggested_affiliate_id = attribution::suggested_affiliate_id(facts.state, &judged).cloned();
    let derivation = Derivation {
        state,
        attribution,
        credited,
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

/// How far a commission has come.
#[derive(Clone, Copy)]
struct Stage {
    has_commission: bool,
    /// Why it is paid, if it is. No later fact but a reversal takes it out of that, or a payout that took it back; one that
    /// is simulated, also a delivery that is told of late, and was before the cut-off.
    paid: Option<StateReason>,
    hold: Option<HoldExplained>,
}

/// Why an order is paid, if it is: by payouts, or as one is simulated at a cut-off.
fn paid(state: &OrderState, simulated_at: Option<Timestamp>, now: Timestamp) -> Option<StateReason> {
    // What passed through payable before the cut-off, or was taken back since, is paid by none of the payouts it was in.
    if state.settlement.as_ref().is_some_and(|settlement| settlement.paid_minor > 0) {
        return Some(StateReason::PaidOut);
    }
    simulated_at.filter(|at| *at <= now).map(|_| StateReason::PayoutSimulated)
}

/// When time alone will next change an order in this state, if ever.
fn next_due(
    state: ConversionState,
    attribution: Attribution,
    hold_until: Option<Timestamp>,
    simulated_at: Option<Timestamp>,
) -> Option<Timestamp> {
    match (state, attribution) {
        // A hold that a delivery of the next minutes begins may begin after the cut-off.
        (ConversionState::Hold, _) => hold_until.into_iter().chain(simulated_at).min(),
        (ConversionState::Payable, _) => simulated_at,
        (_, Attribution::Awaited { until }) => Some(until),
        (_, Attribution::Low(_) | Attribution::High | Attribution::Approved(_) | Attribution::Rejected(_)) => None,
    }
}

fn state(
    course: &lifecycle::Course,
    attribution: Attribution,
    stage: Stage,
    now: Timestamp,
) -> (ConversionState, StateReason) {
    if course.reversed {
        return (ConversionState::Reversed, StateReason::Reversed);
    }
    match attribution {
        Attribution::Awaited { .. } => (ConversionState::Received, StateReason::ClickAwaited),
        Attribution::Low(_) => (ConversionState::Received, StateReason::NotAttributed),
        Attribution::Rejected(_) => (ConversionState::Rejected, StateReason::Rejected),
        Attribution::High | Attribution::Approved(_) if !stage.has_commission => {
            (ConversionState::Attributed, StateReason::NoRule)
        }
        Attribution::High | Attribution::Approved(_) => match (stage.paid, course.approved_at, stage.hold) {
            (Some(reason), _, _) => (ConversionState::Paid, reason),
            (None, Some(_), _) => (ConversionState::Payable, StateReason::Approved),
            (None, None, None) => (ConversionState::CommissionCreated, StateReason::HoldNotBegun),
            (None, None, Some(hold)) if now < hold.until() => (ConversionState::Hold, StateReason::OnHold),
            (None, None, Some(_)) => (ConversionState::Payable, StateReason::HoldEnded),
        },
    }
}
