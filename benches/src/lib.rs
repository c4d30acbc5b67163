//! What the product's parts cost, measured against the same part without what is asked about, in one run; and the
//! rehearsal of a sale festival, of a whole installation.
//!
//! **Architecture Invariant:** nothing here is timed as a test, and no other crate depends on it. A figure is a ratio of medians of
//! interleaved runs on one machine; absolute ones are shown so that the ratio can be judged.

mod edge;
pub mod festival;
mod lives;
pub mod peers;
mod plain;
mod reports;
pub mod shop;
mod sign;
pub mod targets;

pub use edge::{Caller, EdgeProcess, Installation, conversions};
pub use lives::Lives;
pub use plain::PlainSession;
pub use reports::{publish, report};

/// The median; of an even number the lower one of the middle.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.partial_cmp(b).expect("figures are ordered"));
    values[(values.len() - 1) / 2]
}
