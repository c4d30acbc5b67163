//! The rows of the processors' state, encoded as the records of the topics are.

use serde::{Deserialize, Serialize};

use crate::codec::avro_record;
use crate::records::{
    CommissionState, Confidence, ConfidenceReason, ConversionState, OrderStatus, ReportedStatus, RuleConsidered,
    RuleLevel,
};
use crate::{Balance, Currency, Rate, Timestamp};

/// Where the record that brought a fact is in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactSource {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// The report of an order, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportFact {
    /// The event.
    pub event_id: String,
    /// As sent.
    pub click_id: Option<String>,
    /// As sent.
    pub external_product_id: Option<String>,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// The first status.
    pub order_status: OrderStatus,
    /// As sent.
    pub ordered_at: Option<Timestamp>,
    /// When received.
    pub received_at: Timestamp,
    /// As sent.
    pub coupon_code: Option<String>,
    /// As sent.
    pub metadata: Option<String>,
    /// Where it came from; absent if it came before this was kept.
    pub source: Option<FactSource>,
}

/// A status update of an order, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusFact {
    /// The event.
    pub event_id: String,
    /// The status.
    pub status: ReportedStatus,
    /// As sent.
    pub status_updated_at: Option<Timestamp>,
    /// Of a partial refund, in thousandths of the currency's unit.
    pub refunded_thousandths: Option<i64>,
    /// When received, the earliest of equal updates.
    pub received_at: Timestamp,
    /// Where it came from; absent if it came before this was kept.
    pub source: Option<FactSource>,
}

/// The click that an order named, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickFact {
    /// The click's merchant.
    pub merchant_id: String,
    /// Its campaign.
    pub campaign_id: String,
    /// Its affiliate.
    pub affiliate_id: String,
    /// When.
    pub clicked_at: Timestamp,
    /// Where it came from; absent if it came before this was kept.
    pub source: Option<FactSource>,
}

/// The coupon that an order came with, as the registry knew it when the report came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CouponFact {
    /// The affiliate whose it was when the order was placed; absent if no coupon of the code held then.
    pub affiliate_id: Option<String>,
}

/// The terms an order was first commissioned under; later changes of the registry do not touch it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedTerms {
    /// Level of the rule that won; absent if none matched.
    pub level: Option<RuleLevel>,
    /// That rule.
    pub rule_id: Option<String>,
    /// Its percentage in parts per million; absent for a fixed amount.
    pub rate: Option<Rate>,
    /// Its fixed amount in minor units; absent for a percentage.
    pub fixed_minor: Option<i64>,
    /// Its minimum in minor units.
    pub minimum_minor: Option<i64>,
    /// Its cap in minor units.
    pub cap_minor: Option<i64>,
    /// The lookback window in milliseconds.
    pub lookback_ms: i64,
    /// The least time from the click to the order in milliseconds.
    pub min_click_to_order_ms: i64,
    /// The settlement window in milliseconds.
    pub settlement_ms: i64,
    /// The return window in milliseconds.
    pub return_ms: i64,
    /// The rules that were considered, in their order; of many the first 32, the one that won among them.
    pub considered: Vec<RuleConsidered>,
    /// How many more were considered.
    pub left_out: i32,
}

/// What of an order has been published, so that a change is the difference to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The state.
    pub state: ConversionState,
    /// The confidence.
    pub confidence: Option<Confidence>,
    /// Why LOW.
    pub confidence_reason: Option<ConfidenceReason>,
    /// The commission's state.
    pub commission_state: Option<CommissionState>,
    /// The commission's amount in minor units.
    pub commission_minor: Option<i64>,
    /// When the hold ends.
    pub hold_until: Option<Timestamp>,
    /// The order's status.
    pub order_status: OrderStatus,
    /// The sum of the partial refunds, in thousandths of the currency's unit.
    pub refunded_thousandths: Option<i64>,
    /// Booked to the affiliate's pending account so far, net.
    pub pending_minor: i64,
    /// Booked to the affiliate's payable account so far, net.
    pub payable_minor: i64,
}

/// All that is known of one order: its facts, and what has been published of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    /// The report; absent while only updates have come.
    pub report: Option<ReportFact>,
    /// Status updates, in the order in which they count; of many of one kind the first and the last, of many partial refunds the first.
    pub updates: Vec<StatusFact>,
    /// Until when the click named by the report is awaited, as the policy was when the report came.
    pub awaited_until: Option<Timestamp>,
    /// The click, once matched.
    pub click: Option<ClickFact>,
    /// The coupon; absent if the report names none, or one that was not known.
    pub coupon: Option<CouponFact>,
    /// The terms, once commissioned.
    pub terms: Option<PinnedTerms>,
    /// Re-sends that differed.
    pub conflicts: i32,
    /// The last revision published; 0 before the first.
    pub revision: i64,
    /// The last timeline entry published; 0 before the first.
    pub seq: i32,
    /// What was published last.
    pub published: Option<Published>,
    /// When time alone will next change the derivation, as set in the timer table.
    pub timer: Option<Timestamp>,
    /// The instant of the last derivation: a clock that is set back does not take it back.
    pub derived_at: Option<Timestamp>,
}

/// One account of one affiliate's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountState {
    /// Credits less debits, in minor units.
    pub balance_minor: Balance,
    /// How many entries touched it.
    pub entries: i64,
}

avro_record! {
    OrderState = "order_state",
    AccountState = "account_state",
}
