//! Orders from report to payable or reversed, step by step.

use schemas::records::{
    CauseType, CommissionState, Confidence, ConfidenceReason, ConversionState, OrderStatus, OrderStatusReported,
    ReportedStatus,
};
use streams::log::Limits;

use crate::world::{DAY, REGISTRY, SECOND, T0, World, click, clicked, report, reported, status, updated};

fn states(world: &World) -> Vec<ConversionState> {
    world.transitions().iter().flat_map(|it| &it.timeline).map(|entry| entry.state).collect()
}

#[test]
fn a_confirmed_order_with_a_click_is_held_and_then_payable() {
    use ConversionState::{Attributed, CommissionCreated, Hold, Payable, Received};
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    let conversion = world.conversion();
    assert_eq!(conversion.state, Hold);
    assert_eq!((conversion.confidence, conversion.confidence_reason), (Some(Confidence::High), None));
    let commission = conversion.commission.expect("a commission");
    assert_eq!((commission.amount_minor, commission.rule_id.as_str()), (35_988, "r-product"));
    assert_eq!(world.balances(), [35_988, 0, -35_988]);

    let hold_until = conversion.hold_until.expect("a hold").0;
    assert_eq!(hold_until, T0 + 30 * DAY);
    world.at(hold_until - 1);
    assert_eq!(world.conversion().state, Hold);
    world.at(hold_until);
    assert_eq!(world.conversion().state, Payable);
    assert_eq!(world.balances(), [0, 35_988, -35_988]);
    assert_eq!(states(&world), [Received, Attributed, CommissionCreated, Hold, Payable]);
    let sequence: Vec<i32> = world.transitions().iter().flat_map(|it| &it.timeline).map(|entry| entry.seq).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
    let commissions: Vec<_> = world.commissions().iter().map(|it| it.state).collect();
    assert_eq!(commissions, [CommissionState::Held, CommissionState::Payable]);
    world.at(hold_until + 1_000 * DAY);
    assert_eq!(states(&world).len(), 5, "nothing more happens");
    assert!(world.dead_letters().is_empty());
}

#[test]
fn a_late_click_upgrades_an_order_that_was_called_low() {
    let mut world = World::new();
    world.send(reported(&report())).at(T0 + 60 * SECOND - 1);
    assert_eq!(world.conversion().confidence, None);
    world.at(T0 + 60 * SECOND);
    let low = world.conversion();
    assert_eq!((low.confidence, low.confidence_reason), (Some(Confidence::Low), Some(ConfidenceReason::ClickUnknown)));
    assert_eq!(low.timeline[0].cause.kind, CauseType::ClickWaitElapsed);
    assert!(world.commissions().is_empty());
    world.at(T0 + DAY).send(clicked(&click()));
    let high = world.conversion();
    assert_eq!((high.confidence, high.state), (Some(Confidence::High), ConversionState::Hold));
    assert_eq!(high.hold_until.map(|until| until.0), Some(T0 + 30 * DAY), "the clock started at receipt");
}

#[test]
fn a_refund_that_comes_first_is_kept_and_applied() {
    let mut world = World::new();
    world.send(updated(&status(ReportedStatus::Refunded, Some(T0 - DAY), T0)));
    assert!(world.transitions().is_empty());
    world.send(clicked(&click())).send(reported(&report()));
    let conversion = world.conversion();
    assert_eq!((conversion.state, conversion.order_status), (ConversionState::Reversed, OrderStatus::Refunded));
    assert_eq!(conversion.commission.map(|it| it.amount_minor), Some(35_988), "the amount stays to be seen");
    assert_eq!(world.balances(), [0, 0, 0]);
}

#[test]
fn cancelling_reverses_from_every_state() {
    for (order_status, wait) in
        [(OrderStatus::Pending, 0), (OrderStatus::Confirmed, 0), (OrderStatus::Confirmed, 31 * DAY)]
    {
        let mut world = World::new();
        let report = schemas::records::ConversionReported { order_status, ..report() };
        world.send(clicked(&click())).send(reported(&report)).at(T0 + wait);
        let cancelled = status(ReportedStatus::Cancelled, None, T0 + wait + 1);
        world.send(updated(&cancelled)).send(updated(&status(ReportedStatus::Confirmed, None, T0 + wait + 2)));
        assert_eq!(world.conversion().state, ConversionState::Reversed);
        assert_eq!(world.balances(), [0, 0, 0]);
        assert_eq!(world.commissions().last().map(|it| it.state), Some(CommissionState::Reversed));
    }
}

