//! The rows: their keys and values, byte for byte as the folder's documentation has them.

use bytes::Bytes;
use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{ConversionTransitioned, TimelineEntry};
use streams::{Change, StoreError};

use crate::claims::{ConversionClaim, Fingerprint, IdempotencyScope, KeyUse};

/// First byte of the keys of conversions' claims.
pub(super) const CLAIMS: u8 = 1;
/// First byte of the keys of status updates' claims.
pub(super) const STATUSES: u8 = 2;
/// First byte of the keys of idempotency keys.
pub(super) const KEYS: u8 = 3;
/// First byte of the keys of the index of idempotency keys by time.
pub(super) const KEY_TIMES: u8 = 4;
/// First byte of the keys of timeline entries. Before [`CONVERSIONS`]: see [`super::read`].
pub(super) const TIMELINE: u8 = 5;
/// First byte of the keys of conversions.
pub(super) const CONVERSIONS: u8 = 6;
/// First byte of the keys of the lists of conversions. After [`CONVERSIONS`]: see [`super::list`].
pub(super) const LIST: u8 = 7;
/// First byte of the keys of positions.
const POSITIONS: u8 = 8;
/// The key of the identity of the log.
pub(super) const IDENTITY_KEY: &[u8] = &[9];
/// First byte of the keys of the list of what waits for a reviewer. After [`CONVERSIONS`], as [`LIST`] is.
pub(super) const REVIEWS: u8 = 10;
/// First byte of the keys of payouts' changes.
pub(super) const PAYOUTS: u8 = 11;
/// First byte of the keys of the list of payouts. After [`PAYOUTS`], as [`LIST`] is after [`CONVERSIONS`].
pub(super) const PAYOUT_LIST: u8 = 12;

/// First byte of every value.
pub(super) const VALUE_VERSION: u8 = 1;

/// The key of a conversion's claim.
pub(super) fn claim_key(id: ConversionId) -> Vec<u8> {
    key(CLAIMS, &[&id.0])
}

/// The key of a status update's claim.
pub(super) fn status_key(digest: [u8; 16]) -> Vec<u8> {
    key(STATUSES, &[&digest])
}

/// The key of an idempotency key. A merchant's id is a name and so has no zero byte: keys of two scopes never meet.
pub(super) fn idempotency_key(scope: &IdempotencyScope, text: &str) -> Vec<u8> {
    key(KEYS, &[scope.merchant_id.as_bytes(), &[0, u8::from(scope.livemode)], text.as_bytes()])
}

/// The key under which the index by time has a use of the idempotency key with the row key `row`.
pub(super) fn time_key(at: Timestamp, row: &[u8]) -> Vec<u8> {
    key(KEY_TIMES, &[&instant(at).to_be_bytes(), &row[1..]])
}

/// The first key of the index by time for uses at `at` or later.
pub(super) fn time_bound(at: Timestamp) -> Vec<u8> {
    key(KEY_TIMES, &[&instant(at).to_be_bytes()])
}

/// The time and the row key that an index key was made of.
pub(super) fn parse_time_key(index: &[u8]) -> Result<(Timestamp, Vec<u8>), StoreError> {
    let parts = index.get(1..).and_then(|rest| rest.split_first_chunk::<8>());
    let (at, row) = parts.ok_or_else(|| malformed("the index of idempotency keys", index))?;
    Ok((Timestamp(u64::from_be_bytes(*at).cast_signed()), key(KEYS, &[row])))
}

/// The key of a timeline entry; `seq` 0 is before the first entry of the conversion.
pub(super) fn timeline_key(id: ConversionId, seq: u32) -> Vec<u8> {
    key(TIMELINE, &[&id.0, &seq.to_be_bytes()])
}

/// The key of a conversion.
pub(super) fn conversion_key(id: ConversionId) -> Vec<u8> {
    key(CONVERSIONS, &[&id.0])
}

/// The row of a partition's position.
pub(super) fn position_change((topic, partition): (u16, u32), position: u64) -> Change {
    let key = key(POSITIONS, &[&topic.to_be_bytes(), &partition.to_be_bytes()]);
    let mut value = vec![VALUE_VERSION];
    value.extend_from_slice(&position.to_be_bytes());
    Change { key: key.into(), value: Some(value.into()) }
}

/// The keys of all positions, from the first to before the second.
pub(super) fn position_bounds() -> (Vec<u8>, Vec<u8>) {
    (key(POSITIONS, &[]), key(POSITIONS + 1, &[]))
}

/// The topic's number and the partition that a position's key was made of.
pub(super) fn parse_position_key(key: &[u8]) -> Result<(u16, u32), StoreError> {
    let parse = || {
        let (topic, partition) = key.get(1..)?.split_first_chunk::<2>()?;
        Some((u16::from_be_bytes(*topic), u32::from_be_bytes(partition.try_into().ok()?)))
    };
    parse().ok_or_else(|| malformed("the key of a position", key))
}

