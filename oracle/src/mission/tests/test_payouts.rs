//! Test orders, which are paid by no payout, and are told to be at a cut-off.

use schemas::Timestamp;
use schemas::records::{ConversionState, OrderStatus, ReportedStatus};
use schemas::registry::Registry;

use super::super::{Now, earliest_test_payout, end};
use super::{Case, DAY, REGISTRY, T0};

/// 2026-06-19T18:00:00+05:45, the first cut-off after T0.
const CUT_OFF: i64 = T0 + 5 * DAY + 9_900_000;
const WEEK: i64 = 7 * DAY;

fn registry() -> Registry {
    let text = format!("[policies]\npayout_cut_off = \"friday 18:00 Asia/Kathmandu\"\n{REGISTRY}");
    Registry::parse(&text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn states(case: &Case, registry: &Registry, skew_ms: i64) -> Vec<ConversionState> {
    end(case.order(), registry, registry, Now { at: Timestamp(case.now_ms), skew_ms }).states
}

/// A test order, confirmed at T0.
fn confirmed() -> Case {
    Case::new().report(|it| (it.livemode, it.order_status) = (false, OrderStatus::Confirmed))
}

#[test]
fn a_test_order_is_paid_at_a_cut_off() {
    let registry = registry();
    let check = |case: Case, at: i64, expected: ConversionState| {
        assert_eq!(states(&case.at(at), &registry, 0), [expected], "after {} ms", at - T0);
    };
    use ConversionState::{Hold, Paid, Payable, Reversed};
    let settled = CUT_OFF + 4 * WEEK;
    check(confirmed(), T0 + 30 * DAY, Payable);
    check(confirmed(), settled - 1, Payable);
    check(confirmed(), settled, Paid);
    check(confirmed().at(T0).moved_to(settled), T0, Paid);
    check(confirmed().at(T0).moved_to(settled - 1), T0, Payable);
    let approved = || confirmed().update(ReportedStatus::CommissionApproved, Some(1));
    check(approved(), CUT_OFF - 1, Payable);
    check(approved(), CUT_OFF, Paid);
    let delivered = |days| confirmed().update(ReportedStatus::Delivered, Some(days));
    check(delivered(1), CUT_OFF + 2 * WEEK - 1, Payable);
    check(delivered(1), CUT_OFF + 2 * WEEK, Paid);
    // Held again at the cut-off it is paid by one after that; after it, it stays paid.
    check(delivered(33), settled, Hold);
    check(delivered(33), settled + 2 * WEEK - 1, Payable);
    check(delivered(33), settled + 2 * WEEK, Paid);
    check(delivered(34), settled, Paid);
    check(delivered(34).update(ReportedStatus::Returned, Some(35)), settled, Reversed);
    // Nothing is paid of what earns nothing, of a live order, or without payouts.
    check(confirmed().report(|it| it.amount_minor = 0), settled + WEEK, Payable);
    check(confirmed().report(|it| it.livemode = true), settled + WEEK, Payable);
    assert_eq!(states(&confirmed(), &Registry::parse(REGISTRY).unwrap(), 0), [Payable]);
}

#[test]
fn clocks_that_are_off_leave_it_open() {
    let (registry, settled) = (registry(), CUT_OFF + 4 * WEEK);
    use ConversionState::{Paid, Payable};
    for (off_ms, expected) in [(-11, &[Payable][..]), (-10, &[Payable, Paid]), (9, &[Payable, Paid]), (10, &[Paid])] {
        assert_eq!(states(&confirmed().at(settled + off_ms), &registry, 10), expected, "{off_ms}");
    }
}

#[test]
fn the_earliest_is_the_first_after_anything_that_makes_it_payable() {
    let registry = registry();
    let earliest = |case: Case| earliest_test_payout(&case.report, &case.updates, &registry).map(|at| at.0);
    let settled = CUT_OFF + 4 * WEEK;
    assert_eq!(earliest(confirmed()), Some(settled));
    assert_eq!(earliest(confirmed().update(ReportedStatus::Delivered, Some(33))), Some(settled));
    assert_eq!(earliest(confirmed().update(ReportedStatus::Delivered, Some(1))), Some(CUT_OFF + 2 * WEEK));
    assert_eq!(earliest(confirmed().update(ReportedStatus::CommissionApproved, Some(1))), Some(CUT_OFF));
    let refunded = confirmed().refund(2_999_000).update(ReportedStatus::CommissionApproved, Some(2));
    assert_eq!(earliest(refunded), Some(CUT_OFF));
    assert_eq!(earliest(Case::new()), None);
    let (none, case) = (Registry::parse(REGISTRY).unwrap(), confirmed());
    assert_eq!(earliest_test_payout(&case.report, &case.updates, &none), None);
}
