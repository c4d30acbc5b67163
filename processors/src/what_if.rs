//! What the orders of a past range would have paid under other rules.
//!
//! Every order is derived once more by [`derive()`], from the facts that `orders` keeps of it and as of the instant of its
//! last derivation, under the proposed registry instead of the terms that it has pinned. What comes of that is held
//! against what was published of the order last. So an order of which nothing is kept but what the proposed registry says
//! too does not differ by a minor unit, whatever has become of it.
//!
//! Whose a coupon is, and until when a click is awaited, are taken as they are kept: neither ever decides about money.
//!
//! # Memory
//!
//! Of an order in the range at most 72 bytes are kept, and what the map takes for them; of any other order nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::CommissionState;
use schemas::registry::Registry;
use schemas::state::{OrderState, Published};
use schemas::{Balance, Currency, Timestamp};
use streams::StoreError;
use streams::processor::parse_row_key;

use crate::common;
use crate::derive::{Derivation, Facts, derive, ordered_at};

/// Which orders are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Placed at or after this.
    pub from: Timestamp,
    /// Placed before this.
    pub to: Timestamp,
    /// In live mode, or in test mode.
    pub livemode: bool,
}

/// Takes the rows of `orders`, and says what they come to under the proposed registry.
#[derive(Debug)]
pub struct WhatIf {
    range: Range,
    registry: Arc<Registry>,
    accounts: Vec<AccountOf>,
    numbers: BTreeMap<AccountOf, u32>,
    orders: BTreeMap<ConversionId, Compared>,
}

/// Whose money it is, and in what; amounts of two of them are never added together, but for totals of one currency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountOf {
    /// Who pays.
    pub merchant_id: String,
    /// Who is credited.
    pub affiliate_id: String,
    /// The currency's code.
    pub currency: &'static str,
}

/// An order as it is and as it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Compared {
    published: Option<Share>,
    proposed: Option<Share>,
}

/// Who has how much of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// Its place among the accounts.
    account: u32,
    commission_minor: i64,
    /// Whether it is in the affiliate's balances; not once the order is reversed.
    counts: bool,
}

/// Sums of one side, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Orders with a commission, be it 0 or reversed.
    pub orders: u64,
    /// All commissions, those of reversed orders too: they stay with their amount, and are not paid.
    pub commission: Balance,
    /// Those that count: of orders that are not reversed.
    pub counting: Balance,
}

/// What was published, and what the proposed rules make of the same orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// As published last.
    pub published: Sums,
    /// As proposed.
    pub proposed: Sums,
    /// Orders whose commission, or whose it is, is another.
    pub changed: u64,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Orders in the range that were reported and processed.
    pub orders: u64,
    /// Those of them whose commission, or whose it is, would be another.
    pub changed: u64,
    /// Those that have no commission and would have none: LOW ones, or without a rule that matches.
    pub without: u64,
    /// Those without a commission that would have one.
    pub gained: u64,
    /// Those with a commission that would have none.
    pub lost: u64,
    /// By merchant, affiliate and currency, in this order.
    pub accounts: BTreeMap<AccountOf, Comparison>,
}

impl Answer {
    /// The sums of each currency, by its code.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<&'static str, Comparison> {
        let mut totals: BTreeMap<&'static str, Comparison> = BTreeMap::new();
        for (account, comparison) in &self.accounts {
            let total = totals.entry(account.currency).or_default();
            total.published.add_all(comparison.published);
            total.proposed.add_all(comparison.proposed);
            total.changed += comparison.changed;
        }
        totals
    }
}

impl Sums {
    fn add(&mut self, share: Share) {
        let minor = i128::from(share.commission_minor);
        let counting = Balance(if share.counts { minor } else { 0 });
        self.add_all(Sums { orders: 1, commission: Balance(minor), counting });
    }

    fn add_all(&mut self, other: Sums) {
        self.orders += other.orders;
        self.commission.0 += other.commission.0;
        self.counting.0 += other.counting.0;
    }
}

impl WhatIf {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(range: Range, registry: Arc<Registry>) -> WhatIf {
        WhatIf { range, registry, accounts: Vec::new(), numbers: BTreeMap::new(), orders: BTreeMap::new() }
    }

