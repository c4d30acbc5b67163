//! What is written past the edges: clicks that were made elsewhere, and what administrators report of payouts.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use schemas::records::{PayoutOutcome, PayoutReported, PayoutState};
use schemas::topics::{CLICKS, PAYOUT_REPORTS};
use schemas::{Timestamp, encode};
use streams::Message;
use streams::log::Publisher as _;

use crate::random::Random;
use crate::terms::Elsewhere;
use crate::world::{Inner, World};

/// In how many of 10,000 steps an administrator looks at the payouts.
const LOOKS: u32 = 1_000;

/// Something that is to be written.
#[derive(Clone, Debug)]
pub(crate) enum Import {
    /// A click that was made elsewhere.
    Click(Elsewhere),
    /// What became of a payout, and the key of its ledger.
    Outcome(String, PayoutReported),
}

/// The administrators of a run.
#[derive(Debug)]
pub(crate) struct Administrators {
    random: Random,
    reports: u64,
}

impl Administrators {
    pub(crate) fn new(seed: u64) -> Administrators {
        Administrators { random: Random::new(seed, "administrators"), reports: 0 }
    }

    fn report(&mut self, payout_id: &str, now_ms: i64) -> PayoutReported {
        self.reports += 1;
        PayoutReported {
            event_id: format!("payevt_{}", self.reports),
            payout_id: payout_id.to_owned(),
            outcome: self.random.pick(&[PayoutOutcome::Paid, PayoutOutcome::Paid, PayoutOutcome::Failed]),
            reference: self.random.happens(5_000).then(|| "BANK-1".to_owned()),
            reported_by: None,
            received_at: Timestamp(now_ms),
        }
    }
}

impl World {
    /// Now and then an administrator reports a payout, sometimes one that another has reported.
    pub(crate) fn administer(&self) {
        let report = {
            let mut guard = self.inner();
            let inner = &mut *guard;
            if !inner.administrators.random.happens(LOOKS) {
                return;
            }
            let known: Vec<(String, String, bool)> = payouts(inner);
            let again = inner.administrators.random.happens(2_000);
            let of: Vec<_> = known.iter().filter(|(_, _, in_transit)| *in_transit || again).collect();
            if of.is_empty() {
                return;
            }
            let (ledger, payout_id, _) = of[inner.administrators.random.index(of.len())];
            let report = inner.administrators.report(payout_id, self.cluster.now_ms());
            inner.facts.payout_reported(report.clone());
            Import::Outcome(ledger.clone(), report)
        };
        self.import(report);
    }

    /// Administrators report every payout that is on its way.
    pub(crate) fn administer_all(&self) {
        let reports: Vec<Import> = {
            let mut guard = self.inner();
            let inner = &mut *guard;
            let mut reports = Vec::new();
            for (ledger, payout_id, _) in payouts(inner).into_iter().filter(|(_, _, in_transit)| *in_transit) {
                // Sometimes two of them do.
                for _ in 0..inner.administrators.random.pick(&[1, 1, 2]) {
                    let report = inner.administrators.report(&payout_id, self.cluster.now_ms());
                    inner.facts.payout_reported(report.clone());
                    reports.push(Import::Outcome(ledger.clone(), report));
                }
            }
            reports
        };
        reports.into_iter().for_each(|report| self.import(report));
    }

    /// Writes something past the edges.
    pub(crate) fn import(&self, import: Import) {
        let mut inner = self.inner();
        let message = match &import {
            Import::Click(Elsewhere { click_id, link, clicked_at }) => {
                let known = inner.registries[0].clicks().iter().find(|click| click.click_id == *click_id);
                let Some(click) = known else { return };
                self.cluster.note(format_args!("click {click_id} of {link}, {clicked_at}, comes from elsewhere"));
                let (topic, key) = (processors::topic(&CLICKS), click_id.clone().into_bytes());
                Message { topic, key, value: encode(click) }
            }
            Import::Outcome(ledger, report) => {
                let PayoutReported { payout_id, outcome, event_id, .. } = report;
                self.cluster.note(format_args!("{payout_id} is reported {outcome:?} by {event_id}"));
                let (topic, key) = (processors::topic(&PAYOUT_REPORTS), ledger.clone().into_bytes());
                Message { topic, key, value: encode(report) }
            }
        };
        let pending = inner.importer.1.publish(vec![message]);
        inner.imports.push((import, pending.expect("the importer's queue takes all that a run imports")));
    }

    /// Writes again what did not get there, as whoever imports it does.
    pub(crate) fn import_again(&self) {
        let mut failed = Vec::new();
        self.inner().imports.retain_mut(|(import, pending)| {
            match Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => true,
                Poll::Ready(Ok(_)) => false,
                Poll::Ready(Err(_)) => {
                    failed.push(import.clone());
                    false
                }
            }
        });
        failed.into_iter().for_each(|import| self.import(import));
    }
}

/// The payouts that are visible: ledger, id, and whether each is on its way.
fn payouts(inner: &Inner) -> Vec<(String, String, bool)> {
    let of_ledgers = inner.observer.committed.payouts();
    let one = |ledger: &str, payout: &oracle::Payout| {
        (ledger.to_owned(), payout.made.payout_id.clone(), payout.state() == PayoutState::InTransit)
    };
    of_ledgers.flat_map(|(ledger, payouts)| payouts.iter().map(move |payout| one(ledger, payout))).collect()
}
