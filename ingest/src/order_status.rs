//! A status update of an order: from the fields of a request to a record.

use schemas::Timestamp;
use schemas::records::{OrderStatusReported, ReportedStatus};

use crate::auth::Caller;
use crate::conversion::{CLICK_ID_CHARACTERS_MAX, ORDER_ID_CHARACTERS_MAX};
use crate::fields::{Reader, list};

/// The fields of the request. `refundedAmount` is known so that it can be refused with a reason.
pub(crate) const FIELDS: &[&str] =
    &["externalOrderId", "status", "clickId", "statusUpdatedAt", "reason", "refundedAmount", "metadata"];

const REASON_CHARACTERS_MAX: usize = 500;

const STATUSES: &[(&str, ReportedStatus)] = &[
    ("pending", ReportedStatus::Pending),
    ("confirmed", ReportedStatus::Confirmed),
    ("paid", ReportedStatus::Paid),
    ("delivered", ReportedStatus::Delivered),
    ("cancelled", ReportedStatus::Cancelled),
    ("returned", ReportedStatus::Returned),
    ("refunded", ReportedStatus::Refunded),
    ("commission_approved", ReportedStatus::CommissionApproved),
    ("commission_rejected", ReportedStatus::CommissionRejected),
];

/// Validates an update received at `now`. An event, if it came as one, decides the status.
///
/// # Errors
/// Every fault.
pub(crate) fn read(
    mut reader: Reader<'_>,
    caller: &Caller,
    event_id: String,
    now: Timestamp,
    event: Option<(&str, ReportedStatus)>,
) -> Result<OrderStatusReported, Vec<String>> {
    let external_order_id = reader.required_text("externalOrderId", ORDER_ID_CHARACTERS_MAX);
    let status = status(&mut reader, event);
    if reader.raw("refundedAmount").is_some() {
        reader.fault(
            "refundedAmount is not accepted yet: partial refunds cannot be reported; the status refunded or returned \
             without it reverses the whole commission"
                .to_owned(),
        );
    }
    let record = OrderStatusReported {
        event_id,
        merchant_id: caller.merchant_id.clone(),
        livemode: caller.livemode,
        external_order_id: external_order_id.unwrap_or_default(),
        status: status.unwrap_or(ReportedStatus::Pending),
        click_id: reader.text("clickId", CLICK_ID_CHARACTERS_MAX),
        status_updated_at: reader.instant("statusUpdatedAt", now),
        received_at: now,
        reason: reader.text("reason", REASON_CHARACTERS_MAX),
        metadata: reader.metadata(),
    };
    reader.finish().map(|()| record)
}

fn status(reader: &mut Reader<'_>, event: Option<(&str, ReportedStatus)>) -> Option<ReportedStatus> {
    const NAME: &str = "status";
    if let Some((event, status)) = event {
        let word = STATUSES.iter().find(|(_, other)| *other == status).map(|(word, _)| *word);
        reader.decided(NAME, word.expect("every status has a word"), event);
        return Some(status);
    }
    if reader.raw(NAME).is_none() {
        reader.fault(format!("{NAME} is required: one of {}", list(STATUSES)));
    }
    reader.word(NAME, STATUSES)
}