/// Reads back what [`position_change`] wrote.
pub(super) fn decode_position(value: &[u8]) -> Result<u64, StoreError> {
    let position = versioned(value).and_then(|rest| rest.try_into().ok());
    position.map(u64::from_be_bytes).ok_or_else(|| malformed("a position", value))
}

/// The value of the log's identity.
pub(super) fn encode_identity(identity: &str) -> Bytes {
    [&[VALUE_VERSION], identity.as_bytes()].concat().into()
}

/// Reads back what [`encode_identity`] wrote.
pub(super) fn decode_identity(value: &[u8]) -> Result<String, StoreError> {
    let identity = versioned(value).and_then(|text| std::str::from_utf8(text).ok());
    identity.map(str::to_owned).ok_or_else(|| malformed("the identity of a log", value))
}

/// The key of a row: its table and what it is made of.
pub(super) fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The instant as a number that sorts; nothing is received before 1970.
pub(super) fn instant(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

/// The value of a row that says all by being there.
pub(super) fn mark() -> Bytes {
    Bytes::from_static(&[VALUE_VERSION])
}

/// The value of a conversion's claim.
pub(super) fn encode_claim(claim: &ConversionClaim) -> Bytes {
    let event_length = u32::try_from(claim.event_id.len()).expect("an event's id is far under 4 GiB");
    let mut value = vec![VALUE_VERSION];
    value.extend_from_slice(&claim.partition.to_be_bytes());
    value.extend_from_slice(&claim.offset.to_be_bytes());
    value.extend_from_slice(&claim.fingerprint.to_bytes());
    value.extend_from_slice(&event_length.to_be_bytes());
    value.extend_from_slice(claim.event_id.as_bytes());
    value.into()
}

/// Reads back what [`encode_claim`] wrote.
pub(super) fn decode_claim(value: &[u8]) -> Result<ConversionClaim, StoreError> {
    let parse = || {
        let (partition, rest) = versioned(value)?.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<40>()?;
        let (event_length, event_id) = rest.split_first_chunk::<4>()?;
        if usize::try_from(u32::from_be_bytes(*event_length)).ok()? != event_id.len() {
            return None;
        }
        Some(ConversionClaim {
            event_id: std::str::from_utf8(event_id).ok()?.to_owned(),
            fingerprint: Fingerprint::from_bytes(fingerprint)?,
            partition: u32::from_be_bytes(*partition),
            offset: u64::from_be_bytes(*offset),
        })
    };
    parse().ok_or_else(|| malformed("a conversion's claim", value))
}

/// The value of an idempotency key.
pub(super) fn encode_use(used: &KeyUse) -> Bytes {
    let mut value = vec![VALUE_VERSION];
    value.extend_from_slice(&instant(used.at).to_be_bytes());
    value.extend_from_slice(&used.body_digest);
    value.into()
}

/// Reads back what [`encode_use`] wrote.
pub(super) fn decode_use(value: &[u8]) -> Result<KeyUse, StoreError> {
    let parse = || {
        let (at, rest) = versioned(value)?.split_first_chunk::<8>()?;
        let at = Timestamp(u64::from_be_bytes(*at).cast_signed());
        Some(KeyUse { at, body_digest: rest.try_into().ok()? })
    };
    parse().ok_or_else(|| malformed("an idempotency key", value))
}

/// The value of a timeline entry: JSON, because no topic has such a record and its words are those of the contract.
pub(super) fn encode_entry(entry: &TimelineEntry) -> Bytes {
    let mut value = vec![VALUE_VERSION];
    serde_json::to_writer(&mut value, entry).expect("an entry is plain data, and memory takes any of it");
    value.into()
}

/// Reads back what [`encode_entry`] wrote.
pub(super) fn decode_entry(value: &[u8]) -> Result<TimelineEntry, StoreError> {
    let entry = versioned(value).and_then(|json| serde_json::from_slice(json).ok());
    entry.ok_or_else(|| malformed("a timeline entry", value))
}

/// What of a conversion is told without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its revision.
    pub(super) revision: i64,
    /// The `seq` of its last timeline entry as of that revision.
    pub(super) seq_last: u32,
}

/// The value of a conversion, whose own timeline is empty.
pub(super) fn encode_conversion(head: Head, conversion: &ConversionTransitioned) -> Bytes {
    let mut value = vec![VALUE_VERSION];
    value.extend_from_slice(&head.revision.to_be_bytes());
    value.extend_from_slice(&head.seq_last.to_be_bytes());
    value.extend_from_slice(&schemas::encode(conversion));
    value.into()
}

