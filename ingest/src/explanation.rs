//! Why a conversion is what it is, as its merchant reads it: told from what its derivation left, and worked out again by nobody.

use schemas::Currency;
use schemas::ids::ConversionId;
use schemas::records::{
    Arithmetic, ClickCheck, ClickMeasured, ConversionState, ConversionTransitioned, CouponFinding, Explanation,
    FactPlace, HoldExplained, HoldWindow, PaidBy, Rounding, RuleConsidered, StateReason,
};
use serde::Serialize;

/// The answer to `GET /api/v1/conversions/{id}/explain`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationBody<'a> {
    conversion_id: ConversionId,
    external_order_id: &'a str,
    state: ConversionState,
    /// `null` until the conversion has been processed.
    explanation: Option<Told<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    state_reason: StateReason,
    click: ClickBody<'a>,
    coupon: Option<CouponBody<'a>>,
    rules: &'a [RuleConsidered],
    rules_left_out: i32,
    arithmetic: Option<ArithmeticBody<'a>>,
    hold: Option<HoldBody>,
    facts: &'a [FactPlace],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClickBody<'a> {
    click_id: Option<&'a str>,
    clicked_at: Option<String>,
    ordered_at: String,
    lookback_ms: Option<i64>,
    min_click_to_order_ms: Option<i64>,
    checks: &'a [ClickCheck],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CouponBody<'a> {
    code: Option<&'a str>,
    finding: CouponFinding,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArithmeticBody<'a> {
    paid_by: PaidBy,
    rate: Option<&'a str>,
    flat_amount: Option<String>,
    order_amount: String,
    remaining_amount: String,
    /// Minor units before they are rounded: `numerator / denominator`.
    numerator: &'a str,
    denominator: &'a str,
    rounding: Rounding,
    amount: String,
    currency: Currency,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldBody {
    window: HoldWindow,
    since: String,
    window_ms: i64,
    until: String,
}

impl<'a> ExplanationBody<'a> {
    /// What the merchant of a conversion may know of how it came to be.
    pub(crate) fn of(conversion: &'a ConversionTransitioned) -> ExplanationBody<'a> {
        ExplanationBody {
            conversion_id: conversion.conversion_id,
            external_order_id: &conversion.external_order_id,
            state: conversion.state,
            explanation: conversion.explanation.as_ref().map(|explanation| Told::of(explanation, conversion)),
        }
    }
}

impl<'a> Told<'a> {
    fn of(explanation: &'a Explanation, conversion: &'a ConversionTransitioned) -> Told<'a> {
        let coupon = |finding| CouponBody { code: conversion.coupon_code.as_deref(), finding };
        Told {
            state_reason: explanation.state_reason,
            click: ClickBody::of(explanation, conversion),
            coupon: explanation.coupon.map(coupon),
            rules: &explanation.rules,
            rules_left_out: explanation.rules_left_out,
            arithmetic: explanation.arithmetic.as_ref().map(|it| ArithmeticBody::of(it, conversion)),
            hold: explanation.hold.as_ref().map(HoldBody::of),
            facts: &explanation.facts,
        }
    }
}

impl<'a> ClickBody<'a> {
    fn of(explanation: &'a Explanation, conversion: &'a ConversionTransitioned) -> ClickBody<'a> {
        let click: Option<ClickMeasured> = explanation.click;
        ClickBody {
            click_id: conversion.click_id.as_deref(),
            clicked_at: click.map(|click| click.clicked_at.to_string()),
            ordered_at: conversion.ordered_at.to_string(),
            lookback_ms: click.map(|click| click.lookback_ms),
            min_click_to_order_ms: click.map(|click| click.min_click_to_order_ms),
            checks: &explanation.click_checks,
        }
    }
}

impl<'a> ArithmeticBody<'a> {
    fn of(arithmetic: &'a Arithmetic, conversion: &ConversionTransitioned) -> ArithmeticBody<'a> {
        let currency = conversion.currency;
        ArithmeticBody {
            paid_by: arithmetic.paid_by,
            rate: arithmetic.rate.as_deref(),
            flat_amount: arithmetic.flat_minor.map(|minor| currency.format_amount(minor)),
            order_amount: currency.format_amount(conversion.amount_minor),
            remaining_amount: currency.format_thousandths(arithmetic.remaining_thousandths),
            numerator: &arithmetic.numerator,
            denominator: &arithmetic.denominator,
            rounding: arithmetic.rounding,
            amount: currency.format_amount(arithmetic.amount_minor),
            currency,
        }
    }
}

impl HoldBody {
    fn of(hold: &HoldExplained) -> HoldBody {
        let HoldExplained { window, since, window_ms } = *hold;
        HoldBody { window, since: since.to_string(), window_ms, until: hold.until().to_string() }
    }
}
