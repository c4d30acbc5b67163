//! Payouts: how one may change, which terms make one, and whose orders are paid with it.

use std::collections::BTreeSet;

use schemas::Timestamp;
use schemas::records::{Account, PayoutChanged, PayoutOutcome, PayoutState};
use schemas::registry::Registry;

use crate::keys;

/// A payout: how it was made, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Its first change.
    pub made: PayoutChanged,
    /// Its second and last: paid or failed.
    pub ended: Option<PayoutChanged>,
}

impl Payout {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> PayoutState {
        self.ended.as_ref().map_or(PayoutState::InTransit, |ended| ended.state)
    }
}

/// The state that an outcome brings a payout to.
#[must_use]
pub fn state_of(outcome: PayoutOutcome) -> PayoutState {
    match outcome {
        PayoutOutcome::Paid => PayoutState::Paid,
        PayoutOutcome::Failed => PayoutState::Failed,
    }
}

/// What is wrong with a payout's change by itself: its id, its mode, its amount or its accounts.
#[must_use]
pub fn payout_fault(now: &PayoutChanged) -> Option<String> {
    let id = keys::payout(&now.affiliate_id, now.currency.code(), now.cut_off);
    let accounts = match now.state {
        PayoutState::InTransit => (Account::AffiliatePayable, Account::PayoutInTransit),
        PayoutState::Paid => (Account::PayoutInTransit, Account::AffiliatePaid),
        PayoutState::Failed => (Account::PayoutInTransit, Account::AffiliatePayable),
    };
    if !now.livemode {
        return Some(format!("test orders are never paid out: {now:?}"));
    }
    let fits = now.payout_id == id && now.amount_minor > 0 && (now.debit, now.credit) == accounts;
    (!fits).then(|| format!("must be {id}, of more than 0 and from and to {accounts:?}: {now:?}"))
}

/// Takes the next change of a ledger's payouts: they are numbered, each ends once and otherwise stays as it was made, and
/// those that failed are named by the next.
///
/// # Errors
/// What is wrong with it.
pub fn take_payout(known: &mut Vec<Payout>, now: PayoutChanged) -> Result<(), String> {
    if now.state == PayoutState::InTransit {
        let retried = |id: &String| known.iter().any(|it| it.made.retries.contains(id));
        let mut failed: Vec<_> = known.iter().filter(|it| it.state() == PayoutState::Failed).collect();
        failed.sort_by_key(|it| it.ended.as_ref().map(|ended| ended.debit_entries));
        let failed: Vec<&String> = failed.iter().map(|it| &it.made.payout_id).filter(|id| !retried(id)).collect();
        let again = known.iter().any(|it| it.made.payout_id == now.payout_id);
        let numbered = usize::try_from(now.number) == Ok(known.len() + 1);
        let fits = numbered && !again && now.retries.iter().collect::<Vec<_>>() == failed;
        let wrong = format!("is not payout {} of its ledger, which retries {failed:?}: {now:?}", known.len() + 1);
        known.push(Payout { made: now, ended: None });
        return if fits { Ok(()) } else { Err(wrong) };
    }
    let payout = known.iter_mut().find(|it| it.made.payout_id == now.payout_id);
    let Some(payout) = payout.filter(|it| it.ended.is_none()) else {
        return Err(format!("ends no payout that is on its way: {now:?}"));
    };
    let same = PayoutChanged {
        state: now.state,
        debit: now.debit,
        debit_entries: now.debit_entries,
        credit: now.credit,
        credit_entries: now.credit_entries,
        reference: now.reference.clone(),
        at: now.at,
        ..payout.made.clone()
    };
    let wrong = (same != now).then(|| format!("was made as {:?}, and is {now:?}", payout.made));
    payout.ended = Some(now);
    wrong.map_or(Ok(()), Err)
}

/// Whether a registry makes this payout: at a cut-off of its policy, of at least the minimum, for an affiliate that it knows
/// to be on no hold.
#[must_use]
pub fn pays_out(terms: &Registry, made: &PayoutChanged) -> bool {
    let Some(policy) = terms.payouts() else { return false };
    let cut_off = policy.cut_off.next_after(Timestamp(made.cut_off.0 - 1));
    let free = terms.affiliate(&made.affiliate_id).is_some_and(|affiliate| !affiliate.on_hold);
    let enough = made.amount_minor >= policy.minimums.of(made.currency);
    cut_off == Some(made.cut_off) && made.cut_off <= made.at && free && enough
}

/// The bookings of the payable account whose orders are paid with a payout of a ledger, those that it retries included:
/// ranges of places, from 1, the end not included. Places of payouts' own bookings are among them.
#[must_use]
pub fn paid_with(payout: &Payout, payouts: &[Payout]) -> Vec<std::ops::Range<usize>> {
    let (mut numbers, mut open) = (BTreeSet::new(), vec![payout]);
    while let Some(payout) = open.pop() {
        if numbers.insert(payout.made.number) {
            open.extend(payouts.iter().filter(|it| payout.made.retries.contains(&it.made.payout_id)));
        }
    }
    let last_of = |number: i64| {
        let made = payouts.iter().find(|it| it.made.number == number).map_or(0, |it| it.made.entries_to);
        usize::try_from(made).unwrap_or(0)
    };
    numbers.into_iter().map(|number| last_of(number - 1) + 1..last_of(number) + 1).collect()
}
