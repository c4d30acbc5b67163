//! What must become of every order, balance and payout: the mission, written from API.md and from nothing else.
//!
//! A run tells [`Facts`] what merchants and browsers sent and were answered, and [`Committed`] every record as it becomes
//! visible to a reader of committed records; [`Committed::observe`] objects at once to a record that no right run has.
//! When nothing moves any more, [`end`] holds everything against everything: answers, log, conversions and money.
//!
//! It is naive on purpose: each order is worked out from the list of all its facts, with exact fractions.
//!
//! Whoever has a log and nobody's word for what was sent, as the crate `verify`, takes it in parts: [`revision`] says
//! whether a conversion may change so, and [`order_end`] what must have become of one order. Both read what the edge wrote as
//! [`Event`]s, under [`keys`].
//!
//! **Architecture Invariant:** shares no line with `processors`, and knows nothing of how they work it out: it depends on
//! `schemas` alone, and takes from there the records, ids and the registry, but no arithmetic.
//!
//! **Architecture Invariant:** no I/O, no clock, no dice, no hash map: the same run gets the same faults in the same order.

mod committed;
mod facts;
mod fault;
pub mod keys;
mod mission;
mod verdict;

pub use committed::{Booked, Committed, Event, Known, revision};
pub use facts::{Answer, Body, Facts, OrderId, Report, RequestId, Status};
pub use fault::{Fault, Invariant};
pub use mission::{
    Decision, End, Judged, Now, Order, Payout, Reviews, Seen, awaited_until, changes, earliest_test_payout,
    end as order_end, paid_with, payout_fault, pays_out, state_of, take_payout,
};
pub use verdict::{commission_terms, end, owed};
