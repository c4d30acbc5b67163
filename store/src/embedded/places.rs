//! Lists by place, whatever they are of: the ends of their keys, and a bounded look at a part of one.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::Timestamp;
use streams::store::FjallStore;
use streams::{StateStore, StoreError};
use tokio::task::spawn_blocking;

use super::Shared;
use super::rows::{instant, malformed};
use crate::view::{ListCursor, Part, ReadError};

/// Most pages at once: each holds a thread. Others wait for theirs to come, which the edge bounds by its deadline.
pub(super) const PAGES_MAX: usize = 4;
/// How many rows are looked at between two looks at the clock.
const CLOCK_EVERY: usize = 64;

/// Where a page ends, however few rows it has: it says where to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Rows of the list that are looked at.
    pub(super) looked_at_max: usize,
    /// How long that takes.
    pub(super) look_max: Duration,
    /// Bytes of what is listed as it is stored: no row is added to so many.
    pub(super) bytes_max: usize,
}

/// Those of every page.
pub(super) const BOUNDS: Bounds =
    Bounds { looked_at_max: 10_000, look_max: Duration::from_millis(100), bytes_max: 256 << 10 };

/// A place as the end of a key: every bit turned over, so that the newest and greatest comes first.
pub(super) fn newest_first(place: ListCursor) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&instant(place.at).to_be_bytes());
    bytes[8..].copy_from_slice(&place.id);
    bytes.map(|byte| !byte)
}

/// The place that a key of a list ends with.
pub(super) fn parse_place(key: &[u8]) -> Result<ListCursor, StoreError> {
    let end = key.last_chunk::<24>().ok_or_else(|| malformed("the key of a list", key))?.map(|byte| !byte);
    let (at, id) = end.split_first_chunk::<8>().expect("24 bytes have 8");
    let at = Timestamp(u64::from_be_bytes(*at).cast_signed());
    Ok(ListCursor { at, id: id.try_into().expect("16 are left") })
}

/// The keys of a part of the list whose keys begin with `prefix`, from the first to before the second; `None` if nothing can
/// be between them.
fn range(prefix: &[u8], part: Part) -> Option<(Vec<u8>, Vec<u8>)> {
    // The newest that may be had and the oldest: the first has every id at its instant, and so has the last.
    let newest = match part.until {
        Some(until) if until <= Timestamp::MIN => return None,
        Some(until) => Timestamp(until.0 - 1),
        None => Timestamp(i64::MAX),
    };
    let first = newest_first(ListCursor { at: newest, id: [u8::MAX; 16] });
    let last = newest_first(ListCursor { at: part.from.unwrap_or(Timestamp::MIN), id: [0; 16] });
    // A byte more than a key is the least that comes after it.
    let first = [prefix, &first[..]].concat();
    let first = match part.after {
        Some(after) => first.max([prefix, &newest_first(after)[..], &[0]].concat()),
        None => first,
    };
    let until = [prefix, &last[..], &[0]].concat();
    (first < until).then_some((first, until))
}

/// What a look at the rows of a list found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// As many as the page may have, or fewer.
    pub(super) found: Vec<ListCursor>,
    /// What to go on after, if there may be more.
    pub(super) next: Option<ListCursor>,
}

/// Looks at a part of the list whose keys begin with `prefix`. Whether a row is asked for, `admits` tells by its value.
pub(super) fn look<S: StateStore>(
    rows: &S,
    (prefix, part): (&[u8], Part),
    bounds: &Bounds,
    admits: impl Fn(&[u8]) -> Result<bool, StoreError>,
) -> Result<Look, StoreError> {
    let Some((from, until)) = range(prefix, part) else { return Ok(Look::default()) };
    let (limit, began) = (part.limit.max(1), Instant::now());
    let (mut look, mut last, mut looked_at, mut failed) = (Look::default(), None, 0_usize, None);
    rows.scan(&from, &until, &mut |key, value| {
        let (place, admitted) = match parse_place(key).and_then(|place| Ok((place, admits(value)?))) {
            Ok(row) => row,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        // At least one is looked at, so that whoever goes on gets somewhere.
        let out_of_time = looked_at > 0 && looked_at.is_multiple_of(CLOCK_EVERY) && began.elapsed() >= bounds.look_max;
        // One more than the page takes is looked for, so that the last page is known to be the last.
        if looked_at == bounds.looked_at_max || out_of_time || (admitted && look.found.len() == limit) {
            look.next = last;
            return false;
        }
        if admitted {
            look.found.push(place);
        }
        looked_at += 1;
        last = Some(place);
        true
    })?;
    failed.map_or(Ok(look), Err)
}

impl Shared {
    /// A page, made by a thread that may block; `what` says of what.
    pub(super) async fn page<P: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        page: impl FnOnce(&FjallStore) -> Result<P, StoreError> + Send + 'static,
    ) -> Result<P, ReadError> {
        let error = |error: &dyn Display| ReadError(format!("listing {what}: {error}"));
        let permit = Arc::clone(&self.pages).acquire_owned().await.map_err(|closed| error(&closed))?;
        let rows = self.rows.clone();
        let made = spawn_blocking(move || {
            // Kept to the end of the page, whether or not anybody still waits for it.
            let _permit = permit;
            page(&rows)
        });
        made.await.map_err(|gone| error(&gone))?.map_err(|failed| error(&failed))
    }
}
