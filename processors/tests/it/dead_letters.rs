//! Records that cannot be taken go to the dead letters, and nothing else happens to them.

use schemas::records::{ConversionReported, ConversionState, OrderStatusReported, ReportedStatus};
use schemas::topics;
use streams::Message;

use crate::world::{T0, World, click, clicked, key, message, report, reported, status, updated};

#[track_caller]
fn check(bad: Message, reason: &str) {
    let mut world = World::new();
    let value = bad.value.clone();
    world.send(clicked(&click())).send(bad).send(reported(&report()));
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].reason.as_str(), letters[0].offset), (reason, 1));
    assert_eq!(letters[0].value, value);
    assert_eq!(world.transitions().len(), 2, "the partition goes on");
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason() {
    let raw = |value: &[u8]| Message { value: value.to_vec(), ..reported(&report()) };
    check(raw(b""), "undecodable");
    check(raw(b"not avro at all"), "undecodable");
    check(raw(&schemas::encode(&click())), "undecodable");
    let cut = reported(&report()).value;
    check(raw(&cut[..cut.len() - 1]), "undecodable");
    check(reported(&ConversionReported { amount_minor: -1, ..report() }), "out_of_range");
    check(reported(&ConversionReported { amount_minor: 100_000_000_000_000_000, ..report() }), "out_of_range");
    let refund = |kind: ReportedStatus, thousandths: i64| {
        updated(&OrderStatusReported { refunded_thousandths: Some(thousandths), ..status(kind, None, T0) })
    };
    check(refund(ReportedStatus::Refunded, 0), "out_of_range");
    check(refund(ReportedStatus::Refunded, 1_000_000_000_000_000_000), "out_of_range");
    check(refund(ReportedStatus::Cancelled, 1_000), "out_of_range");
    check(message(&topics::CONVERSIONS, key("O-2"), &report()), "wrong_key");
    let nameless = ConversionReported { merchant_id: "m/1".to_owned(), ..report() };
    check(message(&topics::CONVERSIONS, key("O-1"), &nameless), "out_of_range");
    let long = ConversionReported { external_order_id: "x".repeat(161), ..report() };
    check(reported(&long), "out_of_range");
    check(message(&topics::CLICKS, b"clk_2".to_vec(), &click()), "wrong_key");
    let reused = schemas::records::ClickRecorded { affiliate_id: "a2".to_owned(), ..click() };
    check(clicked(&reused), "click_id_reused");
}

#[test]
fn facts_of_one_order_are_bounded_and_a_cancellation_still_counts() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    for number in 0..3 * processors::orders::UPDATES_MAX as i64 {
        let kind = if number % 2 == 0 { ReportedStatus::Confirmed } else { ReportedStatus::Pending };
        world.send(updated(&status(kind, Some(T0 + number), T0 + number)));
    }
    let entries = |world: &World| world.transitions().iter().map(|it| it.timeline.len()).sum::<usize>();
    assert!(entries(&world) <= processors::orders::UPDATES_MAX + 10, "the timeline is bounded: {}", entries(&world));
    for number in 0..=i64::from(processors::orders::CONFLICTS_MAX) {
        world.send(reported(&ConversionReported { amount_minor: number, ..report() }));
    }
    assert_eq!(world.conversion().conflicts, processors::orders::CONFLICTS_MAX);
    world.send(updated(&status(ReportedStatus::Cancelled, Some(T0 + 1), T0 + 2_000)));
    assert_eq!(world.conversion().state, ConversionState::Reversed);
    assert_eq!(world.balances(), [0, 0, 0]);
    assert!(world.dead_letters().is_empty(), "{:?}", world.dead_letters());
}

#[test]
fn of_too_many_partial_refunds_the_first_count_in_any_order_of_arrival() {
    let most = i64::try_from(processors::orders::REFUNDS_MAX).expect("a hundred");
    let end = |numbers: &mut dyn Iterator<Item = i64>| {
        let mut world = World::new();
        world.send(clicked(&click())).send(reported(&report()));
        for number in numbers {
            let refund = status(ReportedStatus::Refunded, Some(T0 + number), T0);
            world.send(updated(&OrderStatusReported { refunded_thousandths: Some(1_000 + number), ..refund }));
        }
        // What is not among refunds does not push them out, nor they it.
        for number in 0..=i64::try_from(processors::orders::UPDATES_MAX).expect("a hundred") {
            world.send(updated(&status(ReportedStatus::Confirmed, Some(T0 + number), T0)));
        }
        assert!(world.dead_letters().is_empty(), "{:?}", world.dead_letters());
        (world.conversion().refunded_thousandths, world.balances())
    };
    let kept: i64 = (0..most).map(|number| 1_000 + number).sum();
    let expected = (Some(kept), [35_988 - kept * 12 / 1_000, 0, kept * 12 / 1_000 - 35_988]);
    assert_eq!(end(&mut (0..most)), expected);
    assert_eq!(end(&mut (0..most + 20)), expected);
    assert_eq!(end(&mut (0..most + 20).rev()), expected);
    assert_eq!(end(&mut (0..most + 20).chain(0..most + 20)), expected, "each counts once");
}

#[test]
fn no_affiliate_is_too_rich_for_the_ledger() {
    let mut world = World::new();
    world.send(clicked(&click()));
    let amount_minor = 99_999_999_999_999_999;
    for number in 0..2_000 {
        let external_order_id = format!("O-{number}");
        world.write(reported(&ConversionReported { external_order_id, amount_minor, ..report() }));
    }
    world.settle();
    assert!(world.dead_letters().is_empty(), "{:?}", world.dead_letters().first());
    assert_eq!(world.last_balance(schemas::records::Account::AffiliatePending), 2_000 * 12_000_000_000_000_000_i128);
}
