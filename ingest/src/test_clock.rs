//! The time of a test order: from the fields of a request to a record.

use std::time::Duration;

use schemas::Timestamp;
use schemas::records::TestClockAdvanced;

use crate::auth::Caller;
use crate::conversion::ORDER_ID_CHARACTERS_MAX;
use crate::fields::Reader;

/// The fields of the request.
pub(crate) const FIELDS: &[&str] = &["externalOrderId", "advanceTo"];

/// How far after its receipt an order's time may be moved: as far as `orders` takes it.
const ADVANCE_DAYS_MAX: u64 = 400;

/// Validates a request of a test key that was received at `now`.
///
/// # Errors
/// Every fault.
pub(crate) fn read(
    mut reader: Reader<'_>,
    caller: &Caller,
    event_id: String,
    now: Timestamp,
) -> Result<TestClockAdvanced, Vec<String>> {
    const NAME: &str = "advanceTo";
    let most = Duration::from_secs(ADVANCE_DAYS_MAX * 24 * 60 * 60);
    let external_order_id = reader.required_text("externalOrderId", ORDER_ID_CHARACTERS_MAX);
    if reader.raw(NAME).is_none() {
        reader.fault(format!("{NAME} is required: an instant with an offset, such as \"2026-07-30T00:00:00Z\""));
    }
    let advanced_to = reader.instant_within(NAME, now, most, format_args!("{ADVANCE_DAYS_MAX} days"));
    let record = TestClockAdvanced {
        event_id,
        merchant_id: caller.merchant_id.clone(),
        livemode: caller.livemode,
        external_order_id: external_order_id.unwrap_or_default(),
        advanced_to: advanced_to.unwrap_or(now),
        received_at: now,
        idempotency: None,
    };
    reader.finish().map(|()| record)
}
