//! Commission rules: whom each is for, what it pays, and in which order they are considered.

use std::collections::BTreeMap;
use std::ops::Deref;

use sha2::{Digest, Sha256};

use crate::records::RuleLevel;
use crate::{Currency, Rate, Timestamp};

/// What a rule pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// A part of the order's amount.
    Percentage(Rate),
    /// A fixed amount, for orders in its currency only.
    Fixed {
        /// Minor units.
        minor: i64,
        /// The currency.
        currency: Currency,
    },
}

/// The least and the most that a percentage rule pays, for orders in its currency only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The currency of both.
    pub currency: Currency,
    /// The least, in minor units.
    pub minimum_minor: Option<i64>,
    /// The most, in minor units; at least the minimum.
    pub cap_minor: Option<i64>,
}

/// A commission rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The id, a name.
    pub id: String,
    /// What it pays.
    pub payment: Payment,
    /// The least and the most it pays.
    pub bounds: Option<Bounds>,
    /// The first instant it holds for; from the beginning if absent.
    pub effective_from: Option<Timestamp>,
    /// The first instant it no longer holds for; for ever if absent.
    pub effective_until: Option<Timestamp>,
}

impl Rule {
    /// Whether the rule holds for an order placed at `ordered_at`.
    #[must_use]
    pub fn is_effective(&self, ordered_at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= ordered_at)
            && self.effective_until.is_none_or(|until| ordered_at < until)
    }

    fn version(&self) -> String {
        let payment = match self.payment {
            Payment::Percentage(rate) => format!("percent {rate}"),
            Payment::Fixed { minor, currency } => format!("fixed {minor} {currency}"),
        };
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let bounds = self.bounds.map_or_else(String::new, |bounds| {
            format!("{} {} {}", number(bounds.minimum_minor), number(bounds.cap_minor), bounds.currency)
        });
        let instant = |at: Option<Timestamp>| number(at.map(|at| at.0));
        // No part has a line break: an id is a name.
        let parts = [&*self.id, &payment, &bounds, &instant(self.effective_from), &instant(self.effective_until)];
        Sha256::digest(parts.join("\n")).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the rule can be computed for an order in `currency`.
    #[must_use]
    pub fn is_in(&self, currency: Currency) -> bool {
        let payment = match self.payment {
            Payment::Percentage(_) => true,
            Payment::Fixed { currency: own, .. } => own == currency,
        };
        payment && self.bounds.is_none_or(|bounds| bounds.currency == currency)
    }
}

/// A rule with its version, which is a digest and so is worked out once, not for each order that considers the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedRule {
    rule: Rule,
    version: String,
}

impl BookedRule {
    /// Which content the rule has: 16 hexadecimal digits, others whenever it says something else.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl From<Rule> for BookedRule {
    fn from(rule: Rule) -> BookedRule {
        let version = rule.version();
        BookedRule { rule, version }
    }
}

impl Deref for BookedRule {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleScope {
    /// One product of one merchant.
    Product {
        /// The merchant.
        merchant_id: String,
        /// The merchant's product id.
        external_product_id: String,
    },
    /// Orders attributed to a campaign.
    Campaign {
        /// The campaign.
        campaign_id: String,
    },
    /// All orders of a merchant.
    Merchant {
        /// The merchant.
        merchant_id: String,
    },
    /// All orders.
    Platform,
}

impl RuleScope {
    /// The level of rules with this scope.
    #[must_use]
    pub fn level(&self) -> RuleLevel {
        match self {
            RuleScope::Product { .. } => RuleLevel::Product,
            RuleScope::Campaign { .. } => RuleLevel::Campaign,
            RuleScope::Merchant { .. } => RuleLevel::Merchant,
            RuleScope::Platform => RuleLevel::Platform,
        }
    }
}

/// All rules by scope; within one, the one that takes effect latest first, then by id.
#[derive(Clone, Debug, Default)]
pub struct RuleBook(BTreeMap<RuleScope, Vec<BookedRule>>);

impl FromIterator<(RuleScope, Rule)> for RuleBook {
    fn from_iter<I: IntoIterator<Item = (RuleScope, Rule)>>(rules: I) -> RuleBook {
        let mut book: BTreeMap<RuleScope, Vec<BookedRule>> = BTreeMap::new();
        for (scope, rule) in rules {
            book.entry(scope).or_default().push(rule.into());
        }
        for rules in book.values_mut() {
            rules.sort_by(|a, b| b.effective_from.cmp(&a.effective_from).then_with(|| a.id.cmp(&b.id)));
        }
        RuleBook(book)
    }
}

impl RuleBook {
    /// The rules of one scope, in the order in which they are considered.
    #[must_use]
    pub fn of(&self, scope: &RuleScope) -> &[BookedRule] {
        self.0.get(scope).map_or(&[], Vec::as_slice)
    }
}
