//! Which rule sets a commission, and why each other one that was considered does not.

use schemas::records::{RuleConsidered, RuleLevel, RuleOutcome};
use schemas::registry::{BookedRule, Registry, Rule, RuleScope};
use schemas::state::ReportFact;
use schemas::{Currency, Timestamp};

use super::ordered_at;

/// Most rules of which it is kept what came of them.
const KEPT_MAX: usize = 32;

/// The rules that were considered.
#[derive(Debug, Default)]
pub(super) struct Considered<'a> {
    /// The one that sets the commission.
    pub(super) winner: Option<(RuleLevel, &'a Rule)>,
    /// What came of each, in order; of many the first, the winner among them.
    pub(super) kept: Vec<RuleConsidered>,
    /// How many more were considered.
    pub(super) left_out: i32,
}

/// Considers the rules by product → campaign → merchant → platform, of an order without a campaign the others in the same
/// order: the first that matches wins.
pub(super) fn consider<'a>(
    merchant_id: &str,
    report: &ReportFact,
    campaign_id: Option<&str>,
    registry: &'a Registry,
) -> Considered<'a> {
    let product = report.external_product_id.as_ref().map(|product| RuleScope::Product {
        merchant_id: merchant_id.to_owned(),
        external_product_id: product.clone(),
    });
    let campaign = campaign_id.map(|id| RuleScope::Campaign { campaign_id: id.to_owned() });
    let merchant = RuleScope::Merchant { merchant_id: merchant_id.to_owned() };
    let scopes = [product, campaign, Some(merchant), Some(RuleScope::Platform)];
    let mut considered = Considered::default();
    for scope in scopes.into_iter().flatten() {
        for rule in registry.rules().of(&scope) {
            considered.take(scope.level(), rule, match_order(rule, ordered_at(report), report.currency));
        }
    }
    considered
}

/// What comes of a rule if none before it wins.
fn match_order(rule: &Rule, ordered_at: Timestamp, currency: Currency) -> RuleOutcome {
    if rule.effective_from.is_some_and(|from| ordered_at < from) {
        RuleOutcome::NotYetEffective
    } else if !rule.is_effective(ordered_at) {
        RuleOutcome::NoLongerEffective
    } else if !rule.is_in(currency) {
        RuleOutcome::OtherCurrency
    } else {
        RuleOutcome::Won
    }
}

impl<'a> Considered<'a> {
    fn take(&mut self, level: RuleLevel, rule: &'a BookedRule, alone: RuleOutcome) {
        let outcome = match alone {
            RuleOutcome::Won if self.winner.is_some() => RuleOutcome::Outranked,
            alone => alone,
        };
        let wins = outcome == RuleOutcome::Won;
        if wins {
            self.winner = Some((level, rule));
        }
        if self.kept.len() == KEPT_MAX {
            self.left_out = self.left_out.saturating_add(1);
            if !wins {
                return;
            }
            self.kept.pop();
        }
        self.kept.push(RuleConsidered { level, rule_id: rule.id.clone(), version: rule.version().to_owned(), outcome });
    }
}
