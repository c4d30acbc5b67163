//! Parts of a request by themselves, without a connection around them: for `benches`, and for nothing else.

use axum::http::HeaderMap;
use schemas::Timestamp;
use schemas::records::ConversionReported;

use crate::auth::AuthTable;
use crate::conversion;
use crate::fields::Reader;
use crate::json::Object;

/// Whether a request is let in: its key, its timestamp and the signature over its body.
#[must_use]
pub fn signature(keys: &AuthTable, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
    keys.verify(headers, body, now, None).is_ok()
}

/// The report in the body of a request, if nothing is wrong with it, as the event of this id.
#[must_use]
pub fn report(
    keys: &AuthTable,
    headers: &HeaderMap,
    body: &[u8],
    event_id: &str,
    now: Timestamp,
) -> Option<ConversionReported> {
    let caller = keys.named(headers)?;
    let object = Object::parse(body, conversion::FIELDS).ok()?;
    conversion::read(Reader::new(object), caller, event_id.to_owned(), now, None).ok()
}
