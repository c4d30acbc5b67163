//! Payouts that are simulated for test orders, which no payout is ever of: by the table of their statuses and times, and
//! through the pipeline.

use processors::derive::{Derivation, Facts, derive, lifecycle};
use schemas::records::{
    CauseType, CommissionState, ConversionReported, ConversionState, LedgerEntry, OrderStatus, OrderStatusReported,
    PayoutChanged, ReportedStatus, StateReason, TestClockAdvanced,
};
use schemas::registry::Registry;
use schemas::state::{OrderState, StatusFact, TestClockFact};
use schemas::topics::{self, CONVERSIONS};
use schemas::{AvroRecord, Timestamp};
use streams::Message;
use streams::log::Limits;

use crate::derivation::order;
use crate::payouts::{COMMISSION, CUT_OFF, WEEK, registry as with_payouts};
use crate::world::{CHANGED, DAY, REGISTRY, SECOND, T0, World, click, clicked, message, report, status};

use ConversionState::{CommissionCreated, Hold, Paid, Payable, Reversed};
use ReportedStatus::{Cancelled, CommissionApproved, Confirmed, Delivered, Pending, Refunded};

/// The first cut-off after the hold of an order that was confirmed at T0: 2026-07-17T18:00:00+05:45.
const SETTLED: i64 = CUT_OFF + 4 * WEEK;

