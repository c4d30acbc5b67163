//! What a record changes in the rows. Applying a record again, or later than it came, changes nothing more.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::Timestamp;
use schemas::records::ConversionTransitioned;
use streams::{Change, StateStore, StoreError};

use super::claims::remembering;
use super::list::list_row;
use super::rows::{
    CLAIMS, Head, KEYS, STATUSES, claim_key, conversion_key, decode_claim, decode_head, decode_use, encode_claim,
    encode_conversion, encode_entry, idempotency_key, mark, status_key, timeline_key,
};
use crate::claims::{ConversionClaim, KeyUse};
use crate::facts::Fact;

/// Changes on their way into the store, over what is there.
#[derive(Debug)]
pub(super) struct Batch<'a, S> {
    rows: &'a S,
    /// By key, which is also the order in which they become visible.
    changes: BTreeMap<Vec<u8>, Option<Bytes>>,
    /// Keys of claims that nobody had made, with their events.
    pub(super) claims_new: Vec<(Vec<u8>, String)>,
}

impl<'a, S: StateStore> Batch<'a, S> {
    pub(super) fn new(rows: &'a S) -> Batch<'a, S> {
        Batch { rows, changes: BTreeMap::new(), claims_new: Vec::new() }
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

    /// The changes, by key.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().map(|(key, value)| Change { key: key.into(), value }).collect()
    }

    /// Adds what a fact changes. A key used [`crate::claims::IDEMPOTENCY_AGE`] before `now` or earlier is not kept.
    pub(super) fn fold(&mut self, fact: &Fact, now: Timestamp) -> Result<(), StoreError> {
        match fact {
            Fact::Reported { id, claim, used, received_at: _ } => {
                self.claim(claim_key(*id), claim)?;
                match used {
                    Some((scope, key, used)) if used.is_remembered(now) => {
                        self.remember(&idempotency_key(scope, key), *used)
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Fact::Status { digest, event_id, received_at: _ } => {
                let key = status_key(*digest);
                if self.get(&key)?.is_none() {
                    self.claims_new.push((key.clone(), event_id.clone()));
                    self.changes.insert(key, Some(mark()));
                }
                Ok(())
            }
            Fact::Reviewed => Ok(()),
            Fact::Transitioned(conversion) => self.transition(conversion),
        }
    }

    /// The first report in the order of the log has the claim, as it has the order itself: of two that were published
    /// at once the edge may have let the second claim first. The partition is the same for both, unless somebody else
    /// wrote one of them; with it in the comparison all stores agree even then.
    fn claim(&mut self, key: Vec<u8>, claim: &ConversionClaim) -> Result<(), StoreError> {
        match self.get(&key)?.map(|value| decode_claim(&value)).transpose()? {
            Some(present) if (present.partition, present.offset) <= (claim.partition, claim.offset) => return Ok(()),
            Some(_) => {}
            None => self.claims_new.push((key.clone(), claim.event_id.clone())),
        }
        self.changes.insert(key, Some(encode_claim(claim)));
        Ok(())
    }

    fn remember(&mut self, row: &[u8], used: KeyUse) -> Result<(), StoreError> {
        let before = self.get(row)?.map(|value| decode_use(&value)).transpose()?;
        let changes = remembering(row.to_vec(), before, used);
        self.changes.extend(changes.into_iter().map(|change| (change.key.to_vec(), change.value)));
        Ok(())
    }

    fn transition(&mut self, conversion: &ConversionTransitioned) -> Result<(), StoreError> {
        let id = conversion.conversion_id;
        for entry in &conversion.timeline {
            self.changes.insert(timeline_key(id, entry.seq.unsigned_abs()), Some(encode_entry(entry)));
        }
        let key = conversion_key(id);
        if let Some(value) = self.get(&key)?
            && decode_head(&value)?.0.revision >= conversion.revision
        {
            return Ok(());
        }
        let head = Head { revision: conversion.revision, seq_last: conversion.seq.unsigned_abs() };
        let row = ConversionTransitioned { timeline: Vec::new(), ..conversion.clone() };
        self.changes.insert(key, Some(encode_conversion(head, &row)));
        let (key, value) = list_row(&row);
        self.changes.insert(key, Some(value));
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.rows.get(key),
        }
    }
}
