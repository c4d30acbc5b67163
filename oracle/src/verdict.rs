//! Everything against everything, once nothing moves any more.

use schemas::Timestamp;

use crate::committed::Committed;
use crate::facts::Facts;
use crate::fault::{Fault, Faults};
use crate::mission::Now;

mod answers;
mod letters;
mod money;
mod orders;
mod payouts;
mod timeline;

pub use money::{commission_terms, owed};

/// What is wrong with a run that has come to rest at `now_ms`: everybody was up, and nothing more was written.
///
/// Of what the log decides, such as which report is an order's first, the log is believed; all else follows from the
/// contract.
#[must_use]
pub fn end(facts: &Facts, committed: &Committed, now_ms: i64) -> Vec<Fault> {
    let now = Now { at: Timestamp(now_ms), skew_ms: facts.skew_ms() };
    let mut faults = Faults::default();
    answers::sent(facts, committed, &mut faults);
    answers::clicks(facts, committed, &mut faults);
    answers::requests(facts, committed, &mut faults);
    answers::firsts(facts, &mut faults);
    letters::check(facts, committed, &mut faults);
    orders::check(facts, committed, now, &mut faults);
    timeline::check(committed, &mut faults);
    money::commissions(committed, &mut faults);
    money::booked(committed, &mut faults);
    money::balances(committed, &mut faults);
    payouts::check(facts, committed, now, &mut faults);
    faults.found()
}
