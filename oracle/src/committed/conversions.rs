//! The revisions of a conversion, each against the one before it and the order's report.

use schemas::Timestamp;
use schemas::records::{
    Cause, CauseType, Confidence, ConversionReported, ConversionState, ConversionTransitioned, ReportedStatus,
    ReviewDecided, ReviewDecision, TimelineEntry,
};

use super::{Committed, Visible, same_key};
use crate::facts::conversion_id;
use crate::fault::{Fault, Faults, Invariant};
use crate::keys;
use crate::mission::{Seen, changes, explained};

impl Committed {
    pub(super) fn changed(&mut self, record: Visible<'_>, now: ConversionTransitioned, faults: &mut Faults) {
        let key = keys::order(&now.merchant_id, now.livemode, &now.external_order_id);
        same_key(record, &key, faults);
        let before = self.conversions.get(&key).and_then(|revisions| revisions.last());
        let approvals = self.statuses.get(&key).into_iter().flatten();
        let approved = approvals.into_iter().any(|it| it.status == ReportedStatus::CommissionApproved);
        let known = Known { report: self.report(&key), approved, advanced_to: self.advanced_to(&key) };
        follows(&key, known, before, &now, faults);
        self.reviewed(&key, &now, faults);
        self.conversions.entry(key).or_default().push(now);
    }
}

impl Committed {
    /// A revision tells of decisions as they are in the log, and says of each rightly whether it counts.
    fn reviewed(&mut self, key: &str, now: &ConversionTransitioned, faults: &mut Faults) {
        let mut told: Vec<&Cause> = now.timeline.iter().map(|entry| &entry.cause).collect();
        told.retain(|cause| cause.kind == CauseType::Review);
        told.dedup_by(|next, cause| next.event_id == cause.event_id);
        for cause in told {
            let logged = self.reviews.get(key).into_iter().flatten();
            let mut logged = logged.filter(|(it, _)| Some(&it.event_id) == cause.event_id.as_ref());
            let Some((decided, updates_before)) = logged.next().cloned() else {
                faults.add(Invariant::Review, format!("{key}: nobody has decided {cause:?}"));
                continue;
            };
            faults.check(Invariant::Review, cause.review.as_ref() == Some(&decided.review), || {
                format!("{key}: tells {cause:?} of {decided:?}")
            });
            let counts = self.counts(key, &decided, updates_before);
            faults.check(Invariant::Review, counts == cause.applied, || {
                format!("{key}: revision {} has {cause:?}, and whether it counts is {counts}", now.revision)
            });
        }
    }

    /// Takes a decision that the next revision tells of.
    fn counts(&mut self, key: &str, decided: &ReviewDecided, updates_before: usize) -> bool {
        let revisions = self.conversions.get(key).map_or(&[][..], Vec::as_slice);
        let (Some(report), Some(last)) = (self.report(key), revisions.last()) else { return false };
        let changed = revisions.windows(2).rfind(|pair| changes(&pair[0], &pair[1]));
        let tells_click = |it: &ConversionTransitioned| it.timeline.iter().any(|it| it.cause.kind == CauseType::Click);
        let clicked = revisions.iter().any(tells_click);
        let click = self.verdicts.get(key).map(|verdict| &verdict.click).filter(|_| clicked);
        let updates = self.statuses.get(key).map_or(&[][..], |all| &all[..updates_before]);
        let changed_in = changed.map_or(1, |pair| pair[1].revision);
        let seen = Seen { report, updates, click, last, changed_in };
        let mut standing = self.standing.get(key).cloned().unwrap_or_default();
        let counts = standing.take(&decided.review, seen);
        if counts {
            self.standing.insert(key.to_owned(), standing);
        }
        counts
    }
}

/// What the log has of an order, maybe more than was known when a revision was made.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The first report in the log.
    pub report: Option<&'a ConversionReported>,
    /// Whether any update approves its commission.
    pub approved: bool,
    /// The latest instant that its time was moved to, if it was.
    pub advanced_to: Option<Timestamp>,
}

