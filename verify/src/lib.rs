//! Whether what an installation wrote follows from what it was told: every conversion, commission, booking and balance,
//! worked out again from the facts in the log, and each difference told.
//!
//! A [`Verifier`] is told what may be known of the log besides its records ([`Options`], the registries), is shown every
//! record once, each after those that it was made from, and says in [`Verifier::finish`] what is wrong.
//!
//! What is right is the `oracle`'s word, of one order at a time. Here is what it takes to ask it about a log that nobody
//! prepared: little memory for each order, a beginning that retention has taken, an end that is not processed yet, a
//! registry that is not known any more. None of these is a difference: each is counted, and told beside the differences.
//!
//! # What is demanded
//!
//! - **A fact counts** once the consumer of its topic has committed an offset behind it. An order with a fact that has not
//!   been processed is *pending*: what it came to is not judged, and that its records fit each other is.
//! - **Time**: a timer that is due more than [`Options::tolerance_ms`] before the instant of judgement has fired, one that is
//!   due as much after it has not, and between the two either is right; of a test order whose clock was moved, by that if it is later.
//! - **Registry**: attribution and commission are those of a registry that was in force, give or take the tolerance, when
//!   the conversion was attributed; of one that is not known any more every known one is tried, and if none fits, the
//!   conversion is counted and no difference.
//! - **Payouts** are of all that was payable at a cut-off, by the cut-off, minimum and hold of a registry that was in force;
//!   each becomes what was reported first, and its orders are told once it is paid. That one is missing is not told.
//! - **Explanation**: each revision is explained, by what the `oracle` works out again: the arithmetic comes to the commission,
//!   the rule that won is its rule, the checks of the click and the hold come to what the revision says. Every fact that
//!   explains is the order's, at the place in the log that is told of it, and the last explanation has them all.
//! - **A beginning that is gone**: of an order of which the log may have lost a fact or a revision only what follows the
//!   first revision that is left is judged; of an account, what follows the first balance that names an entry that is left.
//!
//! # Memory
//!
//! 1.1 KB an order was measured of 100,000 with three changes of their commission and two entries; each update adds 64 bytes,
//! and a click of its own as many. Nothing of any record is kept in proportion to what a merchant may put into it but ids.
//!
//! **Architecture Invariant:** knows nothing of how processors work anything out, and shares no line with `processors` or
//! `store`: it depends on `schemas` and `oracle` alone.
//!
//! **Architecture Invariant:** no I/O, no clock, no dice, no hash map: the same records get the same differences.

mod accounts;
mod clicks;
mod digest;
mod facts;
mod judge;
mod letters;
mod money;
mod orders;
mod payouts;
mod report;
mod revisions;
mod terms;
mod verifier;

pub use report::{Counts, Difference, Place, Report, Subject};
pub use verifier::{Options, Verifier};
