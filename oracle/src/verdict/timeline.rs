//! What the timelines tell, against the log.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Timestamp;
use schemas::records::{CauseType, ConversionTransitioned, OrderStatusReported, ReportedStatus, ReviewDecided};

use super::orders::differs;
use crate::committed::{Advance, Committed};
use crate::fault::{Faults, Invariant};

/// Of more updates and conflicts than these a conversion tells no more.
const TOLD_MAX: usize = 100;

/// What tells two updates of an order apart.
type Update = (ReportedStatus, Option<Timestamp>, Option<i64>);

/// Each fact of the log stands in the timeline of its order once.
pub(super) fn check(committed: &Committed, faults: &mut Faults) {
    for (key, revisions) in &committed.conversions {
        let Some((report, resent)) = committed.reports.get(key).and_then(|all| all.split_first()) else { continue };
        let conflicts: Vec<&str> =
            resent.iter().filter(|it| differs(it, report)).map(|it| &*it.event_id).take(TOLD_MAX).collect();
        let updates = committed.statuses.get(key).map_or(&[][..], Vec::as_slice);
        let told = told(revisions);
        let events = |kind| told.get(&kind).cloned().unwrap_or_default();
        same(key, "the report", &events(CauseType::Reported), &[&report.event_id], faults);
        same(key, "conflicts", &events(CauseType::Conflict), &conflicts, faults);
        tells_updates(key, &events(CauseType::OrderStatus), updates, faults);
        let decided = committed.reviews.get(key).map_or(&[][..], Vec::as_slice);
        tells_reviews(key, &events(CauseType::Review), decided, faults);
        tells_clocks(key, &events(CauseType::TestClock), committed.clocks.get(key).map_or(&[], Vec::as_slice), faults);
        let own = committed.verdicts.get(key).is_some_and(|verdict| verdict.click.merchant_id == report.merchant_id);
        for (what, kind, times) in [
            ("its click", CauseType::Click, usize::from(own)..=usize::from(own)),
            ("the end of its wait", CauseType::ClickWaitElapsed, 0..=1),
        ] {
            let found = events(kind).len();
            faults.check(Invariant::Timeline, times.contains(&found), || {
                format!("{key}: the timeline tells of {what} {found} times, and must {times:?} times")
            });
        }
    }
}

/// The events that the revisions tell of, by kind; those without an event are in there as empty ones. One revision may
/// tell of an event in several entries.
fn told(revisions: &[ConversionTransitioned]) -> BTreeMap<CauseType, Vec<String>> {
    let mut told: BTreeMap<CauseType, Vec<String>> = BTreeMap::new();
    for revision in revisions {
        let of_revision: BTreeSet<(CauseType, String)> = revision
            .timeline
            .iter()
            .map(|entry| (entry.cause.kind, entry.cause.event_id.clone().unwrap_or_default()))
            .collect();
        for (kind, event) in of_revision {
            told.entry(kind).or_default().push(event);
        }
    }
    told
}

fn same(key: &str, what: &str, told: &[String], logged: &[&str], faults: &mut Faults) {
    let (mut told, mut logged) = (told.iter().map(|it| &**it).collect::<Vec<_>>(), logged.to_vec());
    told.sort_unstable();
    logged.sort_unstable();
    faults.check(Invariant::Timeline, told == logged, || {
        format!("{key}: of {what} the timeline tells {told:?}, and the log {logged:?}")
    });
}

/// Each decision is told, and one whose message came twice perhaps as often; of many that came too late not all.
fn tells_reviews(key: &str, told: &[String], logged: &[(ReviewDecided, usize)], faults: &mut Faults) {
    let told: BTreeSet<&str> = told.iter().map(|it| &**it).collect();
    let logged: BTreeSet<&str> = logged.iter().map(|(it, _)| &*it.event_id).collect();
    faults.check(Invariant::Timeline, told == logged || logged.len() > TOLD_MAX, || {
        format!("{key}: of decisions the timeline tells {told:?}, and the log {logged:?}")
    });
}

/// Of an update that is in the log under several events, one stands for all.
fn tells_updates(key: &str, told: &[String], logged: &[OrderStatusReported], faults: &mut Faults) {
    let by_event: BTreeMap<&str, Update> =
        logged.iter().map(|it| (&*it.event_id, (it.status, it.status_updated_at, it.refunded_thousandths))).collect();
    let expected: BTreeSet<Update> = by_event.values().copied().collect();
    if expected.len() > TOLD_MAX {
        return;
    }
    // One that was received earlier than was known may move a state without being news: it has no event.
    let told: Vec<&String> = told.iter().filter(|event| !event.is_empty()).collect();
    let mut found: Vec<Option<Update>> = told.iter().map(|event| by_event.get(&***event).copied()).collect();
    found.sort_unstable();
    faults.check(Invariant::Timeline, found == expected.iter().copied().map(Some).collect::<Vec<_>>(), || {
        format!("{key}: the timeline tells of the updates {told:?}, and the log of {expected:?}")
    });
}

/// Each event that made an order's time later is told once; of those before the report only the last is.
fn tells_clocks(key: &str, told: &[String], logged: &[Advance], faults: &mut Faults) {
    let (mut latest, mut times, mut expected) = (Timestamp::MIN, 0, Vec::new());
    for Advance { advanced, reported } in logged.iter() {
        if advanced.advanced_to <= latest {
            continue;
        }
        (latest, times) = (advanced.advanced_to, times + 1);
        if !reported {
            expected.clear();
        }
        expected.push(&*advanced.event_id);
    }
    if times <= TOLD_MAX {
        same(key, "its moved clock", told, &expected, faults);
    }
}
