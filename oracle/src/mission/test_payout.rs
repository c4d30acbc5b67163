//! When a test order counts as paid, of which no payout ever is.

use schemas::Timestamp;
use schemas::records::{ConversionReported, ConversionState, OrderStatusReported};
use schemas::registry::Registry;

use super::course::{Course, course};
use super::{Clocks, hold_until};

/// The states that an order which earns something may be in, `states` being those without payouts: paid once a cut-off has
/// passed at which it was payable, by the times of its statuses.
pub(super) fn or_paid(
    states: Vec<ConversionState>,
    course: &Course,
    terms: &Registry,
    now: Clocks,
) -> Vec<ConversionState> {
    let Some(first) = cut_offs(course, terms).filter(|at| is_payable_at(*at, course, terms)).min() else {
        return states;
    };
    let (passed, ahead) = now.has_come(first);
    let unpaid = states.into_iter().filter(|_| ahead);
    unpaid.chain(passed.then_some(ConversionState::Paid)).collect()
}

/// The cut-off before which no order with these updates, or with some of them, can be paid: the first after anything that
/// could make it payable.
#[must_use]
pub fn earliest(report: &ConversionReported, updates: &[OrderStatusReported], terms: &Registry) -> Option<Timestamp> {
    let updates: Vec<_> = updates.iter().filter(|it| it.refunded_thousandths.is_none()).cloned().collect();
    cut_offs(&course(report, &updates, Some(updates.len())), terms).min()
}

/// The next cut-off after each of the three things that make an order payable: an approval, and the end of either hold.
fn cut_offs(course: &Course, terms: &Registry) -> impl Iterator<Item = Timestamp> {
    let (settled, delivered) = (hold_until(None, course.settled, terms), hold_until(course.delivered, None, terms));
    let from = [course.approved, settled, delivered].into_iter().flatten();
    from.filter_map(|from| terms.payouts()?.cut_off.next_after(from))
}

/// Whether an order has become payable before an instant, and is not on hold again at it.
fn is_payable_at(at: Timestamp, course: &Course, terms: &Registry) -> bool {
    let delivered = course.delivered.filter(|delivered| *delivered <= at);
    let held = hold_until(delivered, course.settled, terms);
    course.approved.into_iter().chain(held).any(|from| from < at)
}
