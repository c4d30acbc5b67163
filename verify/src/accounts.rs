//! Accounts, entry by entry, and the balances that `balances` tells of them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;

use oracle::keys;
use schemas::records::{Account as Kind, BalanceChanged, LedgerEntry, PayoutChanged, PayoutState};
use schemas::topics::numbers::{LEDGER_ENTRIES, PAYOUTS};

use crate::digest::short;
use crate::report::{Found, Place, Subject};

/// All accounts, by `affiliate/currency/mode/account`.
#[derive(Debug, Default)]
pub(crate) struct Accounts(BTreeMap<Box<str>, Account>);

/// One account of an affiliate's ledger.
#[derive(Debug, Default)]
struct Account {
    /// The partition of its entries.
    partition: u32,
    steps: Vec<Step>,
    /// Entries and balance before the first step; not known of an account that the log has lost the beginning of, until
    /// a balance names an entry that is left.
    base: Option<(i64, i128)>,
    /// Whether a payout changed it of which nobody can say where it stands among the entries that are left.
    is_unknown: bool,
    /// How many steps the last balance counts, and what they leave.
    told: usize,
    balance: i128,
}

/// What an entry does to an account.
#[derive(Debug)]
struct Step {
    change: i64,
    entry: u64,
    /// Whose entry it is, as the digest of the order's key; nothing for a payout's change.
    order: Option<NonZeroU64>,
    /// Where the entry is, or the payout's change.
    offset: u64,
}

/// How `balances` is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// Whether entries may be missing, since the log has lost its beginning.
    pub(crate) lost: bool,
    /// Whether balances may be missing but for the last of each account.
    pub(crate) compacted: bool,
}

impl Accounts {
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn book(&mut self, ledger: &str, entry: &LedgerEntry, place: Place, lost: bool) {
        let id = short(&entry.entry_id);
        let order = keys::order(&entry.merchant_id, entry.livemode, &entry.external_order_id);
        let order = Some(NonZeroU64::new(short(&*order)).unwrap_or(NonZeroU64::MIN));
        for (kind, change) in [(entry.debit, entry.amount_minor.saturating_neg()), (entry.credit, entry.amount_minor)] {
            let account = self.get(&keys::account(ledger, kind), lost);
            account.partition = place.partition;
            account.steps.push(Step { change, entry: id, order, offset: place.offset });
        }
    }

    /// Puts a payout's change where it stands among the entries of its two accounts. One that is made is of all that was
    /// payable.
    pub(crate) fn payout(&mut self, ledger: &str, payout: &PayoutChanged, place: Place, lost: bool, found: &mut Found) {
        let id = short(&*keys::payout_entry(&payout.payout_id, payout.state));
        let amount = payout.amount_minor;
        for (kind, change, entries) in [
            (payout.debit, amount.saturating_neg(), payout.debit_entries),
            (payout.credit, amount, payout.credit_entries),
        ] {
            let name = keys::account(ledger, kind);
            let account = self.get(&name, lost);
            account.partition = place.partition;
            // Of an account whose beginning is gone nobody can say where the change stands.
            let Some((before, balance)) = account.base else {
                account.is_unknown = true;
                continue;
            };
            let index = usize::try_from(entries.saturating_sub(before).saturating_sub(1)).unwrap_or(usize::MAX);
            let index = index.min(account.steps.len());
            let passed: i128 = account.steps[..index].iter().map(|step| i128::from(step.change)).sum();
            if kind == Kind::AffiliatePayable
                && payout.state == PayoutState::InTransit
                && (balance + passed, payout.entries_to) != (amount.into(), entries - 1)
            {
                let expected = format!("{}, all that was payable after {index} entries", balance + passed);
                let what = format!("{amount} in {}", payout.payout_id);
                found.add(|| Subject::Account(name.clone()), "payout", expected, what, &[place]);
            }
            account.steps.insert(index, Step { change, entry: id, order: None, offset: place.offset });
        }
    }

