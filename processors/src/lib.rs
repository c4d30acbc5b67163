//! The state machines: `orders`, `clicks`, `ledger` and `webhooks`.
//!
//! An order is a set of facts; [`mod@derive`] says what follows from them, and a transition is the difference between two
//! derivations. So the same facts, whatever order they arrived in, give the same conversion and the same money.
//!
//! **Architecture Invariant:** nothing here does I/O, reads a clock, rolls dice or iterates a hash map. Effects are
//! what a [`streams::Context`] offers, and nothing else.
//!
//! **Architecture Invariant:** money moves only as ledger entries that are the difference between what a derivation
//! says an affiliate has and what has been booked; no transition books an amount of its own.

pub mod clicks;
pub mod derive;
pub mod ledger;
pub mod orders;
pub mod webhooks;
pub mod what_if;

mod common;

pub use clicks::Clicks;
pub use common::topic;
pub use ledger::Ledger;
pub use orders::Orders;
pub use webhooks::Webhooks;
