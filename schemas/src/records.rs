//! The records of the topics. The `.avsc` files are their contract; these are their Rust types, field for field.

use serde::{Deserialize, Serialize};

use crate::codec::avro_record;
use crate::ids::ConversionId;
use crate::registry::Definition;
use crate::{Balance, Currency, Timestamp};

pub use self::enums::*;
pub use self::explanation::*;
pub use self::payouts::*;
pub use self::webhooks::{WebhookAttempt, WebhookOutcome};

mod enums;
mod explanation;
mod payouts;
mod webhooks;

/// The idempotency key of a request, so that its use can be found again from the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyUse {
    /// The key as sent, at most 255 visible ASCII characters. If it is not that of a reported conversion, what it is of comes before it, with a zero character: order-status, test-clock, or event for the id of a shop's event.
    pub key: String,
    /// The first 128 bits of SHA-256 over the request's body or, of a shop's event, over its name and its order, in hexadecimal.
    pub body_digest: String,
}

/// A merchant reported an order. The first one of an order, in the order of the log, is the order's report; later ones change nothing and are kept as conflicts if they differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversionReported {
    /// cnvevt_ and a UUIDv7 in hexadecimal: sorts by time of receipt.
    pub event_id: String,
    /// The merchant, from the API key.
    pub merchant_id: String,
    /// True for a live key, false for the test namespace.
    pub livemode: bool,
    /// The merchant's order id, 1 to 160 characters, taken byte for byte.
    pub external_order_id: String,
    /// The captured affiliate_click_id, if sent.
    pub click_id: Option<String>,
    /// The product or SKU, if sent.
    pub external_product_id: Option<String>,
    /// The order's amount in minor units of the currency, at least 0.
    pub amount_minor: i64,
    /// ISO 4217 code, the merchant's own if none was sent.
    pub currency: Currency,
    /// The status the order was reported with; pending if none was sent; never paid.
    pub order_status: OrderStatus,
    /// When the order was placed, as sent; absent means the time of receipt.
    pub ordered_at: Option<Timestamp>,
    /// When the edge received it.
    pub received_at: Timestamp,
    /// The coupon, as sent.
    pub coupon_code: Option<String>,
    /// The merchant's JSON object, exactly as sent, at most 8 KiB.
    pub metadata: Option<String>,
    /// The idempotency key it came under, if any.
    pub idempotency: Option<IdempotencyUse>,
}

/// A merchant reported a new status of an order, perhaps before the order itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatusReported {
    /// osevt_ and a UUIDv7 in hexadecimal: sorts by time of receipt.
    pub event_id: String,
    /// The merchant, from the API key.
    pub merchant_id: String,
    /// True for a live key, false for the test namespace.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The new status.
    pub status: ReportedStatus,
    /// The click id the merchant repeated, if any; kept for the record, it attributes nothing.
    pub click_id: Option<String>,
    /// When the status changed, as sent; absent means the time of receipt.
    pub status_updated_at: Option<Timestamp>,
    /// Of a partial refund what was refunded this time, in thousandths of the currency's unit, more than 0: the order's currency is not known when it comes first. Absent otherwise.
    pub refunded_thousandths: Option<i64>,
    /// When the edge received it.
    pub received_at: Timestamp,
    /// The merchant's reason, at most 500 characters.
    pub reason: Option<String>,
    /// The merchant's JSON object, exactly as sent, at most 8 KiB.
    pub metadata: Option<String>,
    /// The idempotency key it came under, if any.
    pub idempotency: Option<IdempotencyUse>,
}

/// What a reviewer decided of a conversion, and who that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// What.
    pub decision: ReviewDecision,
    /// The revision of the conversion that the reviewer had seen. It counts if nothing but the timeline has changed since.
    pub revision: i64,
    /// Whom an approval credits; absent otherwise.
    pub affiliate_id: Option<String>,
    /// The reviewer's name, from the token.
    pub reviewer: String,
    /// The reviewer's role at the time: administrator or reviewer.
    pub role: String,
    /// Why, 1 to 500 characters.
    pub reason: String,
    /// The id of the request that it came by.
    pub request_id: String,
}

/// A reviewer decided a conversion. Of several decisions on what was shown, the first in the order of the log counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewDecided {
    /// revevt_ and a UUIDv7 in hexadecimal: sorts by time of receipt.
    pub event_id: String,
    /// The conversion's merchant.
    pub merchant_id: String,
    /// False for the test namespace.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The decision.
    pub review: Review,
    /// When the edge received it.
    pub decided_at: Timestamp,
}

/// An integrator moved the time of an order of test mode forward, perhaps before the order itself. Of several the latest instant counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestClockAdvanced {
    /// tcevt_ and a UUIDv7 in hexadecimal: sorts by time of receipt.
    pub event_id: String,
    /// The merchant, from the API key.
    pub merchant_id: String,
    /// False: live orders have no time but everybody's, and a record that says otherwise is refused.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The order's time is this, until everybody's is later; at most 400 days after receipt.
    pub advanced_to: Timestamp,
    /// When the edge received it.
    pub received_at: Timestamp,
    /// The idempotency key it came under, if any.
    pub idempotency: Option<IdempotencyUse>,
}

