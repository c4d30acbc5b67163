//! The orders that everything here works on.

use std::sync::Arc;

use benches::shop::Shops;
use schemas::Timestamp;
use schemas::records::{ClickRecorded, ConversionReported};
use schemas::registry::Registry;

/// 2026-06-14T09:30:00Z: the same in every run.
pub(crate) const NOW: Timestamp = Timestamp(1_781_429_400_000);
/// More than a branch predictor remembers.
pub(crate) const ORDERS: u64 = 1_024;

pub(crate) fn shops() -> Shops {
    Shops { merchants: 16, now: NOW }
}

pub(crate) fn registry() -> Arc<Registry> {
    Arc::new(Registry::parse(&shops().registry(true)).expect("a registry"))
}

/// Reports and the clicks they name.
pub(crate) fn records() -> Vec<(ClickRecorded, ConversionReported)> {
    let decoded = |number| {
        let (click, report) = shops().records("order", number);
        (schemas::decode(&click.value).expect("a click"), schemas::decode(&report.value).expect("a report"))
    };
    (0..ORDERS).map(decoded).collect()
}

/// Gives one after the other, and begins again.
pub(crate) struct InTurn<T> {
    all: Vec<T>,
    next: usize,
}

impl<T> InTurn<T> {
    pub(crate) fn new(all: Vec<T>) -> InTurn<T> {
        InTurn { all, next: 0 }
    }

    pub(crate) fn next(&mut self) -> &T {
        self.next = (self.next + 1) % self.all.len();
        &self.all[self.next]
    }
}
