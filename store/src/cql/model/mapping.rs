//! What a record is in the read model: a pure function from it to rows.
//!
//! Applying a record again, later than others, or beside somebody who does the same, changes nothing: each row has a
//! timestamp from the record itself, and of two the server keeps the higher.

use schemas::AvroRecord;
use schemas::ids::{ConversionId, check_name};
use schemas::records::{
    BalanceChanged, CommissionChanged, Confidence, ConversionTransitioned, LedgerEntry, TimelineEntry,
};
use schemas::topics::{self, TopicSpec};
use streams::Record;

use super::columns::{
    BalanceRow, BookingRow, BookingValues, CommissionRow, ConversionRow, EPOCH, EntryRow, ListedRow, SlotRow,
    VERSION_MAX, YearRow, confidence_word,
};
use super::conversion::ConversionValue;
use super::payouts;
use super::rows::Row;
use super::slots::{REVIEWERS, Slot, conversion_shard, conversions_list, entry_shard, ledger_list, reviewers_list};
use super::values::{Given, Json, Sum, Word, instant};
use crate::facts::Fact;

/// Longest id of a ledger entry: twice what ours have. It is part of a key, and no server takes a key of any length.
const ENTRY_ID_LENGTH_MAX: usize = 128;

/// The rows of a record; none for a topic that has none in the read model. The error says what is wrong with it.
pub(super) fn rows(record: &Record) -> Result<Vec<Row>, String> {
    let of = |topic: &TopicSpec| record.topic == topic.number;
    if of(&topics::TRANSITIONS) || of(&topics::PAYOUTS) {
        match Fact::read(record)? {
            Fact::Transitioned(conversion) => transition(&conversion),
            Fact::Payout(payout) => Ok(payouts::rows(*payout)),
            Fact::Reported(_) | Fact::Status { .. } | Fact::Reviewed => Ok(Vec::new()),
        }
    } else if of(&topics::COMMISSIONS) {
        commission(read(record)?)
    } else if of(&topics::LEDGER_ENTRIES) {
        booking(read(record)?)
    } else if of(&topics::BALANCES) {
        balance(read(record)?)
    } else {
        Ok(Vec::new())
    }
}

fn read<R: AvroRecord>(record: &Record) -> Result<R, String> {
    schemas::decode(&record.value).map_err(|error| error.to_string())
}

/// The write timestamp of a version, which `what` counts.
fn written_at(what: &str, version: i64) -> Result<i64, String> {
    match version {
        1..=VERSION_MAX => Ok(EPOCH + version),
        _ => Err(format!("{what} is {version}, and they go from 1, one by one")),
    }
}

fn name(what: &str, text: &str) -> Result<(), String> {
    check_name(text).map_err(|error| format!("{what} {error}"))
}

fn transition(conversion: &ConversionTransitioned) -> Result<Vec<Row>, String> {
    name("merchantId", &conversion.merchant_id)?;
    let written_at = written_at("revision", conversion.revision)?;
    let ConversionTransitioned { conversion_id, merchant_id, livemode, received_at, .. } = conversion;
    let mut rows: Vec<Row> =
        conversion.timeline.iter().map(|entry| Row::Entry(timeline(*conversion_id, entry))).collect();
    rows.push(Row::Conversion(Box::new(ConversionRow {
        conversion_id: conversion_id.0,
        conversion: ConversionValue::from(conversion),
        written_at,
    })));
    let (slot, shard) = (Slot::of(*received_at), conversion_shard(*conversion_id));
    let listed = |merchant_id: &str| ListedRow {
        merchant_id: merchant_id.to_owned(),
        livemode: *livemode,
        slot: instant(slot.start()),
        shard,
        received_at: instant(*received_at),
        conversion_id: conversion_id.0,
        state: Word(conversion.state),
        confidence: confidence_word(conversion.confidence),
        written_at,
    };
    rows.extend(directory(conversions_list(merchant_id, *livemode), slot, shard));
    rows.push(Row::Listed(listed(merchant_id)));
    // One that its click upgrades later keeps the row, which a page holds against the conversion: to take it back here would
    // be a row for every order that has a click, since a record does not say whether it was LOW before.
    if conversion.confidence == Some(Confidence::Low) {
        rows.extend(directory(reviewers_list(*livemode), slot, shard));
        rows.push(Row::Listed(listed(REVIEWERS)));
    }
    Ok(rows)
}

