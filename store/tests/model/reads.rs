//! What a reader sees, before and after a conversion is materialized, whichever store it is in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use schemas::records::{CauseType, ConversionState, ConversionTransitioned};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use store::{Claims, ConversionView, ReadModel};

use super::common::{claim, id, report, transition};
use super::side::{Embedded, Server, Side};

/// Makes two tests of each function: one on each store.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(&<super::Embedded as super::Side>::new()); })+
        }
        mod cql {
            $(#[test] fn $name() { super::$name(&<super::Server as super::Side>::new()); })+
        }
    };
}
pub(crate) use on_both_stores;

on_both_stores!(
    a_report_can_be_read_before_it_is_materialized,
    a_claim_that_leads_nowhere_is_an_error_and_not_absence,
    timelines_are_merged_across_revisions_in_any_order,
    what_a_later_revision_no_longer_has_is_gone,
    a_view_is_of_one_revision_while_it_is_fed,
);

fn view<S: Side>(side: &S, order: &str) -> Option<ConversionView> {
    side.wait(side.model().conversion(id(order))).expect("read")
}

fn a_report_can_be_read_before_it_is_materialized<S: Side>(side: &S) {
    assert_eq!(view(side, "A"), None);
    let report = report("A", "cnvevt_1");
    side.report(&report);
    let found = view(side, "A").expect("there");
    assert_eq!((found.conversion.state, found.conversion.revision), (ConversionState::Received, 0));
    assert_eq!((found.conversion.confidence, found.conversion.commission), (None, None));
    assert_eq!((found.conversion.ordered_at, &found.conversion.metadata), (report.received_at, &report.metadata));
    let [entry] = found.timeline.as_slice() else { panic!("one entry") };
    assert_eq!((entry.seq, entry.state, entry.at), (1, ConversionState::Received, report.received_at));
    assert_eq!((entry.cause.kind, entry.cause.event_id.as_deref()), (CauseType::Reported, Some("cnvevt_1")));
}

fn a_claim_that_leads_nowhere_is_an_error_and_not_absence<S: Side>(side: &S) {
    let offset = side.publish(CONVERSIONS, &[report("B", "cnvevt_1")]);
    for (order, offset) in [("A", offset), ("C", offset + 3), ("D", 1 << 40)] {
        let claim = claim(&report(order, "cnvevt_1"), offset);
        side.wait(side.claims().claim_conversion(id(order), &claim)).expect("claimed");
        let error = side.wait(side.model().conversion(id(order))).expect_err("no report of it");
        assert!(error.0.contains(&id(order).to_string()), "{error}");
    }
}

fn timelines_are_merged_across_revisions_in_any_order<S: Side>(side: &S) {
    side.report(&report("A", "cnvevt_1"));
    for revision in [2, 4, 1, 3, 2] {
        side.publish(TRANSITIONS, &[transition("A", revision)]);
        side.catch_up();
    }
    side.publish(TRANSITIONS, &[transition("B", 1)]);
    side.catch_up();
    let found = view(side, "A").expect("there");
    let last = transition("A", 4);
    assert_eq!(found.timeline.last(), last.timeline.last());
    assert_eq!(found.timeline.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(found.conversion, ConversionTransitioned { timeline: Vec::new(), ..last });
}

fn what_a_later_revision_no_longer_has_is_gone<S: Side>(side: &S) {
    let full = ConversionTransitioned {
        affiliate_id: Some("aff_1".to_owned()),
        suggested_affiliate_id: Some("aff_2".to_owned()),
        coupon_code: Some("AFF10".to_owned()),
        ..transition("A", 1)
    };
    let bare = ConversionTransitioned { affiliate_id: None, click_id: None, coupon_code: None, ..transition("A", 2) };
    let expected = ConversionTransitioned { timeline: Vec::new(), ..bare.clone() };
    // The first is written again, as whoever starts anew does.
    for revisions in [vec![full.clone()], vec![bare], vec![full]] {
        side.publish(TRANSITIONS, &revisions);
        side.catch_up();
    }
    assert_eq!(view(side, "A").expect("there").conversion, expected);
}

fn a_view_is_of_one_revision_while_it_is_fed<S: Side>(side: &S) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=150 {
                side.publish(TRANSITIONS, &["A", "B"].map(|order| transition(order, revision)));
                side.catch_up();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let Some(found) = view(side, "B") else { continue };
            assert_eq!(found.timeline.len() as i64, 2 * found.conversion.revision);
            assert_eq!(found.conversion.amount_minor, found.conversion.revision);
        }
    });
}
