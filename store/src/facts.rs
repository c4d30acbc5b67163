//! What the records of `conversions` and `transitions` say, whichever store is fed with them.

use schemas::Timestamp;
use schemas::codec::{header_error, is};
use schemas::ids::{ConversionId, OrderKey, check_name};
use schemas::records::{
    ConversionReported, ConversionTransitioned, IdempotencyUse, OrderStatusReported, ReviewDecided,
};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use streams::Record;

use crate::claims::{ConversionClaim, Fingerprint, IdempotencyScope, KeyUse, status_digest};

/// What a record says.
#[derive(Debug)]
pub(crate) enum Fact {
    /// An order was reported: a claim, and perhaps the use of an idempotency key.
    Reported {
        id: ConversionId,
        claim: ConversionClaim,
        used: Option<(IdempotencyScope, String, KeyUse)>,
        received_at: Timestamp,
    },
    /// A status update was reported.
    Status { digest: [u8; 16], event_id: String, received_at: Timestamp },
    /// A reviewer decided, of which nobody makes a claim: what came of it is in a transition.
    Reviewed,
    /// A conversion changed.
    Transitioned(Box<ConversionTransitioned>),
}

impl Fact {
    /// Reads a record of the topics that are fed; the error says what is wrong with it.
    pub(crate) fn read(record: &Record) -> Result<Fact, String> {
        let text = |error: schemas::DecodeError| error.to_string();
        if record.topic == TRANSITIONS.number {
            return transitioned(schemas::decode(&record.value).map_err(text)?);
        }
        debug_assert_eq!(record.topic, CONVERSIONS.number, "no other topic is read");
        if is::<ConversionReported>(&record.value) {
            reported(&schemas::decode(&record.value).map_err(text)?, record)
        } else if is::<OrderStatusReported>(&record.value) {
            let update: OrderStatusReported = schemas::decode(&record.value).map_err(text)?;
            let id = conversion_id(&update.merchant_id, update.livemode, &update.external_order_id)?;
            let digest = status_digest(id, &update);
            Ok(Fact::Status { digest, event_id: update.event_id, received_at: update.received_at })
        } else if is::<ReviewDecided>(&record.value) {
            schemas::decode::<ReviewDecided>(&record.value).map(|_| Fact::Reviewed).map_err(text)
        } else {
            let expected = "ConversionReported, OrderStatusReported and ReviewDecided";
            Err(header_error(&record.value, expected).to_string())
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
            Some((scope, key.clone(), KeyUse { at: report.received_at, body_digest }))
        }
        None => None,
    };
    Ok(Fact::Reported { id, claim, used, received_at: report.received_at })
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
