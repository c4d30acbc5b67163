//! A record's value as JSON, by its Avro schema, and back.

use schemas::records::{
    ClickLookupRequested, ClickMatched, ClickRecorded, ConversionReported, ConversionSettled, ConversionTransitioned,
    LedgerEntry, OrderStatusReported, PayoutReported, ReviewDecided, TestClockAdvanced, WebhookOutcome,
};
use schemas::topics::{
    CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CONVERSIONS, LEDGER_ENTRIES, PAYOUT_REPORTS, SETTLEMENTS, TRANSITIONS,
    TopicSpec, WEBHOOK_OUTCOMES,
};
use schemas::{AvroRecord, DecodeError};
use serde_json::{Map, Value};

/// The topics that the processors read: where a refused record can have come from.
const INPUTS: [&TopicSpec; 9] = [
    &CONVERSIONS,
    &CLICKS,
    &CLICK_LOOKUPS,
    &CLICK_VERDICTS,
    &LEDGER_ENTRIES,
    &PAYOUT_REPORTS,
    &SETTLEMENTS,
    &TRANSITIONS,
    &WEBHOOK_OUTCOMES,
];

/// A record of these topics.
struct Kind {
    name: &'static str,
    is: fn(&[u8]) -> bool,
    read: fn(&[u8]) -> Result<Value, DecodeError>,
    write: fn(Value) -> Result<Vec<u8>, String>,
}

const KINDS: [Kind; 12] = [
    kind::<ConversionReported>(),
    kind::<OrderStatusReported>(),
    kind::<ReviewDecided>(),
    kind::<TestClockAdvanced>(),
    kind::<ClickRecorded>(),
    kind::<ClickLookupRequested>(),
    kind::<ClickMatched>(),
    kind::<LedgerEntry>(),
    kind::<PayoutReported>(),
    kind::<ConversionSettled>(),
    kind::<ConversionTransitioned>(),
    kind::<WebhookOutcome>(),
];

const fn kind<R: AvroRecord>() -> Kind {
    Kind { name: R::NAME, is: schemas::codec::is::<R>, read: read::<R>, write: write::<R> }
}

fn read<R: AvroRecord>(value: &[u8]) -> Result<Value, DecodeError> {
    Ok(to_json(&schemas::decode::<R>(value)?))
}

fn write<R: AvroRecord>(json: Value) -> Result<Vec<u8>, String> {
    let record: R = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
    match unknown(&json, &to_json(&record)) {
        Some(field) => Err(format!("field {field:?} is unknown: see the schema")),
        None => Ok(schemas::encode(&record)),
    }
}

fn to_json<R: AvroRecord>(record: &R) -> Value {
    serde_json::to_value(record).expect("a record's keys are texts")
}

/// The first field, by its path, that a record made of `json` does not have.
fn unknown(json: &Value, record: &Value) -> Option<String> {
    let (Value::Object(json), Value::Object(record)) = (json, record) else { return None };
    json.iter().find_map(|(name, inner)| match record.get(name) {
        None => Some(name.clone()),
        Some(known) => unknown(inner, known).map(|field| format!("{name}.{field}")),
    })
}

/// The topic of that name, if a processor reads it.
pub(super) fn input(name: &str) -> Option<&'static TopicSpec> {
    INPUTS.into_iter().find(|spec| spec.name == name)
}

fn kinds(spec: &TopicSpec) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| spec.records.contains(&kind.name))
}

/// A value of the topic as JSON: an object with the record's name, and under it the fields of its schema.
///
/// # Errors
/// It is none of the topic's records.
pub(super) fn decode(spec: &TopicSpec, value: &[u8]) -> Result<Value, DecodeError> {
    let kind = kinds(spec).find(|kind| (kind.is)(value));
    let kind = kind.ok_or_else(|| schemas::codec::header_error(value, "any record of its topic"))?;
    Ok(Value::Object(Map::from_iter([(kind.name.to_owned(), (kind.read)(value)?)])))
}

/// The value of what [`decode`] gives.
///
/// # Errors
/// What is wrong with it, with the field where that is known.
pub(super) fn encode(spec: &TopicSpec, json: &str) -> Result<Vec<u8>, String> {
    let form = || {
        let names: Vec<&str> = kinds(spec).map(|kind| kind.name).collect();
        format!("must be a JSON object with one field, {}, as dead-letters show prints it", names.join(" or "))
    };
    let json: Value = serde_json::from_str(json).map_err(|error| format!("is no JSON: {error}"))?;
    let Value::Object(outer) = json else { return Err(form()) };
    let mut fields = outer.into_iter();
    let (Some((name, record)), None) = (fields.next(), fields.next()) else { return Err(form()) };
    let kind = kinds(spec).find(|kind| kind.name == name).ok_or_else(form)?;
    (kind.write)(record).map_err(|error| format!("is no {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_every_input_are_known() {
        for spec in INPUTS {
            assert_eq!(kinds(spec).count(), spec.records.len(), "{}", spec.name);
        }
    }

    #[test]
    fn a_value_reads_back_and_what_is_wrong_with_it_is_named() {
        let click = r#"{"ClickRecorded":{"clickId":"clk_1","merchantId":"m","campaignId":"c","affiliateId":"a","linkId":"l","clickedAt":5}}"#;
        let value = encode(&CLICKS, click).expect("it is a click");
        let shown = decode(&CLICKS, &value).expect("it is a click").to_string();
        assert_eq!(encode(&CLICKS, &shown), Ok(value.clone()));
        assert!(decode(&CONVERSIONS, &value).is_err(), "a click is no report");
        for (json, expected) in [
            ("", "is no JSON"),
            ("[]", "with one field, ClickRecorded, as"),
            (r#"{"ConversionReported":{}}"#, "with one field, ClickRecorded, as"),
            (r#"{"ClickRecorded":{"clickId":"clk_1"}}"#, "missing field `merchantId`"),
            (&click.replace("\"linkId\"", "\"link\":1,\"linkId\""), "field \"link\" is unknown"),
            (&click.replace("5", "\"x\""), "is no ClickRecorded: invalid type"),
        ] {
            let error = encode(&CLICKS, json).expect_err(json);
            assert!(error.contains(expected), "{error}");
        }
    }
}
