//! The revisions of a conversion, one after the other.

use std::collections::BTreeSet;

use oracle::{Invariant, Known, Seen, awaited_until, changes, commission_terms, earliest_test_payout, owed};
use schemas::records::{
    Cause, CauseType, ClickRecorded, CommissionChanged, CommissionState, Confidence, ConfidenceReason,
    ConversionReported, ConversionState, ConversionTransitioned, FactKind, OrderStatusReported, ReportedStatus,
};
use schemas::topics::TRANSITIONS;
use schemas::{Timestamp, encode};

use crate::digest::short;
use crate::orders::{Change, Order, kept};
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
    // First, for whatever it tells of that is gone says that a part of the order is.
    told(order, &now, place, with.lost, found);
    follows(order, report.as_ref(), before.as_ref(), &now, place, found);
    if order.begun_before.is_none()
        && let Some(report) = &report
    {
        waited(order, report, &now, place, with, found);
        paid_in_time(order, report, &now, place, with, found);
    }
    if let (Some(report), Some(before)) = (&report, &before) {
        reviewed(order, report, before, &now, place, found);
    }
    if before.as_ref().is_none_or(|before| changes(before, &kept(now.clone()))) {
        order.changed_in = now.revision;
    }
    if order.begun_before.is_none() {
        explained(order, &now, place, found);
    }
    if order.attributed_at.is_none() && now.affiliate_id.is_some() {
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
    let known = Known { report, approved, advanced_to: order.advanced_to() };
    for fault in oracle::revision(&order.key, known, before, &compared) {
        // Of an order that the log has lost a part of, what went before is not known.
        let unknown = match fault.invariant {
            Invariant::Report | Invariant::Early => true,
            Invariant::Revisions | Invariant::Timeline | Invariant::Course | Invariant::Review => before.is_none(),
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
        Invariant::Review => "affiliateId",
        Invariant::Explained => "explanation",
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
        Invariant::Review => "nobody credited with a LOW order but by a reviewer",
        Invariant::Explained => "an explanation of what the revision says",
        Invariant::Pinned => "the terms that were pinned when the order was attributed",
        _ => "what a conversion may be",
    }
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
    let unclicked = report.click_id.is_some() && order.told[1] == 0;
    if now.state == ConversionState::Rejected || (now.confidence == Some(Confidence::Low) && now.affiliate_id.is_some())
    {
        // What was decided stays LOW for the reason it had then.
        return;
    }
    let given_up = match (now.confidence, now.confidence_reason) {
        (Some(Confidence::Low), Some(ConfidenceReason::ClickUnknown | ConfidenceReason::ClickNotYours)) => true,
        // A coupon counts where no click does, so not before the click named was waited for.
        (Some(Confidence::Low), Some(ConfidenceReason::CouponOnly | ConfidenceReason::SelfReferral)) if unclicked => {
            true
        }
        (None, _) => false,
        (Some(_), _) => return,
    };
    let in_force = with.terms.in_force(order.begun_at, with.tolerance_ms);
    let untils: Vec<Timestamp> = in_force.known.iter().map(|registry| awaited_until(report, registry)).collect();
    // Of a click that is still awaited the order's own time may have been moved since.
    let latest = order.advanced_to().filter(|_| given_up).map_or(now.at, |moved| moved.max(now.at));
    if in_force.or_another || untils.iter().any(|until| (*until <= latest) == given_up) {
        return;
    }
    let what = format!("{:?} at {}", now.confidence, now.at);
    let mut places = order.places();
    places.push(place);
    found.add(|| order.subject(), "confidence", format!("the click awaited until {untils:?}"), what, &places);
}

/// A test order is not told to be paid before a cut-off that could have paid it.
fn paid_in_time(
    order: &Order,
    report: &ConversionReported,
    now: &ConversionTransitioned,
    place: Place,
    with: With<'_>,
    found: &mut Found,
) {
    if now.livemode || now.state != ConversionState::Paid {
        return;
    }
    let in_force = with.terms.in_force(order.attributed_at.unwrap_or(now.at), with.tolerance_ms);
    let updates: Vec<OrderStatusReported> = order.updates.iter().map(|it| it.record(report)).collect();
    let earliest: Vec<Option<Timestamp>> =
        in_force.known.iter().map(|terms| earliest_test_payout(report, &updates, terms)).collect();
    let latest = order.advanced_to().map_or(now.at, |moved| moved.max(now.at));
    if in_force.or_another || earliest.iter().flatten().any(|at| *at <= latest) {
        return;
    }
    let mut places = order.places();
    places.push(place);
    let expected = format!("not paid before a cut-off, the first of which may be {earliest:?}");
    found.add(|| order.subject(), "state", expected, format!("Paid at {latest}"), &places);
}

/// Takes the decisions that a revision tells of: the first on what was shown counts.
fn reviewed(
    order: &mut Order,
    report: &ConversionReported,
    before: &ConversionTransitioned,
    now: &ConversionTransitioned,
    place: Place,
    found: &mut Found,
) {
    let mut told: Vec<&Cause> = now.timeline.iter().map(|entry| &entry.cause).collect();
    told.retain(|cause| cause.kind == CauseType::Review);
    told.dedup_by(|next, cause| next.event_id == cause.event_id);
    for cause in told {
        let event = cause.event_id.as_deref().map(short);
        // One that is in no log is missed with the other facts.
        let Some(known) = order.reviews.iter().find(|it| Some(it.event) == event) else { continue };
        let (decided, offset) = (known.decided(), known.offset);
        let earlier = order.updates.iter().filter(|it| it.offset < offset);
        let updates: Vec<OrderStatusReported> = earlier.map(|it| it.record(report)).collect();
        let click: Option<ClickRecorded> = order.click.as_ref().and_then(|it| schemas::decode(&it.record).ok());
        let click = click.filter(|_| order.told[1] > 0);
        let (last, changed_in) = (before, order.changed_in);
        let seen = Seen { report, updates: &updates, click: click.as_ref(), last, changed_in };
        let counts = order.standing.take(&decided.review, seen);
        let same = cause.review.as_ref() == Some(&decided.review);
        // Of an order that the log has lost a part of, what was decided before is not known.
        if (counts != cause.applied || !same) && order.begun_before.is_none() {
            let expected = format!("{:?}, which counts: {counts}", decided.review);
            let what = format!("{:?}, which counts: {}", cause.review, cause.applied);
            let mut places = order.places();
            places.push(place);
            found.add(|| order.subject(), "review", expected, what, &places);
        }
    }
}

/// The facts that explain a revision are where it says that they are.
fn explained(order: &Order, now: &ConversionTransitioned, place: Place, found: &mut Found) {
    for told in now.explanation.iter().flat_map(|it| &it.facts) {
        let is = |offset: u64| {
            u32::try_from(told.partition) == Ok(order.partition) && u64::try_from(told.offset) == Ok(offset)
        };
        let is_there = match (told.fact, &told.event_id) {
            (FactKind::Report, _) => order.report.as_ref().is_some_and(|report| is(report.offset)),
            (FactKind::OrderStatus, Some(event_id)) => order.has_update(event_id, is),
            (FactKind::OrderStatus, None) => false,
            (FactKind::Click, _) => order.click.as_ref().is_some_and(|click| is(click.offset)),
            (FactKind::Review, Some(event_id)) => order.has_review(event_id, is),
            (FactKind::TestClock, Some(event_id)) => order.has_clock(event_id, is),
            (FactKind::Review | FactKind::TestClock, None) => false,
        };
        if !is_there {
            let what = format!("{told:?} in revision {}", now.revision);
            let mut places = order.places();
            places.push(place);
            found.add(|| order.subject(), "explanation", "the place of a fact of the order", what, &places);
        }
    }
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
            (CauseType::TestClock, Some(event_id)) => order.tell_clock(event_id),
            // One that was received earlier than was known may move a state without being news: it has no event.
            (CauseType::OrderStatus, None)
            | (CauseType::HoldElapsed | CauseType::PaidOut | CauseType::PayoutSimulated, _) => true,
            (CauseType::Click, _) => {
                order.told[1] = order.told[1].saturating_add(1);
                true
            }
            (CauseType::ClickWaitElapsed, _) => {
                order.told[2] = order.told[2].saturating_add(1);
                true
            }
            (CauseType::Review, Some(event_id)) => order.tell_review(event_id),
            (CauseType::Reported | CauseType::Conflict | CauseType::Review | CauseType::TestClock, None) => false,
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
        campaign_id: now.campaign_id.clone(),
        state,
        commission: commission.clone(),
        order_amount_minor: now.amount_minor,
        refunded_thousandths,
        hold_until,
        at: now.at,
    })
}
