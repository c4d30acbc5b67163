//! Commissions, bookings and balances.

use std::collections::BTreeMap;

use schemas::Timestamp;
use schemas::records::{Account as Kind, BalanceChanged, CommissionChanged, LedgerEntry};

use super::{Committed, Visible, same_key};
use crate::facts::conversion_id;
use crate::fault::{Faults, Invariant};
use crate::keys;

/// One account of an affiliate's ledger.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What orders booked, in their order.
    entries: Vec<Booking>,
    /// What payouts booked, each with its place among all bookings of the account, from 1.
    payouts: BTreeMap<i64, Booking>,
    /// The balances that `balances` has told, each with its booking's id.
    told: Vec<(i128, String)>,
}

/// What is booked on an account.
#[derive(Debug)]
pub(crate) struct Booking {
    pub(crate) change: i128,
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    /// The key of the order that it is of; none of a payout's.
    pub(crate) order: Option<String>,
}

impl Account {
    /// All bookings, each with the balance that it leaves. One of a payout that says a place beyond them is not among them.
    pub(crate) fn steps(&self) -> Vec<(i128, &Booking)> {
        let (mut entries, mut balance, mut steps) = (self.entries.iter(), 0, Vec::new());
        for place in 1.. {
            let Some(booking) = self.payouts.get(&place).or_else(|| entries.next()) else { break };
            balance += booking.change;
            steps.push((balance, booking));
        }
        steps
    }

    /// Takes a payout's booking; false if another stands at its place.
    pub(super) fn pay_out(&mut self, place: i64, booking: Booking) -> bool {
        self.payouts.insert(place, booking).is_none()
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
    /// What is on its way to the affiliate: of no conversion's own entries.
    pub in_transit: i128,
    /// What the affiliate was paid: of no conversion's own entries.
    pub paid: i128,
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
            Kind::PayoutInTransit => &mut self.in_transit,
            Kind::AffiliatePaid => &mut self.paid,
        }
    }
}

/// The accounts that orders book.
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
        let order = keys::order(&entry.merchant_id, entry.livemode, &entry.external_order_id);
        for (kind, change) in [(entry.debit, -amount), (entry.credit, amount)] {
            let booking = Booking { change, id: id.clone(), at: entry.at, order: Some(order.clone()) };
            self.accounts.entry(keys::account(&ledger, kind)).or_default().entries.push(booking);
        }
    }

    pub(super) fn balanced(&mut self, record: Visible<'_>, now: BalanceChanged, faults: &mut Faults) {
        let ledger = keys::ledger(&now.affiliate_id, now.currency.code(), now.livemode);
        let name = keys::account(&ledger, now.account);
        same_key(record, &name, faults);
        let account = self.accounts.entry(name.clone()).or_default();
        let entries = account.told.len() + 1;
        // What it must be is for the end to say: of the payouts among its bookings some may not be visible yet.
        faults.check(Invariant::Balances, usize::try_from(now.entries) == Ok(entries), || {
            format!("account {name}: entry {} is told where {entries} belongs", now.entries)
        });
        account.told.push((now.balance_minor.0, now.entry_id));
    }

    /// The accounts of which `balances` does not tell what is booked.
    pub(crate) fn mistold(&self) -> impl Iterator<Item = String> {
        self.accounts.iter().filter_map(|(name, account)| {
            let steps = account.steps();
            let told = account.told.iter().map(|(balance, id)| (*balance, &**id));
            let same = told.clone().zip(&steps).take_while(|(told, (balance, step))| *told == (*balance, &*step.id));
            let place = same.count();
            let (told, booked) = (account.told.get(place), steps.get(place));
            (told.is_some() || booked.is_some())
                .then(|| format!("account {name}: entry {} leaves {booked:?}, and {told:?} is told of it", place + 1))
        })
    }

    /// An account's bookings, with the balance after each.
    pub(crate) fn steps(&self, account: &str) -> Vec<(i128, &Booking)> {
        self.accounts.get(account).map(Account::steps).unwrap_or_default()
    }

    /// Every account's last balance by what is booked.
    pub(crate) fn balances(&self) -> impl Iterator<Item = (&str, i128)> {
        let last = |account: &Account| account.steps().last().map_or(0, |(balance, _)| *balance);
        self.accounts.iter().map(move |(name, account)| (&**name, last(account)))
    }
}