/// What is wrong with a revision of the order with this key, `before` being the revision before.
#[must_use]
pub fn revision(
    key: &str,
    known: Known<'_>,
    before: Option<&ConversionTransitioned>,
    now: &ConversionTransitioned,
) -> Vec<Fault> {
    let mut faults = Faults::default();
    follows(key, known, before, now, &mut faults);
    faults.found()
}

fn follows(
    key: &str,
    known: Known<'_>,
    before: Option<&ConversionTransitioned>,
    now: &ConversionTransitioned,
    faults: &mut Faults,
) {
    match known.report {
        Some(report) => says_the_report(key, report, now, faults),
        None => faults.add(Invariant::Report, format!("{key}: has a conversion and no report")),
    }
    numbered(key, before, now, faults);
    course(key, before, now, faults);
    early(key, known, now, faults);
    consistent(key, now, faults);
    credited(key, before, now, faults);
    for (part, told) in explained::faults(now) {
        faults.add(
            Invariant::Explained,
            format!("{key}: the {part} of revision {} does not fit: {told}, {now:?}", now.revision),
        );
    }
    if let Some(before) = before {
        nothing_taken_back(key, before, now, faults);
        pinned(key, before, now, faults);
    }
}

/// The first report in the log is the order's.
fn says_the_report(key: &str, report: &ConversionReported, now: &ConversionTransitioned, faults: &mut Faults) {
    let holds = [
        ("conversionId", Some(now.conversion_id) == conversion_id(key)),
        ("eventId", now.event_id == report.event_id),
        ("clickId", now.click_id == report.click_id),
        ("externalProductId", now.external_product_id == report.external_product_id),
        ("amountMinor", now.amount_minor == report.amount_minor),
        ("currency", now.currency == report.currency),
        ("orderedAt", now.ordered_at == report.ordered_at.unwrap_or(report.received_at)),
        ("receivedAt", now.received_at == report.received_at),
        ("couponCode", now.coupon_code == report.coupon_code),
        ("metadata", now.metadata == report.metadata),
    ];
    let differing: Vec<&str> = holds.iter().filter(|(_, holds)| !holds).map(|(field, _)| *field).collect();
    faults.check(Invariant::Report, differing.is_empty(), || {
        format!("{key}: revision {} differs in {differing:?} from the first report: {now:?}, {report:?}", now.revision)
    });
}

fn numbered(key: &str, before: Option<&ConversionTransitioned>, now: &ConversionTransitioned, faults: &mut Faults) {
    let (revision, seq) = before.map_or((0, 0), |before| (before.revision, before.seq));
    faults.check(Invariant::Revisions, now.revision == revision + 1, || {
        format!("{key}: revision {} comes after {revision}: {now:?}", now.revision)
    });
    let mut last = seq;
    for entry in &now.timeline {
        last += 1;
        faults.check(Invariant::Timeline, entry.seq == last, || {
            format!("{key}: entry {} of the timeline stands where {last} belongs", entry.seq)
        });
    }
    faults.check(Invariant::Timeline, now.seq == last, || {
        format!("{key}: revision {} says that its last entry is {}, and it is {last}", now.revision, now.seq)
    });
}

fn course(key: &str, before: Option<&ConversionTransitioned>, now: &ConversionTransitioned, faults: &mut Faults) {
    let mut state = before.map(|before| before.state);
    for entry in &now.timeline {
        let fits = may_follow(state, entry.state)
            || is_reinstated(state, entry)
            || is_taken_back(state, entry)
            || is_unpaid(state, entry, now);
        faults.check(Invariant::Course, fits, || {
            format!("{key}: {:?} follows {state:?} in revision {}", entry.state, now.revision)
        });
        faults.check(
            Invariant::Course,
            entry.cause.kind != CauseType::HoldElapsed || entry.state == ConversionState::Payable,
            || format!("{key}: {:?} is entered because the hold elapsed", entry.state),
        );
        faults.check(Invariant::Course, is_paid_rightly(state, entry, now.livemode), || {
            format!("{key}: {:?} is entered from {state:?} because of {:?}", entry.state, entry.cause)
        });
        state = Some(entry.state);
    }
    faults.check(Invariant::Timeline, state == Some(now.state), || {
        format!("{key}: revision {} is {:?}, and its timeline ends in {state:?}", now.revision, now.state)
    });
}

