//! The bodies of requests. What no schema can say is said in words: it depends on the time, the registry, the merchant or
//! another field.

use schemas::money::THOUSANDTH_DECIMALS;
use schemas::records::ReportedStatus;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, ArrayBuilder, ComponentsBuilder, ObjectBuilder, OneOfBuilder, Ref, Type,
};
use utoipa::openapi::{Object, RefOr, Schema};

use super::words::{self, decimal, null, of_table, one_of, or_null, text};
use crate::config::CLOCK_TOLERANCE;
use crate::conversion::{
    self, CLICK_ID_CHARACTERS_MAX, COUPON_CHARACTERS_MAX, ORDER_ID_CHARACTERS_MAX, PRODUCT_ID_CHARACTERS_MAX,
};
use crate::fields::METADATA_BYTES_MAX;
use crate::order_status::{self, REASON_CHARACTERS_MAX};
use crate::review::{self, REVISION_MAX};
use crate::routes::webhooks::{EVENTS, Event};
use crate::{batch, clicks, payout, test_clock};

/// The names of the schemas.
pub(super) const REPORT: &str = "ConversionReport";
pub(super) const STATUS_UPDATE: &str = "StatusUpdate";
pub(super) const BATCH: &str = "Batch";
pub(super) const CLICK: &str = "Click";
pub(super) const TEST_CLOCK: &str = "TestClock";
pub(super) const APPROVAL: &str = "Approval";
pub(super) const DECISION: &str = "Decision";
pub(super) const PAYOUT_REPORT: &str = "PayoutReport";

/// The schema of an event's body.
pub(super) fn event_name(event: &str) -> String {
    let capitalized = |part: &str| part[..1].to_uppercase() + &part[1..];
    event.split('-').map(capitalized).collect()
}

/// All of them.
pub(super) fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    let components = components
        .schema(REPORT, report(or_null(of_table(conversion::STATUSES))))
        .schema(STATUS_UPDATE, status_update())
        .schema(BATCH, batch())
        .schema(CLICK, click())
        .schema(TEST_CLOCK, clock())
        .schema(APPROVAL, decision(review::APPROVAL_FIELDS))
        .schema(DECISION, decision(review::FIELDS))
        .schema(PAYOUT_REPORT, payout_report());
    EVENTS.into_iter().fold(components, |components, (name, event)| components.schema(event_name(name), told_by(event)))
}

/// An object that has these fields and no others.
fn object(fields: &[&str], required: &[&str], schema: impl Fn(&str) -> RefOr<Schema>) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object = fields.iter().fold(object, |object, name| object.property(*name, schema(name)));
    let object = required.iter().fold(object, |object, name| object.required(*name));
    object.additional_properties(Some(AdditionalProperties::FreeForm(false))).build()
}

fn report(status: Object) -> Object {
    object(conversion::FIELDS, &["externalOrderId", "orderAmount"], |name| match name {
        "externalOrderId" => order_id().into(),
        "orderAmount" => text()
            .pattern(Some(decimal(THOUSANDTH_DECIMALS)))
            .description(Some("At least 0, with no more decimals than the currency has."))
            .build()
            .into(),
        "clickId" => optional("The captured affiliate_click_id.", CLICK_ID_CHARACTERS_MAX),
        "externalProductId" => optional("Enables rules about products.", PRODUCT_ID_CHARACTERS_MAX),
        "couponCode" => optional("Whom to suggest if no click says so.", COUPON_CHARACTERS_MAX),
        "currency" => described(or_null(words::currency()), "ISO 4217; the merchant's, if absent."),
        "orderStatus" => described(status.clone(), "pending, if absent."),
        "orderedAt" => instant("When it was placed; the time of receipt, if absent."),
        "metadata" => metadata(),
        field => unreachable!("the field {field} is not described"),
    })
}

/// A status update: only those of a refund may have an amount.
fn status_update() -> Schema {
    let words_of = |refunds: bool| {
        let of_kind = order_status::STATUSES.iter().filter(move |(_, status)| status.is_refund() == refunds);
        one_of(of_kind.map(|(word, _)| *word))
    };
    let update = |refunds: bool| update(&["externalOrderId", "status"], words_of(refunds), refunds);
    Schema::OneOf(OneOfBuilder::new().item(update(false)).item(update(true)).build())
}

fn update(required: &[&str], status: Object, refunds: bool) -> Object {
    object(order_status::FIELDS, required, |name| match name {
        "externalOrderId" => order_id().into(),
        "status" => status.clone().into(),
        "clickId" => optional("Kept with the event; it attributes nothing.", CLICK_ID_CHARACTERS_MAX),
        "reason" => optional("Kept with the event.", REASON_CHARACTERS_MAX),
        "statusUpdatedAt" => instant("When the status changed; the time of receipt, if absent."),
        "refundedAmount" if refunds => refunded(),
        "refundedAmount" => described(null(), "Only with refunded or returned."),
        "metadata" => metadata(),
        field => unreachable!("the field {field} is not described"),
    })
}