#[test]
fn delivery_rebases_the_hold_and_the_first_one_counts() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    world.at(T0 + 3 * DAY).send(updated(&status(ReportedStatus::Delivered, Some(T0 + 2 * DAY), T0 + 3 * DAY)));
    assert_eq!(world.conversion().hold_until.map(|it| it.0), Some(T0 + 16 * DAY));
    world.at(T0 + 5 * DAY).send(updated(&status(ReportedStatus::Delivered, Some(T0 + 5 * DAY), T0 + 5 * DAY)));
    assert_eq!(world.conversion().hold_until.map(|it| it.0), Some(T0 + 16 * DAY));
    world.at(T0 + 16 * DAY);
    assert_eq!(world.conversion().state, ConversionState::Payable);
}

#[test]
fn a_stale_status_stands_in_the_timeline_and_changes_nothing() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    world.at(T0 + 2 * DAY).send(updated(&status(ReportedStatus::Delivered, Some(T0 + 2 * DAY), T0 + 2 * DAY)));
    let before = world.conversion();
    world.send(updated(&status(ReportedStatus::Pending, Some(T0 + DAY), T0 + 2 * DAY + 1)));
    let after = world.conversion();
    assert_eq!(
        (after.state, after.hold_until, after.order_status),
        (before.state, before.hold_until, before.order_status)
    );
    let entry = &after.timeline[0];
    assert_eq!((entry.cause.kind, entry.cause.applied), (CauseType::OrderStatus, false));
}

#[test]
fn the_same_again_changes_nothing_and_a_conflict_moves_no_money() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    let again = schemas::records::ConversionReported { event_id: "cnvevt_2".to_owned(), ..report() };
    world.send(reported(&again)).send(clicked(&click()));
    assert_eq!(world.transitions().len(), 2);
    let other = schemas::records::ConversionReported { amount_minor: 1, click_id: None, ..again };
    world.send(reported(&other));
    let conversion = world.conversion();
    assert_eq!((conversion.conflicts, conversion.amount_minor), (1, 299_900));
    assert_eq!(conversion.timeline[0].cause.fields, ["clickId", "orderAmount"]);
    assert_eq!(world.balances(), [35_988, 0, -35_988]);
    world.send(updated(&status(ReportedStatus::Delivered, None, T0 + 1)));
    let transitions = world.transitions().len();
    world.send(updated(&status(ReportedStatus::Delivered, None, T0 + 9)));
    assert_eq!(world.transitions().len(), transitions);
}

#[test]
fn approval_is_payable_at_once_and_rejection_reverses() {
    let mut world = World::new();
    let pending = schemas::records::ConversionReported { order_status: OrderStatus::Pending, ..report() };
    world.send(clicked(&click())).send(reported(&pending));
    assert_eq!(world.conversion().state, ConversionState::CommissionCreated);
    world.send(updated(&status(ReportedStatus::CommissionApproved, None, T0 + 1)));
    assert_eq!(world.conversion().state, ConversionState::Payable);
    assert_eq!(world.balances(), [0, 35_988, -35_988]);
    world.send(updated(&status(ReportedStatus::CommissionRejected, None, T0 + 2)));
    assert_eq!(world.conversion().state, ConversionState::Reversed);
    assert_eq!(world.balances(), [0, 0, 0]);
}

#[test]
fn partial_refunds_book_the_difference_before_and_after_the_conversion_and_on_what_is_payable() {
    let refund = |thousandths: i64, at: i64| OrderStatusReported {
        refunded_thousandths: Some(thousandths),
        event_id: format!("osevt_{thousandths}"),
        ..status(ReportedStatus::Refunded, Some(at), at)
    };
    let mut world = World::new();
    world.send(clicked(&click())).send(updated(&refund(999_000, T0 - 1))).send(reported(&report()));
    assert_eq!(world.balances(), [24_000, 0, -24_000]);
    assert_eq!(world.conversion().commission.map(|it| it.amount_minor), Some(24_000));
    let early = world.transitions()[0].timeline.last().cloned().expect("an entry for the update that came before");
    assert_eq!((early.cause.refunded_thousandths, early.cause.applied), (Some(999_000), true));
    world.at(T0 + 30 * DAY);
    assert_eq!(world.balances(), [0, 24_000, -24_000]);
    world.send(updated(&refund(1_000_000, T0 + 30 * DAY)));
    assert_eq!((world.conversion().state, world.balances()), (ConversionState::Payable, [0, 12_000, -12_000]));
    let told = world.commissions().pop().expect("a commission");
    assert_eq!((told.commission.amount_minor, told.refunded_thousandths), (12_000, Some(1_999_000)));
    assert_eq!((told.state, told.order_amount_minor), (CommissionState::Payable, 299_900));
    let entry = world.conversion().timeline.pop().expect("the update is told of");
    assert_eq!((entry.state, entry.cause.order_status), (ConversionState::Payable, Some(ReportedStatus::Refunded)));
    assert_eq!((entry.cause.refunded_thousandths, entry.cause.applied), (Some(1_000_000), true));
    // The same again under another event counts once; one that a cancellation comes before counts no more.
    let count = world.transitions().len();
    world.send(updated(&OrderStatusReported { event_id: "osevt_2".to_owned(), ..refund(1_000_000, T0 + 30 * DAY) }));
    assert_eq!(world.transitions().len(), count);
    world.send(updated(&status(ReportedStatus::Cancelled, Some(T0 + 29 * DAY), T0 + 31 * DAY)));
    assert_eq!((world.conversion().state, world.balances()), (ConversionState::Reversed, [0, 0, 0]));
    assert_eq!(world.conversion().refunded_thousandths, Some(999_000));
    assert_eq!(world.conversion().commission.map(|it| it.amount_minor), Some(24_000));
    world.send(updated(&refund(5_000, T0 + 31 * DAY)));
    let entry = world.conversion().timeline.pop().expect("the update is told of");
    assert_eq!((entry.state, entry.cause.applied), (ConversionState::Reversed, false));
    assert_eq!(world.balances(), [0, 0, 0]);
}

