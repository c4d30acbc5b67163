//! Payouts: each against those before it, the registry in force, what was reported of it, and the orders that it is of.

use std::collections::BTreeMap;

use oracle::{Payout, keys, paid_with, payout_fault, pays_out, state_of, take_payout};
use schemas::Timestamp;
use schemas::ids::PayoutKey;
use schemas::records::{Account, ConversionSettled, PayoutChanged, PayoutReported, PayoutState};
use schemas::topics::numbers::{LEDGER_ENTRIES, PAYOUT_REPORTS, PAYOUTS, SETTLEMENTS};

use crate::accounts::Accounts;
use crate::digest::short;
use crate::letters::Letters;
use crate::report::{Found, Place, Subject};
use crate::terms::Terms;
use crate::verifier::Options;

/// Most characters of a report's reference.
const REFERENCE_CHARACTERS_MAX: usize = 200;

/// What is known of payouts.
#[derive(Debug, Default)]
pub(crate) struct Payouts {
    ledgers: BTreeMap<Box<str>, Ledger>,
    /// When each change was made.
    changes: BTreeMap<Place, Timestamp>,
    /// Of each payout that was reported, what came to the log first.
    reports: BTreeMap<Box<str>, (PayoutReported, Place)>,
    /// Reports that came later and say something else.
    contradictions: Vec<Place>,
    told: Vec<Told>,
}

/// The payouts of one ledger, and where their last changes stand.
#[derive(Debug, Default)]
struct Ledger {
    payouts: Vec<Payout>,
    places: BTreeMap<Box<str>, Place>,
}

/// That an order was told what it has in a payout that is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    order: u64,
    payout: u64,
    amount: i128,
    place: Place,
}

impl Told {
    /// Nobody was to be told this.
    fn is_of_nothing(&self, found: &mut Found) {
        let (subject, expected) = (|| Subject::Record, "an order of a paid payout, told once");
        found.add(subject, "settlement", expected, "another", &[self.place]);
    }
}

/// What payouts are judged by.
pub(crate) struct With<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) accounts: &'a Accounts,
    pub(crate) options: &'a Options,
    pub(crate) at: Timestamp,
    pub(crate) processed: &'a dyn Fn(Place) -> bool,
}

impl Payouts {
    pub(crate) fn len(&self) -> u64 {
        self.ledgers.values().map(|ledger| ledger.payouts.len() as u64).sum()
    }

    /// Whether the record here is a payout's change from before an instant.
    pub(crate) fn changed_before(&self, place: Place, at: Timestamp) -> bool {
        self.changes.get(&place).is_some_and(|changed| *changed < at)
    }

    /// Takes a payout's change. Of a log that has `lost` its beginning nobody can say which number is next.
    pub(crate) fn changed(&mut self, ledger: &str, now: PayoutChanged, place: Place, lost: bool, found: &mut Found) {
        let subject = || Subject::Account(keys::account(ledger, now.debit));
        if let Some(what) = payout_fault(&now) {
            found.add(subject, "payout", "a payout of a live ledger", what, &[place]);
        }
        self.changes.insert(place, now.at);
        let known = self.ledgers.entry(ledger.into()).or_default();
        known.places.insert((*now.payout_id).into(), place);
        let account = keys::account(ledger, now.debit);
        let taken = take_payout(&mut known.payouts, now);
        if let Err(what) = taken.or_else(|what| if lost { Ok(()) } else { Err(what) }) {
            found.add(|| Subject::Account(account), "payout", "the next change of a payout", what, &[place]);
        }
    }

    /// Takes what somebody said of a payout; what is no report at all must be set aside.
    pub(crate) fn reported(&mut self, key: &[u8], value: &[u8], place: Place, letters: &mut Letters) {
        let report = schemas::decode::<PayoutReported>(value).ok().filter(|it| {
            let characters = it.reference.as_ref().map_or(0, |reference| reference.chars().count());
            let of_ledger = PayoutKey::parse(&it.payout_id).is_some_and(|payout| payout.ledger_key() == key);
            of_ledger && characters <= REFERENCE_CHARACTERS_MAX
        });
        let Some(report) = report else {
            letters.refused(place);
            return;
        };
        match self.reports.get(&*report.payout_id) {
            Some((first, _)) if first.outcome != report.outcome => self.contradictions.push(place),
            Some(_) => {}
            None => drop(self.reports.insert((*report.payout_id).into(), (report, place))),
        }
    }

    pub(crate) fn settled(&mut self, order: &str, settled: &ConversionSettled, place: Place) {
        let payout = of_payout(&settled.payout_id, settled.paid_at);
        self.told.push(Told { order: short(order), payout, amount: settled.amount_minor.into(), place });
    }

