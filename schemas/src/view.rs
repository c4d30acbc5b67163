//! A conversion as its merchant reads it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::Currency;
use crate::ids::ConversionId;
use crate::records::{
    Cause, CauseType, Commission, Confidence, ConfidenceReason, ConversionState, ConversionTransitioned, OrderStatus,
    ReportedStatus, ReviewDecision, RuleLevel, TimelineEntry,
};

/// Metadata that is no JSON, which nothing that was accepted can be.
#[derive(Debug, thiserror::Error)]
#[error("the metadata of {conversion_id} is damaged: {source}")]
pub struct DamagedMetadata {
    /// The conversion.
    pub conversion_id: ConversionId,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// The answer to `GET /api/v1/conversions/{id}`, and an item of a list: every field is there, `null` when it has no
/// value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversionBody<'a> {
    conversion_id: ConversionId,
    event_id: &'a str,
    external_order_id: &'a str,
    livemode: bool,
    state: ConversionState,
    confidence: Option<Confidence>,
    confidence_reason: Option<ConfidenceReason>,
    click_id: Option<&'a str>,
    affiliate_id: Option<&'a str>,
    campaign_id: Option<&'a str>,
    suggested_affiliate_id: Option<&'a str>,
    external_product_id: Option<&'a str>,
    order_amount: String,
    currency: Currency,
    order_status: OrderStatus,
    ordered_at: String,
    received_at: String,
    coupon_code: Option<&'a str>,
    metadata: Option<&'a RawValue>,
    commission: Option<CommissionBody<'a>>,
    hold_until: Option<String>,
    refunded_amount: Option<String>,
    conflicts: i32,
    /// Not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<EntryBody<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CommissionBody<'a> {
    amount: String,
    currency: Currency,
    level: RuleLevel,
    rule_id: &'a str,
    rate: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EntryBody<'a> {
    seq: i32,
    state: ConversionState,
    at: String,
    cause: CauseBody<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CauseBody<'a> {
    #[serde(rename = "type")]
    kind: CauseType,
    event_id: Option<&'a str>,
    order_status: Option<ReportedStatus>,
    refunded_amount: Option<String>,
    applied: bool,
    fields: &'a [String],
    /// What a reviewer decided; who that was is not the merchant's to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<ReviewDecision>,
}

impl<'a> ConversionBody<'a> {
    /// What the merchant of a conversion may see of it, with these entries of its timeline.
    ///
    /// # Errors
    /// The metadata is no JSON, which nothing that was accepted can be.
    pub fn of(
        conversion: &'a ConversionTransitioned,
        timeline: &'a [TimelineEntry],
    ) -> Result<ConversionBody<'a>, DamagedMetadata> {
        let hides_click = hides_click(conversion);
        let timeline = timeline.iter().map(|entry| EntryBody::of(entry, hides_click, conversion.currency)).collect();
        Ok(ConversionBody { timeline: Some(timeline), ..ConversionBody::listed(conversion)? })
    }

    /// The same without its timeline.
    ///
    /// # Errors
    /// As for [`ConversionBody::of`].
    pub fn listed(conversion: &'a ConversionTransitioned) -> Result<ConversionBody<'a>, DamagedMetadata> {
        let metadata = conversion.metadata.as_deref().map(serde_json::from_str::<&RawValue>).transpose();
        let metadata =
            metadata.map_err(|source| DamagedMetadata { conversion_id: conversion.conversion_id, source })?;
        let attributed = |id: &'a Option<String>| id.as_deref().filter(|_| is_attributed(conversion));
        Ok(ConversionBody {
            conversion_id: conversion.conversion_id,
            event_id: &conversion.event_id,
            external_order_id: &conversion.external_order_id,
            livemode: conversion.livemode,
            state: conversion.state,
            confidence: conversion.confidence,
            confidence_reason: conversion.confidence_reason.map(told),
            click_id: conversion.click_id.as_deref(),
            affiliate_id: attributed(&conversion.affiliate_id),
            campaign_id: attributed(&conversion.campaign_id),
            suggested_affiliate_id: conversion.suggested_affiliate_id.as_deref(),
            external_product_id: conversion.external_product_id.as_deref(),
            order_amount: conversion.currency.format_amount(conversion.amount_minor),
            currency: conversion.currency,
            order_status: conversion.order_status,
            ordered_at: conversion.ordered_at.to_string(),
            received_at: conversion.received_at.to_string(),
            coupon_code: conversion.coupon_code.as_deref(),
            metadata,
            commission: conversion.commission.as_ref().map(CommissionBody::of),
            hold_until: conversion.hold_until.map(|at| at.to_string()),
            refunded_amount: refunded(conversion.refunded_thousandths, conversion.currency),
            conflicts: conversion.conflicts,
            timeline: None,
        })
    }
}

fn refunded(thousandths: Option<i64>, currency: Currency) -> Option<String> {
    thousandths.map(|thousandths| currency.format_thousandths(thousandths))
}

/// Nobody learns of another merchant's clicks, not even that there is one.
fn told(reason: ConfidenceReason) -> ConfidenceReason {
    match reason {
        ConfidenceReason::ClickNotYours => ConfidenceReason::ClickUnknown,
        ConfidenceReason::NoClick
        | ConfidenceReason::ClickUnknown
        | ConfidenceReason::ClickOutsideWindow
        | ConfidenceReason::ClickAfterOrder
        | ConfidenceReason::CouponOnly
        | ConfidenceReason::CouponOutsideWindow
        | ConfidenceReason::CouponUnknown
        | ConfidenceReason::ClickTooRecent
        | ConfidenceReason::SelfReferral => reason,
    }
}

/// Whether that a click came must not be told either.
fn hides_click(conversion: &ConversionTransitioned) -> bool {
    conversion.confidence_reason == Some(ConfidenceReason::ClickNotYours)
}

/// One that is LOW is attributed once a reviewer has credited somebody: then it waits no more.
fn is_attributed(conversion: &ConversionTransitioned) -> bool {
    match conversion.confidence {
        Some(Confidence::High) => true,
        Some(Confidence::Low) => conversion.state != ConversionState::Received,
        None => false,
    }
}

impl<'a> CommissionBody<'a> {
    fn of(commission: &'a Commission) -> CommissionBody<'a> {
        CommissionBody {
            amount: commission.currency.format_amount(commission.amount_minor),
            currency: commission.currency,
            level: commission.level,
            rule_id: &commission.rule_id,
            rate: commission.rate.as_deref(),
        }
    }
}

impl<'a> EntryBody<'a> {
    fn of(entry: &'a TimelineEntry, hides_click: bool, currency: Currency) -> EntryBody<'a> {
        let Cause { kind, event_id, order_status, refunded_thousandths, applied, fields, review } = &entry.cause;
        let kind = match kind {
            CauseType::Click if hides_click => CauseType::ClickWaitElapsed,
            kind => *kind,
        };
        let cause = CauseBody {
            kind,
            event_id: event_id.as_deref(),
            order_status: *order_status,
            refunded_amount: refunded(*refunded_thousandths, currency),
            applied: *applied,
            fields,
            decision: review.as_ref().map(|review| review.decision),
        };
        EntryBody { seq: entry.seq, state: entry.state, at: entry.at.to_string(), cause }
    }
}
