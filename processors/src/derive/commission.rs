//! The terms of a commission, and how much it is.

use std::cmp::Ordering;
use std::time::Duration;

use schemas::rate::half_to_even;
use schemas::records::{Arithmetic, ClickMeasured, Commission, PaidBy, Rounding};
use schemas::registry::{Payment, Registry};
use schemas::state::{PinnedTerms, ReportFact};

use super::{Facts, attribution, rules};

/// The terms for an order that is credited to somebody for a campaign, or for none: the windows, what the rule that won
/// pays, and in test mode the cut-off at which a payout is simulated.
///
/// A click goes on to be held against what it was held against, which is its own campaign's also if a reviewer has credited
/// the order for another or for none.
pub(super) fn terms(
    facts: Facts<'_>,
    report: &ReportFact,
    campaign_id: Option<&str>,
    click: Option<ClickMeasured>,
    registry: &Registry,
) -> PinnedTerms {
    let lookback_ms = || attribution::lookback_ms(registry, campaign_id);
    let min_click_to_order_ms = || attribution::min_click_to_order_ms(registry, campaign_id);
    let policies = registry.policies();
    let considered = rules::consider(facts.merchant_id, report, campaign_id, registry);
    let mut terms = PinnedTerms {
        level: None,
        rule_id: None,
        rate: None,
        fixed_minor: None,
        minimum_minor: None,
        cap_minor: None,
        lookback_ms: click.map_or_else(lookback_ms, |click| click.lookback_ms),
        min_click_to_order_ms: click.map_or_else(min_click_to_order_ms, |click| click.min_click_to_order_ms),
        self_referral: click.is_some_and(|click| click.self_referral),
        settlement_ms: milliseconds(policies.settlement_window),
        return_ms: milliseconds(policies.return_window),
        payout_cut_off: registry.payouts().filter(|_| !facts.livemode).map(|policy| policy.cut_off.to_string()),
        considered: considered.kept,
        left_out: considered.left_out,
    };
    if let Some((level, rule)) = considered.winner {
        terms.level = Some(level);
        terms.rule_id = Some(rule.id.clone());
        match rule.payment {
            Payment::Percentage(rate) => terms.rate = Some(rate),
            Payment::Fixed { minor, .. } => terms.fixed_minor = Some(minor),
        }
        terms.minimum_minor = rule.bounds.and_then(|bounds| bounds.minimum_minor);
        terms.cap_minor = rule.bounds.and_then(|bounds| bounds.cap_minor);
    }
    terms
}

/// A commission before it is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    paid_by: PaidBy,
    flat_minor: Option<i64>,
    remaining: i64,
    numerator: i128,
    denominator: i128,
}

impl Sum {
    /// What is paid of an order under its terms, in which a rule won.
    ///
    /// `remaining` is what has not been refunded of the order, in thousandths of the currency's unit.
    fn of(report: &ReportFact, terms: &PinnedTerms, remaining: i64) -> Sum {
        let whole = report.currency.thousandths(report.amount_minor);
        let (paid_by, flat_minor) = paid_by(report.amount_minor, terms);
        let (numerator, denominator) = match (flat_minor, terms.rate) {
            (Some(minor), _) if remaining == whole => (minor.into(), 1),
            (Some(minor), _) => (i128::from(minor) * i128::from(remaining), whole.into()),
            (None, rate) => rate.map_or((0, 1), |rate| rate.fraction(remaining, report.currency)),
        };
        Sum { paid_by, flat_minor, remaining, numerator, denominator }
    }

    fn minor(&self) -> i64 {
        half_to_even(self.numerator, self.denominator)
    }

    fn rounding(&self) -> Rounding {
        let remainder = self.numerator % self.denominator;
        if remainder == 0 {
            return Rounding::Exact;
        }
        // Not twice the remainder, which might overflow.
        match remainder.cmp(&(self.denominator - remainder)) {
            Ordering::Less => Rounding::Down,
            Ordering::Equal => Rounding::HalfToEven,
            Ordering::Greater => Rounding::Up,
        }
    }

    /// How `commission` was worked out.
    pub(super) fn arithmetic(&self, commission: &Commission) -> Arithmetic {
        Arithmetic {
            paid_by: self.paid_by,
            rate: commission.rate.clone(),
            flat_minor: self.flat_minor,
            remaining_thousandths: self.remaining,
            numerator: self.numerator.to_string(),
            denominator: self.denominator.to_string(),
            rounding: self.rounding(),
            amount_minor: commission.amount_minor,
        }
    }
}

/// The commission on an order under its terms, and what it was rounded from; none if no rule matched.
pub(super) fn commission(report: &ReportFact, terms: &PinnedTerms, remaining: i64) -> Option<(Commission, Sum)> {
    let (level, rule_id) = (terms.level?, terms.rule_id.clone()?);
    let sum = Sum::of(report, terms, remaining);
    let rate = terms.rate.map(|rate| rate.to_string());
    Some((Commission { amount_minor: sum.minor(), currency: report.currency, level, rule_id, rate }, sum))
}

/// What of the rule pays, and what that is for the whole order if it is an amount: a fixed one, or the minimum or the cap
/// if the percentage is beyond it. It shrinks with the order, so that a refund in parts ends where one of the sum does.
fn paid_by(amount_minor: i64, terms: &PinnedTerms) -> (PaidBy, Option<i64>) {
    let Some(rate) = terms.rate else { return (PaidBy::Fixed, Some(terms.fixed_minor.unwrap_or(0))) };
    let is_beyond = |bound: i64, side: Ordering| rate.compare(amount_minor, bound) == side;
    let minimum = terms.minimum_minor.filter(|minimum| is_beyond(*minimum, Ordering::Less));
    let cap = terms.cap_minor.filter(|cap| is_beyond(*cap, Ordering::Greater));
    match (minimum, cap) {
        (Some(minimum), _) => (PaidBy::Minimum, Some(minimum)),
        (None, Some(cap)) => (PaidBy::Cap, Some(cap)),
        (None, None) => (PaidBy::Percentage, None),
    }
}

/// A window in milliseconds.
pub(super) fn milliseconds(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}
