//! The facts of an order, and how one more is added to them.

use std::cmp::Ordering;

use schemas::Timestamp;
use schemas::ids::{OrderKey, check_name};
use schemas::money::THOUSANDTHS_MAX;
use schemas::records::{
    ClickRecorded, Confidence, ConversionReported, ConversionSettled, ConversionState, OrderStatusReported,
    ReviewDecided, ReviewDecision, TestClockAdvanced,
};
use schemas::state::{
    ClickFact, CouponFact, DecisionFact, FactSource, OrderState, ReportFact, ReviewFact, SettlementFact, StatusFact,
    TestClockFact,
};
use streams::Refusal;

use crate::common::refuse;
use crate::derive::lifecycle::{begins_reversed, counts_before, is_terminal};

/// Most updates that one order keeps, partial refunds apart. Of more, those between the first and the last of their
/// kind go: they start no clock and end no life.
pub const UPDATES_MAX: usize = 100;
/// Most partial refunds that one order keeps. Of more, the last ones go, so that those that count do not depend on the
/// order of arrival.
pub const REFUNDS_MAX: usize = 100;
/// Most conflicting re-sends that one order counts.
pub const CONFLICTS_MAX: i32 = 100;
/// Most decisions that came too late of which the timeline of one order tells.
pub const LATE_REVIEWS_MAX: i32 = 100;
/// How often the timeline tells that an order's time was moved, at most; beyond, only if that changes the conversion.
pub const ADVANCES_MAX: i32 = 100;
/// Most payouts that one order remembers to have been told of, so that a copy of what it was told does not count again.
const SETTLEMENTS_MAX: usize = 52;
/// How far after its receipt an order's time may be moved, in milliseconds: 400 days.
pub const ADVANCE_MS_MAX: i64 = 400 * 24 * 60 * 60 * 1_000;
const EXTERNAL_ORDER_ID_CHARACTERS_MAX: usize = 160;

/// An order of which nothing is known.
#[must_use]
pub fn empty_state() -> OrderState {
    OrderState {
        report: None,
        updates: Vec::new(),
        awaited_until: None,
        click: None,
        coupon: None,
        terms: None,
        settlement: None,
        review: None,
        reinstated: None,
        late_reviews: 0,
        test_clock: None,
        conflicts: 0,
        revision: 0,
        changed_in: 0,
        seq: 0,
        published: None,
        timer: None,
        derived_at: None,
    }
}

/// What became of a report.
pub(super) enum Added {
    /// It is the order's report.
    New,
    /// It says what the order's report says.
    Known,
    /// It differs from the order's report in these fields, by their names in the contract.
    Conflict(Vec<String>),
}

/// Where an update came to stand among those known.
pub(super) enum Placed {
    /// It was known, and received earlier.
    Known,
    /// It was known, but this one was received earlier.
    Earlier,
    /// Among more updates than are kept: it counts unless it is a partial refund, but is no news any more.
    Compacted,
    /// It is new.
    New,
}

/// What became of an order's time.
pub(super) enum Advanced {
    /// It is this late already.
    Known,
    /// It is later now.
    Later,
    /// It is later now, and was moved more often than the timeline tells.
    Untold,
}

/// A record's key is that of the order it speaks of, or somebody has written what is not theirs.
pub(super) fn check_key(key: &OrderKey<'_>, record_key: &[u8]) -> Result<(), Refusal> {
    check_name(key.merchant_id).map_err(|error| refuse("out_of_range", format!("merchantId {error}")))?;
    let characters = key.external_order_id.chars().count();
    if !(1..=EXTERNAL_ORDER_ID_CHARACTERS_MAX).contains(&characters) {
        let message =
            format!("externalOrderId must have 1 to {EXTERNAL_ORDER_ID_CHARACTERS_MAX} characters, not {characters}");
        return Err(refuse("out_of_range", message));
    }
    if key.to_bytes() == record_key { Ok(()) } else { Err(refuse("wrong_key", "the record's key is not its order's")) }
}

