//! Commissions, bookings and balances, against the conversions.

use std::collections::BTreeMap;

use schemas::records::{
    Account as Kind, Commission, CommissionChanged, CommissionState, ConversionState, ConversionTransitioned,
    PayoutState,
};

use crate::committed::{Booked, Committed, KINDS};
use crate::facts::conversion_id;
use crate::fault::{Faults, Invariant};
use crate::keys;

/// State, amount and rule, hold, and refunds of a conversion's commission.
type Terms<'a> = (CommissionState, &'a Commission, Option<schemas::Timestamp>, Option<i64>);

/// What a revision says of its commission: a change of it is one of the topic `commissions`.
#[must_use]
pub fn commission_terms(revision: &ConversionTransitioned) -> Option<Terms<'_>> {
    let state = match revision.state {
        ConversionState::Received | ConversionState::Attributed | ConversionState::CommissionCreated => {
            CommissionState::Created
        }
        ConversionState::Hold => CommissionState::Held,
        ConversionState::Payable => CommissionState::Payable,
        ConversionState::Paid => CommissionState::Paid,
        ConversionState::Rejected | ConversionState::Reversed => CommissionState::Reversed,
    };
    Some((state, revision.commission.as_ref()?, revision.hold_until, revision.refunded_thousandths))
}

/// What of an order must be booked after a revision.
#[must_use]
pub fn owed(revision: &ConversionTransitioned) -> Booked {
    let Some((state, commission, ..)) = commission_terms(revision) else { return Booked::default() };
    let amount = i128::from(commission.amount_minor);
    match state {
        CommissionState::Created | CommissionState::Held => {
            Booked { receivable: -amount, pending: amount, ..Booked::default() }
        }
        CommissionState::Payable | CommissionState::Paid => {
            Booked { receivable: -amount, payable: amount, ..Booked::default() }
        }
        CommissionState::Reversed => Booked::default(),
    }
}

/// `commissions` is the changes of what `transitions` says of the commission: no more, no fewer.
pub(super) fn commissions(committed: &Committed, faults: &mut Faults) {
    for (key, revisions) in &committed.conversions {
        let told = committed.commissions.get(key).map_or(&[][..], Vec::as_slice);
        let mut expected = Vec::new();
        let mut before = None;
        for revision in revisions {
            let now = commission_terms(revision);
            if let Some(_changed) = now.filter(|_| now != before) {
                expected.push(revision);
            }
            before = now;
        }
        let same = told.len() == expected.len() && told.iter().zip(&expected).all(|(told, it)| says(told, it));
        faults.check(Invariant::Commissions, same, || {
            format!("{key}: its commissions are {told:?}, and by its conversion {expected:?}")
        });
    }
    for key in committed.commissions.keys().filter(|key| !committed.conversions.contains_key(*key)) {
        faults.add(Invariant::Commissions, format!("{key}: has a commission and no conversion"));
    }
}

fn says(told: &CommissionChanged, revision: &ConversionTransitioned) -> bool {
    Some((told.state, &told.commission, told.hold_until, told.refunded_thousandths)) == commission_terms(revision)
        && told.revision == revision.revision
        && Some(&told.affiliate_id) == revision.affiliate_id.as_ref()
        && told.campaign_id == revision.campaign_id
        && told.order_amount_minor == revision.amount_minor
        && told.at == revision.at
}

/// Each revision books what brings the accounts to what the conversion then says.
pub(super) fn booked(committed: &Committed, faults: &mut Faults) {
    let mut strangers = committed.entries.clone();
    for (key, revisions) in &committed.conversions {
        let entries = conversion_id(key).and_then(|id| strangers.remove(&id)).unwrap_or_default();
        for revision in revisions {
            let until: Vec<_> = entries.iter().filter(|it| it.revision <= revision.revision).cloned().collect();
            let (found, expected) = (Booked::of(&until), owed(revision));
            faults.check(Invariant::Booked, found == expected, || {
                format!("{key}: revision {} leaves {found:?}, and must leave {expected:?}", revision.revision)
            });
        }
        for entry in &entries {
            let of = revisions.iter().find(|revision| revision.revision == entry.revision);
            let fits = of.is_some_and(|revision| {
                revision.affiliate_id.as_ref() == Some(&entry.affiliate_id)
                    && (revision.currency, &revision.merchant_id) == (entry.currency, &entry.merchant_id)
                    && (revision.livemode, revision.at) == (entry.livemode, entry.at)
            });
            faults.check(Invariant::Booked, fits, || format!("{key}: {entry:?} is not of its revision: {of:?}"));
        }
    }
    for (id, entries) in strangers {
        faults.add(Invariant::Booked, format!("{id}: is booked and has no conversion: {entries:?}"));
    }
}

/// The last balances are the sums of what is owed for the orders and of what is paid out, and `balances` tells them all.
pub(super) fn balances(committed: &Committed, faults: &mut Faults) {
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    for (_, revisions) in committed.conversions() {
        let Some((last, affiliate_id)) = revisions.last().and_then(|it| Some((it, it.affiliate_id.as_ref()?))) else {
            continue;
        };
        let (ledger, mut owed) = (keys::ledger(affiliate_id, last.currency.code(), last.livemode), owed(last));
        for kind in KINDS {
            *expected.entry(keys::account(&ledger, kind)).or_default() += *owed.account(kind);
        }
    }
    for (ledger, payouts) in &committed.payouts {
        for payout in payouts {
            let amount = i128::from(payout.made.amount_minor);
            let now = match payout.state() {
                PayoutState::InTransit => Some(Kind::PayoutInTransit),
                PayoutState::Paid => Some(Kind::AffiliatePaid),
                PayoutState::Failed => None,
            };
            *expected.entry(keys::account(ledger, Kind::PayoutInTransit)).or_default() += 0;
            if let Some(kind) = now {
                *expected.entry(keys::account(ledger, Kind::AffiliatePayable)).or_default() -= amount;
                *expected.entry(keys::account(ledger, kind)).or_default() += amount;
            }
        }
    }
    for what in committed.mistold() {
        faults.add(Invariant::Balances, what);
    }
    let found: BTreeMap<&str, i128> = committed.balances().collect();
    for (name, owed) in &expected {
        let balance = found.get(&**name).copied().unwrap_or(0);
        faults.check(Invariant::Payout, balance == *owed, || {
            format!("account {name}: has {balance}, and by its orders and payouts {owed}")
        });
    }
    for (name, balance) in found.into_iter().filter(|(name, _)| !expected.contains_key(*name)) {
        faults.add(Invariant::Payout, format!("account {name}: has {balance}, and no order is attributed to it"));
    }
}
