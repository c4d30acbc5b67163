//! Payouts: each change against those before it, and what was reported of them.

use schemas::records::{ConversionSettled, PayoutChanged, PayoutReported};

use super::{Booking, Committed, Visible, same_key};
use crate::fault::{Faults, Invariant};
use crate::keys;
use crate::mission::{payout_fault, take_payout};

/// Most characters of a report's reference.
const REFERENCE_CHARACTERS_MAX: usize = 200;

impl Committed {
    pub(super) fn paid_out(&mut self, record: Visible<'_>, now: PayoutChanged, faults: &mut Faults) {
        let ledger = keys::ledger(&now.affiliate_id, now.currency.code(), now.livemode);
        same_key(record, &ledger, faults);
        if let Some(what) = payout_fault(&now) {
            faults.add(Invariant::Payouts, format!("{ledger}: {what}"));
        }
        let amount = i128::from(now.amount_minor);
        for (kind, change, place) in [(now.debit, -amount, now.debit_entries), (now.credit, amount, now.credit_entries)]
        {
            let id = keys::payout_entry(&now.payout_id, now.state);
            let account = self.accounts.entry(keys::account(&ledger, kind)).or_default();
            let alone = account.pay_out(place, Booking { change, id, at: now.at, order: None });
            faults.check(Invariant::Payouts, alone, || format!("{ledger}: two payouts book at place {place}: {now:?}"));
        }
        if let Err(what) = take_payout(self.payouts.entry(ledger.clone()).or_default(), now) {
            faults.add(Invariant::Payouts, format!("{ledger}: {what}"));
        }
    }

    /// What an administrator said of a payout. The first report of one counts; another outcome, and what is of no payout,
    /// must be refused by `ledger`.
    pub(super) fn payout_reported(&mut self, record: Visible<'_>) {
        let report: Option<PayoutReported> = schemas::decode(record.value).ok();
        let ledger = record.key_text();
        let has = |id: &str| self.payouts.get(&ledger).is_some_and(|all| all.iter().any(|it| it.made.payout_id == id));
        let report = report.filter(|it| {
            let characters = it.reference.as_ref().map_or(0, |reference| reference.chars().count());
            characters <= REFERENCE_CHARACTERS_MAX && has(&it.payout_id)
        });
        let Some(report) = report else {
            self.refuse(record);
            return;
        };
        self.payout_reports.push(report.clone());
        match self.outcomes.get(&report.payout_id) {
            Some(first) if first.outcome != report.outcome => self.refuse(record),
            Some(_) => {}
            None => drop(self.outcomes.insert(report.payout_id.clone(), report)),
        }
    }

    pub(super) fn settled(&mut self, record: Visible<'_>, settled: ConversionSettled, faults: &mut Faults) {
        let key = keys::order(&settled.merchant_id, settled.livemode, &settled.external_order_id);
        same_key(record, &key, faults);
        self.settled.entry(key).or_default().push(settled);
    }
}
