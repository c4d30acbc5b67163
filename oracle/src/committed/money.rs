//! Commissions, bookings and balances.

use schemas::records::{Account as Kind, BalanceChanged, CommissionChanged, LedgerEntry};

use super::{Committed, Visible, same_key};
use crate::facts::conversion_id;
use crate::fault::{Faults, Invariant};
use crate::keys;

/// One account of an affiliate's ledger.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The balance after each entry, and that entry's id.
    steps: Vec<(i128, String)>,
    /// How many of them `balances` has told.
    told: usize,
}

impl Account {
    fn balance(&self) -> i128 {
        self.steps.last().map_or(0, |(balance, _)| *balance)
    }
}

/// What is booked of one conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// What the merchant's account has, mostly below 0.
    pub receivable: i128,
    /// What the affiliate has and may not be paid yet.
    pub pending: i128,
    /// What the affiliate may be paid.
    pub payable: i128,
}

impl Booked {
    pub(crate) fn of(entries: &[LedgerEntry]) -> Booked {
        let mut booked = Booked::default();
        for entry in entries {
            *booked.account(entry.debit) -= i128::from(entry.amount_minor);
            *booked.account(entry.credit) += i128::from(entry.amount_minor);
        }
        booked
    }

    pub(crate) fn account(&mut self, kind: Kind) -> &mut i128 {
        match kind {
            Kind::MerchantReceivable => &mut self.receivable,
            Kind::AffiliatePending => &mut self.pending,
            Kind::AffiliatePayable => &mut self.payable,
        }
    }
}

pub(crate) const KINDS: [Kind; 3] = [Kind::MerchantReceivable, Kind::AffiliatePending, Kind::AffiliatePayable];

impl Committed {
    pub(super) fn commissioned(&mut self, record: Visible<'_>, now: CommissionChanged, faults: &mut Faults) {
        let key = keys::order(&now.merchant_id, now.livemode, &now.external_order_id);
        same_key(record, &key, faults);
        let known = self.commissions.entry(key.clone()).or_default();
        let before = known.last().map_or(0, |before| before.revision);
        let whose = Some(now.conversion_id) == conversion_id(&key);
        faults.check(Invariant::Commissions, whose && before < now.revision, || {
            format!("{key}: a commission of {} by revision {} after {before}", now.conversion_id, now.revision)
        });
        known.push(now);
    }

    pub(super) fn booked(&mut self, record: Visible<'_>, entry: LedgerEntry, faults: &mut Faults) {
        let ledger = keys::ledger(&entry.affiliate_id, entry.currency.code(), entry.livemode);
        same_key(record, &ledger, faults);
        let id = entry.entry_id.clone();
        faults.check(Invariant::Entry, self.entry_ids.insert(id.clone()), || format!("{ledger}: {id} is there twice"));
        faults.check(Invariant::Entry, entry.amount_minor > 0 && entry.debit != entry.credit, || {
            format!("{ledger}: {id} moves nothing: {entry:?}")
        });
        let of_order = self.entries.entry(entry.conversion_id).or_default();
        let index = of_order.iter().filter(|known| known.revision == entry.revision).count();
        let expected = entry.conversion_id.ledger_entry_id(entry.revision, index);
        faults.check(Invariant::Entry, id == expected, || format!("{ledger}: the entry {id} must be {expected}"));
        of_order.push(entry.clone());
        let now = Booked::of(of_order);
        faults.check(Invariant::Entry, now.pending >= 0 && now.payable >= 0, || {
            format!("{ledger}: {id} takes more than there is of {}: {now:?}", entry.conversion_id)
        });
        let amount = i128::from(entry.amount_minor);
        for (kind, change) in [(entry.debit, -amount), (entry.credit, amount)] {
            let account = self.accounts.entry(keys::account(&ledger, kind)).or_default();
            account.steps.push((account.balance() + change, id.clone()));
        }
    }

    pub(super) fn balanced(&mut self, record: Visible<'_>, now: BalanceChanged, faults: &mut Faults) {
        let ledger = keys::ledger(&now.affiliate_id, now.currency.code(), now.livemode);
        let name = keys::account(&ledger, now.account);
        same_key(record, &name, faults);
        let account = self.accounts.entry(name.clone()).or_default();
        let (expected, entries) = (account.steps.get(account.told), account.told + 1);
        let told = (now.balance_minor.0, now.entry_id);
        let counted = usize::try_from(now.entries) == Ok(entries);
        faults.check(Invariant::Balances, expected == Some(&told) && counted, || {
            format!(
                "account {name}: entry {} leaves {told:?}, and by the entries {entries} leaves {expected:?}",
                now.entries
            )
        });
        account.told += 1;
    }

    /// Accounts of which `balances` has not told all entries.
    pub(crate) fn untold(&self) -> impl Iterator<Item = (&str, usize)> {
        let rest = |account: &Account| account.steps.len().saturating_sub(account.told);
        self.accounts.iter().map(move |(name, account)| (&**name, rest(account))).filter(|(_, rest)| *rest > 0)
    }

    /// Every account's balance by the entries.
    pub(crate) fn balances(&self) -> impl Iterator<Item = (&str, i128)> {
        self.accounts.iter().map(|(name, account)| (&**name, account.balance()))
    }
}
