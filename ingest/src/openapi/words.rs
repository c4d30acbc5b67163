//! The texts that bodies are made of, as schemas: words from the lists that requests are read by and from the records'
//! own schemas, and limits from the constants that they are checked against.

use schemas::Currency;
use schemas::codec::AvroRecord;
use schemas::money::{INTEGER_DIGITS_MAX, THOUSANDTH_DECIMALS};
use schemas::records::{ConversionTransitioned, PayoutChanged};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Ref, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Array, KnownFormat, Object};

use crate::cursor;

/// A text.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// One of some words.
pub(super) fn one_of<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Object {
    text().enum_values(Some(words.into_iter().map(Into::into).map(Value::String))).build()
}

/// One of the words of a table that requests are read by.
pub(super) fn of_table<T>(table: &[(&str, T)]) -> Object {
    one_of(table.iter().map(|(word, _)| *word))
}

/// The same, or `null`.
pub(super) fn or_null(mut schema: Object) -> Object {
    let SchemaType::Type(known) = &schema.schema_type else { unreachable!("it has one type so far") };
    schema.schema_type = SchemaType::Array(vec![known.clone(), Type::Null]);
    if let Some(words) = &mut schema.enum_values {
        words.push(Value::Null);
    }
    schema
}

/// Nothing but `null`.
pub(super) fn null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

/// What only ever has this value.
fn only(value: bool) -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([Value::Bool(value)])).build()
}

/// `false`.
pub(crate) fn never() -> Object {
    only(false)
}

/// `true`.
pub(crate) fn always() -> Object {
    only(true)
}

/// The id of a conversion.
pub(crate) fn conversion_id() -> Object {
    text().pattern(Some("^cnv_[0-9a-f]{32}$")).build()
}

/// The id of the event that a report or a status update became.
pub(crate) fn event_id() -> Object {
    text().pattern(Some("^(cnvevt|osevt|tcevt|revevt|payevt)_[0-9a-f]{32}$")).build()
}

/// An instant as answers have it.
pub(crate) fn instant() -> Object {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).pattern(Some("Z$")).build()
}

/// The same, or `null`.
pub(crate) fn instant_or_null() -> Object {
    or_null(instant())
}

/// An instant as requests have it, with the years that a pattern can tell.
pub(super) fn past() -> Object {
    let instant = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    instant.pattern(Some("^(19[7-9]|[2-9][0-9]{2})[0-9]-")).build()
}

/// A decimal with at most so many digits before the point and after it, with text around it.
pub(super) fn decimal(decimals: usize) -> String {
    format!("^[0-9]{{1,{INTEGER_DIGITS_MAX}}}(\\.[0-9]{{1,{decimals}}})?$")
}

/// An amount as answers have it.
pub(crate) fn amount() -> Object {
    text().pattern(Some(decimal(THOUSANDTH_DECIMALS))).build()
}

/// The same, or `null`.
pub(crate) fn amount_or_null() -> Object {
    or_null(amount())
}

/// The percentage of a rule, or `null` of one that pays a fixed amount.
pub(crate) fn rate_or_null() -> Object {
    or_null(text().pattern(Some("^[0-9]+(\\.[0-9]+)?$")).build())
}

/// The codes of all currencies that are read.
pub(crate) fn currency() -> Object {
    let letters = || 'A'..='Z';
    let mut codes = Vec::new();
    for (a, b, c) in letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| (a, b, c)))) {
        let code = String::from_iter([a, b, c]);
        if Currency::parse(&code).is_ok() {
            codes.push(code);
        }
    }
    one_of(codes)
}

/// A cursor, or `null`.
pub(crate) fn cursor_or_null() -> Object {
    or_null(cursor())
}

/// A cursor.
pub(super) fn cursor() -> Object {
    text().pattern(Some(format!("^[0-9a-f]{{{}}}$", 2 * cursor::BYTES))).build()
}

/// Visible ASCII characters, at most so many.
pub(super) fn visible(characters_max: usize) -> Object {
    text().pattern(Some(format!("^[!-~]{{1,{characters_max}}}$"))).build()
}

/// What a merchant sent as `metadata`.
pub(crate) fn metadata() -> Object {
    or_null(ObjectBuilder::new().schema_type(Type::Object).description(Some("As it was sent.")).build())
}

/// A timeline.
pub(crate) fn timeline() -> Array {
    ArrayBuilder::new().items(Ref::from_schema_name("TimelineEntry")).min_items(Some(1)).build()
}

/// The conversions of a page.
pub(crate) fn listed() -> Array {
    let items = Ref::from_schema_name("ListedConversion");
    ArrayBuilder::new().items(items).max_items(Some(crate::listing::LIMIT_MAX)).build()
}