pub(super) fn check_report(report: &ConversionReported) -> Result<(), Refusal> {
    let (amount_minor, most) = (report.amount_minor, report.currency.amount_minor_max());
    if (0..=most).contains(&amount_minor) {
        return Ok(());
    }
    Err(refuse("out_of_range", format!("amountMinor must be 0 to {most} in {}, not {amount_minor}", report.currency)))
}

pub(super) fn check_update(update: &OrderStatusReported) -> Result<(), Refusal> {
    let Some(thousandths) = update.refunded_thousandths else { return Ok(()) };
    if !(1..=THOUSANDTHS_MAX).contains(&thousandths) {
        let message = format!("refundedThousandths must be 1 to {THOUSANDTHS_MAX}, not {thousandths}");
        return Err(refuse("out_of_range", message));
    }
    if !update.status.is_refund() {
        return Err(refuse("out_of_range", "refundedThousandths must be left out unless refunded or returned"));
    }
    Ok(())
}

/// No edge moves a live order's time, nor any by more than [`ADVANCE_MS_MAX`].
pub(super) fn check_clock(advanced: &TestClockAdvanced) -> Result<(), Refusal> {
    if advanced.livemode {
        return Err(refuse("out_of_range", "livemode must be false: only the time of a test order moves"));
    }
    let most = Timestamp(advanced.received_at.0.saturating_add(ADVANCE_MS_MAX));
    if advanced.advanced_to > most {
        let message = format!("advancedTo must be at most 400 days after receipt, which is {most}");
        return Err(refuse("out_of_range", message));
    }
    Ok(())
}

/// Moves an order's time: of all instants the latest counts, in whatever order they come.
pub(super) fn advance(state: &mut OrderState, advanced: &TestClockAdvanced, source: FactSource) -> Advanced {
    let before = state.test_clock.as_ref();
    if before.is_some_and(|clock| clock.advanced_to >= advanced.advanced_to) {
        return Advanced::Known;
    }
    let times = before.map_or(0, |clock| clock.times);
    let told = if times < ADVANCES_MAX { Advanced::Later } else { Advanced::Untold };
    state.test_clock = Some(TestClockFact {
        advanced_to: advanced.advanced_to,
        event_id: advanced.event_id.clone(),
        times: (times + 1).min(ADVANCES_MAX),
        source,
    });
    told
}

/// Adds a report: the first in the order of the log is the order's, the others change nothing.
///
/// The click that it names is awaited until `awaited_until`, and its coupon stays what it is now.
pub(super) fn add_report(
    state: &mut OrderState,
    report: &ConversionReported,
    source: FactSource,
    awaited_until: Timestamp,
    coupon: Option<CouponFact>,
) -> Added {
    let fact = ReportFact {
        event_id: report.event_id.clone(),
        click_id: report.click_id.clone(),
        external_product_id: report.external_product_id.clone(),
        amount_minor: report.amount_minor,
        currency: report.currency,
        order_status: report.order_status,
        ordered_at: report.ordered_at,
        received_at: report.received_at,
        coupon_code: report.coupon_code.clone(),
        metadata: report.metadata.clone(),
        set_aside: false,
        source: Some(source),
    };
    let Some(first) = &state.report else {
        state.awaited_until = fact.click_id.as_ref().map(|_| awaited_until);
        state.coupon = coupon;
        state.report = Some(fact);
        return Added::New;
    };
    let fields = differing(first, &fact);
    if fields.is_empty() || state.conflicts >= CONFLICTS_MAX {
        return Added::Known;
    }
    state.conflicts += 1;
    Added::Conflict(fields)
}

fn differing(first: &ReportFact, other: &ReportFact) -> Vec<String> {
    let equal = [
        first.click_id == other.click_id,
        first.external_product_id == other.external_product_id,
        first.amount_minor == other.amount_minor,
        first.currency == other.currency,
        first.order_status == other.order_status,
        first.ordered_at == other.ordered_at,
        first.coupon_code == other.coupon_code,
        first.metadata == other.metadata,
    ];
    let names = ConversionReported::COMPARED_FIELDS.into_iter().zip(equal);
    names.filter(|(_, equal)| !equal).map(|(name, _)| name.to_owned()).collect()
}

