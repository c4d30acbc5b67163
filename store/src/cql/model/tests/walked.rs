//! Pages of a list in memory, against all of its rows in one vector.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use schemas::Timestamp;

use super::super::slots::{Slot, payout_shard};
use super::super::walk::{Bounds, List, Listed, Partition, Range, walk};
use super::draw::NOW;
use crate::view::{ListCursor, Part};

/// A list, with how much of it was read.
#[derive(Debug, Default)]
struct Memory {
    rows: BTreeMap<ListCursor, bool>,
    read: Mutex<Read>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Read {
    rows: usize,
    requests: usize,
}

fn partition_of(place: &ListCursor) -> Partition {
    Partition { slot: Slot::of(place.at), shard: payout_shard(place.id) }
}

impl Memory {
    fn read(&self, rows: usize) {
        let mut read = self.read.lock().expect("whole");
        read.rows += rows;
        read.requests += 1;
    }
}

impl List for Memory {
    type Error = Infallible;

    async fn years(&self) -> Result<Vec<i32>, Infallible> {
        let years: BTreeSet<i32> = self.rows.keys().map(|place| partition_of(place).slot.year()).collect();
        Ok(years.into_iter().rev().collect())
    }

    async fn partitions(
        &self,
        year: i32,
        first: Slot,
        last: Slot,
        partitions_max: usize,
    ) -> Result<Vec<Partition>, Infallible> {
        let all: BTreeSet<Partition> = self.rows.keys().map(partition_of).collect();
        let asked = |it: &Partition| it.slot.year() == year && (first..=last).contains(&it.slot);
        let mut found: Vec<_> = all.into_iter().filter(asked).collect();
        found.sort_by_key(|it| (std::cmp::Reverse(it.slot), it.shard));
        found.truncate(partitions_max);
        Ok(found)
    }

    async fn rows(&self, partition: Partition, range: Range) -> Result<Vec<Listed>, Infallible> {
        let rows = self.rows.range(..range.before).rev();
        let rows = rows.filter(|(place, _)| partition_of(place) == partition && place.at >= range.from);
        let rows: Vec<_> =
            rows.take(range.rows_max).map(|(place, admitted)| Listed { place: *place, admitted: *admitted }).collect();
        self.read(rows.len());
        Ok(rows)
    }
}

const UNBOUNDED: Bounds = Bounds { rows: usize::MAX, partitions: usize::MAX, time: Duration::MAX, directory: 128 };

fn part(limit: usize) -> Part {
    Part { from: None, until: None, after: None, limit }
}

fn page(list: &Memory, part: Part, bounds: Bounds) -> (Vec<ListCursor>, Option<ListCursor>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let Ok(found) = runtime.block_on(walk(list, part, bounds));
    (found.places, found.next)
}

fn place(at: i64, id: u8) -> ListCursor {
    let mut bytes = [id; 16];
    // Ids of one shard that differ, and of neighbours that do not.
    bytes[0] = id % 5;
    ListCursor { at: Timestamp(at), id: bytes }
}

fn at() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0..3_i64).prop_map(|ms| NOW.0 + ms),
        4 => (0..3_600_000_i64).prop_map(|ms| NOW.0 + ms),
        4 => (-200_i64..200).prop_map(|slots| NOW.0 + slots * 600_000),
        2 => (-4_i64..4).prop_map(|years| NOW.0 + years * 31_556_952_000),
        1 => prop::sample::select(vec![i64::MIN, -600_001, -1, 0, i64::MAX]),
    ]
}

fn row() -> impl Strategy<Value = (ListCursor, bool)> {
    (at(), any::<u8>(), prop::bool::weighted(0.6)).prop_map(|(at, id, admitted)| (place(at, id), admitted))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pages_have_every_row_once_whatever_arrives_between_them(
        rows in prop::collection::btree_map(at().prop_flat_map(|at| any::<u8>().prop_map(move |id| place(at, id))), any::<bool>(), 0..120),
        arriving in prop::collection::vec(row(), 0..60),
        (from, until) in (prop::option::of(at()), prop::option::of(at())),
        limit in 1..12_usize,
        bounds in (1..30_usize, 1..12_usize, 6..20_usize),
    ) {
        let asked = |place: &ListCursor| {
            from.is_none_or(|from| place.at.0 >= from) && until.is_none_or(|until| place.at.0 < until)
        };
        let expected: Vec<_> =
            rows.iter().rev().filter(|(place, admitted)| **admitted && asked(place)).map(|(place, _)| *place).collect();
        let mut list = Memory { rows: rows.clone(), ..Memory::default() };
        let mut part = part(limit);
        (part.from, part.until) = (from.map(Timestamp), until.map(Timestamp));
        let bounds = Bounds { rows: bounds.0, partitions: bounds.1, directory: bounds.2, ..UNBOUNDED };
        let (mut found, mut arriving) = (Vec::new(), arriving.into_iter());
        loop {
            let (places, next) = page(&list, part, bounds);
            prop_assert!(places.len() <= limit);
            found.extend(places);
            // Each page gets further, so there is an end to them.
            prop_assert!(part.after.is_none() || next.is_none_or(|next| Some(next) < part.after));
            if next.is_none() {
                break;
            }
            part.after = next;
            // A row that is there stays as it is.
            for (place, admitted) in arriving.by_ref().take(3) {
                list.rows.entry(place).or_insert(admitted);
            }
        }
        prop_assert!(found.is_sorted_by(|a, b| a > b), "in order, and none twice");
        prop_assert!(found.iter().all(|place| asked(place) && list.rows[place]));
        let known: Vec<_> = found.into_iter().filter(|place| rows.contains_key(place)).collect();
        prop_assert_eq!(known, expected);
    }
}

#[test]
fn a_page_reads_little_of_a_busy_merchant_and_of_a_quiet_one() {
    // Busy: 20,000 rows in one slot, in all of its shards. Quiet: a row an hour for two years.
    let busy = (0..20_000_u32).map(|number| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_le_bytes());
        (ListCursor { at: Timestamp(NOW.0 + i64::from(number % 500)), id }, true)
    });
    let quiet = (0..17_520_i64).map(|hour| (place(NOW.0 - hour * 3_600_000, hour as u8), true));
    for (rows, read_max, requests_max) in [(busy.collect::<BTreeMap<_, _>>(), 300, 40), (quiet.collect(), 80, 80)] {
        let list = Memory { rows, ..Memory::default() };
        let (places, next) = page(&list, part(50), UNBOUNDED);
        assert_eq!((places.len(), next), (50, places.last().copied()));
        let read = *list.read.lock().expect("whole");
        assert!(read.rows <= read_max && read.requests <= requests_max, "{read:?}");
    }
}

#[test]
fn a_filter_that_admits_nothing_ends_at_the_bounds_and_goes_on_from_there() {
    let rows: BTreeMap<_, _> =
        (0..1_000_i64).map(|number| (place(NOW.0 - number * 60_000, number as u8), false)).collect();
    let list = Memory { rows, ..Memory::default() };
    let bounds = Bounds { rows: 100, partitions: 16, ..UNBOUNDED };
    let (mut part, mut pages) = (part(50), 0);
    loop {
        let (places, next) = page(&list, part, bounds);
        assert!(places.is_empty());
        pages += 1;
        match next {
            Some(_) => part.after = next,
            None => break,
        }
    }
    assert!((10..=70).contains(&pages), "{pages}");
    let bounds = Bounds { time: Duration::ZERO, ..UNBOUNDED };
    assert!(page(&list, self::part(50), bounds).1.is_some(), "out of time after one round, and not before it");
}
