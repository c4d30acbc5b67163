//! A conversion as one value: the type `conversion` of the keyspace.

use schemas::ids::ConversionId;
use schemas::records::{
    Commission, Confidence, ConfidenceReason, ConversionState, ConversionTransitioned, Explanation, OrderStatus,
    RuleLevel,
};
use schemas::{Currency, Timestamp};
use scylla::value::CqlTimestamp;
use scylla::{DeserializeValue, SerializeValue};

use super::values::{Json, Word, instant};

/// A conversion as of a revision, all but its id and its timeline.
#[derive(Clone, Debug, PartialEq, Eq, SerializeValue, DeserializeValue)]
#[scylla(forbid_excess_udt_fields)]
pub(super) struct ConversionValue {
    pub(super) revision: i64,
    pub(super) seq: i32,
    pub(super) event_id: String,
    pub(super) merchant_id: String,
    pub(super) livemode: bool,
    pub(super) external_order_id: String,
    pub(super) state: Word<ConversionState>,
    pub(super) confidence: Option<Word<Confidence>>,
    pub(super) confidence_reason: Option<Word<ConfidenceReason>>,
    pub(super) click_id: Option<String>,
    pub(super) affiliate_id: Option<String>,
    pub(super) campaign_id: Option<String>,
    pub(super) external_product_id: Option<String>,
    pub(super) amount_minor: i64,
    pub(super) currency: Word<Currency>,
    pub(super) order_status: Word<OrderStatus>,
    pub(super) ordered_at: CqlTimestamp,
    pub(super) received_at: CqlTimestamp,
    pub(super) coupon_code: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) commission: Option<CommissionValue>,
    pub(super) hold_until: Option<CqlTimestamp>,
    pub(super) refunded_thousandths: Option<i64>,
    pub(super) conflicts: i32,
    pub(super) at: CqlTimestamp,
    pub(super) suggested_affiliate_id: Option<String>,
    pub(super) explanation: Option<Json<Explanation>>,
}

/// The type `commission` of the keyspace.
#[derive(Clone, Debug, PartialEq, Eq, SerializeValue, DeserializeValue)]
#[scylla(forbid_excess_udt_fields)]
pub(super) struct CommissionValue {
    pub(super) amount_minor: i64,
    pub(super) currency: Word<Currency>,
    pub(super) level: Word<RuleLevel>,
    pub(super) rule_id: String,
    pub(super) rate: Option<String>,
}

impl From<&Commission> for CommissionValue {
    fn from(commission: &Commission) -> CommissionValue {
        let Commission { amount_minor, currency, level, rule_id, rate } = commission;
        CommissionValue {
            amount_minor: *amount_minor,
            currency: Word(*currency),
            level: Word(*level),
            rule_id: rule_id.clone(),
            rate: rate.clone(),
        }
    }
}

impl From<CommissionValue> for Commission {
    fn from(value: CommissionValue) -> Commission {
        let CommissionValue { amount_minor, currency, level, rule_id, rate } = value;
        Commission { amount_minor, currency: currency.0, level: level.0, rule_id, rate }
    }
}

impl From<&ConversionTransitioned> for ConversionValue {
    /// Every field by name: one that is added has to be thought of here.
    fn from(conversion: &ConversionTransitioned) -> ConversionValue {
        let ConversionTransitioned {
            conversion_id: _,
            revision,
            seq,
            event_id,
            merchant_id,
            livemode,
            external_order_id,
            state,
            confidence,
            confidence_reason,
            click_id,
            affiliate_id,
            campaign_id,
            suggested_affiliate_id,
            external_product_id,
            amount_minor,
            currency,
            order_status,
            ordered_at,
            received_at,
            coupon_code,
            metadata,
            commission,
            hold_until,
            refunded_thousandths,
            conflicts,
            timeline: _,
            explanation,
            at,
        } = conversion;
        ConversionValue {
            revision: *revision,
            seq: *seq,
            event_id: event_id.clone(),
            merchant_id: merchant_id.clone(),
            livemode: *livemode,
            external_order_id: external_order_id.clone(),
            state: Word(*state),
            confidence: confidence.map(Word),
            confidence_reason: confidence_reason.map(Word),
            click_id: click_id.clone(),
            affiliate_id: affiliate_id.clone(),
            campaign_id: campaign_id.clone(),
            external_product_id: external_product_id.clone(),
            amount_minor: *amount_minor,
            currency: Word(*currency),
            order_status: Word(*order_status),
            ordered_at: instant(*ordered_at),
            received_at: instant(*received_at),
            coupon_code: coupon_code.clone(),
            metadata: metadata.clone(),
            commission: commission.as_ref().map(CommissionValue::from),
            hold_until: hold_until.map(instant),
            refunded_thousandths: *refunded_thousandths,
            conflicts: *conflicts,
            at: instant(*at),
            suggested_affiliate_id: suggested_affiliate_id.clone(),
            explanation: explanation.clone().map(Json),
        }
    }
}

impl ConversionValue {
    /// The same for a list, which explains nothing.
    pub(super) fn unexplained(self) -> ConversionValue {
        ConversionValue { explanation: None, ..self }
    }

    /// Bytes that it takes, roughly: those of its texts that a merchant chooses, something for each rule, decision and
    /// fact of its explanation, and something for all others.
    pub(super) fn weight(&self) -> usize {
        const OTHERS: usize = 512;
        const EXPLANATION: usize = 512;
        const EXPLANATION_PART: usize = 128;
        let parts = |Json(it): &Json<Explanation>| {
            EXPLANATION + EXPLANATION_PART * (it.rules.len() + it.decisions.len() + it.facts.len())
        };
        let optional = [&self.click_id, &self.external_product_id, &self.coupon_code, &self.metadata];
        let chosen = optional.into_iter().flatten().chain([&self.external_order_id]);
        OTHERS + self.explanation.as_ref().map_or(0, parts) + chosen.map(String::len).sum::<usize>()
    }

    /// The conversion of this id, with no timeline.
    pub(super) fn into_record(self, conversion_id: ConversionId) -> ConversionTransitioned {
        ConversionTransitioned {
            conversion_id,
            revision: self.revision,
            seq: self.seq,
            event_id: self.event_id,
            merchant_id: self.merchant_id,
            livemode: self.livemode,
            external_order_id: self.external_order_id,
            state: self.state.0,
            confidence: self.confidence.map(|word| word.0),
            confidence_reason: self.confidence_reason.map(|word| word.0),
            click_id: self.click_id,
            affiliate_id: self.affiliate_id,
            campaign_id: self.campaign_id,
            suggested_affiliate_id: self.suggested_affiliate_id,
            external_product_id: self.external_product_id,
            amount_minor: self.amount_minor,
            currency: self.currency.0,
            order_status: self.order_status.0,
            ordered_at: Timestamp(self.ordered_at.0),
            received_at: Timestamp(self.received_at.0),
            coupon_code: self.coupon_code,
            metadata: self.metadata,
            commission: self.commission.map(Commission::from),
            hold_until: self.hold_until.map(|at| Timestamp(at.0)),
            refunded_thousandths: self.refunded_thousandths,
            conflicts: self.conflicts,
            timeline: Vec::new(),
            explanation: self.explanation.map(|Json(explanation)| explanation),
            at: Timestamp(self.at.0),
        }
    }
}
