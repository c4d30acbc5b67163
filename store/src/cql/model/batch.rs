//! Rows on their way to the server: of one row only the newest version, and those of one partition together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::rows::{Place, Row};

/// Most rows of one request. They are of one partition, which is one mutation to a server however many they are: no
/// batch log, and none of its warnings of large batches.
const ROWS_MAX: usize = 64;
/// Most bytes of one request, roughly, unless it is of one row.
const BYTES_MAX: usize = 64 << 10;

/// Rows by their places.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: BTreeMap<Place, Row>,
}

impl Batch {
    /// Adds a row, unless a newer one is in its place.
    pub(super) fn add(&mut self, row: Row) {
        match self.rows.entry(row.place()) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut place) if place.get().written_at() < row.written_at() => {
                place.insert(row);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Leaves some out.
    pub(super) fn retain(&mut self, keep: impl Fn(&Place, &Row) -> bool) {
        self.rows.retain(|place, row| keep(place, row));
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Row)> {
        self.rows.iter()
    }

    /// The rows of each partition, in requests that are to be made one after the other.
    pub(super) fn into_partitions(self) -> Vec<Vec<Vec<Row>>> {
        let mut partitions: Vec<Vec<Vec<Row>>> = Vec::new();
        let (mut last, mut weight) = (None, 0);
        for (Place { partition, .. }, row) in self.rows {
            let row_weight = row.weight();
            if last.as_ref() != Some(&partition) {
                partitions.push(vec![Vec::new()]);
                (last, weight) = (Some(partition), 0);
            }
            let requests = partitions.last_mut().expect("one was pushed for the first row");
            let full =
                requests.last().is_none_or(|request| request.len() >= ROWS_MAX || weight + row_weight > BYTES_MAX);
            if full && weight > 0 {
                requests.push(Vec::new());
                weight = 0;
            }
            requests.last_mut().expect("there is one").push(row);
            weight += row_weight;
        }
        partitions
    }
}
