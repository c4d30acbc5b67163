//! The list of a merchant's conversions: its rows, and a page of it.
//!
//! A row of the list has what it is filtered by, so that a filter costs no look at the conversions it leaves out. It
//! becomes visible after its conversion, so whoever finds it finds the conversion as well, perhaps a later revision of
//! it: that one is what counts, and is held against the filters again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{Confidence, ConversionState, ConversionTransitioned};
use streams::{StateStore, StoreError};
use tokio::task::spawn_blocking;

use super::Shared;
use super::rows::{LIST, VALUE_VERSION, conversion_key, decode_conversion, instant, key, malformed, versioned};
use crate::view::{ListCursor, ListPage, ListQuery, ReadError};

/// Most pages at once: each holds a thread. Others wait for theirs to come, which the edge bounds by its deadline.
pub(super) const PAGES_MAX: usize = 4;
/// How many rows are looked at between two looks at the clock.
const CLOCK_EVERY: usize = 64;

/// Where a page ends, however few rows it has: it says where to go on.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Rows of the list that are looked at.
    looked_at_max: usize,
    /// How long that takes.
    look_max: Duration,
    /// Bytes of conversions as they are stored: no row is added to so many.
    bytes_max: usize,
}

const BOUNDS: Bounds = Bounds { looked_at_max: 10_000, look_max: Duration::from_millis(100), bytes_max: 256 << 10 };

/// The row of a conversion in its merchant's list.
pub(super) fn list_row(conversion: &ConversionTransitioned) -> (Vec<u8>, Bytes) {
    let ConversionTransitioned { merchant_id, livemode, received_at, conversion_id, state, confidence, .. } =
        conversion;
    let place = ListCursor { received_at: *received_at, conversion_id: *conversion_id };
    let mut value = vec![VALUE_VERSION];
    serde_json::to_writer(&mut value, &(state, confidence)).expect("two words are plain data");
    ([list_prefix(merchant_id, *livemode), newest_first(place).to_vec()].concat(), value.into())
}

/// What the keys of one list begin with. A merchant's id is a name and so has no zero byte: two lists never meet.
fn list_prefix(merchant_id: &str, livemode: bool) -> Vec<u8> {
    key(LIST, &[merchant_id.as_bytes(), &[0, u8::from(livemode)]])
}

/// A place as the end of a key: every bit turned over, so that the newest and greatest comes first.
fn newest_first(place: ListCursor) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&instant(place.received_at).to_be_bytes());
    bytes[8..].copy_from_slice(&place.conversion_id.0);
    bytes.map(|byte| !byte)
}

/// The place that a key of a list ends with.
fn parse_place(key: &[u8]) -> Result<ListCursor, StoreError> {
    let end = key.last_chunk::<24>().ok_or_else(|| malformed("the key of a list", key))?;
    let (received_at, conversion_id) = end.split_first_chunk::<8>().expect("24 bytes have 8");
    let received_at = Timestamp((!u64::from_be_bytes(*received_at)).cast_signed());
    let conversion_id = ConversionId(<[u8; 16]>::try_from(conversion_id).expect("16 are left").map(|byte| !byte));
    Ok(ListCursor { received_at, conversion_id })
}

/// What a conversion is filtered by.
type Words = (ConversionState, Option<Confidence>);

/// Reads back what [`list_row`] made, but for whose list it is in.
fn parse_row(key: &[u8], value: &[u8]) -> Result<(ListCursor, Words), StoreError> {
    let words = versioned(value).and_then(|json| serde_json::from_slice(json).ok());
    Ok((parse_place(key)?, words.ok_or_else(|| malformed("a row of a list", value))?))
}

