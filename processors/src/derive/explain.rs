//! What a derivation came by, told.
//!
//! It is what [`super::work_out`] has in its hands on the way to the derivation, so the two cannot differ; and what the
//! registry said when the order was attributed is pinned with the terms, so that it is told of the present rule book only until then.

use schemas::records::{
    ClickCheck, ClickQuestion, ConfidenceReason, CouponFinding, Explanation, FactKind, FactPlace, HoldExplained,
    StateReason,
};
use schemas::state::{FactSource, OrderState, ReportFact};
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
    const QUESTIONS: [ClickQuestion; 5] = [
        ClickQuestion::Named,
        ClickQuestion::Known,
        ClickQuestion::BeforeOrder,
        ClickQuestion::WithinLookback,
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
        Attribution::Low(ConfidenceReason::ClickTooRecent) => 4,
        Attribution::High => QUESTIONS.len(),
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
    report.chain(updates).chain(click).flatten().collect()
}
