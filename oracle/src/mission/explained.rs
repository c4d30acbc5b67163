//! Whether an explanation explains: each of its parts, worked out again from the conversion that it is of.
//!
//! What it says of the registry is believed: that the right rule won is for the order's end to say.

use std::ops::Range;

use schemas::records::{
    Arithmetic, ClickCheck, ClickMeasured, ClickQuestion, Commission, Confidence, ConfidenceReason, ConversionState,
    ConversionTransitioned, CouponFinding, Explanation, FactKind, PaidBy, ReviewDecision, Rounding, RuleOutcome,
    StateReason,
};
use schemas::topics::{CLICK_VERDICTS, CONVERSIONS};

use super::commission::percent;
use super::fraction::Fraction;

/// Most rules that an explanation tells of.
const RULES_MAX: usize = 32;

/// The parts of a conversion's explanation that do not explain it: name, and what is told.
pub(crate) fn faults(now: &ConversionTransitioned) -> Vec<(&'static str, String)> {
    let Some(it) = &now.explanation else { return vec![("explanation", "none".to_owned())] };
    let holds = [
        ("stateReason", is_reason(now, it.state_reason)),
        ("click", asked(now, it) && fits_confidence(now, it)),
        ("coupon", is_finding(now, it)),
        ("decisions", decided(now, it)),
        ("rules", ranked(now, it)),
        ("arithmetic", adds_up(now, it.arithmetic.as_ref())),
        (
            "hold",
            it.hold.map(|hold| hold.since.0.saturating_add(hold.window_ms)) == now.hold_until.map(|until| until.0),
        ),
        ("facts", has_its_facts(now, it)),
    ];
    let failing = holds.into_iter().filter(|(_, holds)| !holds);
    failing.map(|(part, _)| (part, format!("{part} of {it:?}"))).collect()
}

fn is_reason(now: &ConversionTransitioned, reason: StateReason) -> bool {
    match now.state {
        ConversionState::Received if now.confidence.is_none() => reason == StateReason::ClickAwaited,
        ConversionState::Received => reason == StateReason::NotAttributed,
        ConversionState::Attributed => reason == StateReason::NoRule,
        ConversionState::CommissionCreated => reason == StateReason::HoldNotBegun,
        ConversionState::Hold => reason == StateReason::OnHold,
        ConversionState::Payable => [StateReason::Approved, StateReason::HoldEnded].contains(&reason),
        ConversionState::Reversed => reason == StateReason::Reversed,
        ConversionState::Rejected => reason == StateReason::Rejected,
        ConversionState::Paid if now.livemode => reason == StateReason::PaidOut,
        ConversionState::Paid => reason == StateReason::PayoutSimulated,
    }
}

/// The questions are those of the contract, up to the first that fails, each with the answer that its numbers give.
fn asked(now: &ConversionTransitioned, it: &Explanation) -> bool {
    let mut expected = vec![(ClickQuestion::Named, now.click_id.is_some())];
    if now.click_id.is_some() {
        expected.push((ClickQuestion::Known, it.click.is_some()));
    } else if it.click.is_some() {
        return false;
    }
    if let Some(ClickMeasured { clicked_at, lookback_ms, min_click_to_order_ms, self_referral }) = it.click {
        let apart = now.ordered_at.0.saturating_sub(clicked_at.0);
        expected.push((ClickQuestion::BeforeOrder, apart >= 0));
        expected.push((ClickQuestion::WithinLookback, apart <= lookback_ms));
        expected.push((ClickQuestion::NotSelfReferral, !self_referral));
        expected.push((ClickQuestion::AfterMinimum, apart >= min_click_to_order_ms));
    }
    let failed = expected.iter().position(|(_, passed)| !passed);
    expected.truncate(failed.map_or(expected.len(), |index| index + 1));
    let told = it.click_checks.iter().map(|ClickCheck { question, passed }| (*question, *passed));
    told.eq(expected)
}

/// How often such a decision stands.
fn standing(it: &Explanation, decision: ReviewDecision) -> usize {
    it.decisions.iter().filter(|it| it.decision == decision).count()
}

/// Whether a reviewer has approved or rejected: then the conversion is LOW as it was shown, whatever came since.
fn is_reviewed(it: &Explanation) -> bool {
    standing(it, ReviewDecision::Approve) + standing(it, ReviewDecision::Reject) > 0
}