/// Where a conversion is in its life.
pub(crate) fn state() -> Object {
    one_of(symbols("ConversionState"))
}

/// How sure it is whom to credit; `null` while a click is awaited.
pub(crate) fn confidence() -> Object {
    or_null(one_of(symbols("Confidence")))
}

/// Why it is LOW, as merchants are told: nobody learns of another merchant's clicks.
pub(crate) fn confidence_reason() -> Object {
    or_null(one_of(symbols("ConfidenceReason").into_iter().filter(|word| word != "click_not_yours")))
}

/// A conversion with its timeline.
pub(crate) fn conversion() -> Ref {
    Ref::from_schema_name("Conversion")
}

/// Where the order is.
pub(crate) fn order_status() -> Object {
    one_of(symbols("OrderStatus"))
}

/// What a status update said, or `null`.
pub(crate) fn reported_status_or_null() -> Object {
    or_null(one_of(symbols("ReportedStatus")))
}

/// Whose the rule is.
pub(crate) fn level() -> Object {
    one_of(symbols("RuleLevel"))
}

/// What made an entry of a timeline.
pub(crate) fn cause() -> Object {
    one_of(symbols("CauseType"))
}

/// Why it is LOW, as reviewers are told, or `null`.
pub(crate) fn true_reason() -> Object {
    or_null(one_of(symbols("ConfidenceReason")))
}

/// What reviewers did, each act once.
pub(crate) fn acts() -> Array {
    let mut act = record("Review");
    for (name, schema) in [("eventId", event_id()), ("at", instant()), ("applied", truth())] {
        act.properties.insert(name.to_owned(), schema.into());
        act.required.push(name.to_owned());
    }
    ArrayBuilder::new().items(act).build()
}

/// Either.
pub(super) fn truth() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).build()
}

/// What a reviewer decided.
pub(crate) fn decision() -> Object {
    one_of(symbols("ReviewDecision"))
}

/// How far a payout is.
pub(crate) fn payout_state() -> Object {
    one_of(symbols_of::<PayoutChanged>("PayoutState"))
}

/// An account of the ledger.
pub(crate) fn account() -> Object {
    one_of(symbols_of::<PayoutChanged>("Account"))
}

/// What became of a payout, each change once.
pub(crate) fn payout_entries() -> Array {
    ArrayBuilder::new().items(Ref::from_schema_name("PayoutEntry")).min_items(Some(1)).max_items(Some(2)).build()
}

/// The words of an enumeration in the schema of the records that are shown.
pub(super) fn symbols(name: &str) -> Vec<String> {
    symbols_of::<ConversionTransitioned>(name)
}

/// The words of an enumeration in the schema of a record.
fn symbols_of<R: AvroRecord>(name: &str) -> Vec<String> {
    let schema = schema_of::<R>();
    let found = find(&schema, name, "symbols").expect("the record has the enumeration");
    let words = found.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

/// A record in that schema, as it is written in JSON: with all its fields, whatever they are.
pub(super) fn record(name: &str) -> Object {
    let schema = schema_of::<ConversionTransitioned>();
    let fields = find(&schema, name, "fields").and_then(Value::as_array).expect("the record has the record");
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object = fields.iter().fold(object, |object, field| {
        let name = field["name"].as_str().expect("a field has a name");
        object.property(name, of_avro(&field["type"])).required(name)
    });
    object.build()
}

/// What a type of that schema is in JSON.
fn of_avro(kind: &Value) -> Object {
    let of = |kind| ObjectBuilder::new().schema_type(kind).build();
    match kind {
        Value::Array(either) => or_null(of_avro(&either[1])),
        Value::Object(fields) => match fields.get("symbols").and_then(Value::as_array) {
            Some(words) => one_of(words.iter().filter_map(Value::as_str)),
            None => of_avro(&kind["type"]),
        },
        Value::String(name) => match name.as_str() {
            "string" => of(Type::String),
            "int" | "long" => of(Type::Integer),
            "boolean" => of(Type::Boolean),
            name => one_of(symbols(name)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => unreachable!("{kind} is no type of Avro"),
    }
}

fn schema_of<R: AvroRecord>() -> Value {
    serde_json::from_str(R::SCHEMA).expect("a committed schema is JSON")
}

/// What a type of that name has under another.
fn find<'a>(schema: &'a Value, name: &str, member: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(fields) if fields.get("name").is_some_and(|it| it == name) && fields.contains_key(member) => {
            fields.get(member)
        }
        Value::Object(fields) => fields.values().find_map(|value| find(value, name, member)),
        Value::Array(items) => items.iter().find_map(|value| find(value, name, member)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
