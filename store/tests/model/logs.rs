//! Records of all topics that the read model is made of.

use schemas::ids::ConversionId;
use schemas::records::{
    Account, BalanceChanged, Cause, CauseType, Commission, CommissionChanged, CommissionState, Confidence,
    ConfidenceReason, ConversionTransitioned, LedgerEntry, ReportedStatus, Review, ReviewDecision, RuleLevel,
    TimelineEntry,
};
use schemas::topics::{BALANCES, COMMISSIONS, LEDGER_ENTRIES, TRANSITIONS, TopicSpec};
use schemas::{AvroRecord, Balance, Timestamp};
use streams::Record;

use super::common::{NOW, id, transition};

pub(crate) fn record<R: AvroRecord>(topic: TopicSpec, value: &R) -> Record {
    let value = schemas::encode(value).into();
    Record { topic: topic.number, partition: 0, offset: 0, key: Default::default(), value }
}

/// A revision of an order with everything that may be absent there in some and absent in others.
pub(crate) fn revision(order: &str, number: i64) -> ConversionTransitioned {
    let text = |bit: i64, text: &str| (number >> bit & 1 == 1).then(|| text.to_owned());
    let currency = transition(order, number).currency;
    let cause = Cause {
        kind: CauseType::Conflict,
        event_id: text(0, "cnvevt_2"),
        order_status: (number % 3 == 0).then_some(ReportedStatus::CommissionApproved),
        refunded_thousandths: (number % 4 == 1).then_some(number),
        applied: number % 2 == 0,
        fields: (0..number % 3).map(|field| format!("field {field}")).collect(),
        review: (number % 2 == 1).then(|| Review {
            decision: ReviewDecision::Approve,
            revision: number,
            affiliate_id: text(1, "aff_one"),
            reviewer: "asha".to_owned(),
            role: "reviewer".to_owned(),
            reason: "\"é東🦀".to_owned(),
            request_id: "req_1".to_owned(),
        }),
    };
    let timeline = transition(order, number).timeline;
    ConversionTransitioned {
        confidence: (number % 2 == 0).then_some(Confidence::Low),
        confidence_reason: (number % 4 == 0).then_some(ConfidenceReason::ClickOutsideWindow),
        click_id: text(0, "clk_\u{0}é東🦀"),
        affiliate_id: text(1, "aff_one"),
        campaign_id: text(2, "cmp_one"),
        suggested_affiliate_id: text(1, "aff_two"),
        external_product_id: text(0, "SKU"),
        coupon_code: text(1, ""),
        metadata: (number % 5 == 0).then(|| "x".repeat(8 << 10)),
        commission: (number % 3 == 1).then(|| commission(number, currency)),
        hold_until: (number % 2 == 1).then(|| Timestamp(NOW.0 + number)),
        refunded_thousandths: (number % 4 == 3).then_some(number),
        conflicts: i32::try_from(number).expect("small"),
        timeline: timeline.into_iter().map(|entry| TimelineEntry { cause: cause.clone(), ..entry }).collect(),
        ..transition(order, number)
    }
}

fn commission(number: i64, currency: schemas::Currency) -> Commission {
    let rate = (number % 2 == 0).then(|| "12".to_owned());
    Commission { amount_minor: 10 * number, currency, level: RuleLevel::Product, rule_id: "rul_one".to_owned(), rate }
}

pub(crate) fn commission_changed(order: &str, number: i64) -> CommissionChanged {
    let ConversionTransitioned { conversion_id, merchant_id, livemode, external_order_id, currency, at, .. } =
        transition(order, number);
    CommissionChanged {
        conversion_id,
        revision: number,
        merchant_id,
        livemode,
        external_order_id,
        affiliate_id: "aff_one".to_owned(),
        campaign_id: Some("cmp_one".to_owned()),
        state: CommissionState::Payable,
        commission: commission(number, currency),
        order_amount_minor: i64::MAX,
        hold_until: (number % 2 == 1).then_some(NOW),
        refunded_thousandths: (number % 4 == 2).then_some(number),
        at,
    }
}

pub(crate) fn ledger_entry(order: &str, number: i64) -> LedgerEntry {
    let ConversionTransitioned { conversion_id, merchant_id, external_order_id, livemode, currency, .. } =
        transition(order, number);
    LedgerEntry {
        entry_id: conversion_id.ledger_entry_id(number, 0),
        conversion_id,
        revision: number,
        merchant_id,
        external_order_id,
        affiliate_id: "aff_one".to_owned(),
        livemode,
        debit: Account::MerchantReceivable,
        credit: Account::AffiliatePending,
        amount_minor: number,
        currency,
        at: Timestamp(NOW.0 + number * 400_000),
    }
}

/// The balance after `entries` of them; beyond 64 bits, on either side of zero.
pub(crate) fn balance_changed(account: Account, entries: i64) -> BalanceChanged {
    let entry = ledger_entry("A-0", entries);
    let sign = if entries % 2 == 0 { 1 } else { -1 };
    BalanceChanged {
        affiliate_id: entry.affiliate_id,
        currency: entry.currency,
        livemode: entry.livemode,
        account,
        balance_minor: Balance(sign * (i128::from(i64::MAX) * 3 + i128::from(entries))),
        entries,
        entry_id: entry.entry_id,
        at: entry.at,
    }
}

/// What a log has: the revisions of some orders, and all that comes with them.
pub(crate) fn log(orders: usize, revisions: i64) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 1..=revisions {
        for order in (0..orders).map(|order| format!("A-{order}")) {
            records.push(record(TRANSITIONS, &revision(&order, number)));
            records.push(record(COMMISSIONS, &commission_changed(&order, number)));
            records.push(record(LEDGER_ENTRIES, &ledger_entry(&order, number)));
        }
        for account in [Account::MerchantReceivable, Account::AffiliatePending] {
            records.push(record(BALANCES, &balance_changed(account, number)));
        }
    }
    records
}

pub(crate) fn ids(orders: usize) -> impl Iterator<Item = (String, ConversionId)> {
    (0..orders).map(|order| format!("A-{order}")).map(|order| (order.clone(), id(&order)))
}