/// Whether a conversion may enter `state` from `before`, or be told to have stayed there.
fn may_follow(before: Option<ConversionState>, state: ConversionState) -> bool {
    use ConversionState::{Attributed, CommissionCreated, Hold, Paid, Payable, Received, Rejected, Reversed};
    let Some(before) = before else { return state == Received };
    let allowed: &[ConversionState] = match before {
        Received => &[Received, Attributed, Rejected, Reversed],
        Attributed => &[Attributed, CommissionCreated, Reversed],
        CommissionCreated => &[CommissionCreated, Hold, Payable, Reversed],
        // A delivery begins another hold, also of what is in a payout by then.
        Hold => &[Hold, Payable, Paid, Reversed],
        Payable => &[Payable, Hold, Paid, Reversed],
        Paid => &[Paid, Reversed],
        Reversed => &[Reversed],
        Rejected => &[Rejected, Reversed],
    };
    allowed.contains(&state)
}

/// Whether an administrator has taken back a rejection or a reversal: then any state may follow, as the facts have it.
fn is_reinstated(before: Option<ConversionState>, entry: &TimelineEntry) -> bool {
    let taken_back = matches!(before, Some(ConversionState::Rejected | ConversionState::Reversed));
    let decision = entry.cause.review.as_ref().filter(|_| entry.cause.applied).map(|review| review.decision);
    taken_back && decision == Some(ReviewDecision::Reinstate)
}

/// Whether a payout has taken back what others had paid, of an order that was reinstated or held again meanwhile: then it is
/// unpaid, as the facts have it.
fn is_taken_back(before: Option<ConversionState>, entry: &TimelineEntry) -> bool {
    let unpaid = matches!(entry.state, ConversionState::Payable | ConversionState::Hold);
    before == Some(ConversionState::Paid) && unpaid && entry.cause.kind == CauseType::PaidOut
}

/// Whether a test order, which is in no payout, is unpaid as its statuses have it by now: a delivery is told of late, or
/// nothing is left of its commission.
fn is_unpaid(before: Option<ConversionState>, entry: &TimelineEntry, now: &ConversionTransitioned) -> bool {
    let unpaid = matches!(entry.state, ConversionState::Payable | ConversionState::Hold);
    before == Some(ConversionState::Paid) && unpaid && entry.cause.kind == CauseType::OrderStatus && !now.livemode
}

/// Live orders are paid out by payouts, and of test orders a payout is simulated, with nothing else for a cause.
fn is_paid_rightly(before: Option<ConversionState>, entry: &TimelineEntry, livemode: bool) -> bool {
    let is_paid = entry.state == ConversionState::Paid && before != Some(ConversionState::Paid);
    match entry.cause.kind {
        CauseType::PaidOut => livemode,
        CauseType::PayoutSimulated => !livemode && is_paid,
        CauseType::Reported
        | CauseType::Click
        | CauseType::ClickWaitElapsed
        | CauseType::OrderStatus
        | CauseType::Conflict
        | CauseType::HoldElapsed
        | CauseType::Review
        | CauseType::TestClock => livemode || !is_paid,
    }
}

fn early(key: &str, known: Known<'_>, now: &ConversionTransitioned, faults: &mut Faults) {
    let elapsed_at = |at: Timestamp| now.hold_until.is_some_and(|until| until <= at);
    // A hold that is over by the order's own time may not have been when the revision was made.
    let elapsed = elapsed_at(now.at);
    let fits = match now.state {
        ConversionState::Payable => known.approved || elapsed || known.advanced_to.is_some_and(elapsed_at),
        ConversionState::Hold => now.hold_until.is_some() && !elapsed,
        ConversionState::Received
        | ConversionState::Attributed
        | ConversionState::CommissionCreated
        | ConversionState::Paid
        | ConversionState::Rejected
        | ConversionState::Reversed => true,
    };
    faults.check(Invariant::Early, fits, || {
        format!(
            "{key}: revision {} is {:?} at {} with a hold until {:?}",
            now.revision, now.state, now.at, now.hold_until
        )
    });
}

