//! What the edge writes, and what of it nobody can process.

use oracle::Event;
use schemas::ids::check_name;
use schemas::records::ClickRecorded;

/// Most characters of an order's id, and most bytes of a click's.
const ORDER_ID_CHARACTERS_MAX: usize = 160;
const CLICK_ID_BYTES_MAX: usize = 512;

/// The fact in a record of `conversions`; nothing if it is none that can be processed, and has to be set aside.
pub(crate) fn fact(key: &[u8], value: &[u8]) -> Option<Event> {
    let event = Event::read(key, value)?;
    let (merchant_id, external_order_id) = match &event {
        Event::Report(it) => (&it.merchant_id, &it.external_order_id),
        Event::Status(it) => (&it.merchant_id, &it.external_order_id),
        Event::Review(it) => (&it.merchant_id, &it.external_order_id),
        Event::Clock(it) => (&it.merchant_id, &it.external_order_id),
    };
    let can_be = (1..=ORDER_ID_CHARACTERS_MAX).contains(&external_order_id.chars().count());
    (check_name(merchant_id).is_ok() && can_be).then_some(event)
}

/// The click in a record of `clicks`; nothing as for [`fact`].
pub(crate) fn click(key: &[u8], value: &[u8]) -> Option<ClickRecorded> {
    let click: ClickRecorded = schemas::decode(value).ok()?;
    let fits = (1..=CLICK_ID_BYTES_MAX).contains(&key.len());
    (fits && click.click_id.as_bytes() == key).then_some(click)
}