/// Adds an update at its place; the same one again is known by status, `statusUpdatedAt` and `refundedAmount`, each of
/// which may be absent.
pub(super) fn add_status(state: &mut OrderState, update: &OrderStatusReported, source: FactSource) -> Placed {
    let mut fact = StatusFact {
        event_id: update.event_id.clone(),
        status: update.status,
        status_updated_at: update.status_updated_at,
        refunded_thousandths: update.refunded_thousandths,
        received_at: update.received_at,
        set_aside: false,
        source: Some(source),
    };
    let told_apart = |it: &StatusFact| (it.status, it.status_updated_at, it.refunded_thousandths);
    let known = told_apart(&fact);
    if let Some(index) = state.updates.iter().position(|it| told_apart(it) == known) {
        // The earliest receipt counts, so that it does not matter which of the two came first.
        if state.updates[index].received_at <= fact.received_at {
            return Placed::Known;
        }
        fact.set_aside = state.updates.remove(index).set_aside;
        insert(&mut state.updates, fact);
        return Placed::Earlier;
    }
    let of_kind = state.updates.iter().filter(|known| is_partial(known) == is_partial(&fact)).count();
    let (most, compact): (usize, fn(&mut Vec<StatusFact>)) =
        if is_partial(&fact) { (REFUNDS_MAX, drop_last_refund) } else { (UPDATES_MAX, compact) };
    insert(&mut state.updates, fact);
    if of_kind < most {
        return Placed::New;
    }
    compact(&mut state.updates);
    Placed::Compacted
}

fn is_partial(update: &StatusFact) -> bool {
    update.refunded_thousandths.is_some()
}

fn insert(updates: &mut Vec<StatusFact>, fact: StatusFact) {
    let index = updates.partition_point(|known| counts_before(known, &fact) != Ordering::Greater);
    updates.insert(index, fact);
}

/// Removes one update that is neither the first nor the last of its kind, nor a partial refund. There are fewer kinds
/// than half the bound; what is set aside is another kind, for it does something else.
fn compact(updates: &mut Vec<StatusFact>) {
    let between = |index: &usize| {
        let kind = |it: &StatusFact| (it.status, it.set_aside);
        let same = |other: &StatusFact| kind(other) == kind(&updates[*index]) && !is_partial(other);
        let some_same = |others: &[StatusFact]| others.iter().any(same);
        !is_partial(&updates[*index]) && some_same(&updates[..*index]) && some_same(&updates[*index + 1..])
    };
    let index = (0..updates.len()).find(between).expect("more updates than twice the kinds have one between two alike");
    updates.remove(index);
}

fn drop_last_refund(updates: &mut Vec<StatusFact>) {
    if let Some(index) = updates.iter().rposition(is_partial) {
        updates.remove(index);
    }
}

/// Adds the click that the order named; false if it is known already.
pub(super) fn add_click(state: &mut OrderState, click: &ClickRecorded, source: FactSource) -> Result<bool, Refusal> {
    let asked = state.report.as_ref().and_then(|report| report.click_id.as_deref());
    if asked != Some(&click.click_id) {
        return Err(refuse("unasked_click", format!("the order did not name the click {:?}", click.click_id)));
    }
    if state.click.is_some() {
        return Ok(false);
    }
    state.click = Some(ClickFact {
        merchant_id: click.merchant_id.clone(),
        campaign_id: click.campaign_id.clone(),
        affiliate_id: click.affiliate_id.clone(),
        clicked_at: click.clicked_at,
        source: Some(source),
    });
    Ok(true)
}

