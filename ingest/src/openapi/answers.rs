//! The bodies of answers, from the types that they are written from.

use utoipa::PartialSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, OneOfBuilder, Ref, Type};
use utoipa::openapi::{Content, Header, Object, OneOf, RefOr, ResponseBuilder, Schema};

use super::conversion;
use super::words::{one_of, text};
use crate::error::ErrorBody;
use crate::explanation::{ArithmeticBody, ClickBody, CouponBody, DecisionBody, ExplanationBody, HoldBody, Told};
use crate::listing::PageBody;
use crate::payout::{EntryBody, PayoutBody, PayoutPendingBody};
use crate::review::{DecidedBody, PendingBody, ReviewBody};
use crate::routes::batch::RejectedBody;
use crate::routes::health::HealthBody;
use crate::routes::reports::{AcceptedBody, DuplicateBody};
use crate::routes::service::RecordedBody;

/// The names of the schemas.
pub(super) const RECEIVED: &str = "Received";
pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const DUPLICATE: &str = "Duplicate";
pub(super) const BATCH_RESULTS: &str = "BatchResults";
pub(super) const RECORDED: &str = "Recorded";
pub(super) const CONVERSION: &str = "Conversion";
pub(super) const EXPLANATION: &str = "Explanation";
pub(super) const REVIEW: &str = "Review";
pub(super) const QUEUE: &str = "ReviewPage";
pub(super) const DECIDED: &str = "Decided";
pub(super) const PENDING: &str = "Pending";
pub(super) const PAYOUT: &str = "Payout";
pub(super) const PAYOUTS: &str = "PayoutPage";
pub(super) const PAYOUT_PENDING: &str = "PayoutPending";
pub(super) const PAGE: &str = "ConversionPage";
pub(super) const ERROR: &str = "Error";

