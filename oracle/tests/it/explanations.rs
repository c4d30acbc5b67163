//! An explanation that does not explain is objected to.

use oracle::{Invariant, Known, revision};
use schemas::decode;
use schemas::records::{
    ClickQuestion, Confidence, ConversionTransitioned, CouponFinding, Explanation, FactKind, PaidBy, ReviewDecision,
    Rounding, RuleOutcome, StateReason,
};
use schemas::topics::TRANSITIONS;

use crate::merchants::Run;

/// Makes a right explanation wrong; nothing if it has not what it takes.
type Tamper = fn(&mut Explanation) -> Option<()>;

fn revisions() -> Vec<ConversionTransitioned> {
    let runs = (1..=60).map(Run::of);
    let shown = runs.flat_map(|run| run.shown()).filter(|it| it.topic == TRANSITIONS.number);
    shown.map(|it| decode(&it.value).expect("a transition")).collect()
}

fn objects(now: &ConversionTransitioned) -> bool {
    let known = Known { report: None, approved: false, advanced_to: None };
    revision("", known, None, now).iter().any(|fault| fault.invariant == Invariant::Explained)
}

#[test]
fn what_explains_is_not_objected_to_and_what_does_not_is() {
    let right = revisions();
    for now in &right {
        assert!(!objects(now), "{now:?}");
    }
    for (what, tamper) in TAMPERINGS {
        let tampered = right.iter().rev().filter_map(|now| {
            let mut now = now.clone();
            tamper(now.explanation.as_mut()?).map(|()| now)
        });
        let tampered: Vec<_> = tampered.take(50).collect();
        assert!(!tampered.is_empty(), "{what}: no run has what it takes");
        for now in tampered {
            assert!(objects(&now), "{what}: {now:?}");
        }
    }
}

#[test]
fn whose_click_it_was_fits_the_confidence() {
    let mut seen = 0;
    for now in revisions().into_iter().filter(|it| it.confidence == Some(Confidence::High)) {
        let low = ConversionTransitioned { confidence: None, ..now };
        assert!(objects(&low), "{low:?}");
        seen += 1;
    }
    assert!(seen > 0, "no run has a click that counts");
}

const TAMPERINGS: [(&str, Tamper); 29] = [
    ("another reason", |it| {
        let another = if it.state_reason == StateReason::NoRule { StateReason::OnHold } else { StateReason::NoRule };
        it.state_reason = another;
        Some(())
    }),
    ("a check is lost", |it| it.click_checks.pop().map(drop)),
    ("a check came out otherwise", |it| it.click_checks.last_mut().map(|check| check.passed = !check.passed)),
    ("a click that is not known", |it| it.click.take().map(drop)),
    ("a click after its order", |it| {
        let passed = it.click_checks.len() > 3;
        it.click.as_mut().filter(|_| passed).map(|click| click.clicked_at.0 = i64::MAX)
    }),
    ("a shorter window", |it| {
        let passed = it.click_checks.len() >= 5;
        it.click.as_mut().filter(|_| passed).map(|click| click.lookback_ms = -1)
    }),
    ("a shop of its own", |it| {
        let passed = it.click_checks.iter().any(|it| it.question == ClickQuestion::NotSelfReferral && it.passed);
        it.click.as_mut().filter(|_| passed).map(|click| click.self_referral = true)
    }),
    ("a longer minimum", |it| {
        let passed = it.click_checks.iter().all(|check| check.passed);
        it.click.as_mut().filter(|_| passed).map(|click| click.min_click_to_order_ms = i64::MAX)
    }),
    ("a finding of a coupon is lost", |it| it.coupon.take().map(drop)),
    ("a finding of no coupon", |it| match it.coupon {
        None => {
            it.coupon = Some(CouponFinding::Unknown);
            Some(())
        }
        Some(_) => None,
    }),
    ("a decision is lost", |it| it.decisions.pop().map(drop)),
    ("another decision", |it| {
        let last = it.decisions.last_mut()?;
        let approved = last.decision == ReviewDecision::Approve;
        last.decision = if approved { ReviewDecision::Reject } else { ReviewDecision::Approve };
        Some(())
    }),
    ("no rule won", |it| {
        let won = it.rules.iter_mut().find(|rule| rule.outcome == RuleOutcome::Won)?;
        won.outcome = RuleOutcome::OtherCurrency;
        Some(())
    }),
    ("another rule won", |it| {
        let won = it.rules.iter_mut().find(|rule| rule.outcome == RuleOutcome::Won)?;
        won.rule_id.push('x');
        Some(())
    }),
    ("two rules won", |it| {
        let outranked = it.rules.iter_mut().find(|rule| rule.outcome == RuleOutcome::Outranked)?;
        outranked.outcome = RuleOutcome::Won;
        Some(())
    }),
    ("the rules are in another order", |it| {
        let levels = it.rules.windows(2).any(|pair| pair[0].level != pair[1].level);
        levels.then(|| it.rules.reverse())
    }),
    ("rules are left out of few", |it| {
        it.rules_left_out = 1;
        (!it.rules.is_empty()).then_some(())
    }),
    ("no version", |it| it.rules.first_mut().map(|rule| rule.version.clear())),
    ("no arithmetic", |it| it.arithmetic.take().map(drop)),
    ("another amount", |it| it.arithmetic.as_mut().map(|sum| sum.amount_minor += 1)),
    ("another numerator", |it| it.arithmetic.as_mut().map(|sum| sum.numerator.insert(0, '9'))),
    ("no denominator", |it| it.arithmetic.as_mut().map(|sum| sum.denominator = "0".to_owned())),
    ("another rest", |it| it.arithmetic.as_mut().map(|sum| sum.remaining_thousandths = -1)),
    ("another rounding", |it| {
        it.arithmetic.as_mut().map(|sum| {
            sum.rounding = if sum.rounding == Rounding::Up { Rounding::Down } else { Rounding::Up };
        })
    }),
    ("paid by something else", |it| {
        it.arithmetic.as_mut().map(|sum| {
            sum.paid_by = if sum.paid_by == PaidBy::Fixed { PaidBy::Percentage } else { PaidBy::Fixed };
        })
    }),
    ("another hold", |it| it.hold.as_mut().map(|hold| hold.window_ms += 1)),
    ("no report", |it| {
        it.facts.retain(|fact| fact.fact != FactKind::Report);
        Some(())
    }),
    ("another topic", |it| it.facts.last_mut().map(|fact| fact.topic = "clicks".to_owned())),
    ("a fact nowhere", |it| it.facts.last_mut().map(|fact| fact.offset = -1)),
];
