//! The revisions of a conversion, one after the other.

use std::collections::BTreeSet;

use oracle::{Invariant, awaited_until, commission_terms, owed};
use schemas::records::{
    CauseType, CommissionChanged, CommissionState, Confidence, ConfidenceReason, ConversionReported,
    ConversionTransitioned, ReportedStatus,
};
use schemas::topics::TRANSITIONS;
use schemas::{Timestamp, encode};

use crate::digest::short;
use crate::orders::{Change, Order};
use crate::report::{Found, Place};
use crate::terms::Terms;

/// What a revision is taken with.
#[derive(Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) tolerance_ms: i64,
    /// Whether the log has lost the beginning of this partition, so that a report or a revision may be missing.
    pub(crate) lost: bool,
}

/// Takes the next revision of an order.
pub(crate) fn take(order: &mut Order, now: ConversionTransitioned, offset: u64, with: With<'_>, found: &mut Found) {
    let (report, before) = (order.first_report(), order.last_revision());
    let unreported = report.as_ref().is_none_or(|report| report.event_id != now.event_id);
    if before.is_none() && with.lost && (now.revision > 1 || unreported) {
        order.begun_before = Some(now.revision);
    }
    if before.is_none() {
        order.begun_at = now.at;
    }
    let place = Place { topic: TRANSITIONS.number, partition: order.partition, offset };
    follows(order, report.as_ref(), before.as_ref(), &now, place, found);
    if order.begun_before.is_none()
        && let Some(report) = &report
    {
        waited(order, report, &now, place, with, found);
    }
    told(order, &now, place, with.lost, found);
    if order.attributed_at.is_none() && now.confidence == Some(Confidence::High) {
        order.attributed_at = Some(now.at);
    }
    // What the first revision that is left has changed is not known.
    if order.begun_before.is_none() || before.is_some() {
        let change = change(before.as_ref(), &now);
        order.changes.reserve_exact(usize::from(change.is_some()));
        order.changes.extend(change);
    }
    order.keep_last(now, offset);
}

/// Whether a conversion may change so.
fn follows(
    order: &Order,
    report: Option<&ConversionReported>,
    before: Option<&ConversionTransitioned>,
    now: &ConversionTransitioned,
    place: Place,
    found: &mut Found,
) {
    let mut add = |field, expected: &str, what: String| {
        let mut places = order.places();
        places.push(place);
        found.add(|| order.subject(), field, expected, what, &places);
    };
    let same_metadata = order.report.as_ref().is_none_or(|report| report.metadata == short(&now.metadata));
    if !same_metadata && order.begun_before.is_none() {
        add("metadata", "what the first report says", format!("something else in revision {}", now.revision));
    }
    let approved = order.updates.iter().any(|it| it.status == ReportedStatus::CommissionApproved);
    let compared = ConversionTransitioned { metadata: None, ..now.clone() };
    for fault in oracle::revision(&order.key, report, approved, before, &compared) {
        // Of an order that the log has lost a part of, what went before is not known.
        let unknown = match fault.invariant {
            Invariant::Report | Invariant::Early => true,
            Invariant::Revisions | Invariant::Timeline | Invariant::Course => before.is_none(),
            _ => false,
        };
        if order.begun_before.is_none() || !unknown {
            add(field(fault.invariant), expected(fault.invariant), fault.what);
        }
    }
}

fn field(invariant: Invariant) -> &'static str {
    match invariant {
        Invariant::Revisions => "revision",
        Invariant::Timeline => "timeline",
        Invariant::Report => "report",
        Invariant::Course => "state",
        Invariant::Early => "at",
        Invariant::Pinned => "terms",
        _ => "conversion",
    }
}

fn expected(invariant: Invariant) -> &'static str {
    match invariant {
        Invariant::Revisions => "revisions 1, 2, 3 and so on",
        Invariant::Timeline => "entries 1, 2, 3 and so on, which end in the state",
        Invariant::Report => "what the first report in the log says",
        Invariant::Course => "a state that may follow, and fits what the revision says besides",
        Invariant::Early => "nothing before its time",
        Invariant::Pinned => "the terms that were pinned when the order was attributed",
        _ => "what a conversion may be",
    }
}

fn tells_of_click(revision: &ConversionTransitioned) -> bool {
    revision.timeline.iter().any(|entry| entry.cause.kind == CauseType::Click)
}