    /// Takes a row of the state of `orders`, or that it was deleted. Of several versions of a row the last that is taken
    /// counts. Rows of timers are passed over.
    ///
    /// # Errors
    /// The row is none of this version's.
    pub fn take(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let Some(key) = parse_row_key(row) else { return Ok(()) };
        let Some(order) = OrderKey::from_bytes(key).filter(|order| order.livemode == self.range.livemode) else {
            return Ok(());
        };
        let compared = match value {
            Some(value) => self.compare(&order, common::row(value)?),
            None => None,
        };
        match (self.orders.entry(order.conversion_id()), compared) {
            (Entry::Occupied(mut entry), Some(compared)) => drop(entry.insert(compared)),
            (Entry::Vacant(entry), Some(compared)) => drop(entry.insert(compared)),
            (Entry::Occupied(entry), None) => drop(entry.remove()),
            (Entry::Vacant(_), None) => {}
        }
        Ok(())
    }

    /// What was taken comes to this.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer { orders: self.orders.len() as u64, ..Answer::default() };
        for order in self.orders.values() {
            let changed = order.published != order.proposed;
            answer.changed += u64::from(changed);
            match (order.published, order.proposed) {
                (None, None) => answer.without += 1,
                (None, Some(_)) => answer.gained += 1,
                (Some(_), None) => answer.lost += 1,
                (Some(_), Some(_)) => {}
            }
            if let Some(share) = order.published {
                self.row(&mut answer, share).published.add(share);
            }
            if let Some(share) = order.proposed {
                self.row(&mut answer, share).proposed.add(share);
            }
            if let Some(share) = order.proposed.or(order.published).filter(|_| changed) {
                self.row(&mut answer, share).changed += 1;
            }
        }
        answer
    }

    fn row<'a>(&self, answer: &'a mut Answer, share: Share) -> &'a mut Comparison {
        let account = &self.accounts[share.account as usize];
        answer.accounts.entry(account.clone()).or_default()
    }

    /// Nothing for an order that is not in the range, or of which no report has come.
    fn compare(&mut self, order: &OrderKey<'_>, mut state: OrderState) -> Option<Compared> {
        let report = state.report.as_ref()?;
        let (ordered_at, currency) = (ordered_at(report), report.currency);
        if !(self.range.from..self.range.to).contains(&ordered_at) {
            return None;
        }
        let (published, at) = (state.published.take()?, state.derived_at?);
        state.terms = None;
        let facts = Facts { merchant_id: order.merchant_id, livemode: order.livemode, state: &state };
        let derivation = derive(facts, &self.registry, at)?;
        Some(Compared {
            published: self.published(order, &state, currency, &published),
            proposed: self.proposed(order, currency, &derivation),
        })
    }

    fn published(
        &mut self,
        order: &OrderKey<'_>,
        state: &OrderState,
        currency: Currency,
        published: &Published,
    ) -> Option<Share> {
        let (affiliate_id, commission_minor) = (credited(state)?, published.commission_minor?);
        let account = self.account(order, affiliate_id, currency);
        Some(Share { account, commission_minor, counts: counts(published.commission_state) })
    }

    fn proposed(&mut self, order: &OrderKey<'_>, currency: Currency, derivation: &Derivation) -> Option<Share> {
        let affiliate_id = &derivation.credited.as_ref()?.affiliate_id;
        let commission_minor = derivation.commission.as_ref()?.amount_minor;
        let account = self.account(order, affiliate_id, currency);
        Some(Share { account, commission_minor, counts: counts(derivation.commission_state()) })
    }

    fn account(&mut self, order: &OrderKey<'_>, affiliate_id: &str, currency: Currency) -> u32 {
        let account = AccountOf {
            merchant_id: order.merchant_id.to_owned(),
            affiliate_id: affiliate_id.to_owned(),
            currency: currency.code(),
        };
        if let Some(number) = self.numbers.get(&account) {
            return *number;
        }
        let number = u32::try_from(self.accounts.len()).expect("merchants and affiliates are fewer than 2^32");
        self.accounts.push(account.clone());
        self.numbers.insert(account, number);
        number
    }
}

/// Whom an order with a commission is credited to: whom a reviewer has credited, or else the click's affiliate.
fn credited(state: &OrderState) -> Option<&str> {
    match &state.review {
        Some(review) => review.affiliate_id.as_deref(),
        None => state.click.as_ref().map(|click| &*click.affiliate_id),
    }
}

fn counts(state: Option<CommissionState>) -> bool {
    match state {
        Some(CommissionState::Created | CommissionState::Held | CommissionState::Payable | CommissionState::Paid) => {
            true
        }
        Some(CommissionState::Reversed) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_takes_what_the_docs_say() {
        assert!(size_of::<(ConversionId, Compared)>() <= 72, "{}", size_of::<(ConversionId, Compared)>());
    }
}
