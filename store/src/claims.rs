//! Claims: who was first with an order, a status update or an idempotency key.

use std::future::Future;
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{ConversionReported, OrderStatusReported, ReportedStatus};
use sha2::{Digest, Sha256};

/// Digests of a report's fields, by which a re-send is told from a conflict without keeping the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// 64 bits over all fields: equal exactly if nothing differs.
    pub whole: u64,
    /// 32 bits over each of [`ConversionReported::COMPARED_FIELDS`].
    pub fields: [u32; 8],
}

impl Fingerprint {
    /// The fingerprint of a report.
    #[must_use]
    pub fn of(report: &ConversionReported) -> Fingerprint {
        let text = |text: &Option<String>| digest(text.as_ref().map(String::as_bytes));
        let digests = [
            text(&report.click_id),
            text(&report.external_product_id),
            digest(Some(&report.amount_minor.to_be_bytes())),
            digest(Some(report.currency.code().as_bytes())),
            digest(Some(&[report.order_status as u8])),
            digest(report.ordered_at.map(|instant| instant.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice)),
            text(&report.coupon_code),
            text(&report.metadata),
        ];
        let mut whole = Sha256::new();
        let fields = digests.map(|digest| {
            whole.update(digest);
            u32::from_be_bytes(digest[..4].try_into().expect("SHA-256 has 32 bytes"))
        });
        Fingerprint {
            whole: u64::from_be_bytes(whole.finalize()[..8].try_into().expect("SHA-256 has 32 bytes")),
            fields,
        }
    }

    /// All of it, of fixed length: the whole, then each field, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (whole, fields) = bytes.split_at_mut(8);
        whole.copy_from_slice(&self.whole.to_be_bytes());
        for (place, field) in fields.chunks_exact_mut(4).zip(self.fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads back what [`Fingerprint::to_bytes`] made; `None` if the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Fingerprint> {
        let (whole, rest) = bytes.split_first_chunk::<8>()?;
        let rest: &[u8; 32] = rest.try_into().ok()?;
        let mut fields = [0; 8];
        for (field, place) in fields.iter_mut().zip(rest.chunks_exact(4)) {
            *field = u32::from_be_bytes(place.try_into().ok()?);
        }
        Some(Fingerprint { whole: u64::from_be_bytes(*whole), fields })
    }

    /// The names of the fields in which two reports differ; empty exactly if the reports are equal or, once in four
    /// thousand million, if the digests of a differing field collide while the whole still tells them apart.
    #[must_use]
    pub fn differing(&self, other: &Fingerprint) -> Vec<&'static str> {
        let pairs = self.fields.iter().zip(&other.fields).zip(ConversionReported::COMPARED_FIELDS);
        pairs.filter(|((a, b), _)| a != b).map(|(_, name)| name).collect()
    }
}

/// The digest of a field's value; of none it is that of a text which no field can hold: an empty one is refused at the edge.
fn digest(value: Option<&[u8]>) -> [u8; 32] {
    Sha256::digest(value.unwrap_or_default()).into()
}

/// What makes a status update of a conversion the same one as an earlier one: the status, and as sent the time of the
/// change and the amount refunded, in the first 128 bits of SHA-256.
///
/// Claims are kept under it, so it never changes. Every part has a fixed length or is told by what follows it: a
/// status is a word of letters, after it comes 0 for an absent time, or 1 and the time, and after that nothing for an
/// absent amount, or 1 and the amount.
#[must_use]
pub fn status_digest(conversion: ConversionId, update: &OrderStatusReported) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"order-status\0");
    digest.update(conversion.0);
    digest.update(status_word(update.status));
    match update.status_updated_at {
        Some(at) => {
            digest.update([1]);
            digest.update(at.0.to_be_bytes());
        }
        None => digest.update([0]),
    }
    if let Some(thousandths) = update.refunded_thousandths {
        digest.update([1]);
        digest.update(thousandths.to_be_bytes());
    }
    digest.finalize()[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// What makes moving a test order's time the same as an earlier request: the order and the instant, in the first 128 bits
/// of SHA-256. Claims are kept under it beside those of status updates, which it never meets, so it never changes.
#[must_use]
pub fn test_clock_digest(conversion: ConversionId, advanced_to: Timestamp) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"test-clock\0");
    digest.update(conversion.0);
    digest.update(advanced_to.0.to_be_bytes());
    digest.finalize()[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// The word of the contract for a status.
fn status_word(status: ReportedStatus) -> &'static str {
    match status {
        ReportedStatus::Pending => "pending",
        ReportedStatus::Confirmed => "confirmed",
        ReportedStatus::Paid => "paid",
        ReportedStatus::Delivered => "delivered",
        ReportedStatus::Cancelled => "cancelled",
        ReportedStatus::Returned => "returned",
        ReportedStatus::Refunded => "refunded",
        ReportedStatus::CommissionApproved => "commission_approved",
        ReportedStatus::CommissionRejected => "commission_rejected",
    }
}

