//! The list of a merchant's conversions, and that of what waits for a reviewer: their rows, and a page of one.
//!
//! A row of the list has what it is filtered by, so that a filter costs no look at the conversions it leaves out. It
//! becomes visible after its conversion, so whoever finds it finds the conversion as well, perhaps a later revision of
//! it: that one is what counts, and is held against the filters again.

use std::sync::Arc;

use bytes::Bytes;
use schemas::ids::ConversionId;
use schemas::records::{Confidence, ConversionState, ConversionTransitioned};
use streams::{StateStore, StoreError};

use super::Shared;
use super::places::{BOUNDS, Bounds, Look, look, newest_first};
use super::rows::{LIST, REVIEWS, VALUE_VERSION, conversion_key, decode_conversion, key, malformed, versioned};
use crate::view::{ListCursor, ListOf, ListPage, ListQuery, ReadError, waits_for_review};

/// The row of a conversion in its merchant's list.
pub(super) fn list_row(conversion: &ConversionTransitioned) -> (Vec<u8>, Bytes) {
    (row_key(merchants_prefix(&conversion.merchant_id, conversion.livemode), conversion), row_value(conversion))
}

/// The row of a conversion in the list of what waits for a reviewer; no value if it does not.
pub(super) fn review_row(conversion: &ConversionTransitioned) -> (Vec<u8>, Option<Bytes>) {
    let waits = waits_for_review(conversion.state, conversion.confidence);
    (row_key(reviewers_prefix(conversion.livemode), conversion), waits.then(|| row_value(conversion)))
}

fn row_key(prefix: Vec<u8>, conversion: &ConversionTransitioned) -> Vec<u8> {
    [prefix, newest_first(ListCursor::of(conversion)).to_vec()].concat()
}

fn row_value(conversion: &ConversionTransitioned) -> Bytes {
    let mut value = vec![VALUE_VERSION];
    let words = (conversion.state, conversion.confidence);
    serde_json::to_writer(&mut value, &words).expect("two words are plain data");
    value.into()
}

/// What the keys of one list begin with.
fn list_prefix(of: &ListOf, livemode: bool) -> Vec<u8> {
    match of {
        ListOf::Merchant(merchant_id) => merchants_prefix(merchant_id, livemode),
        ListOf::Reviewers => reviewers_prefix(livemode),
    }
}

/// A merchant's id is a name and so has no zero byte: two lists never meet.
fn merchants_prefix(merchant_id: &str, livemode: bool) -> Vec<u8> {
    key(LIST, &[merchant_id.as_bytes(), &[0, u8::from(livemode)]])
}

fn reviewers_prefix(livemode: bool) -> Vec<u8> {
    key(REVIEWS, &[&[u8::from(livemode)]])
}

/// What a conversion is filtered by.
type Words = (ConversionState, Option<Confidence>);

/// Reads back what [`row_value`] made.
fn parse_row(value: &[u8]) -> Result<Words, StoreError> {
    let words = versioned(value).and_then(|json| serde_json::from_slice(json).ok());
    words.ok_or_else(|| malformed("a row of a list", value))
}

fn absent(id: ConversionId) -> StoreError {
    let message = format!("{id} is in a list and nowhere else: delete the state folder, it is made again");
    StoreError { context: "reading a conversion", message }
}

impl Shared {
    /// A page of a list.
    pub(super) async fn list(self: &Arc<Self>, query: &ListQuery) -> Result<ListPage, ReadError> {
        let query = query.clone();
        self.page("conversions", move |rows| page(rows, &query, &BOUNDS)).await
    }
}

/// A page of what is in the rows.
fn page<S: StateStore>(rows: &S, query: &ListQuery, bounds: &Bounds) -> Result<ListPage, StoreError> {
    let admits = |value: &[u8]| parse_row(value).map(|(state, confidence)| query.admits(state, confidence));
    let Look { found, next } = look(rows, (&list_prefix(&query.of, query.livemode), query.part()), bounds, admits)?;
    let mut page = ListPage { rows: Vec::with_capacity(found.len()), next };
    let (mut bytes, mut before) = (0, None);
    for place in found {
        if bytes >= bounds.bytes_max {
            page.next = before;
            break;
        }
        let id = ConversionId(place.id);
        let value = rows.get(&conversion_key(id))?.ok_or_else(|| absent(id))?;
        let (_, conversion) = decode_conversion(&value)?;
        // A conversion has one place in one list; any other row of it is not its own.
        let in_place = conversion.received_at == place.at;
        if in_place && query.admits(conversion.state, conversion.confidence) {
            bytes += value.len();
            page.rows.push(ConversionTransitioned { explanation: None, ..conversion });
        }
        before = Some(place);
    }
    Ok(page)
}

#[cfg(test)]
mod tests;
