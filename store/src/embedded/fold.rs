//! What a record changes in the rows. Applying a record again, or later than it came, changes nothing more.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{CauseType, Confidence, ConversionTransitioned};
use streams::{Change, StateStore, StoreError};

use super::ahead::Ahead;
use super::claims::remembering;
use super::list::{list_row, review_row};
use super::rows::{
    CLAIMS, Head, KEYS, STATUSES, claim_key, conversion_key, decode_claim, decode_head, decode_use, encode_claim,
    encode_conversion, encode_entry, idempotency_key, mark, status_key, timeline_key,
};
use crate::claims::KeyUse;
use crate::facts::{Fact, Reported, Used};

/// Changes on their way into the store, over what is there.
#[derive(Debug)]
pub(super) struct Batch<'a, S> {
    rows: &'a S,
    ahead: &'a Ahead,
    /// By key, which is also the order in which they become visible.
    pub(super) changes: BTreeMap<Vec<u8>, Option<Bytes>>,
    /// Keys of claims that nobody had made, with their events.
    pub(super) claims_new: Vec<(Vec<u8>, String)>,
}

impl<'a, S: StateStore> Batch<'a, S> {
    pub(super) fn new(rows: &'a S, ahead: &'a Ahead) -> Batch<'a, S> {
        Batch { rows, ahead, changes: BTreeMap::new(), claims_new: Vec::new() }
    }

    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The keys of changed rows that the edge writes too.
    pub(super) fn contended(&self) -> impl Iterator<Item = &[u8]> {
        let keys = self.changes.keys().map(Vec::as_slice);
        keys.filter(|key| matches!(key.first(), Some(&CLAIMS | &STATUSES | &KEYS)))
    }

    /// The conversions whose claims' rows change.
    pub(super) fn claimed(&self) -> Vec<ConversionId> {
        let keys = self.changes.keys().take_while(|key| key.first() == Some(&CLAIMS));
        keys.filter_map(|key| key[1..].try_into().ok().map(ConversionId)).collect()
    }

    /// The changes, by key.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().map(|(key, value)| Change { key: key.into(), value }).collect()
    }

    /// Adds what a fact changes in rows that the edge writes too; for the rest there are [`Batch::transition`] and
    /// [`Batch::payout`]. A key used [`crate::claims::IDEMPOTENCY_AGE`] before `now` or earlier is not kept.
    pub(super) fn fold(&mut self, fact: &Fact, now: Timestamp) -> Result<(), StoreError> {
        match fact {
            Fact::Reported(reported) => {
                self.claim(reported)?;
                self.remember(reported.used.as_ref(), now)
            }
            Fact::Status { digest, event_id, received_at: _, used } => {
                let key = status_key(*digest);
                if self.get(&key)?.is_none() {
                    self.claims_new.push((key.clone(), event_id.clone()));
                    self.changes.insert(key, Some(mark()));
                }
                self.remember(used.as_ref(), now)
            }
            Fact::Reviewed | Fact::Transitioned(_) | Fact::Payout(_) => Ok(()),
        }
    }

    /// The first report in the order of the log has the claim, as it has the order itself: of two that were published
    /// at once the edge may have let the second claim first. The partition is the same for both, unless somebody else
    /// wrote one of them; with it in the comparison all stores agree even then.
    ///
    /// What is there may be a claim that the edge made and wrote no row of: its record is where it gets one.
    pub(super) fn claim(&mut self, reported: &Reported) -> Result<(), StoreError> {
        let key = claim_key(reported.id);
        let ahead = if self.changes.contains_key(&key) { None } else { self.ahead.get(reported.id) };
        let is_ahead = ahead.is_some();
        let present = match ahead {
            Some(ahead) => Some(ahead),
            None => self.get(&key)?.map(|value| decode_claim(&value)).transpose()?,
        };
        let claim = match present {
            None => {
                self.claims_new.push((key.clone(), reported.report.event_id.clone()));
                reported.claim()
            }
            Some(present) => match (present.partition, present.offset).cmp(&(reported.partition, reported.offset)) {
                Ordering::Equal if is_ahead => present,
                Ordering::Less | Ordering::Equal => return Ok(()),
                Ordering::Greater => reported.claim(),
            },
        };
        self.changes.insert(key, Some(encode_claim(&claim)));
        Ok(())
    }

    /// The use of the idempotency key that something came with, if it did.
    pub(super) fn remember(&mut self, used: Option<&Used>, now: Timestamp) -> Result<(), StoreError> {
        match used {
            Some(Used { scope, key, at }) if at.is_remembered(now) => self.use_key(&idempotency_key(scope, key), *at),
            Some(_) | None => Ok(()),
        }
    }

    fn use_key(&mut self, row: &[u8], used: KeyUse) -> Result<(), StoreError> {
        let before = self.get(row)?.map(|value| decode_use(&value)).transpose()?;
        let changes = remembering(row.to_vec(), before, used);
        self.changes.extend(changes.into_iter().map(|change| (change.key.to_vec(), change.value)));
        Ok(())
    }

    /// Adds what a change of a conversion changes.
    pub(super) fn transition(&mut self, mut conversion: ConversionTransitioned) -> Result<(), StoreError> {
        let id = conversion.conversion_id;
        let may_have_waited = may_have_waited(&conversion);
        for entry in std::mem::take(&mut conversion.timeline) {
            self.changes.insert(timeline_key(id, entry.seq.unsigned_abs()), Some(encode_entry(&entry)));
        }
        let key = conversion_key(id);
        if let Some(value) = self.get(&key)?
            && decode_head(&value)?.0.revision >= conversion.revision
        {
            return Ok(());
        }
        let head = Head { revision: conversion.revision, seq_last: conversion.seq.unsigned_abs() };
        self.changes.insert(key, Some(encode_conversion(head, &conversion)));
        let (key, value) = list_row(&conversion);
        self.changes.insert(key, Some(value));
        if may_have_waited {
            let (key, value) = review_row(&conversion);
            // Most of what is deleted was never there.
            if value.is_some() || self.get(&key)?.is_some() {
                self.changes.insert(key, value);
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.rows.get(key),
        }
    }
}

/// Whether a conversion waits for a reviewer, or may have until this change. What is LOW stays so when it is decided or
/// reversed; only a click makes it anything else.
fn may_have_waited(changed: &ConversionTransitioned) -> bool {
    let tells_of_click = || changed.timeline.iter().any(|entry| entry.cause.kind == CauseType::Click);
    changed.confidence == Some(Confidence::Low) || tells_of_click()
}
