//! A status update of an order: from the fields of a request to a record.

use schemas::Timestamp;
use schemas::money::parse_thousandths;
use schemas::records::{OrderStatusReported, ReportedStatus};

use crate::auth::Caller;
use crate::conversion::{CLICK_ID_CHARACTERS_MAX, ORDER_ID_CHARACTERS_MAX};
use crate::fields::{Reader, list};

/// The fields of the request.
pub(crate) const FIELDS: &[&str] =
    &["externalOrderId", "status", "clickId", "statusUpdatedAt", "reason", "refundedAmount", "metadata"];

/// Most characters of a reason.
pub(crate) const REASON_CHARACTERS_MAX: usize = 500;

/// The statuses an order may be told to have.
pub(crate) const STATUSES: &[(&str, ReportedStatus)] = &[
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
    let record = OrderStatusReported {
        event_id,
        merchant_id: caller.merchant_id.clone(),
        livemode: caller.livemode,
        external_order_id: external_order_id.unwrap_or_default(),
        status: status.unwrap_or(ReportedStatus::Pending),
        click_id: reader.text("clickId", CLICK_ID_CHARACTERS_MAX),
        status_updated_at: reader.instant("statusUpdatedAt", now),
        refunded_thousandths: refunded(&mut reader, status),
        received_at: now,
        reason: reader.text("reason", REASON_CHARACTERS_MAX),
        metadata: reader.metadata(),
        idempotency: None,
    };
    reader.finish().map(|()| record)
}

/// What was refunded this time, in thousandths of a unit whose currency only the order knows, and it may not have come yet.
fn refunded(reader: &mut Reader<'_>, status: Option<ReportedStatus>) -> Option<i64> {
    const NAME: &str = "refundedAmount";
    let value = reader.raw(NAME)?;
    if status.is_some_and(|status| !status.is_refund()) {
        reader.refuse(NAME, "must be left out unless the status is refunded or returned", value);
        return None;
    }
    let text = reader.decimal(NAME)?;
    match parse_thousandths(&text) {
        Ok(0) => reader.refuse(NAME, "must be more than 0; left out, it is the whole order", value),
        Ok(thousandths) => return Some(thousandths),
        Err(error) => reader.refuse(NAME, error, value),
    }
    None
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
