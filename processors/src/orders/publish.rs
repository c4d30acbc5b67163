//! What is published of an order: the difference between what was published and what is derived now.

use schemas::Timestamp;
use schemas::ids::{ConversionId, OrderKey, account_key};
use schemas::records::{
    Account, Cause, CauseType, CommissionChanged, ConversionState, ConversionTransitioned, LedgerEntry, TimelineEntry,
};
use schemas::state::{OrderState, Published, ReportFact};
use schemas::topics::{COMMISSIONS, LEDGER_ENTRIES, TRANSITIONS};
use streams::Context;

use super::timeline::{cause, path};
use crate::common::message;
use crate::derive::{Derivation, Facts, Working, ordered_at};

/// What the timeline is to say of a change of the facts, or of time.
pub(super) enum News {
    /// This made it, and stands there though it changed nothing.
    Always(Cause),
    /// This made it, if anything changed.
    IfChanged(Cause),
    /// Nothing, unless the conversion enters another state.
    Silent,
}

/// What is derived now, and what the timeline is to say of it.
pub(super) struct Change<'a> {
    /// The derivation.
    pub(super) derivation: &'a Derivation,
    /// What it came by.
    pub(super) working: &'a Working,
    /// What made it.
    pub(super) news: News,
    /// Updates that came before the report, for the first timeline.
    pub(super) early: Vec<Cause>,
    /// When it was derived.
    pub(super) at: Timestamp,
}

/// Publishes the change, if there is one or if it is news though nothing changed.
pub(super) fn publish(context: &mut Context<'_>, key: &OrderKey<'_>, state: &mut OrderState, change: &Change<'_>) {
    let Change { derivation, working, at, .. } = *change;
    let derived = published(derivation);
    let differs = state.published.as_ref() != Some(&derived);
    let cause = match &change.news {
        News::Always(cause) => Some(cause),
        News::IfChanged(cause) if differs => Some(cause),
        News::Silent if differs => None,
        News::IfChanged(_) | News::Silent => return,
    };
    let report = state.report.clone().expect("only a reported order is derived");
    let order = Order { key, conversion_id: key.conversion_id(), report: &report, derivation, working, at };
    let entries = order.timeline(state, cause, &change.early, differs);
    state.revision += 1;
    if differs {
        state.changed_in = state.revision;
    }
    context.emit(message(&TRANSITIONS, key.to_bytes(), &order.transition(state, entries)));
    let commission =
        |it: &Published| (it.commission_state, it.commission_minor, it.hold_until, it.refunded_thousandths);
    let commission_changed = state.published.as_ref().map(commission) != Some(commission(&derived));
    if let Some(record) = order.commission(state).filter(|_| commission_changed) {
        context.emit(message(&COMMISSIONS, key.to_bytes(), &record));
    }
    for entry in order.entries(state) {
        let entry_key = account_key(&entry.affiliate_id, report.currency.code(), key.livemode);
        context.emit(message(&LEDGER_ENTRIES, entry_key, &entry));
    }
    state.published = Some(derived);
    if state.terms.is_none() {
        state.terms.clone_from(&derivation.terms);
    }
}

fn published(derivation: &Derivation) -> Published {
    let (confidence, confidence_reason) = derivation.confidence();
    let (pending_minor, payable_minor) = derivation.affiliate_balances();
    Published {
        state: derivation.state,
        confidence,
        confidence_reason,
        commission_state: derivation.commission_state(),
        commission_minor: derivation.commission.as_ref().map(|commission| commission.amount_minor),
        hold_until: derivation.hold_until,
        order_status: derivation.order_status,
        refunded_thousandths: derivation.refunded,
        pending_minor,
        payable_minor,
    }
}

/// An order and what follows from its facts now.
struct Order<'a> {
    key: &'a OrderKey<'a>,
    conversion_id: ConversionId,
    report: &'a ReportFact,
    derivation: &'a Derivation,
    working: &'a Working,
    at: Timestamp,
}

