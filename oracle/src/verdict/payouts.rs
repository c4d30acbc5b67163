//! Payouts, against what was payable, the terms in force, and what was reported of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::Timestamp;
use schemas::records::{Account as Kind, PayoutState};

use crate::committed::Committed;
use crate::facts::Facts;
use crate::fault::{Faults, Invariant};
use crate::keys;
use crate::mission::{Now, Payout, paid_with, pays_out, state_of};

/// After so long under one registry a ledger waits for no other's cut-off: it looks once a week at least, and weeks with a
/// change of the clocks are longer.
const WEEK: Duration = Duration::from_secs(8 * 86_400);
/// How long after its conversion changed an entry is booked at the most, in a run that is at rest now and then.
const BOOKED_WITHIN: Duration = Duration::from_secs(3_600);

pub(super) fn check(facts: &Facts, committed: &Committed, now: Now, faults: &mut Faults) {
    for (ledger, payouts) in &committed.payouts {
        for payout in payouts {
            made(ledger, payout, facts, committed, faults);
            ended(ledger, payout, committed, faults);
        }
    }
    for report in &committed.payout_reports {
        faults.check(Invariant::Sent, facts.outcomes.contains(report), || {
            format!("{}: nobody has reported this: {report:?}", report.payout_id)
        });
    }
    settled(committed, faults);
    missed(facts, committed, now, faults);
}

/// A payout is all that was payable, at a cut-off and by the terms that somebody may have worked under.
fn made(ledger: &str, payout: &Payout, facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let made = &payout.made;
    let before = usize::try_from(made.debit_entries - 1).unwrap_or(0);
    let steps = committed.steps(&keys::account(ledger, Kind::AffiliatePayable));
    let payable = before.checked_sub(1).map_or(Some(0), |last| steps.get(last).map(|(balance, _)| *balance));
    let whole = payable == Some(made.amount_minor.into()) && made.entries_to == made.debit_entries - 1;
    faults.check(Invariant::Payouts, whole, || {
        format!("{ledger}: {payable:?} was payable after {before} entries, and not what {made:?} is of")
    });
    let fits = facts.in_force(made.at).into_iter().any(|terms| pays_out(terms, made));
    faults.check(Invariant::Payouts, fits, || format!("{ledger}: no terms in force make this payout: {made:?}"));
}

/// What was reported first has become of it.
fn ended(ledger: &str, payout: &Payout, committed: &Committed, faults: &mut Faults) {
    let first = committed.outcomes.get(&payout.made.payout_id);
    let reported = first.map(|first| (state_of(first.outcome), &first.reference));
    let found = payout.ended.as_ref().map(|ended| (ended.state, &ended.reference));
    faults.check(Invariant::Payouts, found == reported, || {
        format!("{ledger}: {} was reported {reported:?}, and is {found:?}", payout.made.payout_id)
    });
}

/// The orders of a paid payout, and of those that failed before it, are each told once what they have in them, unless that
/// is nothing.
fn settled(committed: &Committed, faults: &mut Faults) {
    let mut expected: BTreeMap<(&str, &str), i128> = BTreeMap::new();
    for (ledger, payouts) in &committed.payouts {
        let steps = committed.steps(&keys::account(ledger, Kind::AffiliatePayable));
        for payout in payouts.iter().filter(|payout| payout.state() == PayoutState::Paid) {
            for places in paid_with(payout, payouts) {
                let of_payout = steps.iter().skip(places.start - 1).take(places.len());
                for (_, booking) in of_payout {
                    let Some(order) = booking.order.as_deref() else { continue };
                    *expected.entry((order, &*payout.made.payout_id)).or_default() += booking.change;
                }
            }
        }
    }
    let mut found: BTreeMap<(&str, &str), Vec<i128>> = BTreeMap::new();
    for (order, told) in &committed.settled {
        for one in told {
            found.entry((&**order, &*one.payout_id)).or_default().push(one.amount_minor.into());
        }
    }
    let all: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for one in all {
        let expected: Vec<i128> = expected.get(one).copied().filter(|sum| *sum != 0).into_iter().collect();
        let found = found.get(one).map_or(&[][..], Vec::as_slice);
        faults.check(Invariant::Settled, expected == found, || {
            format!("{}: is told {found:?} of {}, and must be told {expected:?}", one.0, one.1)
        });
    }
}

/// What was payable at the last cut-off, and is enough, became a payout.
fn missed(facts: &Facts, committed: &Committed, now: Now, faults: &mut Faults) {
    let Some((terms, since_ms)) = facts.last() else { return };
    let Some(policy) = terms.payouts() else { return };
    let over = Timestamp(now.at.0 - now.skew_ms - 1);
    let mut cut_off = None;
    let mut next = policy.cut_off.next_after(Timestamp(since_ms + now.skew_ms) + WEEK);
    while let Some(found) = next.filter(|found| *found <= over) {
        cut_off = Some(found);
        next = policy.cut_off.next_after(found);
    }
    let Some(cut_off) = cut_off else { return };
    for (name, balance) in committed.balances() {
        let Some(ledger) = name.strip_suffix("/affiliate_payable") else { continue };
        let mut parts = ledger.split('/');
        let (Some(affiliate_id), Some(currency), Some("live")) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Ok(currency) = schemas::Currency::parse(currency) else { continue };
        let free = terms.affiliate(affiliate_id).is_some_and(|affiliate| !affiliate.on_hold);
        let steps = committed.steps(name);
        let last = steps.last().map_or(Timestamp(0), |(_, booking)| booking.at);
        let settled_before = last + BOOKED_WITHIN + Duration::from_millis(2 * now.skew_ms.unsigned_abs()) < cut_off;
        let due = free && settled_before && balance >= policy.minimums.of(currency).into();
        faults.check(Invariant::CutOff, !due, || format!("{ledger}: {balance} was payable at {cut_off}, and still is"));
    }
}