/// A click is given up no sooner than the wait is over, and not awaited for longer.
fn waited(
    order: &Order,
    report: &ConversionReported,
    now: &ConversionTransitioned,
    place: Place,
    with: With<'_>,
    found: &mut Found,
) {
    let unclicked = report.click_id.is_some() && order.told[1] == 0 && !tells_of_click(now);
    let given_up = match (now.confidence, now.confidence_reason) {
        (Some(Confidence::Low), Some(ConfidenceReason::ClickUnknown | ConfidenceReason::ClickNotYours)) => true,
        // A coupon counts where no click does, so not before the click named was waited for.
        (Some(Confidence::Low), Some(ConfidenceReason::CouponOnly)) if unclicked => true,
        (None, _) => false,
        (Some(_), _) => return,
    };
    let in_force = with.terms.in_force(order.begun_at, with.tolerance_ms);
    let untils: Vec<Timestamp> = in_force.known.iter().map(|registry| awaited_until(report, registry)).collect();
    if in_force.or_another || untils.iter().any(|until| (*until <= now.at) == given_up) {
        return;
    }
    let what = format!("{:?} at {}", now.confidence, now.at);
    let mut places = order.places();
    places.push(place);
    found.add(|| order.subject(), "confidence", format!("the click awaited until {untils:?}"), what, &places);
}

/// Takes note of the facts that a revision tells of, each once a revision.
fn told(order: &mut Order, now: &ConversionTransitioned, place: Place, lost: bool, found: &mut Found) {
    let causes: BTreeSet<(CauseType, Option<&str>)> =
        now.timeline.iter().map(|entry| (entry.cause.kind, entry.cause.event_id.as_deref())).collect();
    for (kind, event_id) in causes {
        let known = match (kind, event_id) {
            (CauseType::Reported, Some(event_id)) => order.tell_report(event_id),
            (CauseType::Conflict, Some(event_id)) => order.tell_conflict(event_id),
            (CauseType::OrderStatus, Some(event_id)) => order.tell_update(event_id),
            // One that was received earlier than was known may move a state without being news: it has no event.
            (CauseType::OrderStatus, None) | (CauseType::HoldElapsed | CauseType::PaidOut, _) => true,
            (CauseType::Click, _) => {
                order.told[1] = order.told[1].saturating_add(1);
                true
            }
            (CauseType::ClickWaitElapsed, _) => {
                order.told[2] = order.told[2].saturating_add(1);
                true
            }
            (CauseType::Reported | CauseType::Conflict, None) => false,
        };
        if !known && lost {
            // It was in the part that is gone, and so may others have been.
            order.begun_before = order.begun_before.or(Some(now.revision));
        } else if !known {
            let mut places = order.places();
            places.push(place);
            let what = format!("{kind:?} {}", event_id.unwrap_or("without an event"));
            found.add(|| order.subject(), "timeline", "facts that are in the log", what, &places);
        }
    }
}

/// What a revision changes in commission and bookings; nothing if it changes neither.
fn change(before: Option<&ConversionTransitioned>, now: &ConversionTransitioned) -> Option<Change> {
    let terms = commission_terms(now);
    let changed = terms.is_some() && terms != before.and_then(commission_terms);
    let (was, is) = (before.map(owed).unwrap_or_default(), owed(now));
    if !changed && was == is {
        return None;
    }
    let expected = [is.pending - was.pending, is.payable - was.payable];
    let (state, amount_minor) =
        terms.map_or((CommissionState::Created, 0), |(state, commission, ..)| (state, commission.amount_minor));
    Some(Change {
        revision: now.revision,
        at: now.at,
        commission: changed.then(|| record(now)).flatten().map(|record| short(&encode(&record))),
        state,
        amount_minor,
        expected: expected.map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
        booked: [0; 2],
        entries: 0,
        told: 0,
    })
}

/// The record that `commissions` has to have of a revision.
fn record(now: &ConversionTransitioned) -> Option<CommissionChanged> {
    let (state, commission, hold_until, refunded_thousandths) = commission_terms(now)?;
    Some(CommissionChanged {
        conversion_id: now.conversion_id,
        revision: now.revision,
        merchant_id: now.merchant_id.clone(),
        livemode: now.livemode,
        external_order_id: now.external_order_id.clone(),
        affiliate_id: now.affiliate_id.clone()?,
        campaign_id: now.campaign_id.clone()?,
        state,
        commission: commission.clone(),
        order_amount_minor: now.amount_minor,
        refunded_thousandths,
        hold_until,
        at: now.at,
    })
}
