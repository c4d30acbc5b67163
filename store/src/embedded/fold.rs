//! What a record changes in the rows. Applying a record again, or later than it came, changes nothing more.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::Timestamp;
use schemas::codec::{header_error, is};
use schemas::ids::{ConversionId, OrderKey, check_name};
use schemas::records::{ConversionReported, ConversionTransitioned, IdempotencyUse, OrderStatusReported};
use streams::{Change, Record, StateStore, StoreError};

use super::claims::{is_remembered, remembering};
use super::feed::{CONVERSIONS_TOPIC, TRANSITIONS_TOPIC};
use super::list::list_row;
use super::rows::{
    CLAIMS, Head, KEYS, STATUSES, Use, claim_key, conversion_key, decode_claim, decode_head, decode_use, encode_claim,
    encode_conversion, encode_entry, idempotency_key, mark, status_key, timeline_key,
};
use crate::claims::{ConversionClaim, Fingerprint, IdempotencyScope, status_digest};

/// What a record says.
#[derive(Debug)]
pub(super) enum Fact {
    /// An order was reported: a claim, and perhaps the use of an idempotency key, with its row key.
    Reported { id: ConversionId, claim: ConversionClaim, used: Option<(Vec<u8>, Use)> },
    /// A status update was reported.
    Status { digest: [u8; 16], event_id: String },
    /// A conversion changed.
    Transitioned(Box<ConversionTransitioned>),
}

impl Fact {
    /// Reads a record of the topics that are fed; the error says what is wrong with it.
    pub(super) fn read(record: &Record) -> Result<Fact, String> {
        let text = |error: schemas::DecodeError| error.to_string();
        if record.topic == TRANSITIONS_TOPIC.id {
            return transitioned(schemas::decode(&record.value).map_err(text)?);
        }
        debug_assert_eq!(record.topic, CONVERSIONS_TOPIC.id, "no other topic is read");
        if is::<ConversionReported>(&record.value) {
            reported(&schemas::decode(&record.value).map_err(text)?, record)
        } else if is::<OrderStatusReported>(&record.value) {
            let update: OrderStatusReported = schemas::decode(&record.value).map_err(text)?;
            let id = conversion_id(&update.merchant_id, update.livemode, &update.external_order_id)?;
            let digest = status_digest(id, &update);
            Ok(Fact::Status { digest, event_id: update.event_id })
        } else {
            Err(header_error(&record.value, "ConversionReported and OrderStatusReported").to_string())
        }
    }
}

fn conversion_id(merchant_id: &str, livemode: bool, external_order_id: &str) -> Result<ConversionId, String> {
    check_name(merchant_id).map_err(|error| format!("merchantId {error}"))?;
    Ok(OrderKey { merchant_id, livemode, external_order_id }.conversion_id())
}

fn reported(report: &ConversionReported, record: &Record) -> Result<Fact, String> {
    let id = conversion_id(&report.merchant_id, report.livemode, &report.external_order_id)?;
    let claim = ConversionClaim {
        event_id: report.event_id.clone(),
        fingerprint: Fingerprint::of(report),
        partition: record.partition,
        offset: record.offset,
    };
    let used = match &report.idempotency {
        Some(IdempotencyUse { key, body_digest }) => {
            let scope = IdempotencyScope { merchant_id: report.merchant_id.clone(), livemode: report.livemode };
            let body_digest = digest_of(body_digest).ok_or("idempotency.bodyDigest is not 32 hexadecimal digits")?;
            Some((idempotency_key(&scope, key), Use { at: report.received_at, body_digest }))
        }
        None => None,
    };
    Ok(Fact::Reported { id, claim, used })
}

fn digest_of(hex: &str) -> Option<[u8; 16]> {
    let plain = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes))?
}

fn transitioned(conversion: ConversionTransitioned) -> Result<Fact, String> {
    check_name(&conversion.merchant_id).map_err(|error| format!("merchantId {error}"))?;
    if conversion.revision < 1 {
        return Err(format!("revision is {}, and the first is 1", conversion.revision));
    }
    let seq_last = conversion.seq;
    match conversion.timeline.iter().map(|entry| entry.seq).find(|seq| !(1..=seq_last).contains(seq)) {
        Some(seq) => Err(format!("a timeline entry has seq {seq}, and they go from 1 to {seq_last}")),
        None => Ok(Fact::Transitioned(Box::new(conversion))),
    }
}

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
            Fact::Reported { id, claim, used } => {
                self.claim(claim_key(*id), claim)?;
                match used {
                    Some((row, used)) if is_remembered(used.at, now) => self.remember(row, *used),
                    Some(_) | None => Ok(()),
                }
            }
            Fact::Status { digest, event_id } => {
                let key = status_key(*digest);
                if self.get(&key)?.is_none() {
                    self.claims_new.push((key.clone(), event_id.clone()));
                    self.changes.insert(key, Some(mark()));
                }
                Ok(())
            }
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

    fn remember(&mut self, row: &[u8], used: Use) -> Result<(), StoreError> {
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
