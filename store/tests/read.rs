//! What a reader sees, before and after the feeder came by.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{World, claim, id, message, publish, report, transition, wait};
use schemas::records::{CauseType, ConversionState};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use store::{Claims, ConversionView, EmbeddedStore, ReadModel};
use streams::log::Limits;

fn view(store: &EmbeddedStore, order: &str) -> Option<ConversionView> {
    wait(ReadModel::conversion(store, id(order))).expect("read")
}

#[test]
fn a_report_can_be_read_before_it_is_fed() {
    let world = World::new();
    let process = world.start();
    assert_eq!(view(&process.store, "A"), None);
    let report = report("A", "cnvevt_1");
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
    wait(process.store.claim_conversion(id("A"), &claim(&report, offset))).expect("claimed");
    let found = view(&process.store, "A").expect("there");
    assert_eq!((found.conversion.state, found.conversion.revision), (ConversionState::Received, 0));
    assert_eq!((found.conversion.confidence, found.conversion.commission), (None, None));
    assert_eq!((found.conversion.ordered_at, &found.conversion.metadata), (report.received_at, &report.metadata));
    let [entry] = found.timeline.as_slice() else { panic!("one entry") };
    assert_eq!((entry.seq, entry.state, entry.at), (1, ConversionState::Received, report.received_at));
    assert_eq!((entry.cause.kind, entry.cause.event_id.as_deref()), (CauseType::Reported, Some("cnvevt_1")));
}

#[test]
fn a_report_can_be_read_wherever_it_is_in_its_frame() {
    let world = World::new();
    let mut process = world.start();
    let orders: Vec<String> = (0..40).map(|number| format!("A-{number}")).collect();
    publish(&process.log, vec![message(CONVERSIONS, &report("B", "cnvevt_0"))]);
    publish(&process.log, orders.iter().map(|order| message(CONVERSIONS, &report(order, "cnvevt_1"))).collect());
    process.catch_up();
    for order in &orders {
        let found = view(&process.store, order).unwrap_or_else(|| panic!("{order}"));
        assert_eq!(&found.conversion.external_order_id, order);
    }
}

#[test]
fn a_claim_that_leads_nowhere_is_an_error_and_not_absence() {
    let world = World::new();
    let process = world.start();
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report("B", "cnvevt_1"))]);
    for (order, offset) in [("A", offset), ("C", offset + 3), ("D", 1 << 40)] {
        let claim = claim(&report(order, "cnvevt_1"), offset);
        wait(process.store.claim_conversion(id(order), &claim)).expect("claimed");
        let error = wait(ReadModel::conversion(&process.store, id(order))).expect_err("no report of it");
        assert!(error.0.contains(&id(order).to_string()), "{error}");
    }
}

#[test]
fn timelines_are_merged_across_revisions_in_any_order() {
    let world = World::new();
    let mut process = world.start();
    publish(&process.log, vec![message(CONVERSIONS, &report("A", "cnvevt_1"))]);
    for revision in [2, 4, 1, 3, 2] {
        publish(&process.log, vec![message(TRANSITIONS, &transition("A", revision))]);
    }
    publish(&process.log, vec![message(TRANSITIONS, &transition("B", 1))]);
    process.catch_up();
    let found = view(&process.store, "A").expect("there");
    let last = transition("A", 4);
    assert_eq!(found.timeline.last(), last.timeline.last());
    assert_eq!(found.timeline.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let mut expected = last;
    expected.timeline.clear();
    assert_eq!(found.conversion, expected);
}

#[test]
fn a_view_is_of_one_revision_while_it_is_fed() {
    let world = World::new();
    let mut process = world.start();
    let done = AtomicBool::new(false);
    let (store, log, feeder) = (&process.store, &process.log, &mut process.feeder);
    thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=300 {
                let messages = ["A", "B"].map(|order| message(TRANSITIONS, &transition(order, revision)));
                publish(log, messages.to_vec());
                while store.applied_position() < log.durable() {
                    feeder.step(&Limits::default(), Duration::ZERO).expect("fed");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let Some(found) = view(store, "B") else { continue };
            assert_eq!(found.timeline.len() as i64, 2 * found.conversion.revision);
        }
    });
}