/// A revision's parts fit each other.
fn consistent(key: &str, now: &ConversionTransitioned, faults: &mut Faults) {
    let high = now.confidence == Some(Confidence::High);
    let low = now.confidence == Some(Confidence::Low);
    let credited = now.affiliate_id.is_some();
    let with_commission = now.commission.is_some();
    let fits = match now.state {
        ConversionState::Received => !credited,
        ConversionState::Attributed => credited && !with_commission,
        ConversionState::CommissionCreated
        | ConversionState::Hold
        | ConversionState::Payable
        | ConversionState::Paid => with_commission,
        ConversionState::Rejected => low && !credited,
        ConversionState::Reversed => true,
    };
    let reasoned = low == now.confidence_reason.is_some();
    let nothing_for_nobody = credited || (!with_commission && now.hold_until.is_none());
    let suggests = now.suggested_affiliate_id.is_none() || (low && !credited);
    // A click credits with its campaign; a reviewer may credit without one.
    let by_whom = if high { credited && now.campaign_id.is_some() } else { low || !credited };
    let of_somebody = credited || now.campaign_id.is_none();
    let fits = fits && reasoned && nothing_for_nobody && suggests && by_whom && of_somebody;
    faults.check(Invariant::Course, fits, || format!("{key}: revision {} contradicts itself: {now:?}", now.revision));
}

/// Nobody is credited with an order that is LOW but whom a reviewer has approved.
fn credited(key: &str, before: Option<&ConversionTransitioned>, now: &ConversionTransitioned, faults: &mut Faults) {
    if now.confidence != Some(Confidence::Low) || now.affiliate_id.is_none() {
        return;
    }
    let was = before.filter(|it| it.confidence == Some(Confidence::Low)).and_then(|it| it.affiliate_id.as_ref());
    let approves = |entry: &TimelineEntry| {
        let review = entry.cause.review.as_ref().filter(|_| entry.cause.applied);
        review.is_some_and(|it| it.decision == ReviewDecision::Approve && it.affiliate_id == now.affiliate_id)
    };
    let fits = was == now.affiliate_id.as_ref() || now.timeline.iter().any(approves);
    faults.check(Invariant::Review, fits, || {
        format!("{key}: revision {} credits {:?}, and no reviewer has", now.revision, now.affiliate_id)
    });
}

/// Time goes on, and what it alone has brought about stays.
fn nothing_taken_back(key: &str, before: &ConversionTransitioned, now: &ConversionTransitioned, faults: &mut Faults) {
    let held_again = (before.state, now.state) == (ConversionState::Payable, ConversionState::Hold)
        && before.hold_until == now.hold_until;
    let awaited_again = before.confidence.is_some() && now.confidence.is_none();
    faults.check(Invariant::Course, before.at <= now.at && !held_again && !awaited_again, || {
        format!("{key}: revision {} takes back what time has brought about: {before:?}, {now:?}", now.revision)
    });
    faults.check(Invariant::Timeline, before.conflicts <= now.conflicts, || {
        format!("{key}: had {} conflicts, and revision {} has {}", before.conflicts, now.revision, now.conflicts)
    });
}

fn pinned(key: &str, before: &ConversionTransitioned, now: &ConversionTransitioned, faults: &mut Faults) {
    if before.affiliate_id.is_none() {
        return;
    }
    // The amount follows the refunds; that it does so rightly is for the end to say.
    let refunds = |it: &ConversionTransitioned| (it.refunded_thousandths, it.state == ConversionState::Reversed);
    let amount_stays = refunds(before) == refunds(now) && now.state != ConversionState::Reversed;
    let terms = |it: &ConversionTransitioned| {
        let mut commission = it.commission.clone();
        if let Some(commission) = commission.as_mut().filter(|_| !amount_stays) {
            commission.amount_minor = 0;
        }
        (it.confidence, it.affiliate_id.clone(), it.campaign_id.clone(), commission)
    };
    faults.check(Invariant::Pinned, terms(before) == terms(now), || {
        format!("{key}: was {:?}, and revision {} says {:?}", terms(before), now.revision, terms(now))
    });
}