impl Order<'_> {
    /// The new timeline entries: the states passed, or the present one again for a fact that changed none.
    fn timeline(
        &self,
        state: &mut OrderState,
        told: Option<&Cause>,
        early: &[Cause],
        differs: bool,
    ) -> Vec<TimelineEntry> {
        let before = state.published.as_ref().map(|published| published.state);
        let mut states = path(before, self.derivation.state, self.derivation.hold_until.is_some());
        // A simulated payout is a cause of its own, and what let it happen is told with the state before.
        let paid = if self.working.simulates_payout() { states.pop() } else { None };
        let is_news = told.is_some_and(|cause| paid.is_none() || cause.kind != CauseType::PayoutSimulated);
        if states.is_empty() && is_news {
            states.push(paid.map_or(self.derivation.state, |_| ConversionState::Payable));
        }
        // Without news a state is entered only by an update that is known: an earlier receipt of it, or one of many.
        let mut news = told.cloned().unwrap_or_else(|| cause(CauseType::OrderStatus, None));
        news.applied &= differs;
        let mut causes: Vec<(ConversionState, Cause)> = states.into_iter().map(|it| (it, news.clone())).collect();
        causes.extend(paid.map(|paid| (paid, cause(CauseType::PayoutSimulated, None))));
        causes.extend(early.iter().map(|cause| (self.derivation.state, cause.clone())));
        let mut entry = |(entered, cause): (ConversionState, Cause)| {
            state.seq += 1;
            let received = entered == ConversionState::Received && cause.kind == CauseType::Reported;
            let at = if received { self.report.received_at } else { self.at };
            TimelineEntry { seq: state.seq, state: entered, at, cause }
        };
        causes.into_iter().map(&mut entry).collect()
    }

    fn transition(&self, state: &OrderState, timeline: Vec<TimelineEntry>) -> ConversionTransitioned {
        let (report, derivation) = (self.report, self.derivation);
        let (confidence, confidence_reason) = derivation.confidence();
        let credited = derivation.credited.as_ref();
        let facts = Facts { merchant_id: self.key.merchant_id, livemode: self.key.livemode, state };
        ConversionTransitioned {
            conversion_id: self.conversion_id,
            revision: state.revision,
            seq: state.seq,
            event_id: report.event_id.clone(),
            merchant_id: self.key.merchant_id.to_owned(),
            livemode: self.key.livemode,
            external_order_id: self.key.external_order_id.to_owned(),
            state: derivation.state,
            confidence,
            confidence_reason,
            click_id: report.click_id.clone(),
            affiliate_id: credited.map(|credited| credited.affiliate_id.clone()),
            campaign_id: credited.and_then(|credited| credited.campaign_id.clone()),
            suggested_affiliate_id: derivation.suggested_affiliate_id.clone(),
            external_product_id: report.external_product_id.clone(),
            amount_minor: report.amount_minor,
            currency: report.currency,
            order_status: derivation.order_status,
            ordered_at: ordered_at(report),
            received_at: report.received_at,
            coupon_code: report.coupon_code.clone(),
            metadata: report.metadata.clone(),
            commission: derivation.commission.clone(),
            hold_until: derivation.hold_until,
            refunded_thousandths: derivation.refunded,
            conflicts: state.conflicts,
            timeline,
            explanation: Some(self.working.explain(facts, derivation)),
            at: self.at,
        }
    }

    fn commission(&self, state: &OrderState) -> Option<CommissionChanged> {
        let credited = self.derivation.credited.as_ref()?;
        Some(CommissionChanged {
            conversion_id: self.conversion_id,
            revision: state.revision,
            merchant_id: self.key.merchant_id.to_owned(),
            livemode: self.key.livemode,
            external_order_id: self.key.external_order_id.to_owned(),
            affiliate_id: credited.affiliate_id.clone(),
            campaign_id: credited.campaign_id.clone(),
            state: self.derivation.commission_state()?,
            commission: self.derivation.commission.clone()?,
            order_amount_minor: self.report.amount_minor,
            refunded_thousandths: self.derivation.refunded,
            hold_until: self.derivation.hold_until,
            at: self.at,
        })
    }

    /// The entries that bring what is booked to what is derived.
    fn entries(&self, state: &OrderState) -> Vec<LedgerEntry> {
        let booked = state.published.as_ref().map_or((0, 0), |before| (before.pending_minor, before.payable_minor));
        let Some(credited) = &self.derivation.credited else { return Vec::new() };
        let moves = moves(booked, self.derivation.affiliate_balances());
        let entry = |(index, (debit, credit, amount_minor)): (usize, (Account, Account, i64))| LedgerEntry {
            entry_id: self.conversion_id.ledger_entry_id(state.revision, index),
            conversion_id: self.conversion_id,
            revision: state.revision,
            merchant_id: self.key.merchant_id.to_owned(),
            external_order_id: self.key.external_order_id.to_owned(),
            affiliate_id: credited.affiliate_id.clone(),
            livemode: self.key.livemode,
            debit,
            credit,
            amount_minor,
            currency: self.report.currency,
            at: self.at,
        };
        moves.into_iter().enumerate().map(entry).collect()
    }
}

/// The bookings, each of more than 0, that take the affiliate's pending and payable accounts from one pair of balances
/// to another; what does not move between the two comes from, or goes back to, the merchant.
fn moves(booked: (i64, i64), derived: (i64, i64)) -> Vec<(Account, Account, i64)> {
    let (mut pending, mut payable) = (derived.0 - booked.0, derived.1 - booked.1);
    let mut moves = Vec::new();
    let mut book = |from: Account, to: Account, amount: i64| {
        if amount > 0 {
            moves.push((from, to, amount));
        }
    };
    let released = payable.min(-pending).max(0);
    book(Account::AffiliatePending, Account::AffiliatePayable, released);
    let withheld = pending.min(-payable).max(0);
    book(Account::AffiliatePayable, Account::AffiliatePending, withheld);
    pending += released - withheld;
    payable -= released - withheld;
    for (account, change) in [(Account::AffiliatePending, pending), (Account::AffiliatePayable, payable)] {
        book(Account::MerchantReceivable, account, change);
        book(account, Account::MerchantReceivable, -change);
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moves_end_at_the_derived_balances(
            booked in (0..1_000i64, 0..1_000i64),
            derived in (0..1_000i64, 0..1_000i64),
        ) {
            let moves = moves(booked, derived);
            let balance = |account: Account| {
                let credit: i64 = moves.iter().filter(|it| it.1 == account).map(|it| it.2).sum();
                let debit: i64 = moves.iter().filter(|it| it.0 == account).map(|it| it.2).sum();
                credit - debit
            };
            prop_assert!(moves.iter().all(|it| it.2 > 0 && it.0 != it.1));
            prop_assert!(moves.len() <= 2);
            prop_assert_eq!(booked.0 + balance(Account::AffiliatePending), derived.0);
            prop_assert_eq!(booked.1 + balance(Account::AffiliatePayable), derived.1);
        }
    }
}