/// An approval is what credits somebody with an order that is LOW, and a rejection is what rejects; each is where it says.
fn decided(now: &ConversionTransitioned, it: &Explanation) -> bool {
    let is_low = now.confidence == Some(Confidence::Low);
    let count = |decision| standing(it, decision);
    let approved = usize::from(is_low && now.affiliate_id.is_some());
    let rejects = match now.state {
        ConversionState::Rejected => count(ReviewDecision::Reject) == 1,
        // Whether it was rejected before that is not to be seen.
        ConversionState::Reversed => count(ReviewDecision::Reject) <= usize::from(is_low && approved == 0),
        _ => count(ReviewDecision::Reject) == 0,
    };
    let places = it.facts.iter().filter(|fact| fact.fact == FactKind::Review);
    let named = places.map(|fact| fact.event_id.as_ref()).eq(it.decisions.iter().map(|it| Some(&it.event_id)));
    rejects && count(ReviewDecision::Approve) == approved && count(ReviewDecision::Reinstate) <= 1 && named
}

/// The question that failed is why nobody is credited, unless a coupon or a reviewer says more.
fn fits_confidence(now: &ConversionTransitioned, it: &Explanation) -> bool {
    use ConfidenceReason as Reason;
    if is_reviewed(it) {
        return true;
    }
    let failed = it.click_checks.iter().find(|check| !check.passed).map(|check| check.question);
    match (now.confidence, now.confidence_reason) {
        (Some(Confidence::High), _) => failed.is_none(),
        (None, _) => failed == Some(ClickQuestion::Known),
        (Some(Confidence::Low), Some(Reason::NoClick)) => failed == Some(ClickQuestion::Named),
        (Some(Confidence::Low), Some(Reason::ClickUnknown | Reason::ClickNotYours)) => {
            failed == Some(ClickQuestion::Known)
        }
        (Some(Confidence::Low), Some(Reason::ClickAfterOrder)) => failed == Some(ClickQuestion::BeforeOrder),
        (Some(Confidence::Low), Some(Reason::ClickOutsideWindow)) => failed == Some(ClickQuestion::WithinLookback),
        (Some(Confidence::Low), Some(Reason::ClickTooRecent)) => failed == Some(ClickQuestion::AfterMinimum),
        // Of a click that does not count, or of the coupon.
        (Some(Confidence::Low), Some(Reason::SelfReferral)) => {
            let by_coupon = failed.is_some_and(|failed| failed < ClickQuestion::NotSelfReferral)
                && it.coupon == Some(CouponFinding::Holds);
            failed == Some(ClickQuestion::NotSelfReferral) || by_coupon
        }
        (Some(Confidence::Low), Some(Reason::CouponOnly | Reason::CouponOutsideWindow | Reason::CouponUnknown)) => {
            failed.is_some()
        }
        (Some(Confidence::Low), None) => false,
    }
}

fn is_finding(now: &ConversionTransitioned, it: &Explanation) -> bool {
    let by_reason = match now.confidence_reason {
        Some(ConfidenceReason::CouponOnly) => Some(CouponFinding::Holds),
        Some(ConfidenceReason::CouponOutsideWindow) => Some(CouponFinding::OutsideWindow),
        Some(ConfidenceReason::CouponUnknown) => Some(CouponFinding::Unknown),
        _ => None,
    };
    it.coupon.is_some() == now.coupon_code.is_some() && (by_reason.is_none() || by_reason == it.coupon)
}

