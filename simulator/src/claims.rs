//! The claims of one edge, in memory: what production keeps in a folder that its feeder fills from the log.
//!
//! It is a model of `store`'s: the rules of [`store::Claims`], fed from `conversions` behind its reader's back, slow, down
//! or forgetful by the simulator's word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{ConversionReported, IdempotencyUse, OrderStatusReported, TestClockAdvanced};
use schemas::topics::CONVERSIONS;
use schemas::{Timestamp, codec};
use store::claims::{IDEMPOTENCY_AGE, status_digest, test_clock_digest};
use store::{Claim, ClaimError, Claims, ConversionClaim, Fingerprint, IdempotencyScope};
use streams::sim::Cluster;

/// What the claims do when they are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Work,
    /// They answer after so long.
    Slow(Duration),
    /// They refuse.
    Down,
    /// They do what they are asked, and the answer is lost.
    Silent,
}

/// The claims of an edge. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClaims(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    mode: Mode,
    conversions: BTreeMap<ConversionId, ConversionClaim>,
    statuses: BTreeSet<[u8; 16]>,
    /// Digest of the body and the time of the last use, by merchant, mode and key.
    keys: BTreeMap<(String, bool, String), ([u8; 16], Timestamp)>,
    /// Events whose claims the log made while their senders may still wait.
    unanswered: BTreeSet<String>,
    /// Where each partition is read on.
    fed: BTreeMap<u32, u64>,
    /// Whether it has forgotten all, and has not been fed since.
    is_remade: bool,
}

impl SimClaims {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.inner().mode = mode;
    }

    /// Forgets everything; the feeder begins anew.
    pub(crate) fn lose(&self) {
        let mode = self.inner().mode;
        *self.inner() = Inner { mode, is_remade: true, ..Inner::default() };
    }

    /// Reads on in the log; whether that made claims again that were lost.
    pub(crate) fn feed(&self, cluster: &Cluster, partitions: u32) -> bool {
        let mut inner = self.inner();
        let before = inner.conversions.len();
        for partition in 0..partitions {
            let from = inner.fed.get(&partition).copied().unwrap_or(0);
            let next = cluster.read(CONVERSIONS.name, partition, from, &mut |offset, _, value| {
                if let Some(value) = value {
                    inner.fold(partition, offset, value);
                }
            });
            inner.fed.insert(partition, next);
        }
        let is_remade = inner.is_remade && inner.conversions.len() > before;
        inner.is_remade &= !is_remade;
        is_remade
    }
}

impl Inner {
    fn fold(&mut self, partition: u32, offset: u64, value: &[u8]) {
        if codec::is::<ConversionReported>(value) {
            if let Ok(report) = schemas::decode::<ConversionReported>(value) {
                self.reported(partition, offset, &report);
            }
        } else if let Ok(update) = schemas::decode::<OrderStatusReported>(value) {
            let id = conversion_id(&update.merchant_id, update.livemode, &update.external_order_id);
            self.used(&update.merchant_id, update.livemode, update.idempotency.as_ref(), update.received_at);
            self.event(status_digest(id, &update), update.event_id);
        } else if let Ok(advanced) = schemas::decode::<TestClockAdvanced>(value) {
            let id = conversion_id(&advanced.merchant_id, advanced.livemode, &advanced.external_order_id);
            self.used(&advanced.merchant_id, advanced.livemode, advanced.idempotency.as_ref(), advanced.received_at);
            self.event(test_clock_digest(id, advanced.advanced_to), advanced.event_id);
        }
    }

    fn event(&mut self, digest: [u8; 16], event_id: String) {
        if self.statuses.insert(digest) {
            self.unanswered.insert(event_id);
        }
    }

    fn reported(&mut self, partition: u32, offset: u64, report: &ConversionReported) {
        let id = conversion_id(&report.merchant_id, report.livemode, &report.external_order_id);
        let fingerprint = Fingerprint::of(report);
        let claim = ConversionClaim { event_id: report.event_id.clone(), fingerprint, partition, offset };
        match self.conversions.get(&id) {
            // The first in the log has the claim, whoever claimed first.
            Some(present) if present.offset <= offset => {}
            Some(_) => drop(self.conversions.insert(id, claim)),
            None => {
                self.unanswered.insert(report.event_id.clone());
                self.conversions.insert(id, claim);
            }
        }
        self.used(&report.merchant_id, report.livemode, report.idempotency.as_ref(), report.received_at);
    }

    fn used(&mut self, merchant_id: &str, livemode: bool, used: Option<&IdempotencyUse>, at: Timestamp) {
        if let Some(used) = used
            && let Ok(bits) = u128::from_str_radix(&used.body_digest, 16)
        {
            self.remember((merchant_id.to_owned(), livemode, used.key.clone()), bits.to_be_bytes(), at);
        }
    }

    fn remember(&mut self, key: (String, bool, String), digest: [u8; 16], at: Timestamp) {
        let used = self.keys.entry(key).or_insert((digest, at));
        if used.1 <= at {
            *used = (digest, at);
        }
    }
}

/// The id of an order's conversion.
pub(crate) fn conversion_id(merchant_id: &str, livemode: bool, external_order_id: &str) -> ConversionId {
    OrderKey { merchant_id, livemode, external_order_id }.conversion_id()
}

impl SimClaims {
    /// Does something to the claims, in the way that they are now.
    async fn ask<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> Result<T, ClaimError> {
        let mode = self.inner().mode;
        // A store is asked over a network: others get their turn meanwhile.
        tokio::task::yield_now().await;
        match mode {
            Mode::Work => Ok(work(&mut self.inner())),
            Mode::Slow(wait) => {
                tokio::time::sleep(wait / 2).await;
                let answer = work(&mut self.inner());
                tokio::time::sleep(wait / 2).await;
                Ok(answer)
            }
            Mode::Down => Err(ClaimError("down, as the simulation has it".to_owned())),
            Mode::Silent => {
                work(&mut self.inner());
                Err(ClaimError("no answer, as the simulation has it".to_owned()))
            }
        }
    }
}

impl Claims for SimClaims {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        self.ask(|inner| inner.conversions.get(&id).cloned()).await
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        self.ask(|inner| match inner.conversions.get(&id) {
            None => {
                inner.conversions.insert(id, claim.clone());
                Claim::Claimed
            }
            Some(present) if present.event_id == claim.event_id && inner.unanswered.remove(&claim.event_id) => {
                Claim::Claimed
            }
            Some(present) => Claim::Taken(present.clone()),
        })
        .await
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        self.ask(|inner| inner.statuses.contains(&digest)).await
    }

    async fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, ClaimError> {
        self.ask(|inner| {
            if inner.statuses.insert(digest) || inner.unanswered.remove(event_id) {
                Claim::Claimed
            } else {
                Claim::Taken(())
            }
        })
        .await
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        let key = (scope.merchant_id.clone(), scope.livemode, key.to_owned());
        self.ask(|inner| {
            let used = inner.keys.get(&key).filter(|(_, at)| now.since(*at) < IDEMPOTENCY_AGE);
            used.map(|(digest, _)| *digest)
        })
        .await
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        let key = (scope.merchant_id.clone(), scope.livemode, key.to_owned());
        self.ask(|inner| inner.remember(key, body_digest, now)).await
    }
}
