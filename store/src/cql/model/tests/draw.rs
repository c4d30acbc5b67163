//! Records, and sets of them that a log may have.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use schemas::ids::{ConversionId, OrderKey, PayoutKey};
use schemas::records::{
    Account, BalanceChanged, Cause, CauseType, ClickCheck, ClickQuestion, Commission, CommissionChanged,
    CommissionState, Confidence, ConfidenceReason, ConversionState, ConversionTransitioned, CouponFinding,
    DecisionExplained, Explanation, FactKind, FactPlace, HoldExplained, HoldWindow, LedgerEntry, OrderStatus,
    PayoutChanged, PayoutState, ReportedStatus, Review, ReviewDecision, RuleConsidered, RuleLevel, RuleOutcome,
    StateReason, TimelineEntry,
};
use schemas::topics::{BALANCES, COMMISSIONS, LEDGER_ENTRIES, PAYOUTS, TRANSITIONS, TopicSpec};
use schemas::{AvroRecord, Balance, Currency, Timestamp};
use streams::Record;

pub(super) const NOW: Timestamp = Timestamp(1_781_429_400_000);

pub(super) fn record<R: AvroRecord>(topic: &TopicSpec, value: &R) -> Record {
    let value = schemas::encode(value).into();
    Record { topic: topic.number, partition: 3, offset: 7, key: Default::default(), value }
}

pub(super) fn id(order: &str) -> ConversionId {
    OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: order }.conversion_id()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,12}", "\\PC{0,8}", Just("é\u{0}東🦀".to_owned()), "[x]{400}"]
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec!["NPR", "JPY", "KWD"]).prop_map(|code| Currency::parse(code).expect("a currency"))
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0..40_i64 * 86_400_000).prop_map(|since| Timestamp(NOW.0 + since)),
        1 => select(vec![i64::MIN, -1, 0, i64::MAX]).prop_map(Timestamp),
    ]
}

fn commission() -> impl Strategy<Value = Commission> {
    let level = select(vec![RuleLevel::Product, RuleLevel::Campaign, RuleLevel::Merchant, RuleLevel::Platform]);
    (any::<i64>(), currency(), level, text(), option::of(text())).prop_map(
        |(amount_minor, currency, level, rule_id, rate)| Commission { amount_minor, currency, level, rule_id, rate },
    )
}

fn state() -> impl Strategy<Value = ConversionState> {
    select(vec![
        ConversionState::Received,
        ConversionState::CommissionCreated,
        ConversionState::Hold,
        ConversionState::Payable,
        ConversionState::Reversed,
    ])
}

fn review() -> impl Strategy<Value = Review> {
    let decision = select(vec![ReviewDecision::Approve, ReviewDecision::Reject, ReviewDecision::Reinstate]);
    (decision, any::<i64>(), option::of(text()), [text(), text(), text(), text()]).prop_map(
        |(decision, revision, affiliate_id, [reviewer, role, reason, request_id])| Review {
            decision,
            revision,
            affiliate_id,
            reviewer,
            role,
            reason,
            request_id,
        },
    )
}

fn cause() -> impl Strategy<Value = Cause> {
    let kind = select(vec![CauseType::Reported, CauseType::Click, CauseType::OrderStatus, CauseType::Conflict]);
    let status = option::of(select(vec![ReportedStatus::Paid, ReportedStatus::CommissionRejected]));
    let fields = vec(text(), 0..3);
    (kind, option::of(text()), status, option::of(any::<i64>()), any::<bool>(), fields, option::of(review())).prop_map(
        |(kind, event_id, order_status, refunded_thousandths, applied, fields, review)| Cause {
            kind,
            event_id,
            order_status,
            refunded_thousandths,
            applied,
            fields,
            review,
        },
    )
}

/// What of a conversion changes from one revision to the next.
#[derive(Clone, Debug)]
struct Change {
    state: ConversionState,
    confidence: Option<(Confidence, Option<ConfidenceReason>)>,
    affiliate_id: Option<String>,
    suggested_affiliate_id: Option<String>,
    commission: Option<Commission>,
    hold_until: Option<Timestamp>,
    refunded_thousandths: Option<i64>,
    is_explained: bool,
    entries: Vec<(ConversionState, Timestamp, Cause)>,
}

fn change() -> impl Strategy<Value = Change> {
    let confidence = option::of((
        select(vec![Confidence::High, Confidence::Low]),
        option::of(select(vec![ConfidenceReason::NoClick, ConfidenceReason::ClickUnknown])),
    ));
    let entries = vec((state(), instant(), cause()), 0..3);
    let refunded = (option::of(any::<i64>()), any::<bool>());
    let affiliates = (option::of(text()), option::of(text()));
    (state(), confidence, affiliates, option::of(commission()), option::of(instant()), refunded, entries).prop_map(
        |(state, confidence, affiliates, commission, hold_until, (refunded_thousandths, is_explained), entries)| {
            Change {
                state,
                confidence,
                affiliate_id: affiliates.0,
                suggested_affiliate_id: affiliates.1,
                commission,
                hold_until,
                refunded_thousandths,
                is_explained,
                entries,
            }
        },
    )
}

