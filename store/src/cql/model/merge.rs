//! The partitions of some slots, merged newest first.

use std::collections::VecDeque;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::walk::{List, Listed, Partition, Range};

/// Most partitions of a list that are read at once for one page.
pub(super) const AT_ONCE_MAX: usize = 16;
/// Bounds of the rows of a partition in one read.
const ROWS_MIN: usize = 8;
const ROWS_MAX: usize = 512;

/// A partition as far as it was read.
#[derive(Debug)]
struct Reading {
    partition: Partition,
    /// Read and not taken, newest first.
    rows: VecDeque<Listed>,
    /// What to read next; `None` once it was read to its end.
    next: Option<Range>,
}

impl Reading {
    /// Whether it has no row at hand and may have more.
    fn is_dry(&self) -> bool {
        self.rows.is_empty() && self.next.is_some()
    }

    /// Whether it will be dry soon.
    fn is_low(&self) -> bool {
        self.next.is_some_and(|range| self.rows.len() < range.rows_max / 4)
    }

    fn take_in(&mut self, range: Range, rows: Vec<Listed>) {
        let full = rows.len() >= range.rows_max;
        // Whoever reads on reads more at once.
        let rows_max = (2 * range.rows_max).min(ROWS_MAX);
        self.next = rows.last().filter(|_| full).map(|last| Range { before: last.place, rows_max, ..range });
        self.rows.extend(rows);
    }
}

/// Partitions of slots, the newest slot first.
#[derive(Debug)]
pub(super) struct Merge {
    partitions: Vec<Reading>,
    opened: bool,
}

impl Merge {
    /// Nothing is read yet. `wanted` is how many rows of a slot are likely to be taken.
    pub(super) fn new(partitions: &[Partition], range: Range, wanted: usize) -> Merge {
        let reading = |partition: &Partition| {
            let shards = partitions.iter().filter(|other| other.slot == partition.slot).count();
            let rows_max = (2 * wanted / shards).clamp(ROWS_MIN, ROWS_MAX);
            Reading { partition: *partition, rows: VecDeque::new(), next: Some(Range { rows_max, ..range }) }
        };
        Merge { partitions: partitions.iter().map(reading).collect(), opened: false }
    }

    /// The next row, or none at the end.
    pub(super) async fn next<L: List>(&mut self, list: &L) -> Result<Option<Listed>, L::Error> {
        if !self.opened {
            self.read(list, |_| true).await?;
            self.opened = true;
        }
        loop {
            let mut left = self.partitions.iter().filter(|it| !it.rows.is_empty() || it.next.is_some());
            let Some(slot) = left.next().map(|it| it.partition.slot) else { return Ok(None) };
            if self.partitions.iter().any(|it| it.partition.slot == slot && it.is_dry()) {
                self.read(list, |it| it.partition.slot == slot && it.is_low()).await?;
                continue;
            }
            let of_slot = self.partitions.iter_mut().filter(|it| it.partition.slot == slot);
            let newest = of_slot.max_by_key(|it| it.rows.front().map(|row| row.place));
            return Ok(newest.and_then(|it| it.rows.pop_front()));
        }
    }

    /// Reads on in some of the partitions, side by side.
    async fn read<L: List>(&mut self, list: &L, which: impl Fn(&Reading) -> bool) -> Result<(), L::Error> {
        let numbered = self.partitions.iter().enumerate().filter(|(_, it)| which(it));
        let wanted: Vec<_> =
            numbered.filter_map(|(number, it)| it.next.map(|range| (number, it.partition, range))).collect();
        let reads = wanted
            .into_iter()
            .map(|(number, partition, range)| async move { Ok((number, range, list.rows(partition, range).await?)) });
        let found: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE_MAX).try_collect().await?;
        for (number, range, rows) in found {
            self.partitions[number].take_in(range, rows);
        }
        Ok(())
    }
}
