//! Why a conversion is what it is, as its merchant reads it: told from what its derivation left, and worked out again by nobody.

use schemas::Currency;
use schemas::ids::ConversionId;
use schemas::records::{
    Arithmetic, ClickCheck, ClickMeasured, ConversionState, ConversionTransitioned, CouponFinding, DecisionExplained,
    Explanation, FactPlace, HoldExplained, HoldWindow, PaidBy, ReviewDecision, Rounding, RuleConsidered, StateReason,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::{explained, words};

/// The answer to `GET /api/v1/conversions/{id}/explain`.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationBody<'a> {
    #[schema(schema_with = words::conversion_id)]
    conversion_id: ConversionId,
    external_order_id: &'a str,
    #[schema(schema_with = words::state)]
    state: ConversionState,
    /// `null` until the conversion has been processed.
    explanation: Option<Told<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Explained)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told<'a> {
    #[schema(schema_with = explained::state_reason)]
    state_reason: StateReason,
    click: ClickBody<'a>,
    coupon: Option<CouponBody<'a>>,
    decisions: Vec<DecisionBody<'a>>,
    #[schema(schema_with = explained::rules)]
    rules: &'a [RuleConsidered],
    rules_left_out: i32,
    arithmetic: Option<ArithmeticBody<'a>>,
    hold: Option<HoldBody>,
    #[schema(schema_with = explained::facts)]
    facts: &'a [FactPlace],
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClickExplained)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClickBody<'a> {
    click_id: Option<&'a str>,
    #[schema(schema_with = words::instant_or_null)]
    clicked_at: Option<String>,
    #[schema(schema_with = words::instant)]
    ordered_at: String,
    lookback_ms: Option<i64>,
    min_click_to_order_ms: Option<i64>,
    #[schema(schema_with = explained::checks)]
    checks: &'a [ClickCheck],
}

#[derive(Serialize, ToSchema)]
#[schema(as = CouponExplained)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CouponBody<'a> {
    code: Option<&'a str>,
    #[schema(schema_with = explained::finding)]
    finding: CouponFinding,
}

/// The role tells who decided; the name is told on the admin API alone, by the same event.
#[derive(Serialize, ToSchema)]
#[schema(as = DecisionExplained)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DecisionBody<'a> {
    #[schema(schema_with = words::decision)]
    decision: ReviewDecision,
    event_id: &'a str,
    decided_by: &'a str,
    #[schema(schema_with = words::instant)]
    decided_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Arithmetic)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArithmeticBody<'a> {
    #[schema(schema_with = explained::paid_by)]
    paid_by: PaidBy,
    #[schema(schema_with = words::rate_or_null)]
    rate: Option<&'a str>,
    #[schema(schema_with = words::amount_or_null)]
    flat_amount: Option<String>,
    #[schema(schema_with = words::amount)]
    order_amount: String,
    #[schema(schema_with = words::amount)]
    remaining_amount: String,
    /// Minor units before they are rounded: `numerator / denominator`.
    numerator: &'a str,
    denominator: &'a str,
    #[schema(schema_with = explained::rounding)]
    rounding: Rounding,
    #[schema(schema_with = words::amount)]
    amount: String,
    #[schema(schema_with = words::currency)]
    currency: Currency,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HoldExplained)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HoldBody {
    #[schema(schema_with = explained::window)]
    window: HoldWindow,
    #[schema(schema_with = words::instant)]
    since: String,
    window_ms: i64,
    #[schema(schema_with = words::instant)]
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
            decisions: explanation.decisions.iter().map(DecisionBody::of).collect(),
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

impl<'a> DecisionBody<'a> {
    fn of(decision: &'a DecisionExplained) -> DecisionBody<'a> {
        let DecisionExplained { decision, event_id, role, decided_at } = decision;
        DecisionBody { decision: *decision, event_id, decided_by: role, decided_at: decided_at.to_string() }
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
