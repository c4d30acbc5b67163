//! Commission rules.

use std::fmt::Display;

use super::Known;
use super::fields::Fields;
use crate::ids::check_name;
use crate::records::RuleLevel;
use crate::registry::{Bounds, Payment, Rule, RuleScope};
use crate::{Currency, Rate, Timestamp};

/// Most characters of a product id, as the edge takes it.
const PRODUCT_ID_CHARACTERS_MAX: usize = 160;

pub(super) fn rule<'a>(fields: &Fields<'a>, known: &mut Known<'a>) -> Option<(RuleScope, Rule)> {
    let id = known.rules.declare(fields, check_name);
    let scope = scope(fields, known);
    let payment = payment(fields);
    let (effective_from, effective_until) = effective(fields);
    let (payment, bounds) = payment?;
    Some((scope?, Rule { id: id?, payment, bounds, effective_from, effective_until }))
}

/// The level, with the merchant, product or campaign that it needs and no other.
fn scope(fields: &Fields<'_>, known: &Known<'_>) -> Option<RuleScope> {
    let level = fields.required_as("level", level)?;
    let needed: &[&str] = match level {
        RuleLevel::Product => &["merchant", "product"],
        RuleLevel::Campaign => &["campaign"],
        RuleLevel::Merchant => &["merchant"],
        RuleLevel::Platform => &[],
    };
    for field in ["merchant", "product", "campaign"] {
        if !needed.contains(&field) {
            let needs = if needed.is_empty() { "nothing".to_owned() } else { needed.join(" and ") };
            fields.refuse_present(field, format_args!("must be left out: a rule of this level names {needs}"));
        }
    }
    match level {
        RuleLevel::Product => {
            let merchant_id = known.merchants.reference(fields, "merchant");
            let external_product_id = fields.required_as("product", product_id);
            Some(RuleScope::Product { merchant_id: merchant_id?, external_product_id: external_product_id? })
        }
        RuleLevel::Campaign => {
            Some(RuleScope::Campaign { campaign_id: known.campaigns.reference(fields, "campaign")? })
        }
        RuleLevel::Merchant => {
            Some(RuleScope::Merchant { merchant_id: known.merchants.reference(fields, "merchant")? })
        }
        RuleLevel::Platform => Some(RuleScope::Platform),
    }
}

fn level(text: &str) -> Result<RuleLevel, &'static str> {
    match text {
        "product" => Ok(RuleLevel::Product),
        "campaign" => Ok(RuleLevel::Campaign),
        "merchant" => Ok(RuleLevel::Merchant),
        "platform" => Ok(RuleLevel::Platform),
        _ => Err("must be product, campaign, merchant or platform"),
    }
}

fn product_id(text: &str) -> Result<String, String> {
    match (1..=PRODUCT_ID_CHARACTERS_MAX).contains(&text.chars().count()) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be 1 to {PRODUCT_ID_CHARACTERS_MAX} characters")),
    }
}

/// What the rule pays: `percent`, perhaps with bounds, or `fixed`; amounts with their currency.
fn payment(fields: &Fields<'_>) -> Option<(Payment, Option<Bounds>)> {
    let bounded = fields.has("minimum") || fields.has("cap");
    let has_currency = fields.has("currency");
    let currency = fields.optional_as("currency", Currency::parse);
    let amount = |field| fields.optional_as(field, |text| amount(text, currency));
    let (fixed, minimum, cap) = (amount("fixed"), amount("minimum"), amount("cap"));
    let percent = fields.optional_as("percent", Rate::parse);

    match (fields.has("percent"), fields.has("fixed")) {
        (true, true) => {
            fields.refuse_present("fixed", "must be left out: a rule pays a percent or a fixed amount");
            return None;
        }
        (false, false) => {
            fields.missing("percent", "or rules.fixed must be given");
            return None;
        }
        (true, false) if !bounded => {
            fields.refuse_present("currency", "must be left out: it is of fixed, minimum and cap, and none is given");
            return Some((Payment::Percentage(percent?), None));
        }
        (true, false) | (false, true) if !has_currency => {
            fields.missing("currency", "must be given: it is of fixed, minimum and cap");
        }
        (true, false) | (false, true) => (),
    }
    if fields.has("fixed") {
        for field in ["minimum", "cap"] {
            fields.refuse_present(field, "must be left out of a rule with fixed");
        }
        return Some((Payment::Fixed { minor: fixed??, currency: currency? }, None));
    }
    let (minimum_minor, cap_minor) = (minimum.flatten(), cap.flatten());
    if let (Some(minimum), Some(cap)) = (minimum_minor, cap_minor)
        && minimum > cap
    {
        refuse(fields, "minimum", "must be at most the cap");
    }
    let bounds = Bounds { currency: currency?, minimum_minor, cap_minor };
    Some((Payment::Percentage(percent?), Some(bounds)))
}

/// An amount in minor units; `None` if its currency is missing or faulty, which is a fault of its own.
fn amount(text: &str, currency: Option<Currency>) -> Result<Option<i64>, crate::AmountError> {
    currency.map(|currency| currency.parse_amount(text)).transpose()
}

/// From when on and until when a rule or a coupon holds.
pub(super) fn effective(fields: &Fields<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let from = fields.optional_as("effective_from", Timestamp::parse);
    let until = fields.optional_as("effective_until", Timestamp::parse);
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        refuse(fields, "effective_until", format_args!("must be after effective_from, {from}"));
    }
    (from, until)
}

/// Reports a field that was read without fault, but does not fit another.
fn refuse(fields: &Fields<'_>, field: &'static str, remedy: impl Display) {
    if let Some(text) = fields.text(field) {
        fields.refuse(&text, remedy);
    }
}
