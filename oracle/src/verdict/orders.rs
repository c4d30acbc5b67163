//! Every order's end.

use std::time::Duration;

use schemas::Timestamp;
use schemas::records::{
    CauseType, Confidence, ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned,
};

use crate::committed::Committed;
use crate::facts::Facts;
use crate::fault::{Faults, Invariant};
use crate::mission::{self, End, Now, Order, Reviews};

/// Of an order that no reviewer has looked at.
static NOTHING_DECIDED: Reviews = Reviews { decided: None, set_aside: None };
/// Most re-sends that a conversion counts.
const CONFLICTS_MAX: usize = 100;
/// How long after it was made a click or a question may be processed, clocks that are off included.
const DELAY_MAX: Duration = Duration::from_secs(86_400);

pub(super) fn check(facts: &Facts, committed: &Committed, now: Now, faults: &mut Faults) {
    for (key, reports) in &committed.reports {
        let Some((report, resent)) = reports.split_first() else { continue };
        let revisions = committed.conversions.get(key).map_or(&[][..], Vec::as_slice);
        let Some(last) = revisions.last() else {
            faults.add(Invariant::Lost, format!("{key}: is in the log and has no conversion: {report:?}"));
            continue;
        };
        joined(key, report, facts, committed, faults);
        let click = committed.verdicts.get(key).map(|verdict| &verdict.click);
        let updates = committed.statuses.get(key).map_or(&[][..], Vec::as_slice);
        let reviews = committed.standing.get(key).unwrap_or(&NOTHING_DECIDED);
        let told = committed.settled.get(key).into_iter().flatten();
        let paid = told.map(|told| i128::from(told.amount_minor)).sum::<i128>() > 0;
        let advanced_to = committed.advanced_to(key);
        let order = Order { report, updates, click, reviews, advanced_to, paid };
        let possible = ends(order, revisions, facts, now);
        faults.check(Invariant::End, possible.iter().any(|end| end.is(last)), || {
            format!("{key}: ended as {last:?}, and must end as one of {possible:?}")
        });
        let conflicts = resent.iter().filter(|it| differs(it, report)).count().min(CONFLICTS_MAX);
        faults.check(Invariant::End, usize::try_from(last.conflicts) == Ok(conflicts), || {
            format!("{key}: counts {} conflicts, and the log has {conflicts}", last.conflicts)
        });
        waited(key, (report, advanced_to), revisions, facts, faults);
        paid_in_time(key, order, revisions, facts, faults);
    }
}

/// The ends that an order may have come to, under each registry that it may have been attributed under.
fn ends(order: Order<'_>, revisions: &[ConversionTransitioned], facts: &Facts, now: Now) -> Vec<End> {
    let attributed = revisions.iter().find(|it| it.affiliate_id.is_some());
    let decided_at = attributed.or(revisions.last()).map_or(now.at, |it| it.at);
    let begun_at = revisions.first().map_or(now.at, |it| it.at);
    let mut found = Vec::new();
    for terms in facts.in_force(decided_at) {
        for begun in facts.in_force(begun_at) {
            let end = mission::end(order, terms, begun, now);
            if !found.contains(&end) {
                found.push(end);
            }
        }
    }
    found
}

/// Each order that names a click asked for it, and was answered if the click came while either was kept.
fn joined(key: &str, report: &ConversionReported, facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let lookup = committed.lookups.get(key);
    faults.check(Invariant::Lookup, lookup.map(|lookup| &lookup.click_id) == report.click_id.as_ref(), || {
        format!("{key}: names the click {:?}, and asked {lookup:?}", report.click_id)
    });
    let (Some(lookup), Some(click_id)) = (lookup, &report.click_id) else { return };
    let Some(click) = committed.clicks.get(click_id) else { return };
    // Click and question may have been forgotten before the other came, by when they came, and that is later than when
    // they were made.
    let kept = facts.registries().map(|registry| registry.policies().click_retention).min().unwrap_or_default();
    let apart = click.clicked_at.since(lookup.asked_at).max(lookup.asked_at.since(click.clicked_at));
    let forgotten = kept <= apart + DELAY_MAX;
    let answered = committed.verdicts.contains_key(key);
    faults.check(Invariant::Verdict, answered || forgotten, || {
        format!("{key}: asked {lookup:?}, and was never told of {click:?}")
    });
}

/// A click is given up no sooner than the wait is over, and not awaited for longer.
fn waited(
    key: &str,
    (report, advanced_to): (&ConversionReported, Option<Timestamp>),
    revisions: &[ConversionTransitioned],
    facts: &Facts,
    faults: &mut Faults,
) {
    let Some(begun) = revisions.first() else { return };
    let untils: Vec<Timestamp> =
        facts.in_force(begun.at).iter().map(|registry| mission::awaited_until(report, registry)).collect();
    let mut clicked = false;
    for revision in revisions {
        clicked |= revision.timeline.iter().any(|entry| entry.cause.kind == CauseType::Click);
        // A coupon counts where no click does, so not before the click named was waited for.
        let is_given_up = match revision.confidence_reason {
            // What was decided stays LOW for the reason it had then.
            _ if revision.affiliate_id.is_some() || revision.state == ConversionState::Rejected => false,
            Some(ConfidenceReason::ClickUnknown | ConfidenceReason::ClickNotYours) => true,
            Some(ConfidenceReason::CouponOnly | ConfidenceReason::SelfReferral) => {
                report.click_id.is_some() && !clicked
            }
            Some(_) | None => false,
        };
        let fits = match revision.confidence {
            Some(Confidence::Low) if is_given_up => {
                let latest = advanced_to.map_or(revision.at, |moved| moved.max(revision.at));
                untils.iter().any(|until| *until <= latest)
            }
            None => untils.iter().any(|until| revision.at < *until),
            Some(_) => true,
        };
        faults.check(Invariant::Early, fits, || {
            format!("{key}: awaits its click until {untils:?}, and revision {} is {revision:?}", revision.revision)
        });
    }
}

/// A test order is not told to be paid before a cut-off that could have paid it.
fn paid_in_time(key: &str, order: Order<'_>, revisions: &[ConversionTransitioned], facts: &Facts, faults: &mut Faults) {
    let attributed_at = revisions.iter().find(|it| it.affiliate_id.is_some()).map_or(Timestamp::MIN, |it| it.at);
    let paid = revisions.iter().filter(|it| !it.livemode && it.state == ConversionState::Paid);
    for revision in paid {
        let latest = order.advanced_to.map_or(revision.at, |moved| moved.max(revision.at));
        let earliest = |terms| mission::earliest_test_payout(order.report, order.updates, terms);
        let terms = facts.in_force(attributed_at);
        let fits = terms.into_iter().filter_map(earliest).any(|earliest| earliest <= latest);
        faults.check(Invariant::Early, fits, || {
            format!("{key}: no cut-off was passed by {latest}, and revision {} is {revision:?}", revision.revision)
        });
    }
}

/// Whether a later report of an order is a conflict.
pub(super) fn differs(other: &ConversionReported, first: &ConversionReported) -> bool {
    let compared = |it: &ConversionReported| ConversionReported {
        event_id: String::new(),
        received_at: Timestamp(0),
        idempotency: None,
        ..it.clone()
    };
    compared(other) != compared(first)
}
