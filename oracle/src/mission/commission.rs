//! Which rule pays, and how much.

use std::ops::Deref;

use schemas::records::{Commission, ConversionReported, RuleLevel};
use schemas::registry::{Payment, Registry, Rule, RuleScope};

use super::fraction::Fraction;
use super::ordered_at;

/// The commission by the first rule that matches: product, campaign of the click if one counts, merchant, platform; on what is left of
/// the order after its refunds.
pub(super) fn commission(
    report: &ConversionReported,
    campaign_id: Option<&str>,
    registry: &Registry,
    left: Fraction,
) -> Option<Commission> {
    let merchant_id = report.merchant_id.clone();
    let mut scopes = Vec::new();
    if let Some(product) = &report.external_product_id {
        let product = RuleScope::Product { merchant_id: merchant_id.clone(), external_product_id: product.clone() };
        scopes.push((RuleLevel::Product, product));
    }
    if let Some(campaign_id) = campaign_id {
        scopes.push((RuleLevel::Campaign, RuleScope::Campaign { campaign_id: campaign_id.to_owned() }));
    }
    scopes.push((RuleLevel::Merchant, RuleScope::Merchant { merchant_id }));
    scopes.push((RuleLevel::Platform, RuleScope::Platform));
    for (level, scope) in scopes {
        let rules = registry.rules().of(&scope).iter().map(Deref::deref);
        let mut found: Vec<&Rule> = rules.filter(|rule| matches(rule, report)).collect();
        // The one that took effect latest; one that always was comes last.
        found.sort_by(|a, b| b.effective_from.cmp(&a.effective_from).then(a.id.cmp(&b.id)));
        if let Some(rule) = found.first() {
            return Some(paid(rule, level, report, left));
        }
    }
    None
}

fn matches(rule: &Rule, report: &ConversionReported) -> bool {
    let at = ordered_at(report);
    let begun = rule.effective_from.is_none_or(|from| at >= from);
    let over = rule.effective_until.is_some_and(|until| at >= until);
    let fixed = match rule.payment {
        Payment::Fixed { currency, .. } => Some(currency),
        Payment::Percentage(_) => None,
    };
    let named = fixed.or(rule.bounds.map(|bounds| bounds.currency));
    begun && !over && named.is_none_or(|currency| currency == report.currency)
}

fn paid(rule: &Rule, level: RuleLevel, report: &ConversionReported, left: Fraction) -> Commission {
    let (mut amount, rate) = match rule.payment {
        Payment::Fixed { minor, .. } => (Fraction::whole(minor), None),
        Payment::Percentage(rate) => (percent(&rate.to_string(), report.amount_minor), Some(rate.to_string())),
    };
    if let Some(bounds) = rule.bounds {
        if let Some(minimum) = bounds.minimum_minor.map(Fraction::whole).filter(|minimum| amount.is_below(*minimum)) {
            amount = minimum;
        }
        if let Some(cap) = bounds.cap_minor.map(Fraction::whole).filter(|cap| cap.is_below(amount)) {
            amount = cap;
        }
    }
    let amount_minor = amount.times(left).rounded();
    Commission {
        amount_minor: i64::try_from(amount_minor).expect("at most the order's amount, or an amount of a rule"),
        currency: report.currency,
        level,
        rule_id: rule.id.clone(),
        rate,
    }
}

/// A percentage, written as a decimal, of an amount in minor units.
pub(super) fn percent(rate: &str, amount_minor: i64) -> Fraction {
    let (whole, decimals) = rate.split_once('.').unwrap_or((rate, ""));
    let digits: i128 = format!("{whole}{decimals}").parse().expect("a rate is written as digits");
    let denominator = 100 * 10_i128.pow(u32::try_from(decimals.len()).expect("a rate has few decimals"));
    Fraction::new(i128::from(amount_minor) * digits, denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_half_to_even() {
        let check =
            |rate, amount, expected| assert_eq!(percent(rate, amount).rounded(), expected, "{rate} % of {amount}");
        check("12", 299_900, 35_988);
        check("50", 1, 0);
        check("50", 3, 2);
        check("50", 5, 2);
        check("7.25", 200, 14);
        check("7.25", 1_000, 72);
        check("7.25", 600, 44);
        check("0.0001", 500_000, 0);
        check("0.0001", 500_001, 1);
        check("100", i64::MAX, i64::MAX.into());
        check("0", 77, 0);
    }
}