/// Somebody clicked an affiliate's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickRecorded {
    /// clk_ and an id.
    pub click_id: String,
    /// The merchant whose campaign it is.
    pub merchant_id: String,
    /// The campaign of the link.
    pub campaign_id: String,
    /// The affiliate whose link it is.
    pub affiliate_id: String,
    /// The link; absent for a click recorded elsewhere.
    pub link_id: Option<String>,
    /// When.
    pub clicked_at: Timestamp,
}

/// An order names a click: which is it? Answered when the click is known, which may be at once, later or never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickLookupRequested {
    /// The click id the merchant sent.
    pub click_id: String,
    /// The order's merchant.
    pub merchant_id: String,
    /// The order's mode.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// When orders asked.
    pub asked_at: Timestamp,
}

/// The click that an order named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickMatched {
    /// The order's merchant.
    pub merchant_id: String,
    /// The order's mode.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The click, whoever's it is; whether it counts is for orders to judge.
    pub click: ClickRecorded,
}

/// A commission and the rule that set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commission {
    /// The commission in minor units of the currency, at least 0.
    pub amount_minor: i64,
    /// ISO 4217 code, the order's.
    pub currency: Currency,
    /// The level of the rule that won.
    pub level: RuleLevel,
    /// That rule.
    pub rule_id: String,
    /// The percentage as a decimal string; absent for a fixed amount.
    pub rate: Option<String>,
}

/// What made a timeline entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: CauseType,
    /// The event, for reported, order_status, conflict, review and test_clock.
    pub event_id: Option<String>,
    /// The status reported, for order_status.
    pub order_status: Option<ReportedStatus>,
    /// What was refunded this time, in thousandths of the currency's unit, for order_status of a partial refund.
    pub refunded_thousandths: Option<i64>,
    /// False for a fact that changed nothing: a status overtaken by another, a conflict, or a review that came too late.
    pub applied: bool,
    /// For a conflict, the fields that differ from the report.
    pub fields: Vec<String>,
    /// For a review, what was decided and by whom.
    pub review: Option<Review>,
}

/// A state that a conversion entered, or a fact that left it where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// 1 for the first entry of a conversion, then one more each.
    pub seq: i32,
    /// The state entered, or kept.
    pub state: ConversionState,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// A conversion after a change, whole, with the timeline entries that the change made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversionTransitioned {
    /// cnv_ and 32 hexadecimal digits, a pure function of merchant, mode and order id.
    pub conversion_id: ConversionId,
    /// 1 for the first change of a conversion, then one more each. The record with the highest is the present one.
    pub revision: i64,
    /// The last timeline entry as of this revision.
    pub seq: i32,
    /// The event that reported the conversion.
    pub event_id: String,
    /// The merchant.
    pub merchant_id: String,
    /// False for the test namespace.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The state now.
    pub state: ConversionState,
    /// Absent while a click is awaited.
    pub confidence: Option<Confidence>,
    /// Why LOW; absent otherwise.
    pub confidence_reason: Option<ConfidenceReason>,
    /// The click id the merchant sent.
    pub click_id: Option<String>,
    /// The affiliate attributed.
    pub affiliate_id: Option<String>,
    /// The campaign attributed.
    pub campaign_id: Option<String>,
    /// Of a LOW conversion the affiliate whom a review could credit: its coupon's, or that of a click that is too recent. Nobody is credited by this.
    pub suggested_affiliate_id: Option<String>,
    /// The product or SKU.
    pub external_product_id: Option<String>,
    /// The order's amount in minor units of the currency.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// The order's status: reported at first, then by the latest update that counts.
    pub order_status: OrderStatus,
    /// When the order was placed.
    pub ordered_at: Timestamp,
    /// When its report was received.
    pub received_at: Timestamp,
    /// The coupon, as sent.
    pub coupon_code: Option<String>,
    /// The merchant's JSON object, exactly as sent.
    pub metadata: Option<String>,
    /// The commission; stays, with its amount, when the conversion is reversed.
    pub commission: Option<Commission>,
    /// When the hold ends or ended; absent while none has begun.
    pub hold_until: Option<Timestamp>,
    /// The sum of the partial refunds that count, in thousandths of the currency's unit, at most the order's amount; absent without one.
    pub refunded_thousandths: Option<i64>,
    /// Re-sends that differed from the report.
    pub conflicts: i32,
    /// The new entries, in order; none for a change that is not the merchant's to know.
    pub timeline: Vec<TimelineEntry>,
    /// Why the conversion is what it is; absent in a record of an older version.
    pub explanation: Option<Explanation>,
    /// When the change was derived.
    pub at: Timestamp,
}