fn parse(text: &str) -> Registry {
    Registry::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A confirmed order with these updates by their own times.
fn with_updates(updates: &[(ReportedStatus, i64)]) -> OrderState {
    let fact = |(status, at): &(ReportedStatus, i64)| StatusFact {
        event_id: String::new(),
        status: *status,
        status_updated_at: Some(Timestamp(*at)),
        refunded_thousandths: None,
        received_at: Timestamp(T0),
        set_aside: false,
        source: None,
    };
    let mut state = order(1_000, "NPR");
    state.updates = updates.iter().map(fact).collect();
    state.updates.sort_by(lifecycle::counts_before);
    state
}

fn in_mode(state: &OrderState, registry: &Registry, livemode: bool, now: i64) -> Derivation {
    derive(Facts { merchant_id: "m1", livemode, state }, registry, Timestamp(now)).expect("the order is reported")
}

/// A test order at an instant: its state, and what time alone will change next.
#[track_caller]
fn check(updates: &[(ReportedStatus, i64)], now: i64, state: ConversionState, next_due: Option<i64>) {
    let found = in_mode(&with_updates(updates), &parse(&with_payouts(None, false)), false, now);
    assert_eq!((found.state, found.next_due.map(|it| it.0)), (state, next_due), "{updates:?} after {} ms", now - T0);
}

#[test]
fn a_test_order_is_paid_at_the_first_cut_off_after_it_became_payable() {
    check(&[], T0, Hold, Some(T0 + 30 * DAY));
    check(&[], T0 + 30 * DAY - 1, Hold, Some(T0 + 30 * DAY));
    check(&[], T0 + 30 * DAY, Payable, Some(SETTLED));
    check(&[], SETTLED - 1, Payable, Some(SETTLED));
    check(&[], SETTLED, Paid, None);
    check(&[], SETTLED + 400 * DAY, Paid, None);
    let approved = |at: i64| [(CommissionApproved, at)];
    check(&approved(T0), CUT_OFF - 1, Payable, Some(CUT_OFF));
    check(&approved(T0), CUT_OFF, Paid, None);
    // What is payable at the very cut-off is of the next one.
    check(&approved(CUT_OFF - 1), CUT_OFF, Paid, None);
    check(&approved(CUT_OFF), CUT_OFF, Payable, Some(CUT_OFF + WEEK));
    check(&approved(CUT_OFF), CUT_OFF + WEEK, Paid, None);
    // The first approval counts, and one after the cut-off says nothing new.
    check(&[(CommissionApproved, T0), (CommissionApproved, CUT_OFF)], CUT_OFF, Paid, None);
    check(&approved(SETTLED + 1), SETTLED + 1, Paid, None);
    check(&[(Delivered, T0 + DAY)], T0 + 15 * DAY, Payable, Some(CUT_OFF + 2 * WEEK));
    check(&[(Delivered, T0 + DAY)], CUT_OFF + 2 * WEEK, Paid, None);
    check(&[(Pending, T0 + DAY), (Confirmed, T0 + DAY)], SETTLED, Paid, None);
}

#[test]
fn a_delivery_between_hold_and_cut_off_is_paid_by_a_later_one_and_one_after_it_changes_nothing() {
    let until = SETTLED + 14 * DAY;
    for at in [T0 + 30 * DAY, SETTLED - 1] {
        let until = at + 14 * DAY;
        check(&[(Delivered, at)], SETTLED, Hold, Some(until));
        check(&[(Delivered, at)], until, Payable, Some(SETTLED + 2 * WEEK));
        check(&[(Delivered, at)], SETTLED + 2 * WEEK, Paid, None);
    }
    check(&[(Delivered, SETTLED)], SETTLED, Hold, Some(until));
    check(&[(Delivered, SETTLED)], until, Payable, Some(SETTLED + 3 * WEEK));
    for now in [SETTLED, SETTLED + 1, until, until + 400 * DAY] {
        check(&[(Delivered, SETTLED + 1)], now, Paid, None);
    }
    // One that is told of some minutes ahead: the cut-off comes before it.
    check(&[(Delivered, SETTLED + 1)], SETTLED - 1, Hold, Some(SETTLED));
}

#[test]
fn what_is_reversed_or_earns_nothing_is_not_paid() {
    for at in [T0, SETTLED, SETTLED + DAY] {
        check(&[(Cancelled, at)], SETTLED + 2 * DAY, Reversed, None);
    }
    let registry = parse(&with_payouts(None, false));
    let mut pending = with_updates(&[]);
    pending.report.as_mut().expect("a report").order_status = OrderStatus::Pending;
    let found = in_mode(&pending, &registry, false, T0 + 400 * DAY);
    assert_eq!((found.state, found.next_due), (CommissionCreated, None));
    let nothing = in_mode(&order(0, "NPR"), &registry, false, T0 + 400 * DAY);
    assert_eq!((nothing.state, nothing.next_due), (Payable, None));
    let mut refunded = with_updates(&[(Refunded, SETTLED + DAY)]);
    refunded.updates[0].refunded_thousandths = Some(9_999);
    let found = in_mode(&refunded, &registry, false, SETTLED + DAY);
    assert_eq!((found.state, found.commission.map(|it| it.amount_minor)), (Payable, Some(0)));
}

#[test]
fn a_live_order_and_one_without_a_policy_stay_payable() {
    let (policy, none) = (parse(&with_payouts(None, false)), parse(REGISTRY));
    for (registry, livemode) in [(&policy, true), (&none, true), (&none, false)] {
        let found = in_mode(&order(1_000, "NPR"), registry, livemode, SETTLED + 400 * DAY);
        assert_eq!((found.state, found.next_due), (Payable, None), "{livemode}");
        assert_eq!(found.terms.and_then(|terms| terms.payout_cut_off), None, "{livemode}");
    }
    // Nor does the minimum, or that the affiliate is on hold, count.
    let held = parse(&with_payouts(Some("NPR 1000000.00"), true));
    assert_eq!(in_mode(&order(1_000, "NPR"), &held, false, SETTLED).state, Paid);
}

#[test]
fn the_cut_off_is_pinned_with_the_terms() {
    let policy = parse(&with_payouts(None, false));
    let other = parse(&with_payouts(None, false).replace("friday 18:00 Asia/Kathmandu", "monday 09:00 UTC"));
    let mut pinned = order(1_000, "NPR");
    pinned.terms = in_mode(&pinned, &policy, false, T0).terms;
    for (registry, now) in [(&other, SETTLED - 1), (&other, SETTLED), (&parse(CHANGED), SETTLED)] {
        assert_eq!(in_mode(&pinned, registry, false, now), in_mode(&pinned, &policy, false, now));
    }
    let mut without = order(1_000, "NPR");
    without.terms = in_mode(&without, &parse(REGISTRY), false, T0).terms;
    assert_eq!(
        in_mode(&without, &policy, false, SETTLED).state,
        Payable,
        "there were no payouts when it was attributed"
    );
}

#[test]
fn the_orders_own_time_passes_the_cut_off() {
    let registry = parse(&with_payouts(None, false));
    let source = schemas::state::FactSource { partition: 0, offset: 0 };
    let moved = |to: i64| {
        let clock = TestClockFact { advanced_to: Timestamp(to), event_id: "tcevt_1".to_owned(), times: 1, source };
        OrderState { test_clock: Some(clock), ..order(1_000, "NPR") }
    };
    let found = in_mode(&moved(SETTLED - 1), &registry, false, T0);
    assert_eq!((found.state, found.next_due), (Payable, Some(Timestamp(SETTLED))));
    assert_eq!(in_mode(&moved(SETTLED), &registry, false, T0).state, Paid);
}

const KEY: &[u8] = b"m1/test/O-1";

pub(crate) fn of_order<R: AvroRecord>(record: &R) -> Message {
    message(&CONVERSIONS, KEY.to_vec(), record)
}

pub(crate) fn moved(advanced_to: i64) -> TestClockAdvanced {
    TestClockAdvanced {
        event_id: format!("tcevt_{advanced_to}"),
        merchant_id: "m1".to_owned(),
        livemode: false,
        external_order_id: "O-1".to_owned(),
        advanced_to: Timestamp(advanced_to),
        received_at: Timestamp(T0),
        idempotency: None,
    }
}

fn updated(kind: ReportedStatus) -> Message {
    of_order(&OrderStatusReported { livemode: false, ..status(kind, None, T0 + SECOND) })
}

/// A confirmed test order with its click, held for 30 days.
fn held() -> World {
    let mut world = World::with(&with_payouts(None, false), Limits::default());
    world.send(clicked(&click())).send(of_order(&ConversionReported { livemode: false, ..report() }));
    assert_eq!(world.conversion().state, Hold);
    world
}

/// What the last revision tells.
fn told(world: &World) -> Vec<(ConversionState, CauseType, bool)> {
    world.conversion().timeline.into_iter().map(|it| (it.state, it.cause.kind, it.cause.applied)).collect()
}

/// A simulated payout moves no money, and no payout is made.
fn moves_no_money(world: &mut World, payable: i64) {
    world.at(T0 + 399 * DAY);
    assert_eq!(world.balances(), [0, payable, -payable]);
    let payouts: Vec<PayoutChanged> = world.all(&topics::PAYOUTS);
    assert!(payouts.is_empty(), "{payouts:?}");
    let entries: Vec<LedgerEntry> = world.all(&topics::LEDGER_ENTRIES);
    assert!(entries.iter().all(|entry| !entry.livemode), "{entries:?}");
}

#[test]
fn a_clock_that_is_moved_past_all_passes_every_state() {
    let mut world = held();
    world.send(of_order(&moved(SETTLED)));
    let expected = [(Payable, CauseType::TestClock, true), (Paid, CauseType::PayoutSimulated, true)];
    assert_eq!(told(&world), expected);
    let conversion = world.conversion();
    assert_eq!(conversion.explanation.expect("an explanation").state_reason, StateReason::PayoutSimulated);
    let states: Vec<_> = world.commissions().into_iter().map(|it| it.state).collect();
    assert_eq!(states, [CommissionState::Held, CommissionState::Paid]);
    moves_no_money(&mut world, COMMISSION);
}

#[test]
fn a_clock_that_is_moved_step_by_step_is_told_with_each() {
    let mut world = held();
    world.send(of_order(&moved(T0 + 30 * DAY))).send(of_order(&moved(SETTLED - 1)));
    assert_eq!(told(&world), [(Payable, CauseType::TestClock, false)]);
    world.send(of_order(&moved(SETTLED)));
    let expected = [(Payable, CauseType::TestClock, true), (Paid, CauseType::PayoutSimulated, true)];
    assert_eq!(told(&world), expected);
    world.send(of_order(&moved(SETTLED + 1)));
    assert_eq!(told(&world), [(Paid, CauseType::TestClock, false)]);
    moves_no_money(&mut world, COMMISSION);
}

#[test]
fn without_a_moved_clock_timers_do_it_when_everybodys_time_gets_there() {
    let mut world = held();
    world.at(SETTLED - 1);
    assert_eq!(told(&world), [(Payable, CauseType::HoldElapsed, true)]);
    world.at(SETTLED);
    assert_eq!(told(&world), [(Paid, CauseType::PayoutSimulated, true)]);
    let revision = world.conversion().revision;
    world.at(SETTLED + 400 * DAY);
    assert_eq!(world.conversion().revision, revision);
    // One that was away meanwhile tells both at once.
    let mut away = held();
    away.at(SETTLED);
    let expected = [(Payable, CauseType::HoldElapsed, true), (Paid, CauseType::PayoutSimulated, true)];
    assert!(told(&away) == expected || told(&away) == expected[1..], "{:?}", told(&away));
}

/// Its own hold ends after the cut-off that paid the order, which has its time then by a later one.
#[test]
fn a_delivery_that_is_late_to_come_takes_a_test_order_out_of_paid() {
    let delivered = CUT_OFF + 3 * WEEK;
    assert!(
        (T0..T0 + 30 * DAY).contains(&delivered) && delivered + 14 * DAY > SETTLED,
        "in the hold, and past the cut-off"
    );
    check(&[], SETTLED, Paid, None);
    check(&[(Delivered, delivered)], SETTLED, Hold, Some(delivered + 14 * DAY));
    // Its hold ends at the very cut-off, so that it is of the next one.
    check(&[(Delivered, delivered)], SETTLED + WEEK, Payable, Some(SETTLED + 2 * WEEK));
    check(&[(Delivered, delivered)], SETTLED + 2 * WEEK, Paid, None);
}

#[test]
fn after_it_nothing_but_a_reversal_counts() {
    let mut world = held();
    world.send(of_order(&moved(SETTLED)));
    world.send(updated(Delivered)).send(updated(CommissionApproved));
    assert_eq!(told(&world), [(Paid, CauseType::OrderStatus, false)]);
    world.send(updated(Refunded));
    assert_eq!(told(&world), [(Reversed, CauseType::OrderStatus, true)]);
    assert_eq!(world.commissions().last().map(|it| it.state), Some(CommissionState::Reversed));
    moves_no_money(&mut world, 0);
}

#[test]
fn a_clock_and_statuses_end_alike_in_any_order() {
    let messages = || [of_order(&moved(SETTLED)), updated(Delivered), updated(CommissionApproved)];
    for turn in 0..3 {
        let mut world = held();
        for message in messages().into_iter().cycle().skip(turn).take(3) {
            world.send(message);
        }
        assert_eq!(world.conversion().state, Paid, "{turn}");
    }
}
