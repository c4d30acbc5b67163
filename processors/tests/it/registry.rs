//! A registry that changes while orders are under way: it touches only what is not attributed yet.

use schemas::Timestamp;
use schemas::records::{
    Confidence, ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned, ReportedStatus,
};

use crate::world::{CHANGED, DAY, SECOND, T0, World, click, clicked, report, reported, status, updated};

fn order(id: &str, received_at: i64) -> ConversionReported {
    ConversionReported {
        external_order_id: id.to_owned(),
        event_id: format!("cnvevt_{id}"),
        received_at: Timestamp(received_at),
        ..report()
    }
}

/// The last transition of an order.
#[track_caller]
fn last(world: &World, id: &str) -> ConversionTransitioned {
    world.transitions().into_iter().rfind(|it| it.external_order_id == id).expect("a transition")
}

/// What the terms of an order decide: amount, rule and end of the hold.
#[track_caller]
fn terms(world: &World, id: &str) -> (i64, String, i64) {
    let conversion = last(world, id);
    let commission = conversion.commission.expect("a commission");
    (commission.amount_minor, commission.rule_id, conversion.hold_until.expect("a hold").0)
}

#[test]
fn an_attributed_order_keeps_its_terms() {
    // What is left of the registry need not even know its merchant.
    for registry in [CHANGED, ""] {
        let mut world = World::new();
        world.send(clicked(&click())).send(reported(&order("O-1", T0)));
        let before = terms(&world, "O-1");
        assert_eq!(before, (35_988, "r-product".to_owned(), T0 + 30 * DAY));
        let transitions = world.transitions().len();
        world.set_registry(registry).at(T0 + DAY);
        assert_eq!(world.transitions().len(), transitions, "a change of the registry alone changes no order");
        world.send(updated(&status(ReportedStatus::Paid, Some(T0 + DAY), T0 + DAY)));
        assert_eq!(terms(&world, "O-1"), before);
        world.send(updated(&status(ReportedStatus::Delivered, Some(T0 + 2 * DAY), T0 + 2 * DAY)));
        assert_eq!(terms(&world, "O-1"), (35_988, "r-product".to_owned(), T0 + 16 * DAY));
        world.at(T0 + 16 * DAY - 1);
        assert_eq!(last(&world, "O-1").state, ConversionState::Hold);
        world.at(T0 + 16 * DAY);
        assert_eq!(last(&world, "O-1").state, ConversionState::Payable);
        assert_eq!(world.balances(), [0, 35_988, -35_988]);
        assert!(world.dead_letters().is_empty());
    }
}

#[test]
fn an_order_reported_after_the_change_is_under_the_new_terms() {
    let mut world = World::new();
    world.send(clicked(&click())).set_registry(CHANGED).send(reported(&order("O-1", T0)));
    assert_eq!(terms(&world, "O-1"), (59_980, "r-product".to_owned(), T0 + 10 * DAY));
}

#[test]
fn an_order_that_awaits_its_click_is_under_the_terms_of_its_attribution() {
    let mut world = World::new();
    world.send(reported(&order("O-1", T0))).set_registry(CHANGED).send(clicked(&click()));
    assert_eq!(terms(&world, "O-1"), (59_980, "r-product".to_owned(), T0 + 10 * DAY));
    world.set_registry(crate::world::REGISTRY);
    world.send(updated(&status(ReportedStatus::Paid, Some(T0 + DAY), T0 + DAY)));
    assert_eq!(
        terms(&world, "O-1"),
        (59_980, "r-product".to_owned(), T0 + 10 * DAY),
        "and from then on under no other"
    );
}

#[test]
fn a_click_is_awaited_as_long_as_when_its_order_was_reported() {
    let confidence = |world: &World, id| last(world, id).confidence;
    let mut world = World::new();
    world.send(reported(&order("O-1", T0))).set_registry(CHANGED).send(reported(&order("O-2", T0)));
    world.at(T0 + 60 * SECOND - 1);
    assert_eq!((confidence(&world, "O-1"), confidence(&world, "O-2")), (None, None));
    world.at(T0 + 60 * SECOND);
    assert_eq!((confidence(&world, "O-1"), confidence(&world, "O-2")), (Some(Confidence::Low), None));
    world.at(T0 + 600 * SECOND - 1);
    assert_eq!(confidence(&world, "O-2"), None);
    world.at(T0 + 600 * SECOND);
    assert_eq!(confidence(&world, "O-2"), Some(Confidence::Low));
}

#[test]
fn a_click_is_kept_as_long_as_when_it_came() {
    let shorter = CHANGED.replace("[policies]\n", "[policies]\nclick_retention = \"40d\"\n");
    let later = || clicked(&schemas::records::ClickRecorded { click_id: "clk_2".to_owned(), ..click() });
    let mut world = World::new();
    world.send(clicked(&click())).set_registry(&shorter).send(later()).at(T0 + 50 * DAY);
    let second = ConversionReported { click_id: Some("clk_2".to_owned()), ..order("O-2", T0 + 50 * DAY) };
    world.send(reported(&order("O-1", T0 + 50 * DAY))).send(reported(&second)).at(T0 + 51 * DAY);
    assert_eq!(last(&world, "O-1").confidence, Some(Confidence::High));
    assert_eq!(last(&world, "O-2").confidence_reason, Some(ConfidenceReason::ClickUnknown));
}