fn timeline(conversion: ConversionId, entry: &TimelineEntry) -> EntryRow {
    let TimelineEntry { seq, state, at, cause } = entry;
    EntryRow {
        conversion_id: conversion.0,
        seq: *seq,
        state: Word(*state),
        at: instant(*at),
        cause: Word(cause.kind),
        event_id: Given(cause.event_id.clone()),
        order_status: Given(cause.order_status.map(Word)),
        refunded_thousandths: Given(cause.refunded_thousandths),
        applied: cause.applied,
        fields: cause.fields.clone(),
        review: Given(cause.review.clone().map(Json)),
        written_at: EPOCH,
    }
}

/// The rows by which a partition of a list is found.
pub(super) fn directory(list: String, slot: Slot, shard: i8) -> [Row; 2] {
    let year = slot.year();
    [
        Row::Year(YearRow { list: list.clone(), year, written_at: EPOCH }),
        Row::Slot(SlotRow { list, year, slot: instant(slot.start()), shard, written_at: EPOCH }),
    ]
}

fn commission(changed: CommissionChanged) -> Result<Vec<Row>, String> {
    // Checked though it is part of the key, and not of the timestamp: a revision is one wherever it is.
    written_at("revision", changed.revision)?;
    let commission = changed.commission;
    Ok(vec![Row::Commission(CommissionRow {
        conversion_id: changed.conversion_id.0,
        revision: changed.revision,
        merchant_id: changed.merchant_id,
        livemode: changed.livemode,
        external_order_id: changed.external_order_id,
        affiliate_id: changed.affiliate_id,
        campaign_id: Given(changed.campaign_id),
        state: Word(changed.state),
        amount_minor: commission.amount_minor,
        currency: Word(commission.currency),
        level: Word(commission.level),
        rule_id: commission.rule_id,
        rate: Given(commission.rate),
        order_amount_minor: changed.order_amount_minor,
        refunded_thousandths: Given(changed.refunded_thousandths),
        hold_until: Given(changed.hold_until.map(instant)),
        at: instant(changed.at),
        written_at: EPOCH,
    })])
}

fn booking(entry: LedgerEntry) -> Result<Vec<Row>, String> {
    written_at("revision", entry.revision)?;
    name("affiliateId", &entry.affiliate_id)?;
    if !(1..=ENTRY_ID_LENGTH_MAX).contains(&entry.entry_id.len()) {
        return Err(format!("entryId has {} bytes, and they have 1 to {ENTRY_ID_LENGTH_MAX}", entry.entry_id.len()));
    }
    let (slot, shard) = (Slot::of(entry.at), entry_shard(entry.conversion_id));
    let list = ledger_list(&entry.affiliate_id, entry.currency.code(), entry.livemode);
    let booking = BookingValues {
        entry_id: entry.entry_id,
        conversion_id: entry.conversion_id.0,
        revision: entry.revision,
        merchant_id: entry.merchant_id,
        affiliate_id: entry.affiliate_id,
        livemode: entry.livemode,
        debit: Word(entry.debit),
        credit: Word(entry.credit),
        amount_minor: entry.amount_minor,
        currency: Word(entry.currency),
        at: instant(entry.at),
        written_at: EPOCH,
    };
    let mut rows = Vec::from(directory(list, slot, shard));
    rows.push(Row::Booking(BookingRow { slot: instant(slot.start()), shard, booking: booking.clone() }));
    rows.push(Row::BookingOfConversion(booking));
    Ok(rows)
}

fn balance(changed: BalanceChanged) -> Result<Vec<Row>, String> {
    let written_at = written_at("entries", changed.entries)?;
    name("affiliateId", &changed.affiliate_id)?;
    Ok(vec![Row::Balance(BalanceRow {
        affiliate_id: changed.affiliate_id,
        currency: Word(changed.currency),
        livemode: changed.livemode,
        account: Word(changed.account),
        balance_minor: Sum(changed.balance_minor),
        entry_count: changed.entries,
        entry_id: changed.entry_id,
        at: instant(changed.at),
        written_at,
    })])
}