/// The keys of what is asked for, from the first to before the second; `None` if nothing can be between them.
fn range(query: &ListQuery) -> Option<(Vec<u8>, Vec<u8>)> {
    let prefix = list_prefix(&query.merchant_id, query.livemode);
    // The newest that may be had and the oldest: the first has every id at its instant, and so has the last.
    let newest = match query.until {
        Some(until) if until <= Timestamp::MIN => return None,
        Some(until) => Timestamp(until.0 - 1),
        None => Timestamp(i64::MAX),
    };
    let first = newest_first(ListCursor { received_at: newest, conversion_id: ConversionId([u8::MAX; 16]) });
    let oldest = query.from.unwrap_or(Timestamp::MIN);
    let last = newest_first(ListCursor { received_at: oldest, conversion_id: ConversionId([0; 16]) });
    // A byte more than a key is the least that comes after it.
    let first = [&prefix, &first[..]].concat();
    let first = match query.after {
        Some(after) => first.max([&prefix, &newest_first(after)[..], &[0]].concat()),
        None => first,
    };
    let until = [&prefix, &last[..], &[0]].concat();
    (first < until).then_some((first, until))
}

fn absent(id: ConversionId) -> StoreError {
    let message = format!("{id} is in a list and nowhere else: delete the state folder, it is made again");
    StoreError { context: "reading a conversion", message }
}

impl Shared {
    /// A page of a list, from a thread that may block.
    pub(super) async fn list(self: &Arc<Self>, query: &ListQuery) -> Result<ListPage, ReadError> {
        let error = |error: &dyn Display| ReadError(format!("listing conversions: {error}"));
        let permit = Arc::clone(&self.pages).acquire_owned().await.map_err(|closed| error(&closed))?;
        let (rows, query) = (self.rows.clone(), query.clone());
        let page = spawn_blocking(move || {
            // Kept to the end of the page, whether or not anybody still waits for it.
            let _permit = permit;
            page(&rows, &query, &BOUNDS)
        });
        page.await.map_err(|gone| error(&gone))?.map_err(|failed| error(&failed))
    }
}

/// A page of what is in the rows.
fn page<S: StateStore>(rows: &S, query: &ListQuery, bounds: &Bounds) -> Result<ListPage, StoreError> {
    let Look { found, last, more } = look(rows, query, bounds)?;
    let mut page = ListPage { rows: Vec::with_capacity(found.len()), next: last.filter(|_| more) };
    let (mut bytes, mut before) = (0, None);
    for place in found {
        if bytes >= bounds.bytes_max {
            page.next = before;
            break;
        }
        let value = rows.get(&conversion_key(place.conversion_id))?.ok_or_else(|| absent(place.conversion_id))?;
        let (_, conversion) = decode_conversion(&value)?;
        // A conversion has one place in one list; any other row of it is not its own.
        let in_place = conversion.received_at == place.received_at;
        if in_place && query.admits(conversion.state, conversion.confidence) {
            bytes += value.len();
            page.rows.push(conversion);
        }
        before = Some(place);
    }
    Ok(page)
}

/// What a look at the rows of a list found.
#[derive(Debug, Default)]
struct Look {
    /// As many as the page may have, or fewer.
    found: Vec<ListCursor>,
    /// The last place that was looked at and need not be again.
    last: Option<ListCursor>,
    /// Whether there may be more after it.
    more: bool,
}

fn look<S: StateStore>(rows: &S, query: &ListQuery, bounds: &Bounds) -> Result<Look, StoreError> {
    let Some((from, until)) = range(query) else { return Ok(Look::default()) };
    let (limit, began) = (query.limit.max(1), Instant::now());
    let (mut look, mut looked_at, mut failed) = (Look::default(), 0_usize, None);
    rows.scan(&from, &until, &mut |key, value| {
        let (place, (state, confidence)) = match parse_row(key, value) {
            Ok(row) => row,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        // At least one is looked at, so that whoever goes on gets somewhere.
        let out_of_time = looked_at > 0 && looked_at.is_multiple_of(CLOCK_EVERY) && began.elapsed() >= bounds.look_max;
        let admitted = query.admits(state, confidence);
        // One more than the page takes is looked for, so that the last page is known to be the last.
        if looked_at == bounds.looked_at_max || out_of_time || (admitted && look.found.len() == limit) {
            look.more = true;
            return false;
        }
        if admitted {
            look.found.push(place);
        }
        looked_at += 1;
        look.last = Some(place);
        true
    })?;
    failed.map_or(Ok(look), Err)
}

#[cfg(test)]
mod tests;
