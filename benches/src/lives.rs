//! What `orders` and `ledger` publish of orders, from their report to the end of the hold.

use schemas::ids::OrderKey;
use schemas::records::{
    Account, BalanceChanged, Cause, CauseType, Commission, CommissionChanged, CommissionState, Confidence,
    ConversionState, ConversionTransitioned, LedgerEntry, OrderStatus, ReportedStatus, RuleLevel, TimelineEntry,
};
use schemas::topics::{BALANCES, COMMISSIONS, LEDGER_ENTRIES, TRANSITIONS, TopicSpec};
use schemas::{AvroRecord, Balance, Currency, Timestamp};
use streams::Record;

const NOW: Timestamp = Timestamp(1_781_429_400_000);
/// How many orders are at the same step at once.
const TOGETHER: u64 = 1_000;
const MERCHANTS: u64 = 20;
const AFFILIATES: u64 = 200;

/// Orders of some merchants, 100 a second.
#[derive(Debug)]
pub struct Lives {
    orders: u64,
}

/// A step of an order: what it makes of the conversion, its commission and the affiliate's account.
struct Step {
    revision: i64,
    states: &'static [ConversionState],
    cause: CauseType,
    commission: Option<CommissionState>,
    /// Between which accounts the commission goes.
    booking: Option<(Account, Account)>,
}

const STEPS: [Step; 3] = [
    Step {
        revision: 1,
        states: &[ConversionState::Received],
        cause: CauseType::Reported,
        commission: None,
        booking: None,
    },
    Step {
        revision: 2,
        states: &[ConversionState::Attributed, ConversionState::CommissionCreated, ConversionState::Hold],
        cause: CauseType::Click,
        commission: Some(CommissionState::Held),
        booking: Some((Account::MerchantReceivable, Account::AffiliatePending)),
    },
    Step {
        revision: 3,
        states: &[ConversionState::Payable],
        cause: CauseType::HoldElapsed,
        commission: Some(CommissionState::Payable),
        booking: Some((Account::AffiliatePending, Account::AffiliatePayable)),
    },
];

impl Lives {
    /// So many orders.
    #[must_use]
    pub fn new(orders: u64) -> Lives {
        Lives { orders }
    }

    /// The records of their topics, in an order in which a log may have them.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for first in (0..self.orders).step_by(TOGETHER as usize) {
            for step in &STEPS {
                for number in first..self.orders.min(first + TOGETHER) {
                    Life { number }.step(step, &mut records);
                }
            }
        }
        records
    }
}

struct Life {
    number: u64,
}

impl Life {
    fn step(&self, step: &Step, records: &mut Vec<Record>) {
        let conversion = self.conversion(step);
        if let Some(state) = step.commission {
            push(records, COMMISSIONS, &self.commission(&conversion, state));
        }
        if let Some((debit, credit)) = step.booking {
            let entry = self.booking(&conversion, debit, credit);
            for account in [debit, credit] {
                push(records, BALANCES, &self.balance(&entry, account));
            }
            push(records, LEDGER_ENTRIES, &entry);
        }
        push(records, TRANSITIONS, &conversion);
    }

    fn affiliate(&self) -> String {
        format!("aff_{}", self.number % AFFILIATES)
    }