/// The body of an event, which decides the status.
fn told_by(event: Event) -> Object {
    match event {
        Event::Created => report(or_null(one_of(["pending"]))),
        Event::Status(status) => update(&["externalOrderId"], or_null(one_of([word(status)])), status.is_refund()),
    }
}

/// How a status is written.
fn word(status: ReportedStatus) -> &'static str {
    let found = order_status::STATUSES.iter().find(|(_, other)| *other == status);
    found.map(|(word, _)| *word).expect("every status has a word")
}

fn batch() -> Object {
    object(batch::FIELDS, batch::FIELDS, |_| {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(REPORT)).max_items(Some(batch::ITEMS_MAX));
        let told = "An item that is not as described is REJECTED by itself and sinks no other.";
        Schema::Array(items.description(Some(told)).build()).into()
    })
}

/// A click on a link, or one of an affiliate in a campaign.
fn click() -> Schema {
    let click = |named: &[&str], absent: &[&str]| {
        let required = [&["clickId", "clickedAt"], named].concat();
        object(clicks::FIELDS, &required, |name| match name {
            "clickId" => described(words::visible(CLICK_ID_CHARACTERS_MAX), "What the shop's orders will name."),
            "clickedAt" => described(words::past(), &bounded("When it was clicked.")),
            name if absent.contains(&name) => null().into(),
            name if named.contains(&name) => described(text().build(), "The id of one in the registry."),
            field => unreachable!("the field {field} is not described"),
        })
    };
    let on_link = click(&["linkId"], &["campaignId", "affiliateId"]);
    let in_campaign = click(&["campaignId", "affiliateId"], &["linkId"]);
    Schema::OneOf(OneOfBuilder::new().item(on_link).item(in_campaign).build())
}

fn clock() -> Object {
    object(test_clock::FIELDS, test_clock::FIELDS, |name| match name {
        "externalOrderId" => order_id().into(),
        "advanceTo" => described(words::past(), "Not before 1970, and at most 400 days after receipt."),
        field => unreachable!("the field {field} is not described"),
    })
}

fn decision(fields: &[&str]) -> Object {
    object(fields, fields, |name| match name {
        "revision" => {
            let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(REVISION_MAX));
            described(number.build(), "That of the conversion which the decision is on.")
        }
        "affiliateId" => described(text().build(), "The id of the affiliate in the registry who is credited."),
        "reason" => text().min_length(Some(1)).max_length(Some(review::REASON_CHARACTERS_MAX)).build().into(),
        field => unreachable!("the field {field} is not described"),
    })
}

fn payout_report() -> Object {
    object(payout::FIELDS, &[], |name| match name {
        "reference" => optional("A bank's reference, or why it failed.", payout::REFERENCE_CHARACTERS_MAX),
        field => unreachable!("the field {field} is not described"),
    })
}

fn described(mut schema: Object, description: &str) -> RefOr<Schema> {
    schema.description = Some(description.to_owned());
    schema.into()
}

fn order_id() -> Object {
    let id = text().min_length(Some(1)).max_length(Some(ORDER_ID_CHARACTERS_MAX));
    id.description(Some("Unique per merchant and mode; taken byte for byte.")).build()
}

/// A text that may be left out.
fn optional(description: &str, characters_max: usize) -> RefOr<Schema> {
    described(or_null(text().max_length(Some(characters_max)).build()), &format!("{description} Empty is absent."))
}

/// What is said of an instant besides what it is of.
fn bounded(description: &str) -> String {
    let seconds = CLOCK_TOLERANCE.as_secs();
    format!("{description} Not before 1970, and at most {seconds} s in the future.")
}

fn instant(description: &str) -> RefOr<Schema> {
    described(or_null(words::past()), &bounded(description))
}

/// What was refunded this time: a decimal that has a digit other than 0.
fn refunded() -> RefOr<Schema> {
    let told = "More than 0, of the order's currency: what is refunded this time. Absent, it is the whole.";
    let amount = or_null(text().pattern(Some(decimal(THOUSANDTH_DECIMALS))).build());
    let more_than_nothing = text().pattern(Some("[1-9]")).build();
    Schema::AllOf(AllOfBuilder::new().item(amount).item(or_null(more_than_nothing)).description(Some(told)).build())
        .into()
}

fn metadata() -> RefOr<Schema> {
    let told = format!("Stored and returned as sent; at most {METADATA_BYTES_MAX} bytes as it is written.");
    described(or_null(ObjectBuilder::new().schema_type(Type::Object).build()), &told)
}