#[test]
fn refunds_in_parts_are_a_reversal_once_nothing_is_left() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    for (number, state) in [(1, ConversionState::Hold), (2, ConversionState::Hold), (3, ConversionState::Reversed)] {
        let refund = status(ReportedStatus::Returned, Some(T0 + number), T0 + number);
        world.send(updated(&OrderStatusReported { refunded_thousandths: Some(1_000_000), ..refund }));
        assert_eq!(world.conversion().state, state, "{number}");
    }
    let conversion = world.conversion();
    assert_eq!((conversion.order_status, conversion.refunded_thousandths), (OrderStatus::Returned, Some(2_999_000)));
    assert_eq!(conversion.commission.map(|it| it.amount_minor), Some(11_988));
    assert_eq!(world.balances(), [0, 0, 0]);
}

#[test]
fn one_click_answers_thousands_of_waiting_orders() {
    let mut world = World::with(REGISTRY, Limits { records_max: 100, bytes_max: 1 << 20 });
    for number in 0..2_500 {
        world.write(reported(&schemas::records::ConversionReported {
            external_order_id: format!("O-{number}"),
            ..report()
        }));
    }
    world.settle();
    world.send(clicked(&click()));
    let held = world.transitions().iter().filter(|it| it.state == ConversionState::Hold).count();
    assert_eq!(held, 2_500);
    assert_eq!(world.balances(), [2_500 * 35_988, 0, -2_500 * 35_988]);
    assert!(world.dead_letters().is_empty());
    assert_eq!(world.now(), T0, "the answers did not wait for time to pass");
}

#[test]
fn anothers_click_looks_like_an_unknown_one() {
    let foreign = schemas::records::ClickRecorded { merchant_id: "m2".to_owned(), ..click() };
    let told = |world: &World| -> Vec<_> {
        let entries = world.transitions().into_iter().flat_map(|it| it.timeline);
        entries.map(|entry| (entry.at, entry.state, entry.cause.kind)).collect()
    };
    let mut unknown = World::new();
    unknown.send(reported(&report())).at(T0 + 60 * SECOND).at(T0 + DAY);
    for before in [true, false] {
        let mut world = World::new();
        if before {
            world.send(clicked(&foreign));
        }
        world.send(reported(&report())).at(T0 + 60 * SECOND).at(T0 + DAY);
        world.send(clicked(&foreign));
        assert_eq!(told(&world), told(&unknown), "the click came before: {before}");
        assert_eq!(world.conversion().confidence_reason, Some(ConfidenceReason::ClickNotYours));
    }
}

#[test]
fn a_clock_set_back_takes_nothing_back() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report())).at(T0 + 30 * DAY);
    assert_eq!(world.conversion().state, ConversionState::Payable);
    let entries = world.balances();
    world.at(T0 + DAY).send(updated(&status(ReportedStatus::Pending, None, T0 + DAY)));
    assert_eq!(world.conversion().state, ConversionState::Payable);
    assert_eq!(world.balances(), entries);
}

#[test]
fn a_late_reversal_is_applied_and_what_it_overtakes_is_not() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    let applied = |world: &World| world.conversion().timeline.last().map(|entry| entry.cause.applied);
    world.send(updated(&status(ReportedStatus::Delivered, Some(T0 + 2 * DAY), T0 + 2 * DAY)));
    assert_eq!(applied(&world), Some(true));
    world.send(updated(&status(ReportedStatus::Cancelled, Some(T0 + DAY), T0 + 2 * DAY)));
    assert_eq!((world.conversion().state, applied(&world)), (ConversionState::Reversed, Some(true)));
    world.send(updated(&status(ReportedStatus::Confirmed, Some(T0 + 3 * DAY), T0 + 3 * DAY)));
    assert_eq!((world.conversion().state, applied(&world)), (ConversionState::Reversed, Some(false)));
}