    fn conversion(&self, step: &Step) -> ConversionTransitioned {
        let (merchant_id, order) = (format!("mer_{}", self.number % MERCHANTS), format!("SHOP-{}", self.number));
        let key = OrderKey { merchant_id: &merchant_id, livemode: true, external_order_id: &order };
        let received_at = Timestamp(NOW.0 + self.number as i64 * 10);
        let before: usize = STEPS.iter().filter(|it| it.revision < step.revision).map(|it| it.states.len()).sum();
        let entry = |(seq, state): (i32, &ConversionState)| {
            let (event_id, order_status) = (Some(format!("cnvevt_{:032x}", self.number)), Some(ReportedStatus::Paid));
            let cause = Cause {
                kind: step.cause,
                event_id,
                order_status,
                refunded_thousandths: None,
                applied: true,
                fields: Vec::new(),
                review: None,
            };
            TimelineEntry { seq, state: *state, at: received_at, cause }
        };
        let first = i32::try_from(before).expect("small") + 1;
        let timeline: Vec<_> = (first..).zip(step.states).map(entry).collect();
        let attributed = step.commission.is_some();
        ConversionTransitioned {
            conversion_id: key.conversion_id(),
            revision: step.revision,
            seq: timeline.last().map_or(0, |entry| entry.seq),
            event_id: format!("cnvevt_{:032x}", self.number),
            state: *step.states.last().expect("a step has one"),
            confidence: attributed.then_some(Confidence::High),
            confidence_reason: None,
            click_id: Some(format!("clk_{:032x}", self.number)),
            affiliate_id: attributed.then(|| self.affiliate()),
            campaign_id: attributed.then(|| "cmp_one".to_owned()),
            suggested_affiliate_id: None,
            external_product_id: Some("SKU-RED-42".to_owned()),
            amount_minor: 299_900,
            currency: Currency::parse("NPR").expect("a currency"),
            order_status: OrderStatus::Confirmed,
            ordered_at: received_at,
            received_at,
            coupon_code: None,
            metadata: Some(r#"{"channel":"instagram","basket":3}"#.to_owned()),
            commission: attributed.then(commission),
            hold_until: attributed.then_some(received_at),
            refunded_thousandths: None,
            conflicts: 0,
            timeline,
            explanation: None,
            at: received_at,
            merchant_id,
            livemode: true,
            external_order_id: order,
        }
    }

    fn commission(&self, conversion: &ConversionTransitioned, state: CommissionState) -> CommissionChanged {
        CommissionChanged {
            conversion_id: conversion.conversion_id,
            revision: conversion.revision,
            merchant_id: conversion.merchant_id.clone(),
            livemode: conversion.livemode,
            external_order_id: conversion.external_order_id.clone(),
            affiliate_id: self.affiliate(),
            campaign_id: Some("cmp_one".to_owned()),
            state,
            commission: commission(),
            order_amount_minor: conversion.amount_minor,
            refunded_thousandths: None,
            hold_until: conversion.hold_until,
            at: conversion.at,
        }
    }

    fn booking(&self, conversion: &ConversionTransitioned, debit: Account, credit: Account) -> LedgerEntry {
        LedgerEntry {
            entry_id: conversion.conversion_id.ledger_entry_id(conversion.revision, 0),
            conversion_id: conversion.conversion_id,
            revision: conversion.revision,
            merchant_id: conversion.merchant_id.clone(),
            external_order_id: conversion.external_order_id.clone(),
            affiliate_id: self.affiliate(),
            livemode: conversion.livemode,
            debit,
            credit,
            amount_minor: commission().amount_minor,
            currency: conversion.currency,
            at: conversion.at,
        }
    }

    fn balance(&self, entry: &LedgerEntry, account: Account) -> BalanceChanged {
        let entries = i64::try_from(self.number / AFFILIATES).expect("small") * 3 + entry.revision;
        BalanceChanged {
            affiliate_id: entry.affiliate_id.clone(),
            currency: entry.currency,
            livemode: entry.livemode,
            account,
            balance_minor: Balance(i128::from(entry.amount_minor) * i128::from(entries)),
            entries,
            entry_id: entry.entry_id.clone(),
            at: entry.at,
        }
    }
}

fn commission() -> Commission {
    Commission {
        amount_minor: 35_988,
        currency: Currency::parse("NPR").expect("a currency"),
        level: RuleLevel::Merchant,
        rule_id: "rul_one".to_owned(),
        rate: Some("12".to_owned()),
    }
}

fn push<R: AvroRecord>(records: &mut Vec<Record>, topic: TopicSpec, value: &R) {
    let (offset, value) = (records.len() as u64, schemas::encode(value).into());
    records.push(Record { topic: topic.number, partition: 0, offset, key: Default::default(), value });
}