    /// The orders, as digests of their keys, whose entries stand at these places of an account, from 1, and what each entry
    /// changes.
    pub(crate) fn orders(&self, account: &str, places: Range<usize>) -> impl Iterator<Item = (u64, i64)> {
        let steps = self.0.get(account).map_or(&[][..], |account| &account.steps);
        let of_places = steps.iter().skip(places.start.saturating_sub(1)).take(places.len());
        of_places.filter_map(|step| step.order.map(|order| (order.get(), step.change)))
    }

    fn get(&mut self, name: &str, lost: bool) -> &mut Account {
        let new = || Account { base: (!lost).then_some((0, 0)), ..Account::default() };
        self.0.entry(name.into()).or_insert_with(new)
    }

    /// Takes a balance: the fold of the entries that it counts, one after the one before.
    pub(crate) fn told(&mut self, name: &str, record: &BalanceChanged, place: Place, how: Reading, found: &mut Found) {
        let account = self.get(name, how.lost);
        if account.is_unknown {
            return;
        }
        let Some((entries_before, _)) = account.base else {
            account.anchor(record);
            return;
        };
        let counted = usize::try_from(record.entries - entries_before).unwrap_or(0);
        let told = format!("{} after entry {}, {}", record.balance_minor.0, record.entries, record.entry_id);
        let mut add = |field, expected: String, places: &[Place]| {
            found.add(|| Subject::Account(name.to_owned()), field, expected, told.clone(), places);
        };
        if counted > account.steps.len() {
            add("balance", format!("one of {} entries", account.steps.len()), &[place]);
            return;
        }
        let next = account.told + 1;
        if counted < next || (counted > next && !how.compacted) {
            let expected = format!("the balance after {} entries", entries_before + i64::try_from(next).unwrap_or(0));
            add("balanceEntries", expected, &[place]);
        }
        if counted < next {
            return;
        }
        let passed = account.steps[account.told..counted].iter().map(|step| i128::from(step.change));
        account.balance += passed.sum::<i128>();
        account.told = counted;
        let step = &account.steps[counted - 1];
        if (account.balance, step.entry) != (record.balance_minor.0, short(&record.entry_id)) {
            let entry = account.place(step);
            add("balance", format!("{}, the fold of the entries up to this one", account.balance), &[entry, place]);
        }
    }

    /// Each entry has its balance once `ledger` has passed it. Returns how many it has not passed.
    pub(crate) fn judge(&self, processed: impl Fn(Place) -> bool, found: &mut Found) -> u64 {
        let mut pending = 0;
        for (name, account) in self.0.iter().filter(|(_, account)| account.base.is_some() && !account.is_unknown) {
            let untold = account.steps[account.told..].iter().map(|step| account.place(step));
            let missing: Vec<Place> = untold.clone().filter(|place| processed(*place)).collect();
            pending += untold.count() - missing.len();
            if let Some(first) = missing.first() {
                let expected = format!("a balance after {} entries", account.steps.len());
                let what = format!("none of the last {}", missing.len());
                found.add(|| Subject::Account(name.to_string()), "balance", expected, what, &[*first]);
            }
        }
        // Each entry touches two accounts.
        (pending as u64).div_ceil(2)
    }
}

impl Account {
    /// Where the record of a step is.
    fn place(&self, step: &Step) -> Place {
        let topic = if step.order.is_some() { LEDGER_ENTRIES } else { PAYOUTS };
        Place { topic, partition: self.partition, offset: step.offset }
    }

