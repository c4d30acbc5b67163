//! The time of a test order, which an integrator moves forward.

use processors::orders::{ADVANCE_MS_MAX, ADVANCES_MAX};
use schemas::records::{
    CauseType, ConfidenceReason, ConversionReported, ConversionState, OrderStatusReported, ReportedStatus,
    TestClockAdvanced, TimelineEntry,
};
use schemas::topics::CONVERSIONS;
use schemas::{AvroRecord, Timestamp};
use streams::Message;

use crate::world::{DAY, SECOND, T0, World, click, clicked, message, report, status};

const KEY: &[u8] = b"m1/test/O-1";

fn of_order<R: AvroRecord>(record: &R) -> Message {
    message(&CONVERSIONS, KEY.to_vec(), record)
}

fn test_report() -> ConversionReported {
    ConversionReported { livemode: false, ..report() }
}

fn clock(number: u32, advanced_to: i64, received_at: i64) -> TestClockAdvanced {
    TestClockAdvanced {
        event_id: format!("tcevt_{number}"),
        merchant_id: "m1".to_owned(),
        livemode: false,
        external_order_id: "O-1".to_owned(),
        advanced_to: Timestamp(advanced_to),
        received_at: Timestamp(received_at),
        idempotency: None,
    }
}

fn moved(number: u32, advanced_to: i64) -> Message {
    of_order(&clock(number, advanced_to, T0))
}

/// A confirmed test order with its click, held for 30 days.
fn held() -> World {
    let mut world = World::new();
    world.send(clicked(&click())).send(of_order(&test_report()));
    assert_eq!(world.conversion().state, ConversionState::Hold);
    assert_eq!(world.conversion().hold_until, Some(Timestamp(T0 + 30 * DAY)));
    world
}

/// What the timeline tells of moved clocks: the state entered, the event, and whether it changed anything.
fn told(world: &World) -> Vec<(ConversionState, String, bool)> {
    let entries = world.transitions().into_iter().flat_map(|it| it.timeline);
    let of_clock = entries.filter(|it| it.cause.kind == CauseType::TestClock);
    of_clock.map(|it| (it.state, it.cause.event_id.expect("an event"), it.cause.applied)).collect()
}

fn last(world: &World) -> TimelineEntry {
    world.conversion().timeline.pop().expect("an entry")
}

#[test]
fn a_hold_ends_by_the_orders_own_time_to_the_millisecond() {
    let mut world = held();
    world.send(moved(1, T0 + 30 * DAY - 1));
    assert_eq!(world.conversion().state, ConversionState::Hold);
    assert_eq!((world.balances(), world.now()), ([35_988, 0, -35_988], T0));
    world.send(moved(2, T0 + 30 * DAY));
    assert_eq!(world.conversion().state, ConversionState::Payable);
    assert_eq!(world.balances(), [0, 35_988, -35_988]);
    // It is told when it happened, by everybody's time.
    assert_eq!((world.conversion().at, last(&world).at), (Timestamp(T0), Timestamp(T0)));
    let expected =
        [(ConversionState::Hold, "tcevt_1".to_owned(), false), (ConversionState::Payable, "tcevt_2".to_owned(), true)];
    assert_eq!(told(&world), expected);
    // The timer that was set for the hold is gone, and nothing happens again when everybody's time gets there.
    let revision = world.conversion().revision;
    world.at(T0 + 31 * DAY);
    assert_eq!(world.conversion().revision, revision);
}

#[test]
fn the_latest_instant_counts_in_any_order_and_never_backwards() {
    let moves = [(1, T0 + 40 * DAY), (2, T0 + DAY), (3, T0 - DAY), (1, T0 + 40 * DAY), (4, T0 + 40 * DAY)];
    for turn in 0..moves.len() {
        let mut world = held();
        for (number, at) in moves.iter().cycle().skip(turn).take(moves.len()) {
            world.send(moved(*number, *at));
        }
        assert_eq!(world.conversion().state, ConversionState::Payable, "{turn}");
        let applied = told(&world).iter().filter(|(.., applied)| *applied).count();
        assert_eq!(applied, 1, "{turn}: {:?}", told(&world));
    }
    // What does not make it later is no news at all.
    let mut world = held();
    world.send(moved(1, T0 + DAY));
    let revision = world.conversion().revision;
    world.send(moved(1, T0 + DAY)).send(moved(2, T0 + DAY)).send(moved(3, T0 - DAY));
    assert_eq!(world.conversion().revision, revision);
}

