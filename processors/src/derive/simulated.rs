//! When an order of test mode is told to be paid, though no payout is ever of one: at the first cut-off at which it is
//! payable by the times of its statuses.
//!
//! So it follows from the facts alone, in whatever order they come, like everything else of an order. What a payout asks
//! besides, the minimum and whether the affiliate is on hold, is of all of an affiliate's orders, and left out.

use schemas::Timestamp;
use schemas::registry::CutOff;
use schemas::state::PinnedTerms;

use super::lifecycle::Course;

/// The cut-off from which on an order is paid under its terms, if it stays as it is: none without a cut-off, as of any
/// live order, and none while nothing of the course makes it payable.
pub(super) fn cut_off(course: &Course, terms: &PinnedTerms) -> Option<Timestamp> {
    let policy = CutOff::parse(terms.payout_cut_off.as_deref()?).ok()?;
    let after = |since: Timestamp, window_ms: i64| policy.next_after(Timestamp(since.0.saturating_add(window_ms)));
    let approved = course.approved_at.and_then(|at| after(at, 0));
    let settled = course.settled_from.and_then(|since| after(since, terms.settlement_ms));
    // A delivery by then has begun another hold, and one after it comes too late to undo what is paid.
    let settled = settled.filter(|at| course.delivered_at.is_none_or(|delivered| *at < delivered));
    let returnable = course.delivered_at.and_then(|since| after(since, terms.return_ms));
    [approved, settled, returnable].into_iter().flatten().min()
}
