//! What a derivation came by, told.
//!
//! It is what [`super::work_out`] has in its hands on the way to the derivation, so the two cannot differ; and what the
//! registry said when the order was attributed is pinned with the terms, so that it is told of the present rule book only until then.

use schemas::records::{
    ClickCheck, ClickQuestion, ConfidenceReason, CouponFinding, DecisionExplained, Explanation, FactKind, FactPlace,
    HoldExplained, ReviewDecision, StateReason,
};
use schemas::state::{DecisionFact, FactSource, OrderState, ReportFact};
use schemas::topics::{CLICK_VERDICTS, CONVERSIONS, TopicSpec};

use super::attribution::Judged;
use super::commission::Sum;
use super::{Attribution, Derivation, Facts};

/// What was found on the way to a derivation.
#[derive(Clone, Copy, Debug)]
pub struct Working {
    pub(super) judged: Judged,
    pub(super) sum: Option<Sum>,
    pub(super) hold: Option<HoldExplained>,
    pub(super) reason: StateReason,
}

impl Working {
    /// Whether the order is paid because a payout is simulated.
    pub(crate) fn simulates_payout(&self) -> bool {
        self.reason == StateReason::PayoutSimulated
    }

    /// Tells how `facts` came to `derivation`, both being those that this was found with.
    ///
    /// Of another merchant's click nothing is told that is not told of one which nobody knows.
    #[must_use]
    pub fn explain(&self, facts: Facts<'_>, derivation: &Derivation) -> Explanation {
        let report = facts.state.report.as_ref();
        let terms = derivation.terms.as_ref();
        let sum = self.sum.zip(derivation.commission.as_ref());
        Explanation {
            state_reason: self.reason,
            click_checks: click_checks(self.judged.by_click),
            click: self.judged.click,
            coupon: report.and_then(|report| coupon(report, facts.state)),
            decisions: decisions(facts.state).into_iter().map(|(decision, fact)| explained(decision, fact)).collect(),
            rules: terms.map_or_else(Vec::new, |terms| terms.considered.clone()),
            rules_left_out: terms.map_or(0, |terms| terms.left_out),
            arithmetic: sum.map(|(sum, commission)| sum.arithmetic(commission)),
            hold: self.hold,
            facts: places(facts),
        }
    }
}

/// The questions up to the one that the click failed.
fn click_checks(by_click: Attribution) -> Vec<ClickCheck> {
    const QUESTIONS: [ClickQuestion; 6] = [
        ClickQuestion::Named,
        ClickQuestion::Known,
        ClickQuestion::BeforeOrder,
        ClickQuestion::WithinLookback,
        ClickQuestion::NotSelfReferral,
        ClickQuestion::AfterMinimum,
    ];
    let passed = match by_click {
        // The reasons of a coupon are given only for an order without a click that qualifies.
        Attribution::Low(
            ConfidenceReason::NoClick
            | ConfidenceReason::CouponOnly
            | ConfidenceReason::CouponOutsideWindow
            | ConfidenceReason::CouponUnknown,
        ) => 0,
        Attribution::Awaited { .. }
        | Attribution::Low(ConfidenceReason::ClickUnknown | ConfidenceReason::ClickNotYours) => 1,
        Attribution::Low(ConfidenceReason::ClickAfterOrder) => 2,
        Attribution::Low(ConfidenceReason::ClickOutsideWindow) => 3,
        Attribution::Low(ConfidenceReason::SelfReferral) => 4,
        Attribution::Low(ConfidenceReason::ClickTooRecent) => 5,
        // A decision is no answer of a click's.
        Attribution::High | Attribution::Approved(_) | Attribution::Rejected(_) => QUESTIONS.len(),
    };
    let asked = QUESTIONS.into_iter().enumerate().take(passed + 1);
    asked.map(|(index, question)| ClickCheck { question, passed: index < passed }).collect()
}

fn coupon(report: &ReportFact, state: &OrderState) -> Option<CouponFinding> {
    report.coupon_code.as_ref()?;
    Some(match &state.coupon {
        None => CouponFinding::Unknown,
        Some(coupon) if coupon.affiliate_id.is_some() => CouponFinding::Holds,
        Some(_) => CouponFinding::OutsideWindow,
    })
}

/// The decisions that stand, as they are in the log.
fn decisions(state: &OrderState) -> Vec<(ReviewDecision, &DecisionFact)> {
    let review = state.review.iter().map(|review| {
        let approves = review.affiliate_id.is_some();
        (if approves { ReviewDecision::Approve } else { ReviewDecision::Reject }, &review.decided)
    });
    let reinstated = state.reinstated.iter().map(|fact| (ReviewDecision::Reinstate, fact));
    let mut decisions: Vec<_> = review.chain(reinstated).collect();
    decisions.sort_by_key(|(_, fact)| fact.source.offset);
    decisions
}

fn explained(decision: ReviewDecision, fact: &DecisionFact) -> DecisionExplained {
    let DecisionFact { event_id, role, decided_at, .. } = fact;
    DecisionExplained { decision, event_id: event_id.clone(), role: role.clone(), decided_at: *decided_at }
}

fn places(facts: Facts<'_>) -> Vec<FactPlace> {
    let place = |fact, event_id: Option<&String>, topic: &TopicSpec, source: Option<FactSource>| {
        let FactSource { partition, offset } = source?;
        Some(FactPlace { fact, event_id: event_id.cloned(), topic: topic.name.to_owned(), partition, offset })
    };
    let OrderState { report, updates, click, .. } = facts.state;
    let report = report.iter().map(|it| place(FactKind::Report, Some(&it.event_id), &CONVERSIONS, it.source));
    let updates = updates.iter().map(|it| place(FactKind::OrderStatus, Some(&it.event_id), &CONVERSIONS, it.source));
    let own = click.iter().filter(|click| click.merchant_id == facts.merchant_id);
    let click = own.map(|it| place(FactKind::Click, None, &CLICK_VERDICTS, it.source));
    let decisions = decisions(facts.state).into_iter();
    let decisions = decisions.map(|(_, it)| place(FactKind::Review, Some(&it.event_id), &CONVERSIONS, Some(it.source)));
    let clock = facts.state.test_clock.iter();
    let clock = clock.map(|it| place(FactKind::TestClock, Some(&it.event_id), &CONVERSIONS, Some(it.source)));
    report.chain(updates).chain(click).chain(decisions).chain(clock).flatten().collect()
}
