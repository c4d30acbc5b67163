//! Records of `commissions` and `ledger-entries`, against the revisions that caused them.

use oracle::keys;
use schemas::encode;
use schemas::records::{Account, CommissionChanged, LedgerEntry};

use crate::digest::short;
use crate::orders::{Change, Order};
use crate::report::{Found, Place};

/// What may be missing of an order's revisions.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    /// They went on being written while they were read.
    pub(crate) concurrent: bool,
    /// The log has lost the first of them.
    pub(crate) lost: bool,
}

impl Sight {
    /// Whether a revision is beyond those that were read, the last of which is `last`, or before those that are left.
    fn misses(self, order: &Order, revision: i64, last: Option<i64>) -> bool {
        let beyond = self.concurrent && last.is_none_or(|last| revision > last);
        beyond || (self.lost && last.is_none()) || order.begun_before.is_some_and(|first| revision <= first)
    }
}

fn of_revision(order: &mut Order, revision: i64) -> Option<&mut Change> {
    let index = order.changes.binary_search_by_key(&revision, |change| change.revision).ok()?;
    order.changes.get_mut(index)
}

fn with(order: &Order, place: Place) -> Vec<Place> {
    let mut places = order.places();
    places.push(place);
    places
}

/// A commission is a change of what `transitions` says of it, once.
pub(crate) fn commission(order: &mut Order, record: &CommissionChanged, place: Place, sight: Sight, found: &mut Found) {
    let last = order.last_revision().map(|last| last.revision);
    if sight.misses(order, record.revision, last) {
        return;
    }
    let says = short(&encode(record));
    let Some(change) = of_revision(order, record.revision).filter(|change| change.commission.is_some()) else {
        let what = format!("one of revision {}", record.revision);
        found.add(|| order.subject(), "commissions", "no change of the commission", what, &with(order, place));
        return;
    };
    change.told = change.told.saturating_add(1);
    if change.commission != Some(says) {
        let expected = format!("{:?} of {} as revision {} has it", change.state, change.amount_minor, change.revision);
        let what = format!("{:?} of {}: {record:?}", record.state, record.commission.amount_minor);
        found.add(|| order.subject(), "commissions", expected, what, &with(order, place));
    }
}

/// An entry moves more than 0 between two accounts, is the next of its revision, and is as its conversion says.
pub(crate) fn entry(order: &mut Order, record: &LedgerEntry, place: Place, sight: Sight, found: &mut Found) {
    let last = order.last_revision();
    if sight.misses(order, record.revision, last.as_ref().map(|last| last.revision)) {
        return;
    }
    let Some(last) = last else {
        found.add(|| order.subject(), "ledgerEntry", "a conversion", "an entry of none", &with(order, place));
        return;
    };
    let mut add = |order: &Order, expected: String, what: String| {
        found.add(|| order.subject(), "ledgerEntry", expected, what, &with(order, place));
    };
    if record.amount_minor <= 0 || record.debit == record.credit {
        add(order, "more than 0 between two accounts".to_owned(), format!("{record:?}"));
    }
    let of_conversion = last.affiliate_id.as_ref() == Some(&record.affiliate_id)
        && (last.currency, &last.merchant_id) == (record.currency, &record.merchant_id)
        && keys::order(&record.merchant_id, record.livemode, &record.external_order_id) == *order.key;
    if !of_conversion {
        let expected = format!("{:?} in {} of {}", last.affiliate_id, last.currency, last.merchant_id);
        add(order, expected, format!("{record:?}"));
    }
    let Some(change) = of_revision(order, record.revision) else {
        let what = format!("{record:?}");
        add(order, format!("no booking by revision {}", record.revision), what);
        return;
    };
    let id = record.conversion_id.ledger_entry_id(record.revision, change.entries.into());
    let (same_id, same_time, at) = (record.entry_id == id, record.at == change.at, change.at);
    change.entries = change.entries.saturating_add(1);
    let mut beyond = false;
    for (account, amount) in
        [(record.debit, record.amount_minor.saturating_neg()), (record.credit, record.amount_minor)]
    {
        let booked = match account {
            Account::MerchantReceivable => continue,
            Account::PayoutInTransit | Account::AffiliatePaid => {
                beyond = true;
                continue;
            }
            Account::AffiliatePending => &mut change.booked[0],
            Account::AffiliatePayable => &mut change.booked[1],
        };
        *booked = booked.saturating_add(amount);
    }
    if beyond {
        add(order, "accounts that orders move".to_owned(), format!("{record:?}"));
    }
    if !same_id {
        add(order, id, record.entry_id.clone());
    }
    if !same_time {
        add(order, format!("an entry of {at}"), format!("{record:?}"));
    }
}

/// Every change of a commission is told once and booked whole.
pub(crate) fn judge(order: &Order, commissions_lost: bool, entries_lost: bool, found: &mut Found) {
    for change in &order.changes {
        let expected = u8::from(change.commission.is_some());
        let missing_may_be_lost = commissions_lost && change.told == 0;
        if change.told != expected && !missing_may_be_lost {
            let what = format!("{} records of revision {}", change.told, change.revision);
            let wanted = format!("{expected}: {:?} of {}", change.state, change.amount_minor);
            found.add(|| order.subject(), "commissions", wanted, what, &order.places());
        }
        if change.booked != change.expected && !(entries_lost && change.entries == 0) {
            let shown = |[pending, payable]: [i64; 2]| format!("pending {pending:+}, payable {payable:+}");
            let wanted = format!("{} by revision {}", shown(change.expected), change.revision);
            found.add(|| order.subject(), "booked", wanted, shown(change.booked), &order.places());
        }
    }
}
