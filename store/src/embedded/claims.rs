//! The claims, as the edge makes them.
//!
//! Rows only ever move one way: a claim is never deleted and only its offset goes down, an idempotency key's use only
//! gets later until it has expired. So what the edge writes and what the feeder writes meet in the same rows, whoever
//! comes first. Of a conversion's claim the edge writes no row, as long as the feeder is near: see [`super::ahead`].

use std::sync::PoisonError;

use bytes::Bytes;
use schemas::Timestamp;
use schemas::ids::ConversionId;
use streams::{Change, StateStore, StoreError};

use super::rows::{
    claim_key, decode_claim, decode_use, encode_claim, encode_use, idempotency_key, mark, parse_time_key, status_key,
    time_bound, time_key,
};
use super::stats::count;
use super::{EmbeddedStore, Shared};
use crate::claims::{Claim, ClaimError, Claims, ConversionClaim, IDEMPOTENCY_AGE, IdempotencyScope, KeyUse};

/// Most idempotency keys that one sweep removes: it bounds how long the feeder is away from its work.
pub(super) const SWEEP_KEYS_MAX: usize = 1_000;

impl Shared {
    /// The claim on a conversion: ahead of the feeder, or in its row.
    pub(super) fn conversion_claim(&self, id: ConversionId) -> Result<Option<ConversionClaim>, StoreError> {
        match self.ahead.get(id) {
            Some(ahead) => Ok(Some(ahead)),
            None if !self.filter.may_have(id) => Ok(None),
            None => self.rows.get(&claim_key(id))?.map(|value| decode_claim(&value)).transpose(),
        }
    }

    fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, StoreError> {
        let key = claim_key(id);
        let _row = self.locks.row(&key);
        match self.conversion_claim(id)? {
            None => {
                self.filter.add(id);
                if !self.ahead.put(id, claim) {
                    self.write(key, encode_claim(claim))?;
                }
            }
            Some(present) if present.event_id == claim.event_id && self.unanswered.take(&key, &claim.event_id) => {}
            Some(present) => {
                count(&self.counters.claims_taken, 1);
                return Ok(Claim::Taken(present));
            }
        }
        count(&self.counters.claims_made, 1);
        Ok(Claim::Claimed)
    }

    fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, StoreError> {
        let key = status_key(digest);
        let _row = self.locks.row(&key);
        if self.rows.get(&key)?.is_none() {
            self.write(key, mark())?;
        } else if !self.unanswered.take(&key, event_id) {
            count(&self.counters.claims_taken, 1);
            return Ok(Claim::Taken(()));
        }
        count(&self.counters.claims_made, 1);
        Ok(Claim::Claimed)
    }

    fn idempotency(&self, scope: &IdempotencyScope, key: &str, now: Timestamp) -> Result<Option<[u8; 16]>, StoreError> {
        let used = self.rows.get(&idempotency_key(scope, key))?.map(|value| decode_use(&value)).transpose()?;
        Ok(used.filter(|used| used.is_remembered(now)).map(|used| used.body_digest))
    }

    fn remember(&self, scope: &IdempotencyScope, key: &str, used: KeyUse) -> Result<(), StoreError> {
        let row = idempotency_key(scope, key);
        let _row = self.locks.row(&row);
        let before = self.rows.get(&row)?.map(|value| decode_use(&value)).transpose()?;
        self.rows.write(&remembering(row, before, used))
    }

    fn write(&self, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
        self.rows.write(&[Change { key: key.into(), value: Some(value) }])
    }

    /// Removes idempotency keys that have expired at `now`, at most [`SWEEP_KEYS_MAX`]; returns how many it looked at.
    pub(super) fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut from = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Timestamp((now - IDEMPOTENCY_AGE).0.saturating_add(1));
        let mut expired = Vec::new();
        // From where the last sweep ended: every key before was deleted, and walking over deletions takes long.
        self.rows.scan(&time_bound(*from), &time_bound(until.max(*from)), &mut |index, _| {
            expired.push(index.to_vec());
            expired.len() < SWEEP_KEYS_MAX
        })?;
        let expired: Vec<(Timestamp, Vec<u8>)> =
            expired.iter().map(|index| parse_time_key(index)).collect::<Result<_, _>>()?;
        let _rows = self.locks.rows(expired.iter().map(|(_, row)| row.as_slice()));
        let mut changes = Vec::new();
        for (at, row) in &expired {
            changes.push(Change { key: time_key(*at, row).into(), value: None });
            let used = self.rows.get(row)?.map(|value| decode_use(&value)).transpose()?;
            if used.is_some_and(|used| used.at == *at) {
                changes.push(Change { key: row.clone().into(), value: None });
            }
        }
        self.rows.write(&changes)?;
        count(&self.counters.keys_expired, changes.len() - expired.len());
        match expired.last() {
            Some((last, _)) if expired.len() == SWEEP_KEYS_MAX => *from = *last,
            Some(_) | None => *from = until.max(*from),
        }
        Ok(expired.len())
    }
}

/// The changes by which the row of an idempotency key and its index say `used`, if that is later than what they say.
pub(super) fn remembering(row: Vec<u8>, before: Option<KeyUse>, used: KeyUse) -> Vec<Change> {
    if before.is_some_and(|before| before >= used) {
        return Vec::new();
    }
    let mut changes = Vec::with_capacity(3);
    if let Some(before) = before.filter(|before| before.at != used.at) {
        changes.push(Change { key: time_key(before.at, &row).into(), value: None });
    }
    changes.push(Change { key: time_key(used.at, &row).into(), value: Some(mark()) });
    changes.push(Change { key: row.into(), value: Some(encode_use(&used)) });
    changes
}

/// The database is asked from the caller's own thread: a row is read from memory or the page cache and written to
/// memory and the page cache in microseconds, less than a hand-over to another thread takes.
impl Claims for EmbeddedStore {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        self.shared.conversion_claim(id).map_err(failed)
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        self.shared.claim_conversion(id, claim).map_err(failed)
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        self.shared.rows.get(&status_key(digest)).map(|row| row.is_some()).map_err(failed)
    }

    async fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, ClaimError> {
        self.shared.claim_status(digest, event_id).map_err(failed)
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        self.shared.idempotency(scope, key, now).map_err(failed)
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        self.shared.remember(scope, key, KeyUse { at: now, body_digest }).map_err(failed)
    }
}

fn failed(error: StoreError) -> ClaimError {
    ClaimError(error.to_string())
}
