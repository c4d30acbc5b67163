//! What the records of `conversions`, `transitions` and `payouts` say, whichever store is fed with them.

use schemas::Timestamp;
use schemas::codec::{header_error, is};
use schemas::ids::{ConversionId, OrderKey, check_name};
use schemas::records::{
    ConversionReported, ConversionTransitioned, IdempotencyUse, OrderStatusReported, PayoutChanged, ReviewDecided,
    TestClockAdvanced,
};
use schemas::topics::{CONVERSIONS, PAYOUTS, TRANSITIONS};
use streams::Record;

use crate::claims::{ConversionClaim, Fingerprint, IdempotencyScope, KeyUse, status_digest, test_clock_digest};
use crate::payouts;

/// What a record says.
#[derive(Debug)]
pub(crate) enum Fact {
    /// An order was reported: a claim, and perhaps the use of an idempotency key.
    Reported(Box<Reported>),
    /// A status update was reported, or a test order's time moved: a claim, and perhaps the use of an idempotency key.
    Status { digest: [u8; 16], event_id: String, received_at: Timestamp, used: Option<Used> },
    /// A reviewer decided, of which nobody makes a claim: what came of it is in a transition.
    Reviewed,
    /// A conversion changed.
    Transitioned(Box<ConversionTransitioned>),
    /// A payout changed.
    Payout(Box<PayoutChanged>),
}

/// The use of an idempotency key, in its scope.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) scope: IdempotencyScope,
    pub(crate) key: String,
    pub(crate) at: KeyUse,
}

/// A report and its place in the log.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) id: ConversionId,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) used: Option<Used>,
    pub(crate) report: ConversionReported,
}

impl Reported {
    /// The claim that it is. Its fingerprint is ten digests, so this is for when there is none yet.
    pub(crate) fn claim(&self) -> ConversionClaim {
        ConversionClaim {
            event_id: self.report.event_id.clone(),
            fingerprint: Fingerprint::of(&self.report),
            partition: self.partition,
            offset: self.offset,
        }
    }
}

impl Fact {
    /// Reads a record of the topics that are fed; the error says what is wrong with it.
    pub(crate) fn read(record: &Record) -> Result<Fact, String> {
        let text = |error: schemas::DecodeError| error.to_string();
        if record.topic == TRANSITIONS.number {
            return transitioned(schemas::decode(&record.value).map_err(text)?);
        }
        if record.topic == PAYOUTS.number {
            let payout: PayoutChanged = schemas::decode(&record.value).map_err(text)?;
            return payouts::check(&payout).map(|()| Fact::Payout(Box::new(payout)));
        }
        debug_assert_eq!(record.topic, CONVERSIONS.number, "no other topic is read");
        if is::<ConversionReported>(&record.value) {
            reported(schemas::decode(&record.value).map_err(text)?, record)
        } else if is::<OrderStatusReported>(&record.value) {
            let update: OrderStatusReported = schemas::decode(&record.value).map_err(text)?;
            let id = conversion_id(&update.merchant_id, update.livemode, &update.external_order_id)?;
            let digest = status_digest(id, &update);
            let OrderStatusReported { event_id, merchant_id, livemode, received_at, idempotency, .. } = update;
            let used = used(idempotency, &merchant_id, livemode, received_at)?;
            Ok(Fact::Status { digest, event_id, received_at, used })
        } else if is::<ReviewDecided>(&record.value) {
            schemas::decode::<ReviewDecided>(&record.value).map(|_| Fact::Reviewed).map_err(text)
        } else if is::<TestClockAdvanced>(&record.value) {
            let advanced: TestClockAdvanced = schemas::decode(&record.value).map_err(text)?;
            let id = conversion_id(&advanced.merchant_id, advanced.livemode, &advanced.external_order_id)?;
            let digest = test_clock_digest(id, advanced.advanced_to);
            let TestClockAdvanced { event_id, merchant_id, livemode, received_at, idempotency, .. } = advanced;
            let used = used(idempotency, &merchant_id, livemode, received_at)?;
            Ok(Fact::Status { digest, event_id, received_at, used })
        } else {
            let expected = "ConversionReported, OrderStatusReported, ReviewDecided and TestClockAdvanced";
            Err(header_error(&record.value, expected).to_string())
        }
    }
}

fn conversion_id(merchant_id: &str, livemode: bool, external_order_id: &str) -> Result<ConversionId, String> {
    check_name(merchant_id).map_err(|error| format!("merchantId {error}"))?;
    Ok(OrderKey { merchant_id, livemode, external_order_id }.conversion_id())
}

fn reported(mut report: ConversionReported, record: &Record) -> Result<Fact, String> {
    let id = conversion_id(&report.merchant_id, report.livemode, &report.external_order_id)?;
    let used = used(report.idempotency.take(), &report.merchant_id, report.livemode, report.received_at)?;
    let Record { partition, offset, .. } = *record;
    Ok(Fact::Reported(Box::new(Reported { id, partition, offset, used, report })))
}

/// The use of an idempotency key that a record tells of, if it does.
fn used(
    idempotency: Option<IdempotencyUse>,
    merchant_id: &str,
    livemode: bool,
    at: Timestamp,
) -> Result<Option<Used>, &'static str> {
    let Some(IdempotencyUse { key, body_digest }) = idempotency else { return Ok(None) };
    let body_digest = digest_of(&body_digest).ok_or("idempotency.bodyDigest is not 32 hexadecimal digits")?;
    let scope = IdempotencyScope { merchant_id: merchant_id.to_owned(), livemode };
    Ok(Some(Used { scope, key, at: KeyUse { at, body_digest } }))
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
