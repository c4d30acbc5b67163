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
    /// Whether an administrator has set aside that its status reverses the conversion.
    pub set_aside: bool,
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
    /// Whether an administrator has set aside that it reverses the conversion.
    pub set_aside: bool,
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
    /// Whether the shop is that affiliate's own.
    pub self_referral: bool,
}

/// What payouts have paid for an order, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementFact {
    /// The payouts that count; of many the last 52 that came.
    pub payout_ids: Vec<String>,
    /// The sum of what they paid, in minor units of the order's currency: below 0 while only what was taken back has come.
    pub paid_minor: i64,
}

/// A reviewer's decision that counted, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionFact {
    /// The event.
    pub event_id: String,
    /// The role of who decided, at the time.
    pub role: String,
    /// When the edge received it.
    pub decided_at: Timestamp,
    /// Where it came from.
    pub source: FactSource,
}

/// What reviewers have decided, as far as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewFact {
    /// Whom an approval credits; absent for a rejection.
    pub affiliate_id: Option<String>,
    /// The campaign of the click, if that was the affiliate's.
    pub campaign_id: Option<String>,
    /// Why the conversion was LOW when it was decided.
    pub confidence_reason: ConfidenceReason,
    /// The approval or the rejection.
    pub decided: DecisionFact,
}

/// The time of an order of test mode, as it was moved last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestClockFact {
    /// The latest instant that it was moved to.
    pub advanced_to: Timestamp,
    /// The event that moved it there.
    pub event_id: String,
    /// How often it was moved; of more than the timeline tells of no more are counted.
    pub times: i32,
    /// Where that event came from.
    pub source: FactSource,
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
    /// Whether the shop was found to be the click's affiliate's own; not without a click.
    pub self_referral: bool,
    /// The settlement window in milliseconds.
    pub settlement_ms: i64,
    /// The return window in milliseconds.
    pub return_ms: i64,
    /// The cut-off at which a payout is simulated, as the registry has it; of an order of test mode alone, and absent if there are no payouts.
    pub payout_cut_off: Option<String>,
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
    /// What payouts have paid for it, once there is one.
    pub settlement: Option<SettlementFact>,
    /// What reviewers have decided; absent while nobody has, and once a rejection was taken back.
    pub review: Option<ReviewFact>,
    /// The last reinstatement; absent without one.
    pub reinstated: Option<DecisionFact>,
    /// Decisions that came too late.
    pub late_reviews: i32,
    /// The order's own time, of test mode alone; absent while it was never moved.
    pub test_clock: Option<TestClockFact>,
    /// Re-sends that differed.
    pub conflicts: i32,
    /// The last revision published; 0 before the first.
    pub revision: i64,
    /// The last revision in which more than the timeline changed; 0 before the first.
    pub changed_in: i64,
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

/// What a ledger knows of its payouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutsState {
    /// When the next cut-off is, as set in the timer table; absent while nothing is payable.
    pub timer: Option<Timestamp>,
    /// How many payouts there have been.
    pub payouts: i64,
    /// How many of them are on their way.
    pub in_transit: i32,
    /// Those that failed since the last one was made.
    pub failed: Vec<String>,
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryPhase {
    /// `waiting`: for the first attempt of an earlier delivery.
    Waiting,
    /// `sent`: an attempt is under way.
    Sent,
    /// `retrying`: for the time of the next attempt.
    Retrying,
}

/// One change of a conversion on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDelivery {
    /// The endpoint.
    pub endpoint_id: String,
    /// The last timeline entry as of the change.
    pub sequence: i32,
    /// The attempt that is under way or comes next, from 1.
    pub attempt: i32,
    /// What it waits for.
    pub phase: DeliveryPhase,
    /// When a sent attempt counts as lost, or a retrying delivery is attempted again; of a waiting one when it began to wait.
    pub due_at: Timestamp,
    /// How often the outcome of this attempt was lost so far.
    pub losses: i32,
}

/// What endpoints are told of one order: where it was last, and the deliveries that are under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookOrder {
    /// The last revision taken.
    pub revision: i64,
    /// The conversion's state as of it.
    pub state: ConversionState,
    /// When something is next to be done, as set in the timer table.
    pub timer: Option<Timestamp>,
    /// Deliveries under way, in the order of the changes.
    pub deliveries: Vec<WebhookDelivery>,
}

/// Why an endpoint was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledFor {
    /// `gone`: it answered 410.
    Gone,
    /// `failing`: nothing was delivered for too long.
    Failing,
}

/// How one endpoint does, as the deliveries of one partition show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpoint {
    /// When the first attempt failed after the last success; absent while deliveries succeed.
    pub failing_since: Option<Timestamp>,
    /// How many attempts failed since then.
    pub failures: i32,
    /// When it was disabled; absent if it is not.
    pub disabled_at: Option<Timestamp>,
    /// Why; absent if it is not.
    pub disabled_for: Option<DisabledFor>,
    /// How many deliveries to it are under way.
    pub pending: i64,
}

avro_record! {
    OrderState = "order_state",
    AccountState = "account_state",
    PayoutsState = "payouts_state",
    WebhookOrder = "webhook_order",
    WebhookEndpoint = "webhook_endpoint",
}