/// Adds what a payout paid for the order, or took back of it; false if it is known of that payout already.
pub(super) fn add_settlement(state: &mut OrderState, settled: &ConversionSettled) -> Result<bool, Refusal> {
    let clicked = state.click.as_ref().map(|click| &click.affiliate_id);
    let credited = state.review.as_ref().map_or(clicked, |review| review.affiliate_id.as_ref());
    if state.report.is_none() || credited != Some(&settled.affiliate_id) {
        let message = format!("nothing of the order was booked for the affiliate {:?}", settled.affiliate_id);
        return Err(refuse("unbooked_settlement", message));
    }
    let nothing = || SettlementFact { payout_ids: Vec::new(), paid_minor: 0 };
    let known = state.settlement.get_or_insert_with(nothing);
    if known.payout_ids.contains(&settled.payout_id) {
        return Ok(false);
    }
    if known.payout_ids.len() == SETTLEMENTS_MAX {
        known.payout_ids.remove(0);
    }
    known.payout_ids.push(settled.payout_id.clone());
    known.paid_minor = known.paid_minor.saturating_add(settled.amount_minor);
    Ok(true)
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// It is another copy of one that counted.
    Known,
    /// It counts, if what follows from it is what it asks for.
    Counts,
    /// Another one, or something else, came first.
    Late,
}

pub(super) fn check_review(decided: &ReviewDecided) -> Result<(), Refusal> {
    let (decision, affiliate_id) = (decided.review.decision, &decided.review.affiliate_id);
    match (decision, affiliate_id) {
        (ReviewDecision::Approve, Some(affiliate_id)) => {
            check_name(affiliate_id).map_err(|error| refuse("out_of_range", format!("affiliateId {error}")))
        }
        (ReviewDecision::Reject | ReviewDecision::Reinstate, None) => Ok(()),
        (ReviewDecision::Approve, None) => Err(refuse("out_of_range", "an approval must have an affiliateId")),
        (ReviewDecision::Reject | ReviewDecision::Reinstate, Some(_)) => {
            Err(refuse("out_of_range", "affiliateId must be left out unless the decision is approve"))
        }
    }
}

/// Adds a decision, if what its reviewer had seen still stands: as it was published, for that is what was seen.
pub(super) fn add_review(
    state: &mut OrderState,
    merchant_id: &str,
    decided: &ReviewDecided,
    source: FactSource,
) -> Decided {
    let standing = state.review.iter().map(|review| &review.decided).chain(&state.reinstated);
    if standing.into_iter().any(|known| known.event_id == decided.event_id) {
        return Decided::Known;
    }
    let review = &decided.review;
    let stands = (state.changed_in..=state.revision).contains(&review.revision);
    let Some(seen) = state.published.as_ref().filter(|_| stands) else { return Decided::Late };
    let undecided = match (seen.state, seen.confidence, seen.confidence_reason) {
        (ConversionState::Received, Some(Confidence::Low), Some(reason)) => Some(reason),
        _ => None,
    };
    let fact = DecisionFact {
        event_id: decided.event_id.clone(),
        role: review.role.clone(),
        decided_at: decided.decided_at,
        source,
    };
    match (review.decision, undecided, seen.state) {
        (ReviewDecision::Approve | ReviewDecision::Reject, Some(confidence_reason), _) => {
            let affiliate_id = review.affiliate_id.clone();
            let own = state.click.as_ref().filter(|click| click.merchant_id == merchant_id);
            let theirs = own.filter(|click| affiliate_id.as_ref() == Some(&click.affiliate_id));
            let campaign_id = theirs.map(|click| click.campaign_id.clone());
            state.review = Some(ReviewFact { affiliate_id, campaign_id, confidence_reason, decided: fact });
        }
        (ReviewDecision::Reinstate, _, ConversionState::Rejected) => {
            state.review = None;
            state.reinstated = Some(fact);
        }
        (ReviewDecision::Reinstate, _, ConversionState::Reversed) => {
            set_reversals_aside(state);
            state.reinstated = Some(fact);
        }
        (ReviewDecision::Approve | ReviewDecision::Reject | ReviewDecision::Reinstate, ..) => return Decided::Late,
    }
    Decided::Counts
}

/// The reversals that are known reverse no more. Those that come later do.
fn set_reversals_aside(state: &mut OrderState) {
    if let Some(report) = &mut state.report {
        let reverses = begins_reversed(report);
        report.set_aside |= reverses;
    }
    for update in &mut state.updates {
        update.set_aside |= is_terminal(update.status) && update.refunded_thousandths.is_none();
    }
}
