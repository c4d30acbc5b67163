//! Which rule sets a commission, and how much it is.

use std::time::Duration;

use schemas::records::Commission;
use schemas::registry::{Payment, Registry, Rule, RuleScope};
use schemas::state::{ClickFact, PinnedTerms, ReportFact};

use super::{attribution, ordered_at};

/// The terms for an order attributed to `click`: the windows, and the first rule that matches by
/// product → campaign → merchant → platform.
pub(super) fn terms(merchant_id: &str, report: &ReportFact, click: &ClickFact, registry: &Registry) -> PinnedTerms {
    let policies = registry.policies();
    let mut terms = PinnedTerms {
        level: None,
        rule_id: None,
        rate: None,
        fixed_minor: None,
        minimum_minor: None,
        cap_minor: None,
        lookback_ms: attribution::lookback_ms(registry, &click.campaign_id),
        settlement_ms: milliseconds(policies.settlement_window),
        return_ms: milliseconds(policies.return_window),
    };
    if let Some((scope, rule)) = winner(merchant_id, report, click, registry) {
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
    click: &ClickFact,
    registry: &'a Registry,
) -> Option<(RuleScope, &'a Rule)> {
    let product = report.external_product_id.as_ref().map(|product| RuleScope::Product {
        merchant_id: merchant_id.to_owned(),
        external_product_id: product.clone(),
    });
    let campaign = RuleScope::Campaign { campaign_id: click.campaign_id.clone() };
    let merchant = RuleScope::Merchant { merchant_id: merchant_id.to_owned() };
    let scopes = [product, Some(campaign), Some(merchant), Some(RuleScope::Platform)];
    let ordered_at = ordered_at(report);
    let matches = |rule: &&Rule| rule.is_effective(ordered_at) && rule.is_in(report.currency);
    scopes
        .into_iter()
        .flatten()
        .find_map(|scope| registry.rules().of(&scope).iter().find(matches).map(|rule| (scope, rule)))
}

/// The commission on an order under its terms; none if no rule matched.
pub(super) fn commission(report: &ReportFact, terms: &PinnedTerms) -> Option<Commission> {
    let (level, rule_id) = (terms.level?, terms.rule_id.clone()?);
    let computed = match (terms.rate, terms.fixed_minor) {
        (Some(rate), _) => rate.of(report.amount_minor),
        (None, fixed) => fixed.unwrap_or(0),
    };
    // Rounding before the bounds is rounding after them, for they are whole minor units.
    let amount_minor = computed.max(terms.minimum_minor.unwrap_or(0)).min(terms.cap_minor.unwrap_or(i64::MAX));
    Some(Commission {
        amount_minor,
        currency: report.currency,
        level,
        rule_id,
        rate: terms.rate.map(|rate| rate.to_string()),
    })
}

/// A window in milliseconds.
pub(super) fn milliseconds(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}