/// All revisions of a conversion, in order, as `orders` publishes them: what was reported stays, the rest comes and goes.
fn conversion(order: String) -> impl Strategy<Value = Vec<ConversionTransitioned>> {
    let reported = (instant(), instant(), option::of(text()), option::of(text()), option::of(text()), currency());
    (reported, vec(change(), 1..6)).prop_map(move |(reported, changes)| {
        let (received_at, ordered_at, click_id, coupon_code, metadata, currency) = reported;
        let mut seq = 0;
        let revision = |(number, change): (usize, Change)| {
            let timeline = change.entries.into_iter().map(|(state, at, cause)| {
                seq += 1;
                TimelineEntry { seq, state, at, cause }
            });
            let timeline: Vec<_> = timeline.collect();
            ConversionTransitioned {
                conversion_id: id(&order),
                revision: number as i64 + 1,
                seq,
                event_id: format!("cnvevt_{order}"),
                merchant_id: "mer_one".to_owned(),
                livemode: true,
                external_order_id: order.clone(),
                state: change.state,
                confidence: change.confidence.map(|(confidence, _)| confidence),
                confidence_reason: change.confidence.and_then(|(_, reason)| reason),
                click_id: click_id.clone(),
                affiliate_id: change.affiliate_id,
                campaign_id: None,
                suggested_affiliate_id: change.suggested_affiliate_id,
                external_product_id: None,
                amount_minor: 299_900,
                currency,
                order_status: OrderStatus::Confirmed,
                ordered_at,
                received_at,
                coupon_code: coupon_code.clone(),
                metadata: metadata.clone(),
                commission: change.commission,
                hold_until: change.hold_until,
                refunded_thousandths: change.refunded_thousandths,
                conflicts: 0,
                timeline,
                explanation: change.is_explained.then(explanation),
                at: NOW,
            }
        };
        changes.into_iter().enumerate().map(revision).collect()
    })
}

/// The changes of a commission, the bookings and the balances that go with a conversion.
fn money(order: String) -> impl Strategy<Value = Vec<Record>> {
    let amounts = vec((1..1_000_000_i64, any::<i128>(), instant(), option::of(instant())), 0..4);
    (amounts, commission()).prop_map(move |(amounts, commission)| {
        let mut records = Vec::new();
        for (number, (amount_minor, balance, at, hold_until)) in (1..).zip(amounts) {
            let (conversion_id, currency) = (id(&order), commission.currency);
            let entry_id = conversion_id.ledger_entry_id(number, 0);
            records.push(record(
                &COMMISSIONS,
                &CommissionChanged {
                    conversion_id,
                    revision: number,
                    merchant_id: "mer_one".to_owned(),
                    livemode: true,
                    external_order_id: order.clone(),
                    affiliate_id: "aff_one".to_owned(),
                    campaign_id: Some("cmp_one".to_owned()),
                    state: CommissionState::Held,
                    commission: commission.clone(),
                    order_amount_minor: amount_minor,
                    refunded_thousandths: hold_until.map(|at| at.0),
                    hold_until,
                    at,
                },
            ));
            records.push(record(
                &LEDGER_ENTRIES,
                &LedgerEntry {
                    entry_id: entry_id.clone(),
                    conversion_id,
                    revision: number,
                    merchant_id: "mer_one".to_owned(),
                    external_order_id: "SHOP-1".to_owned(),
                    affiliate_id: "aff_one".to_owned(),
                    livemode: true,
                    debit: Account::MerchantReceivable,
                    credit: Account::AffiliatePending,
                    amount_minor,
                    currency,
                    at,
                },
            ));
            records.push(record(
                &BALANCES,
                &BalanceChanged {
                    affiliate_id: format!("aff_{order}"),
                    currency,
                    livemode: true,
                    account: Account::AffiliatePending,
                    balance_minor: Balance(balance),
                    entries: number,
                    entry_id,
                    at,
                },
            ));
        }
        records
    })
}

/// The conversions of a log, and all of its records, in an order that it may have.
pub(super) fn log() -> impl Strategy<Value = (Vec<Vec<ConversionTransitioned>>, Vec<Record>)> {
    let order = |number: usize| (conversion(format!("A-{number}")), money(format!("A-{number}")));
    (1..4_usize).prop_flat_map(move |orders| (0..orders).map(order).collect::<Vec<_>>()).prop_map(|orders| {
        let mut records = Vec::new();
        let mut conversions = Vec::new();
        for (conversion, money) in orders {
            records.extend(conversion.iter().map(|revision| record(&TRANSITIONS, revision)));
            records.extend(money);
            conversions.push(conversion);
        }
        records.extend(payout_changes().iter().map(|change| record(&PAYOUTS, change)));
        (conversions, records)
    })
}