/// The head of a conversion, and its record still encoded.
pub(super) fn decode_head(value: &[u8]) -> Result<(Head, &[u8]), StoreError> {
    let parse = || {
        let (revision, rest) = versioned(value)?.split_first_chunk::<8>()?;
        let (seq_last, record) = rest.split_first_chunk::<4>()?;
        let (revision, seq_last) = (i64::from_be_bytes(*revision), u32::from_be_bytes(*seq_last));
        Some((Head { revision, seq_last }, record))
    };
    parse().ok_or_else(|| malformed("a conversion", value))
}

/// Reads back what [`encode_conversion`] wrote.
pub(super) fn decode_conversion(value: &[u8]) -> Result<(Head, ConversionTransitioned), StoreError> {
    let (head, record) = decode_head(value)?;
    let conversion = schemas::decode(record)
        .map_err(|error| StoreError { context: "decoding a conversion", message: error.to_string() })?;
    Ok((head, conversion))
}

/// What a value has after its version, if that is the one there is.
pub(super) fn versioned(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(&[VALUE_VERSION])
}

/// What is said of a row that nobody can have written.
pub(super) fn malformed(what: &'static str, bytes: &[u8]) -> StoreError {
    let message =
        format!("a row of {} bytes is not of the format: delete the state folder, it is made again", bytes.len());
    StoreError { context: what, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schemas::records::{Cause, CauseType, ConversionState};

    fn entry() -> TimelineEntry {
        let cause = Cause {
            kind: CauseType::Conflict,
            event_id: None,
            order_status: None,
            refunded_thousandths: None,
            applied: false,
            fields: vec![],
            review: None,
        };
        TimelineEntry { seq: 1, state: ConversionState::Received, at: Timestamp(1), cause }
    }

    /// Every shorter value is an error, and so is a longer one, another version's and an empty one.
    #[track_caller]
    fn refuses_all_but<T>(value: &[u8], decode: impl Fn(&[u8]) -> Result<T, StoreError>) {
        decode(value).unwrap_or_else(|error| panic!("{error}"));
        for length in 0..value.len() {
            assert!(decode(&value[..length]).is_err(), "the first {length} of {} bytes", value.len());
        }
        assert!(decode(&[value, &[0]].concat()).is_err(), "a byte too many");
        assert!(decode(&[&[VALUE_VERSION + 1], &value[1..]].concat()).is_err(), "another version");
    }

    #[test]
    fn damaged_values_are_errors() {
        let fingerprint = Fingerprint { whole: 1, fields: [1, 2, 3, 4, 5, 6, 7, 8] };
        let claim = ConversionClaim { event_id: "cnvevt_é".to_owned(), fingerprint, partition: 2, offset: 3 };
        assert_eq!(decode_claim(&encode_claim(&claim)).expect("whole"), claim);
        refuses_all_but(&encode_claim(&claim), decode_claim);
        let used = KeyUse { at: Timestamp(5), body_digest: [7; 16] };
        assert_eq!(decode_use(&encode_use(&used)).expect("whole"), used);
        refuses_all_but(&encode_use(&used), decode_use);
        assert_eq!(decode_entry(&encode_entry(&entry())).expect("whole"), entry());
        refuses_all_but(&encode_entry(&entry()), decode_entry);
        let row = position_change((7, 9), 11);
        let value = row.value.expect("a row");
        assert_eq!(
            (parse_position_key(&row.key).expect("whole"), decode_position(&value).expect("whole")),
            ((7, 9), 11)
        );
        refuses_all_but(&value, decode_position);
        assert_eq!(decode_identity(&encode_identity("a/é")).expect("whole"), "a/é");
        for value in [&[][..], &[VALUE_VERSION + 1], &[VALUE_VERSION, 0xFF]] {
            assert!(decode_identity(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_index_names_the_row() {
        let scope = IdempotencyScope { merchant_id: "mer_one".to_owned(), livemode: true };
        let row = idempotency_key(&scope, "key");
        assert_eq!(parse_time_key(&time_key(Timestamp(9), &row)).expect("whole"), (Timestamp(9), row));
        assert!(parse_time_key(&[KEY_TIMES, 0, 0]).is_err());
        assert!(parse_time_key(&[]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in any::<bool>()) {
            if version && !bytes.is_empty() {
                bytes[0] = VALUE_VERSION;
            }
            let _ = (decode_claim(&bytes), decode_use(&bytes), decode_entry(&bytes), decode_conversion(&bytes));
            let _ = (parse_time_key(&bytes), parse_position_key(&bytes));
            let _ = (decode_position(&bytes), decode_identity(&bytes));
        }
    }
}
