//! A walk over a list, newest first: its years, the slots of each, the shards of each.
//!
//! A row is in the list under what never changes of its conversion, and a walk goes on after the last row that was looked
//! at: so whatever arrives meanwhile, no row that was there is left out, and none comes twice.

use std::future::Future;
use std::time::{Duration, Instant};

use schemas::Timestamp;

use super::merge::{AT_ONCE_MAX, Merge};
use super::slots::Slot;
use crate::view::{ListCursor, Part};

/// A partition of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) slot: Slot,
    pub(super) shard: i8,
}

/// A row of a list: its place, and whether it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) place: ListCursor,
    pub(super) admitted: bool,
}

/// What is read of a partition: the newest rows before a place, and none older than an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) before: ListCursor,
    pub(super) from: Timestamp,
    pub(super) rows_max: usize,
}

/// One list, as a walk reads it.
pub(super) trait List: Sync {
    /// Why it could not be read.
    type Error: Send;

    /// The years that it has rows in, the last first.
    fn years(&self) -> impl Future<Output = Result<Vec<i32>, Self::Error>> + Send;

    /// The partitions of a year from the slot `last` back to the slot `first`, at most `partitions_max`: the last slot
    /// first, and all of a slot one after the other.
    fn partitions(
        &self,
        year: i32,
        first: Slot,
        last: Slot,
        partitions_max: usize,
    ) -> impl Future<Output = Result<Vec<Partition>, Self::Error>> + Send;

    /// Rows of a partition, newest first.
    fn rows(&self, partition: Partition, range: Range)
    -> impl Future<Output = Result<Vec<Listed>, Self::Error>> + Send;
}

/// How much is looked at for one page, whatever it finds. At least one row or slot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) partitions: usize,
    pub(super) time: Duration,
    /// Partitions in one read of the directory: more than a slot has shards, so that each read has one slot whole.
    pub(super) directory: usize,
}

/// What a walk found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// As many places as the page may have rows, or fewer.
    pub(super) places: Vec<ListCursor>,
    /// What the next walk goes on after, if anything may be left.
    pub(super) next: Option<ListCursor>,
}

/// Walks until there are as many rows as the page takes, or the bounds are reached, or the list is at its end.
pub(super) async fn walk<L: List>(list: &L, part: Part, bounds: Bounds) -> Result<Found, L::Error> {
    let Some(mut walk) = Walk::new(list, part, bounds) else { return Ok(Found::default()) };
    let span = walk.first.year()..=walk.last.year();
    for year in list.years().await? {
        if span.contains(&year) && walk.year(year).await? == Progress::Enough {
            return Ok(Found { places: walk.places, next: walk.looked_at });
        }
    }
    Ok(Found { places: walk.places, next: None })
}

/// Whether to look further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Further,
    Enough,
}

#[derive(Debug)]
struct Walk<'a, L> {
    list: &'a L,
    bounds: Bounds,
    began: Instant,
    limit: usize,
    /// Everything that is asked for comes after this place, and is no older than `from`.
    before: ListCursor,
    from: Timestamp,
    /// The slots of these two.
    first: Slot,
    last: Slot,
    places: Vec<ListCursor>,
    /// Everything up to here was looked at.
    looked_at: Option<ListCursor>,
    rows: usize,
    partitions: usize,
}

impl<'a, L: List> Walk<'a, L> {
    /// `None` if there is nothing in the part.
    fn new(list: &'a L, part: Part, bounds: Bounds) -> Option<Walk<'a, L>> {
        let all = ListCursor { at: Timestamp(i64::MAX), id: [u8::MAX; 16] };
        let until = part.until.map(beginning_of);
        let before = [until, part.after].into_iter().flatten().fold(all, ListCursor::min);
        let from = part.from.unwrap_or(Timestamp(i64::MIN));
        // A slot whose rows all come before it is not begun again: a walk that ended with it would end there for ever.
        let newest = before.at.0.saturating_sub(i64::from(before == beginning_of(before.at)));
        (beginning_of(from) < before).then(|| Walk {
            list,
            bounds,
            began: Instant::now(),
            limit: part.limit.max(1),
            before,
            from,
            first: Slot::of(from),
            last: Slot::of(Timestamp(newest)),
            places: Vec::new(),
            looked_at: None,
            rows: 0,
            partitions: 0,
        })
    }

    async fn year(&mut self, year: i32) -> Result<Progress, L::Error> {
        let mut last = self.last;
        loop {
            let mut found = self.list.partitions(year, self.first, last, self.bounds.directory).await?;
            let Some(oldest) = found.last().map(|partition| partition.slot) else { return Ok(Progress::Further) };
            let whole = found.len() < self.bounds.directory;
            if !whole {
                // Of the oldest slot some shards may be left: it is read again, with what comes before it.
                found.retain(|partition| partition.slot > oldest);
            }
            if self.slots(&found).await? == Progress::Enough {
                return Ok(Progress::Enough);
            }
            if whole {
                return Ok(Progress::Further);
            }
            last = oldest;
        }
    }

    /// Slots with few rows have few shards, so as many slots are read at once as have no more shards than one may have.
    async fn slots(&mut self, partitions: &[Partition]) -> Result<Progress, L::Error> {
        let mut slots = partitions.chunk_by(|a, b| a.slot == b.slot).peekable();
        let mut from = 0;
        while let Some(slot) = slots.next() {
            let mut until = from + slot.len();
            while let Some(more) = slots.next_if(|more| until + more.len() - from <= AT_ONCE_MAX) {
                until += more.len();
            }
            if self.merged(&partitions[from..until]).await? == Progress::Enough {
                return Ok(Progress::Enough);
            }
            from = until;
        }
        Ok(Progress::Further)
    }

    async fn merged(&mut self, partitions: &[Partition]) -> Result<Progress, L::Error> {
        let Some(oldest) = partitions.last() else { return Ok(Progress::Further) };
        // Of many partitions none is begun that would not be read to its end.
        if self.looked_at.is_some() && self.is_over(partitions.len()) {
            return Ok(Progress::Enough);
        }
        let range = Range { before: self.before, from: self.from, rows_max: 0 };
        let mut rows = Merge::new(partitions, range, self.limit + 1 - self.places.len());
        while let Some(row) = rows.next(self.list).await? {
            if self.look_at(row) == Progress::Enough {
                return Ok(Progress::Enough);
            }
        }
        self.partitions += partitions.len();
        let end = beginning_of(oldest.slot.start());
        self.looked_at = Some(self.looked_at.map_or(end, |place| place.min(end)));
        Ok(Progress::Further)
    }

    fn is_over(&self, more: usize) -> bool {
        self.partitions + more > self.bounds.partitions || self.began.elapsed() >= self.bounds.time
    }

    fn look_at(&mut self, row: Listed) -> Progress {
        // One more than the page takes is looked for, so that its last page is known to be the last.
        let full = row.admitted && self.places.len() == self.limit;
        if full || self.rows >= self.bounds.rows.max(1) {
            return Progress::Enough;
        }
        if row.admitted {
            self.places.push(row.place);
        }
        self.rows += 1;
        self.looked_at = Some(row.place);
        Progress::Further
    }
}

/// The place that comes after everything received at this instant or later, and before everything earlier.
fn beginning_of(at: Timestamp) -> ListCursor {
    ListCursor { at, id: [0; 16] }
}