    /// Where the steps that are left begin, if this balance names one of them.
    fn anchor(&mut self, record: &BalanceChanged) {
        let id = short(&record.entry_id);
        let Some(index) = self.steps.iter().position(|step| step.entry == id) else { return };
        let counted = index + 1;
        let passed: i128 = self.steps[..counted].iter().map(|step| i128::from(step.change)).sum();
        let balance = record.balance_minor.0;
        self.base = Some((record.entries - i64::try_from(counted).unwrap_or(0), balance - passed));
        (self.told, self.balance) = (counted, balance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::records::Account::{AffiliatePending, MerchantReceivable};
    use schemas::{Balance, Currency, Timestamp};

    const NAME: &str = "aff/NPR/live/affiliate_pending";

    fn place(topic: u16, offset: u64) -> Place {
        Place { topic, partition: 3, offset }
    }

    fn booked(amounts: &[i64], lost: bool) -> Accounts {
        let mut accounts = Accounts::default();
        for (index, amount_minor) in amounts.iter().copied().enumerate() {
            let entry = LedgerEntry {
                entry_id: format!("led_{index}"),
                conversion_id: schemas::ids::ConversionId([0; 16]),
                revision: 1,
                merchant_id: "mer".to_owned(),
                external_order_id: "A".to_owned(),
                affiliate_id: "aff".to_owned(),
                livemode: true,
                debit: MerchantReceivable,
                credit: AffiliatePending,
                amount_minor,
                currency: Currency::parse("NPR").unwrap(),
                at: Timestamp(0),
            };
            accounts.book("aff/NPR/live", &entry, place(LEDGER_ENTRIES, index as u64), lost);
        }
        accounts
    }

    /// The fields objected to when these balances are told, each as entries, balance and entry.
    fn objections(accounts: &mut Accounts, told: &[(i64, i128, usize)], how: Reading) -> Vec<&'static str> {
        let mut found = Found::new(100);
        for (entries, balance, entry) in told.iter().copied() {
            let record = BalanceChanged {
                affiliate_id: "aff".to_owned(),
                currency: Currency::parse("NPR").unwrap(),
                livemode: true,
                account: AffiliatePending,
                balance_minor: Balance(balance),
                entries,
                entry_id: format!("led_{entry}"),
                at: Timestamp(0),
            };
            accounts.told(NAME, &record, place(8, 0), how, &mut found);
        }
        accounts.judge(|place| place.offset < 3, &mut found);
        let report = found.report(crate::Counts::default(), Timestamp(0));
        let of_account = |it: &crate::Difference| it.subject == Subject::Account(NAME.to_owned());
        report.differences.iter().filter(|it| of_account(it)).map(|it| it.field).collect()
    }

    #[test]
    fn balances_are_the_fold_of_the_entries() {
        let whole = Reading { lost: false, compacted: false };
        let check = |told: &[(i64, i128, usize)], how: Reading, expected: &[&str]| {
            let found = objections(&mut booked(&[10, 20, 30], how.lost), told, how);
            assert_eq!(found, expected, "{told:?}");
        };
        check(&[(1, 10, 0), (2, 30, 1), (3, 60, 2)], whole, &[]);
        check(&[(1, 10, 0), (2, 30, 1)], whole, &["balance"]);
        check(&[(1, 10, 0), (2, 31, 1), (3, 60, 2)], whole, &["balance"]);
        check(&[(1, 10, 0), (2, 30, 2), (3, 60, 2)], whole, &["balance"]);
        check(&[(1, 10, 0), (1, 10, 0), (2, 30, 1), (3, 60, 2)], whole, &["balanceEntries"]);
        check(&[(1, 10, 0), (3, 60, 2)], whole, &["balanceEntries"]);
        check(&[(1, 10, 0), (2, 30, 1), (3, 60, 2), (4, 70, 3)], whole, &["balance"]);
        check(&[(3, 60, 2)], Reading { compacted: true, ..whole }, &[]);
        check(&[(3, 61, 2)], Reading { compacted: true, ..whole }, &["balance"]);
        // Of a log that has lost its beginning what is left has to fit.
        let lost = Reading { lost: true, compacted: false };
        check(&[(5, 500, 7), (6, 510, 0), (7, 530, 1), (8, 560, 2)], lost, &[]);
        check(&[(6, 510, 0), (7, 531, 1), (8, 560, 2)], lost, &["balance"]);
        check(&[(6, 510, 0), (7, 530, 1)], lost, &["balance"]);
    }

    #[test]
    fn entries_that_are_not_processed_have_no_balance_yet() {
        let how = Reading { lost: false, compacted: false };
        let mut accounts = booked(&[10, 20, 30, 40], false);
        assert_eq!(objections(&mut accounts, &[(1, 10, 0), (2, 30, 1), (3, 60, 2)], how), [""; 0]);
        assert_eq!(accounts.judge(|place| place.offset < 3, &mut Found::new(0)), 1);
    }
}