    /// Judges all of them, and says which reports must have been set aside.
    pub(crate) fn judge(mut self, with: &With<'_>, letters: &mut Letters, found: &mut Found) {
        for (name, ledger) in &self.ledgers {
            for payout in &ledger.payouts {
                let place = ledger.places.get(&*payout.made.payout_id).copied().into_iter().collect::<Vec<_>>();
                made(name, payout, &place, with, found);
                self.ended(name, payout, &place, with, found);
            }
        }
        let lost = with.options.has_lost(PAYOUTS, None);
        let known = |id: &str| self.ledgers.values().any(|ledger| ledger.places.contains_key(id));
        for (id, (_, place)) in &self.reports {
            if !known(id) && !lost {
                letters.refused(*place);
            }
        }
        for place in &self.contradictions {
            letters.refused(*place);
        }
        if !lost && ![LEDGER_ENTRIES, SETTLEMENTS].iter().any(|topic| with.options.has_lost(*topic, None)) {
            self.orders(with, found);
        }
    }

    /// What was reported first has become of a payout, once `ledger` has passed it.
    fn ended(&self, ledger: &str, payout: &Payout, places: &[Place], with: &With<'_>, found: &mut Found) {
        let reported = self.reports.get(&*payout.made.payout_id);
        let expected = reported.map(|(first, _)| (state_of(first.outcome), first.reference.as_deref()));
        let is = payout.ended.as_ref().map(|ended| (ended.state, ended.reference.as_deref()));
        let unprocessed = is.is_none() && reported.is_some_and(|(_, place)| !(with.processed)(*place));
        if expected == is || unprocessed || with.options.has_lost(PAYOUT_REPORTS, None) {
            return;
        }
        let mut all: Vec<Place> = reported.iter().map(|(_, place)| *place).collect();
        all.extend(places);
        let account = || Subject::Account(keys::account(ledger, Account::PayoutInTransit));
        let (expected, is) = (format!("{expected:?}, as was reported"), format!("{} is {is:?}", payout.made.payout_id));
        found.add(account, "payout", expected, is, &all);
    }

    /// The orders of a paid payout, and of those that failed before it, are each told once what they have in them; no others
    /// are, nor those that have nothing.
    fn orders(&mut self, with: &With<'_>, found: &mut Found) {
        let mut sums: BTreeMap<(u64, u64), i128> = BTreeMap::new();
        let mut open: BTreeMap<u64, (&str, &Payout)> = BTreeMap::new();
        for (name, ledger) in &self.ledgers {
            let payable = keys::account(name, Account::AffiliatePayable);
            for payout in ledger.payouts.iter().filter(|payout| payout.state() == PayoutState::Paid) {
                let Some(ended) = &payout.ended else { continue };
                let id = of_payout(&payout.made.payout_id, ended.at);
                open.insert(id, (name, payout));
                for places in paid_with(payout, &ledger.payouts) {
                    for (order, change) in with.accounts.orders(&payable, places) {
                        *sums.entry((order, id)).or_default() += i128::from(change);
                    }
                }
            }
        }
        let expected = sums.into_iter().filter(|(_, sum)| *sum != 0).map(|((order, id), sum)| (order, id, sum));
        self.told.sort_unstable();
        let mut told = self.told.iter().peekable();
        for wanted in expected {
            while let Some(extra) = told.next_if(|it| (it.order, it.payout, it.amount) < wanted) {
                extra.is_of_nothing(found);
            }
            if told.next_if(|it| (it.order, it.payout, it.amount) == wanted).is_some() {
                continue;
            }
            let Some((ledger, payout)) = open.get(&wanted.1) else { continue };
            let (Some(ended), Some((_, report))) = (&payout.ended, self.reports.get(&*payout.made.payout_id)) else {
                continue;
            };
            // Telling goes on by timers, which are due at once.
            if (with.processed)(*report) && ended.at.0.saturating_add(with.options.tolerance_ms) < with.at.0 {
                let subject = || Subject::Account(keys::account(ledger, Account::AffiliatePaid));
                let expected = format!("each order of {} is told what it has in it", payout.made.payout_id);
                found.add(subject, "settlement", expected, "one is not", &[*report]);
            }
        }
        for extra in told {
            extra.is_of_nothing(found);
        }
    }
}

/// A payout that was paid at a time.
fn of_payout(payout_id: &str, paid_at: Timestamp) -> u64 {
    short(&(payout_id, paid_at))
}

/// A registry that may have been in force when it was made makes this payout.
fn made(ledger: &str, payout: &Payout, places: &[Place], with: &With<'_>, found: &mut Found) {
    let made = &payout.made;
    // Of one whose beginning is gone only the end is known.
    if made.state != PayoutState::InTransit {
        return;
    }
    let in_force = with.terms.in_force(made.at, with.options.tolerance_ms);
    if in_force.or_another || in_force.known.iter().any(|terms| pays_out(terms, made)) {
        return;
    }
    let subject = || Subject::Account(keys::account(ledger, Account::AffiliatePayable));
    let expected = "a cut-off, a minimum and no hold by a registry in force";
    found.add(subject, "payout", expected, format!("{made:?}"), places);
}