#[test]
fn an_order_s_time_goes_on_with_everybodys() {
    let mut world = held();
    world.send(moved(1, T0 + DAY));
    world.at(T0 + 30 * DAY - 1);
    assert_eq!(world.conversion().state, ConversionState::Hold);
    world.at(T0 + 30 * DAY);
    assert_eq!(world.conversion().state, ConversionState::Payable);
    assert_eq!(last(&world).cause.kind, CauseType::HoldElapsed);
}

#[test]
fn what_starts_a_clock_later_is_behind_the_orders_time() {
    let mut world = held();
    world.send(moved(1, T0 + 20 * DAY));
    let delivered = OrderStatusReported { livemode: false, ..status(ReportedStatus::Delivered, None, T0 + SECOND) };
    world.send(of_order(&delivered));
    assert_eq!(world.conversion().hold_until, Some(Timestamp(T0 + SECOND + 14 * DAY)));
    assert_eq!(world.conversion().state, ConversionState::Payable);
}

#[test]
fn the_wait_for_a_click_ends_too_and_a_late_click_still_counts() {
    let mut world = World::new();
    world.send(of_order(&test_report()));
    assert_eq!(world.conversion().confidence, None);
    world.send(moved(1, T0 + 60 * SECOND - 1));
    assert_eq!(world.conversion().confidence, None);
    world.send(moved(2, T0 + 60 * SECOND));
    assert_eq!(world.conversion().confidence_reason, Some(ConfidenceReason::ClickUnknown));
    world.send(clicked(&click()));
    assert_eq!(world.conversion().state, ConversionState::Hold);
    world.at(T0 + 60 * SECOND);
    assert_eq!(world.conversion().state, ConversionState::Hold);
}

#[test]
fn it_waits_for_its_order_as_a_status_does() {
    let mut world = World::new();
    world.send(clicked(&click())).send(moved(1, T0 + DAY)).send(moved(2, T0 + 30 * DAY)).send(moved(3, T0));
    assert!(world.transitions().is_empty());
    world.send(of_order(&test_report()));
    assert_eq!(world.conversion().state, ConversionState::Payable);
    // Only the last is told; it ended the wait for the click, which is asked for once there is an order.
    assert_eq!(told(&world), [(ConversionState::Received, "tcevt_2".to_owned(), true)]);

    let mut in_vain = World::new();
    in_vain.send(clicked(&click())).send(moved(1, T0 + 59 * SECOND)).send(of_order(&test_report()));
    assert_eq!(told(&in_vain), [(ConversionState::Received, "tcevt_1".to_owned(), false)]);
}

#[test]
fn a_live_orders_time_and_one_too_far_ahead_are_refused() {
    let check = |key: &[u8], record: TestClockAdvanced, refused: bool| {
        let mut world = held();
        world.send(message(&CONVERSIONS, key.to_vec(), &record));
        let reasons: Vec<String> = world.dead_letters().into_iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, if refused { vec!["out_of_range"] } else { vec![] }, "{record:?}");
        let state = if refused { ConversionState::Hold } else { ConversionState::Payable };
        assert_eq!(world.conversion().state, state, "{record:?}");
    };
    check(KEY, clock(1, T0 + ADVANCE_MS_MAX, T0), false);
    check(KEY, clock(1, T0 + ADVANCE_MS_MAX + 1, T0), true);
    check(KEY, clock(1, i64::MAX, T0), true);
    check(b"m1/live/O-1", TestClockAdvanced { livemode: true, ..clock(1, T0 + DAY, T0) }, true);
}

#[test]
fn the_timeline_is_bounded_however_often_it_is_moved() {
    let mut world = held();
    for number in 0..2 * u32::try_from(ADVANCES_MAX).expect("a hundred") {
        world.send(moved(number, T0 + i64::from(number) + 1));
    }
    assert_eq!(told(&world).len(), usize::try_from(ADVANCES_MAX).expect("a hundred"));
    world.send(moved(1_000, T0 + 30 * DAY));
    assert_eq!(world.conversion().state, ConversionState::Payable);
    assert_eq!(told(&world).last(), Some(&(ConversionState::Payable, "tcevt_1000".to_owned(), true)));
}