/// One revision of a conversion.
pub(super) fn transition() -> ConversionTransitioned {
    let cause = |kind| Cause {
        kind,
        event_id: None,
        order_status: None,
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
    };
    let entry = |seq, state, kind| TimelineEntry { seq, state, at: NOW, cause: cause(kind) };
    ConversionTransitioned {
        conversion_id: id("SHOP-100245"),
        revision: 2,
        seq: 4,
        event_id: "cnvevt_1".to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: "SHOP-100245".to_owned(),
        state: ConversionState::Hold,
        confidence: None,
        confidence_reason: None,
        click_id: None,
        affiliate_id: None,
        campaign_id: None,
        suggested_affiliate_id: None,
        external_product_id: None,
        amount_minor: 299_900,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: NOW,
        received_at: Timestamp(NOW.0 + 1),
        coupon_code: None,
        metadata: None,
        commission: None,
        hold_until: None,
        refunded_thousandths: None,
        conflicts: 0,
        timeline: vec![
            entry(3, ConversionState::Attributed, CauseType::Click),
            entry(4, ConversionState::Hold, CauseType::OrderStatus),
        ],
        explanation: Some(explanation()),
        at: NOW,
    }
}

fn explanation() -> Explanation {
    Explanation {
        state_reason: StateReason::OnHold,
        click_checks: vec![ClickCheck { question: ClickQuestion::Named, passed: true }],
        click: None,
        coupon: Some(CouponFinding::Holds),
        decisions: vec![DecisionExplained {
            decision: ReviewDecision::Reinstate,
            event_id: "revevt_1".to_owned(),
            role: "administrator".to_owned(),
            decided_at: NOW,
        }],
        rules: vec![RuleConsidered {
            level: RuleLevel::Product,
            rule_id: "rul_1".to_owned(),
            version: "0123456789abcdef".to_owned(),
            outcome: RuleOutcome::Won,
        }],
        rules_left_out: 0,
        arithmetic: None,
        hold: Some(HoldExplained { window: HoldWindow::Return, since: NOW, window_ms: 1 }),
        facts: vec![FactPlace {
            fact: FactKind::Report,
            event_id: Some("cnvevt_1".to_owned()),
            topic: "conversions".to_owned(),
            partition: 3,
            offset: 1 << 40,
        }],
    }
}

/// A change of its commission.
pub(super) fn commission_changed() -> CommissionChanged {
    CommissionChanged {
        conversion_id: id("SHOP-100245"),
        revision: 2,
        merchant_id: "mer_one".to_owned(),
        livemode: false,
        external_order_id: "SHOP-100245".to_owned(),
        affiliate_id: "aff_one".to_owned(),
        campaign_id: Some("cmp_one".to_owned()),
        state: CommissionState::Held,
        commission: Commission {
            amount_minor: 500,
            currency: Currency::parse("NPR").expect("a currency"),
            level: RuleLevel::Merchant,
            rule_id: "rul_one".to_owned(),
            rate: None,
        },
        order_amount_minor: 299_900,
        hold_until: None,
        refunded_thousandths: None,
        at: NOW,
    }
}

/// A booking of it.
pub(super) fn ledger_entry() -> LedgerEntry {
    LedgerEntry {
        entry_id: id("SHOP-100245").ledger_entry_id(2, 0),
        conversion_id: id("SHOP-100245"),
        revision: 2,
        merchant_id: "mer_one".to_owned(),
        external_order_id: "SHOP-100245".to_owned(),
        affiliate_id: "aff_one".to_owned(),
        livemode: false,
        debit: Account::MerchantReceivable,
        credit: Account::AffiliatePending,
        amount_minor: 500,
        currency: Currency::parse("NPR").expect("a currency"),
        at: NOW,
    }
}

/// A balance after it, the least there is.
pub(super) fn balance_changed() -> BalanceChanged {
    BalanceChanged {
        affiliate_id: "aff_one".to_owned(),
        currency: Currency::parse("NPR").expect("a currency"),
        livemode: false,
        account: Account::AffiliatePending,
        balance_minor: Balance(i128::MIN),
        entries: 9,
        entry_id: ledger_entry().entry_id,
        at: NOW,
    }
}

/// A payout as it is made, and what became of it.
pub(super) fn payout_changes() -> [PayoutChanged; 2] {
    let (affiliate_id, currency) = ("aff_one", Currency::parse("NPR").expect("a currency"));
    let made = PayoutChanged {
        payout_id: PayoutKey { affiliate_id, currency, cut_off: NOW }.payout_id(),
        number: 1,
        affiliate_id: affiliate_id.to_owned(),
        currency,
        livemode: true,
        state: PayoutState::InTransit,
        amount_minor: 500,
        cut_off: NOW,
        entries_to: 9,
        retries: Vec::new(),
        debit: Account::AffiliatePayable,
        debit_entries: 10,
        credit: Account::PayoutInTransit,
        credit_entries: 1,
        reference: None,
        at: NOW,
    };
    let failed = PayoutChanged {
        state: PayoutState::Failed,
        debit: Account::PayoutInTransit,
        debit_entries: 2,
        credit: Account::AffiliatePayable,
        credit_entries: 11,
        reference: Some("account closed".to_owned()),
        ..made.clone()
    };
    [made, failed]
}