/// The rules are in the order of their levels, the one that won is the commission's, and only those behind it are outranked.
fn ranked(now: &ConversionTransitioned, it: &Explanation) -> bool {
    let bounded = it.rules.len() <= RULES_MAX && (it.rules_left_out == 0 || it.rules.len() == RULES_MAX);
    let in_order = it.rules.is_sorted_by_key(|rule| rule.level);
    let versioned = it
        .rules
        .iter()
        .all(|rule| rule.version.len() == 16 && rule.version.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')));
    let fits = |outcome: RuleOutcome| move |at: usize| it.rules.get(at).is_some_and(|rule| rule.outcome == outcome);
    let some_outranked = |mut before: Range<usize>| before.any(fits(RuleOutcome::Outranked));
    let won: Vec<usize> = (0..it.rules.len()).filter(|at| fits(RuleOutcome::Won)(*at)).collect();
    let fits_commission = match (&now.commission, &won[..]) {
        (Some(Commission { level, rule_id, .. }), [won]) => {
            let rule = &it.rules[*won];
            (rule.level, &rule.rule_id) == (*level, rule_id) && !some_outranked(0..*won)
        }
        (None, []) => !some_outranked(0..it.rules.len()),
        (Some(_) | None, _) => false,
    };
    let of_nobody = now.affiliate_id.is_some() || it.rules.is_empty();
    bounded && in_order && versioned && fits_commission && of_nobody && it.rules_left_out >= 0
}

/// The fraction is that of what pays, on what is left of the order, and the commission is the fraction rounded.
fn adds_up(now: &ConversionTransitioned, arithmetic: Option<&Arithmetic>) -> bool {
    let (commission, it) = match (&now.commission, arithmetic) {
        (None, None) => return true,
        (Some(commission), Some(it)) => (commission, it),
        (None, Some(_)) | (Some(_), None) => return false,
    };
    let whole = now.amount_minor * 10_i64.pow(u32::try_from(3 - now.currency.minor_units()).expect("at most three"));
    let remaining = it.remaining_thousandths;
    let remains = match now.refunded_thousandths {
        None => remaining == whole,
        Some(refunded) if refunded < whole => remaining == whole - refunded,
        // The commission keeps its amount when the last of it is refunded.
        Some(_) => (0..=whole).contains(&remaining),
    };
    let (Some(told), true) = (fraction(it), remains && it.rate == commission.rate) else { return false };
    let of_all = it.rate.as_ref().map(|rate| percent(rate, now.amount_minor));
    let flat = it.flat_minor.map(Fraction::whole);
    let pays = match (it.paid_by, of_all, flat) {
        (PaidBy::Percentage, Some(percentage), None) => Some(percentage),
        (PaidBy::Fixed, None, Some(flat)) => Some(flat),
        (PaidBy::Minimum, Some(percentage), Some(minimum)) => Some(minimum).filter(|_| percentage.is_below(minimum)),
        (PaidBy::Cap, Some(percentage), Some(cap)) => Some(cap).filter(|_| cap.is_below(percentage)),
        (PaidBy::Percentage | PaidBy::Fixed | PaidBy::Minimum | PaidBy::Cap, _, _) => None,
    };
    let left = if whole == 0 { Fraction::ONE } else { Fraction::new(remaining.into(), whole.into()) };
    pays.map(|pays| pays.times(left)) == Some(told)
        && told.rounded() == i128::from(it.amount_minor)
        && it.amount_minor == commission.amount_minor
        && it.rounding == rounding(told)
}

fn fraction(it: &Arithmetic) -> Option<Fraction> {
    let (numerator, denominator) = (it.numerator.parse().ok()?, it.denominator.parse().ok()?);
    (numerator >= 0 && denominator > 0).then(|| Fraction::new(numerator, denominator))
}

fn rounding(of: Fraction) -> Rounding {
    let rounded = Fraction::new(of.rounded(), 1);
    let halves = of.times(Fraction::whole(2));
    if rounded == of {
        Rounding::Exact
    } else if halves.is_whole() {
        Rounding::HalfToEven
    } else if rounded.is_below(of) {
        Rounding::Down
    } else {
        Rounding::Up
    }
}

/// The report is among the facts, and the click if it is known; each is said to be in the topic that brings it.
fn has_its_facts(now: &ConversionTransitioned, it: &Explanation) -> bool {
    let of = |kind: FactKind| it.facts.iter().filter(move |fact| fact.fact == kind);
    let reports = of(FactKind::Report).map(|fact| fact.event_id.as_ref());
    let named = of(FactKind::OrderStatus).chain(of(FactKind::TestClock)).all(|fact| fact.event_id.is_some())
        && of(FactKind::TestClock).count() <= usize::from(!now.livemode)
        && of(FactKind::Click).all(|fact| fact.event_id.is_none());
    let placed = it.facts.iter().all(|fact| {
        let topic = match fact.fact {
            FactKind::Report | FactKind::OrderStatus | FactKind::Review | FactKind::TestClock => CONVERSIONS,
            FactKind::Click => CLICK_VERDICTS,
        };
        fact.topic == topic.name && fact.partition >= 0 && fact.offset >= 0
    });
    reports.eq([Some(&now.event_id)])
        && of(FactKind::Click).count() == usize::from(it.click.is_some())
        && named
        && placed
}