/// All of them.
pub(super) fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema(RECEIVED, with_status(whole::<AcceptedBody>(), &["RECEIVED"]))
        .schema(ACCEPTED, with_status(whole::<AcceptedBody>(), &["ACCEPTED"]))
        .schema(DUPLICATE, duplicate())
        .schema(BATCH_RESULTS, batch_results())
        .schema(RECORDED, with_status(whole::<RecordedBody<'static>>(), &["RECORDED"]))
        .schema(CONVERSION, conversion::with_timeline())
        .schema("ListedConversion", conversion::listed())
        .schema("Commission", conversion::commission())
        .schema("TimelineEntry", conversion::entry())
        .schema("Cause", conversion::cause())
        .schema(EXPLANATION, whole::<ExplanationBody<'static>>())
        .schema("Explained", whole::<Told<'static>>())
        .schema("ClickExplained", whole::<ClickBody<'static>>())
        .schema("CouponExplained", whole::<CouponBody<'static>>())
        .schema("DecisionExplained", whole::<DecisionBody<'static>>())
        .schema("Arithmetic", whole::<ArithmeticBody<'static>>())
        .schema("HoldExplained", whole::<HoldBody>())
        .schema(REVIEW, whole::<ReviewBody<'static>>())
        .schema(QUEUE, queue())
        .schema(DECIDED, with_status(whole::<DecidedBody<'static>>(), &["DECIDED"]))
        .schema(PENDING, with_status(whole::<PendingBody<'static>>(), &["PENDING"]))
        .schema(PAYOUT, whole::<PayoutBody<'static>>())
        .schema("PayoutEntry", whole::<EntryBody>())
        .schema(PAYOUTS, payouts())
        .schema(PAYOUT_PENDING, with_status(whole::<PayoutPendingBody<'static>>(), &["PENDING"]))
        .schema(PAGE, whole::<PageBody<'static>>())
        .schema(ERROR, whole::<ErrorBody<'static>>())
}

/// A page of what waits for a reviewer: conversions as in other lists, and without what was decided.
fn queue() -> Object {
    let mut item = whole::<ReviewBody<'static>>();
    item.properties.remove("acts");
    item.required.retain(|name| name != "acts");
    item.properties.insert("conversion".to_owned(), Ref::from_schema_name("ListedConversion").into());
    page_of(item)
}

/// A page of payouts: each without its entries.
fn payouts() -> Object {
    let mut item = whole::<PayoutBody<'static>>();
    item.properties.remove("entries");
    item.required.retain(|name| name != "entries");
    page_of(item)
}

fn page_of(item: Object) -> Object {
    let mut page = whole::<PageBody<'static>>();
    let items = ArrayBuilder::new().items(item).max_items(Some(crate::listing::LIMIT_MAX)).build();
    page.properties.insert("data".to_owned(), items.into());
    page
}

/// The object that a type is written as.
fn object<T: PartialSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        RefOr::T(_) | RefOr::Ref(_) => unreachable!("a struct is an object"),
    }
}

/// The object that a type is written as whose every field is there, whatever it is.
fn whole<T: PartialSchema>() -> Object {
    let mut object = object::<T>();
    object.required = object.properties.keys().cloned().collect();
    object
}

/// The object with these words for its status.
pub(super) fn with_status(mut object: Object, words: &[&str]) -> Object {
    object.properties.insert("status".to_owned(), one_of(words.iter().copied()).into());
    object
}

fn duplicate() -> Object {
    with_status(whole::<DuplicateBody>(), &["DUPLICATE"])
}

/// What each item of a batch would have got alone.
fn batch_results() -> Object {
    let mut duplicate = duplicate();
    let conflict = ArrayBuilder::new().items(text().build()).min_items(Some(1));
    let told = "The fields that differ from the first report, as X-Conflict names them; absent if none does.";
    duplicate.properties.insert("conflict".to_owned(), Schema::Array(conflict.description(Some(told)).build()).into());
    let item = OneOfBuilder::new().item(Ref::from_schema_name(RECEIVED)).item(duplicate);
    let item = item.item(with_status(whole::<RejectedBody>(), &["REJECTED"]));
    let results = ArrayBuilder::new().items(item).max_items(Some(crate::batch::ITEMS_MAX)).build();
    ObjectBuilder::new().schema_type(Type::Object).property("results", results).required("results").build()
}

/// How a process is, in one of these words; with reasons, unless there is nothing to tell.
pub(super) fn health(words: &[&str], has_reasons: bool) -> Object {
    let mut health = with_status(object::<HealthBody>(), words);
    if has_reasons {
        health.required.push("reasons".to_owned());
    } else {
        health.properties.remove("reasons");
    }
    health
}

/// What is new, under a name, or known.
pub(super) fn new_or_duplicate(new: &str) -> OneOf {
    let known = Ref::from_schema_name(DUPLICATE);
    OneOfBuilder::new().item(Ref::from_schema_name(new)).item(known).build()
}

/// An answer with a body of JSON.
pub(super) fn json(description: &str, content: Content) -> ResponseBuilder {
    ResponseBuilder::new().description(description).content("application/json", content)
}

/// A body of a schema that has a name.
pub(super) fn named(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

/// A body of a schema that is nobody else's.
pub(super) fn own(schema: impl Into<Schema>) -> Content {
    ContentBuilder::new().schema(Some(schema.into())).build()
}

/// The answer with the header that all answers have.
pub(super) fn with_request_id(response: ResponseBuilder) -> ResponseBuilder {
    let told =
        "The id of the request: as it was sent, if it was 1 to 128 visible ASCII characters, or one that was made up.";
    response.header("X-Request-Id", header(super::words::visible(128), told))
}

/// The answer with what a limited key is told of its limit.
pub(super) fn with_rate(response: ResponseBuilder) -> ResponseBuilder {
    let limited = "Of a key that has a rate limit only, as in draft-ietf-httpapi-ratelimit-headers-10:";
    let policy = text().pattern(Some("^\"key\";q=[0-9]+;w=[0-9]+$")).build();
    let left = text().pattern(Some("^\"key\";r=[0-9]+;t=[0-9]+$")).build();
    response
        .header("RateLimit-Policy", header(policy, &format!("{limited} its burst, and the seconds that refill it.")))
        .header("RateLimit", header(left, &format!("{limited} what is left, and the seconds until it is full again.")))
}

/// A header that has this to say.
pub(super) fn header(schema: Object, description: &str) -> Header {
    let mut header = Header::new(schema);
    header.description = Some(description.to_owned());
    header
}

/// Seconds after which to come again.
pub(super) fn retry_after(description: &str) -> Header {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    header(seconds.build(), description)
}
