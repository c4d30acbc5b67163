//! A conversion as it is answered: the fields of `schemas::view`, which knows of no description.

use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, Type};
use utoipa::openapi::{Object, RefOr, Schema};

use super::words::{self, null, or_null, text};

/// An object that always has these fields.
fn object(fields: impl IntoIterator<Item = (&'static str, RefOr<Schema>)>) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    fields.into_iter().fold(object, |object, (name, schema)| object.property(name, schema).required(name)).build()
}

fn plain() -> RefOr<Schema> {
    text().build().into()
}

fn optional() -> RefOr<Schema> {
    or_null(text().build()).into()
}

fn truth() -> RefOr<Schema> {
    words::truth().into()
}

fn number() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).build().into()
}

/// As an item of a list has it: every field is there, and `null` if it has no value.
pub(super) fn listed() -> Object {
    let commission = OneOfBuilder::new().item(null()).item(Ref::from_schema_name("Commission"));
    object([
        ("conversionId", words::conversion_id().into()),
        ("eventId", plain()),
        ("externalOrderId", plain()),
        ("livemode", truth()),
        ("state", words::state().into()),
        ("confidence", words::confidence().into()),
        ("confidenceReason", words::confidence_reason().into()),
        ("clickId", optional()),
        ("affiliateId", optional()),
        ("campaignId", optional()),
        ("suggestedAffiliateId", optional()),
        ("externalProductId", optional()),
        ("orderAmount", words::amount().into()),
        ("currency", words::currency().into()),
        ("orderStatus", words::order_status().into()),
        ("orderedAt", words::instant().into()),
        ("receivedAt", words::instant().into()),
        ("couponCode", optional()),
        ("metadata", words::metadata().into()),
        ("commission", commission.into()),
        ("holdUntil", words::instant_or_null().into()),
        ("refundedAmount", words::amount_or_null().into()),
        ("conflicts", number()),
    ])
}

/// As it is answered by its id.
pub(super) fn with_timeline() -> Object {
    let mut conversion = listed();
    conversion.properties.insert("timeline".to_owned(), words::timeline().into());
    conversion.required.push("timeline".to_owned());
    conversion
}

/// What is paid for it.
pub(super) fn commission() -> Object {
    object([
        ("amount", words::amount().into()),
        ("currency", words::currency().into()),
        ("level", words::level().into()),
        ("ruleId", plain()),
        ("rate", words::rate_or_null().into()),
    ])
}

/// What happened to it once.
pub(super) fn entry() -> Object {
    object([
        ("seq", number()),
        ("state", words::state().into()),
        ("at", words::instant().into()),
        ("cause", Ref::from_schema_name("Cause").into()),
    ])
}

/// What made it happen; only a reviewer's has a decision.
pub(super) fn cause() -> Object {
    let fields = ArrayBuilder::new().items(text().build()).build();
    let mut cause = object([
        ("type", words::cause().into()),
        ("eventId", optional()),
        ("orderStatus", words::reported_status_or_null().into()),
        ("refundedAmount", words::amount_or_null().into()),
        ("applied", truth()),
        ("fields", fields.into()),
    ]);
    cause.properties.insert("decision".to_owned(), words::decision().into());
    cause
}