/// How long an idempotency key is remembered after its last use.
pub const IDEMPOTENCY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is kept of the first report of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionClaim {
    /// Its event.
    pub event_id: String,
    /// What it said.
    pub fingerprint: Fingerprint,
    /// Its partition; always 0 in the embedded log. All reports of an order are in one, by their key.
    pub partition: u32,
    /// Its offset in the partition, by which a read right after the answer finds it.
    pub offset: u64,
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim<T> {
    /// The caller is first.
    Claimed,
    /// Somebody was before; this is what they claimed it with.
    Taken(T),
}

/// A use of an idempotency key. Of two uses the greater counts: the later, and of two at one instant either of them,
/// but the same whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUse {
    /// When.
    pub at: Timestamp,
    /// The first 128 bits of SHA-256 over the body.
    pub body_digest: [u8; 16],
}

impl KeyUse {
    /// Whether it is still remembered at `now`.
    #[must_use]
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        now.since(self.at) < IDEMPOTENCY_AGE
    }
}

/// Whose idempotency keys do not meet: a merchant in one mode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyScope {
    /// The merchant.
    pub merchant_id: String,
    /// The mode.
    pub livemode: bool,
}

/// Why a claim could not be made or read. The edge goes on without: see the crate's invariant.
#[derive(Debug, thiserror::Error)]
#[error("claims: {0}")]
pub struct ClaimError(pub String);

/// First come, first served, across all edges that share one store.
pub trait Claims: Send + Sync + 'static {
    /// The claim on a conversion, if there is one.
    fn conversion(&self, id: ConversionId) -> impl Future<Output = Result<Option<ConversionClaim>, ClaimError>> + Send;

    /// Claims a conversion, after its report is durable: exactly one of those who claim it gets [`Claim::Claimed`].
    ///
    /// A claim that was made from the log for this very event, while the answer to its caller was still on its way,
    /// is the caller's: it gets [`Claim::Claimed`]. An event is one attempt of one caller, who claims with it once.
    fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> impl Future<Output = Result<Claim<ConversionClaim>, ClaimError>> + Send;

    /// Whether a status update, told by a digest of what makes it the same one, was claimed before.
    fn status(&self, digest: [u8; 16]) -> impl Future<Output = Result<bool, ClaimError>> + Send;

    /// Claims a status update for the event that reports it, after it is durable, and as [`Claims::claim_conversion`]
    /// does.
    fn claim_status(
        &self,
        digest: [u8; 16],
        event_id: &str,
    ) -> impl Future<Output = Result<Claim<()>, ClaimError>> + Send;

    /// The digest of the body that an idempotency key was last used with, if that was less than
    /// [`IDEMPOTENCY_AGE`] before `now`.
    fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<[u8; 16]>, ClaimError>> + Send;

    /// Remembers that an idempotency key was used with a body at `now`, which is the report's `receivedAt`: so the
    /// log says the same. The latest use counts.
    fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), ClaimError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hex(digest: [u8; 16]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_of_moved_clocks_never_change_and_differ_in_every_part() {
        let digests = [(1, 1), (1, 2), (2, 1)].map(|(id, at)| test_clock_digest(ConversionId([id; 16]), Timestamp(at)));
        assert_eq!(hex(digests[0]), "f24aea97381f4132b278de1d3eae5dfe");
        assert!(digests[0] != digests[1] && digests[0] != digests[2] && digests[1] != digests[2], "{digests:?}");
    }

    #[test]
    fn status_digests_never_change_and_differ_in_every_part() {
        let of = |id: u8, status, at: Option<i64>, refunded_thousandths| {
            let update = OrderStatusReported {
                event_id: "osevt_1".to_owned(),
                merchant_id: "mer_one".to_owned(),
                livemode: true,
                external_order_id: "A".to_owned(),
                status,
                click_id: None,
                status_updated_at: at.map(Timestamp),
                refunded_thousandths,
                received_at: Timestamp(7),
                reason: None,
                metadata: None,
                idempotency: None,
            };
            status_digest(ConversionId([id; 16]), &update)
        };
        let digests = [
            of(1, ReportedStatus::Delivered, Some(1), None),
            of(1, ReportedStatus::Delivered, Some(0), None),
            of(1, ReportedStatus::Delivered, None, None),
            of(1, ReportedStatus::Returned, Some(1), None),
            of(2, ReportedStatus::Delivered, Some(1), None),
            of(1, ReportedStatus::Returned, Some(1), Some(1)),
            of(1, ReportedStatus::Returned, Some(1), Some(2)),
            of(1, ReportedStatus::Returned, None, Some(1)),
        ];
        assert_eq!(hex(digests[0]), "7d015ec15b9ac190961bb829bfad525f");
        assert_eq!(hex(digests[5]), "eda6aad01161f11a063a9c15684c0cfd");
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }
}
