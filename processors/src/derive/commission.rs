//! Which rule sets a commission, and how much it is.

use std::cmp::Ordering;
use std::time::Duration;

use schemas::rate::half_to_even;
use schemas::records::Commission;
use schemas::registry::{Payment, Registry, Rule, RuleScope};
use schemas::state::{PinnedTerms, ReportFact};

use super::{attribution, ordered_at};

/// The terms for an order that is credited to somebody for a campaign, or for none: the windows, and the first rule that
/// matches by product → campaign → merchant → platform.
pub(super) fn terms(
    merchant_id: &str,
    report: &ReportFact,
    campaign_id: Option<&str>,
    registry: &Registry,
) -> PinnedTerms {
    let policies = registry.policies();
    let mut terms = PinnedTerms {
        level: None,
        rule_id: None,
        rate: None,
        fixed_minor: None,
        minimum_minor: None,
        cap_minor: None,
        lookback_ms: attribution::lookback_ms(registry, campaign_id),
        min_click_to_order_ms: attribution::min_click_to_order_ms(registry, campaign_id),
        settlement_ms: milliseconds(policies.settlement_window),
        return_ms: milliseconds(policies.return_window),
    };
    if let Some((scope, rule)) = winner(merchant_id, report, campaign_id, registry) {
        terms.level = Some(scope.level());
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

fn winner<'a>(
    merchant_id: &str,
    report: &ReportFact,
    campaign_id: Option<&str>,
    registry: &'a Registry,
) -> Option<(RuleScope, &'a Rule)> {
    let product = report.external_product_id.as_ref().map(|product| RuleScope::Product {
        merchant_id: merchant_id.to_owned(),
        external_product_id: product.clone(),
    });
    let campaign = campaign_id.map(|id| RuleScope::Campaign { campaign_id: id.to_owned() });
    let merchant = RuleScope::Merchant { merchant_id: merchant_id.to_owned() };
    let scopes = [product, campaign, Some(merchant), Some(RuleScope::Platform)];
    let ordered_at = ordered_at(report);
    let matches = |rule: &&Rule| rule.is_effective(ordered_at) && rule.is_in(report.currency);
    scopes
        .into_iter()
        .flatten()
        .find_map(|scope| registry.rules().of(&scope).iter().find(matches).map(|rule| (scope, rule)))
}

/// The commission on an order under its terms; none if no rule matched.
///
/// `remaining` is what has not been refunded of the order, in thousandths of the currency's unit.
pub(super) fn commission(report: &ReportFact, terms: &PinnedTerms, remaining: i64) -> Option<Commission> {
    let (level, rule_id) = (terms.level?, terms.rule_id.clone()?);
    let whole = report.currency.thousandths(report.amount_minor);
    let amount_minor = match (flat(report.amount_minor, terms), terms.rate) {
        (Some(minor), _) if remaining == whole => minor,
        (Some(minor), _) => half_to_even(i128::from(minor) * i128::from(remaining), whole.into()),
        (None, rate) => rate.map_or(0, |rate| rate.of(remaining, report.currency)),
    };
    Some(Commission {
        amount_minor,
        currency: report.currency,
        level,
        rule_id,
        rate: terms.rate.map(|rate| rate.to_string()),
    })
}

/// What the rule pays for the whole order whatever its amount: a fixed amount, or the minimum or the cap if the
/// percentage is beyond it. It shrinks with the order, so that a refund in parts ends where one of the sum does.
fn flat(amount_minor: i64, terms: &PinnedTerms) -> Option<i64> {
    let Some(rate) = terms.rate else { return Some(terms.fixed_minor.unwrap_or(0)) };
    let is_beyond = |bound: i64, side: Ordering| rate.compare(amount_minor, bound) == side;
    let minimum = terms.minimum_minor.filter(|minimum| is_beyond(*minimum, Ordering::Less));
    let cap = terms.cap_minor.filter(|cap| is_beyond(*cap, Ordering::Greater));
    minimum.or(cap)
}

/// A window in milliseconds.
pub(super) fn milliseconds(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}
