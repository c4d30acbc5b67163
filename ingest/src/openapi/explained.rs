//! What explanations are made of, as schemas.

use utoipa::openapi::Object;
use utoipa::openapi::schema::{Array, ArrayBuilder};

use super::words::{one_of, record, symbols};

fn of_records(name: &str) -> Array {
    ArrayBuilder::new().items(record(name)).build()
}

/// Why the conversion is in its state.
pub(crate) fn state_reason() -> Object {
    one_of(symbols("StateReason"))
}

/// What was asked of the click, up to what it failed.
pub(crate) fn checks() -> Array {
    of_records("ClickCheck")
}

/// What was found of the coupon.
pub(crate) fn finding() -> Object {
    one_of(symbols("CouponFinding"))
}

/// The rules that were considered.
pub(crate) fn rules() -> Array {
    of_records("RuleConsidered")
}

/// What of the rule pays.
pub(crate) fn paid_by() -> Object {
    one_of(symbols("PaidBy"))
}

/// How it was rounded.
pub(crate) fn rounding() -> Object {
    one_of(symbols("Rounding"))
}

/// Which window is waited for.
pub(crate) fn window() -> Object {
    one_of(symbols("HoldWindow"))
}

/// Where the facts are.
pub(crate) fn facts() -> Array {
    of_records("FactPlace")
}
