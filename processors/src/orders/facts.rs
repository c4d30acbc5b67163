//! The facts of an order, and how one more is added to them.

use std::cmp::Ordering;

use schemas::Timestamp;
use schemas::ids::{OrderKey, check_name};
use schemas::money::THOUSANDTHS_MAX;
use schemas::records::{ClickRecorded, ConversionReported, OrderStatusReported};
use schemas::state::{ClickFact, CouponFact, FactSource, OrderState, ReportFact, StatusFact};
use streams::Refusal;

use crate::common::refuse;
use crate::derive::lifecycle::counts_before;

/// Most updates that one order keeps, partial refunds apart. Of more, those between the first and the last of their
/// kind go: they start no clock and end no life.
pub const UPDATES_MAX: usize = 100;
/// Most partial refunds that one order keeps. Of more, the last ones go, so that those that count do not depend on the
/// order of arrival.
pub const REFUNDS_MAX: usize = 100;
/// Most conflicting re-sends that one order counts.
pub const CONFLICTS_MAX: i32 = 100;
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
        conflicts: 0,
        revision: 0,
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
    let fact = StatusFact {
        event_id: update.event_id.clone(),
        status: update.status,
        status_updated_at: update.status_updated_at,
        refunded_thousandths: update.refunded_thousandths,
        received_at: update.received_at,
        source: Some(source),
    };
    let told_apart = |it: &StatusFact| (it.status, it.status_updated_at, it.refunded_thousandths);
    let same = |known: &StatusFact| told_apart(known) == told_apart(&fact);
    if let Some(index) = state.updates.iter().position(same) {
        // The earliest receipt counts, so that it does not matter which of the two came first.
        if state.updates[index].received_at <= fact.received_at {
            return Placed::Known;
        }
        state.updates.remove(index);
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
/// than half the bound.
fn compact(updates: &mut Vec<StatusFact>) {
    let between = |index: &usize| {
        let same = |other: &StatusFact| other.status == updates[*index].status && !is_partial(other);
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