/// A commission after a change of its state or amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommissionChanged {
    /// The conversion.
    pub conversion_id: ConversionId,
    /// The conversion's revision that made the change; the record with the highest is the present one.
    pub revision: i64,
    /// Who pays.
    pub merchant_id: String,
    /// False for the test namespace, which is never paid out.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// Who is paid.
    pub affiliate_id: String,
    /// The campaign of the click; absent if a reviewer credited an affiliate without a click of theirs.
    pub campaign_id: Option<String>,
    /// The state now.
    pub state: CommissionState,
    /// Amount, currency and rule.
    pub commission: Commission,
    /// The order's amount in minor units of the same currency.
    pub order_amount_minor: i64,
    /// The sum of the partial refunds that count, in thousandths of the currency's unit, at most the order's amount; absent without one.
    pub refunded_thousandths: Option<i64>,
    /// When the hold ends or ended.
    pub hold_until: Option<Timestamp>,
    /// When the change was derived.
    pub at: Timestamp,
}

/// A double-entry booking: amountMinor leaves the debit account and enters the credit account. Never changed; a correction is another entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// A pure function of the conversion, its revision and the entry's index in it.
    pub entry_id: String,
    /// The conversion that caused it.
    pub conversion_id: ConversionId,
    /// The conversion's revision that caused it.
    pub revision: i64,
    /// The merchant of the conversion.
    pub merchant_id: String,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The affiliate whose ledger it is in.
    pub affiliate_id: String,
    /// False for the test namespace.
    pub livemode: bool,
    /// The account that the amount leaves.
    pub debit: Account,
    /// The account that the amount enters.
    pub credit: Account,
    /// Minor units of the currency, more than 0.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// When it was derived.
    pub at: Timestamp,
}

/// The balance of one account of one affiliate's ledger after an entry. The balances of an affiliate, currency and mode sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceChanged {
    /// Whose ledger.
    pub affiliate_id: String,
    /// ISO 4217 code.
    pub currency: Currency,
    /// False for the test namespace.
    pub livemode: bool,
    /// Which account.
    pub account: Account,
    /// Credits less debits, in minor units.
    pub balance_minor: Balance,
    /// How many entries touched the account so far.
    pub entries: i64,
    /// The last of them.
    pub entry_id: String,
    /// When that entry was derived.
    pub at: Timestamp,
}

/// A record that could not be decoded, or that a state machine refused. It was passed over; its partition went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Which processor refused it.
    pub processor: String,
    /// Where it was.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// Which offset.
    pub offset: i64,
    /// A stable code, such as undecodable or too_many_updates.
    pub reason: String,
    /// What exactly was wrong.
    pub message: String,
    /// The record's key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// The record's value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
    /// When it was refused.
    pub at: Timestamp,
}

/// An entry of the registry was added or changed. A tombstone under its key removes it. Neither counts before the next RegistrySealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryEntryChanged {
    /// The section of the registry file: policies, merchants, keys, affiliates, campaigns, links, rules, clicks, coupons or endpoints.
    pub section: String,
    /// The entry's id, unique in its section; empty for the policies, of which there is one table.
    pub id: String,
    /// The entry as one table of the registry file (TOML), its fields in a fixed order. A key's or an endpoint's holds its signing secret.
    pub definition: Definition,
}

/// Ends a change of the registry, in one transaction with it: the entries that stand now are a registry as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySealed {
    /// 1 for the first registry, then one more each.
    pub version: i64,
    /// How many entries stand.
    pub entries: i64,
    /// SHA-256 over all that stand, in hexadecimal, in the order of the sections in RegistryEntryChanged and then of the ids: of each the length of its key in 8 bytes (big endian), the key, the length of its definition, and the definition.
    pub digest: String,
    /// When it was sealed.
    pub at: Timestamp,
}

impl ConversionReported {
    /// The fields that a re-send is compared with the order's report by, under their names in the HTTP contract.
    pub const COMPARED_FIELDS: [&str; 8] = [
        "clickId",
        "externalProductId",
        "orderAmount",
        "currency",
        "orderStatus",
        "orderedAt",
        "couponCode",
        "metadata",
    ];
}

avro_record! {
    ConversionReported = "conversion_reported",
    OrderStatusReported = "order_status_reported",
    ReviewDecided = "review_decided",
    TestClockAdvanced = "test_clock_advanced",
    ClickRecorded = "click_recorded",
    ClickLookupRequested = "click_lookup_requested",
    ClickMatched = "click_matched",
    ConversionTransitioned = "conversion_transitioned",
    CommissionChanged = "commission_changed",
    LedgerEntry = "ledger_entry",
    BalanceChanged = "balance_changed",
    PayoutChanged = "payout_changed",
    PayoutReported = "payout_reported",
    ConversionSettled = "conversion_settled",
    DeadLetter = "dead_letter",
    RegistryEntryChanged = "registry_entry_changed",
    RegistrySealed = "registry_sealed",
    WebhookAttempt = "webhook_attempt",
    WebhookOutcome = "webhook_outcome",
}
