//! The codec against the reference implementation, for every record there is.

use std::collections::BTreeSet;
use std::fmt::Debug;

use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::{GenericSingleObjectReader, GenericSingleObjectWriter, Schema};
use proptest::prelude::*;
use schemas::codec::{HEADER_BYTES, is};
use schemas::records::{
    BalanceChanged, ClickLookupRequested, ClickMatched, ClickRecorded, CommissionChanged, ConversionReported,
    ConversionSettled, ConversionTransitioned, DeadLetter, LedgerEntry, OrderStatusReported, PayoutChanged,
    PayoutReported, RegistryEntryChanged, RegistrySealed, ReviewDecided, TestClockAdvanced, WebhookAttempt,
    WebhookOutcome,
};
use schemas::state::{AccountState, OrderState, PayoutsState, WebhookEndpoint, WebhookOrder};
use schemas::{AvroRecord, DecodeError, decode, encode};

use serde_json::Value;

use self::draw::{Shapes, draw, shapes};

mod contract;
mod draw;
mod hostile;

/// One record, with what the tests do with its type.
struct Case {
    name: &'static str,
    text: &'static str,
    /// As the reference implementation understands it.
    schema: Schema,
    header: Header,
    /// An encoded value, drawn from bytes.
    encoded: fn(&[u8]) -> Vec<u8>,
    decode: fn(&[u8]) -> Result<(), DecodeError>,
    is: fn(&[u8]) -> bool,
    /// Draws a value and asserts that it decodes to itself.
    check_own: fn(&[u8]),
    shapes: fn() -> Shapes,
}

fn case<R: AvroRecord + PartialEq + Debug>() -> Case {
    Case {
        name: R::NAME,
        text: R::SCHEMA,
        schema: Schema::parse_str(R::SCHEMA).expect("a schema"),
        header: Header::of(R::SCHEMA),
        encoded: |entropy| encode(&draw::<R>(entropy)),
        decode: |value| decode::<R>(value).map(drop),
        is: is::<R>,
        check_own: |entropy| {
            let record = draw::<R>(entropy);
            assert_eq!(decode::<R>(&encode(&record)).as_ref(), Ok(&record));
        },
        shapes: shapes::<R>,
    }
}

/// The header that the reference implementation gives a schema's values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Header(Vec<u8>);

impl Header {
    fn of(text: &str) -> Header {
        let schema = Schema::parse_str(&without_logical_types(text)).expect("a schema");
        Header(RabinFingerprintHeader::from_schema(&schema).build_header())
    }
}

impl HeaderBuilder for Header {
    fn build_header(&self) -> Vec<u8> {
        self.0.clone()
    }
}

/// A schema for fingerprinting by the reference implementation in Rust: unlike the one in Java, which is the measure, it
/// leaves `{"type":"long"}` of a timestamp where Parsing Canonical Form has `"long"` (apache/avro-rs issue 61).
fn without_logical_types(text: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(strip),
            Value::Object(object) => {
                object.remove("logicalType");
                object.values_mut().for_each(strip);
            }
            _ => (),
        }
    }
    let mut schema = serde_json::from_str(text).expect("JSON");
    strip(&mut schema);
    schema.to_string()
}

fn cases() -> Vec<Case> {
    vec![
        case::<ConversionReported>(),
        case::<OrderStatusReported>(),
        case::<ReviewDecided>(),
        case::<TestClockAdvanced>(),
        case::<ClickRecorded>(),
        case::<ClickLookupRequested>(),
        case::<ClickMatched>(),
        case::<ConversionTransitioned>(),
        case::<CommissionChanged>(),
        case::<LedgerEntry>(),
        case::<BalanceChanged>(),
        case::<PayoutChanged>(),
        case::<PayoutReported>(),
        case::<ConversionSettled>(),
        case::<DeadLetter>(),
        case::<RegistryEntryChanged>(),
        case::<RegistrySealed>(),
        case::<OrderState>(),
        case::<AccountState>(),
        case::<PayoutsState>(),
        case::<WebhookAttempt>(),
        case::<WebhookOutcome>(),
        case::<WebhookOrder>(),
        case::<WebhookEndpoint>(),
    ]
}

impl Case {
    /// Asserts that the reference implementation reads our bytes, header included, and writes the same again.
    #[track_caller]
    fn check_reference(&self, bytes: &[u8]) {
        let (schema, header) = (self.schema.clone(), self.header.clone());
        let reader = GenericSingleObjectReader::new_with_header_builder(schema, header.clone()).expect("a reader");
        let writer = GenericSingleObjectWriter::new_with_capacity_and_header_builder(&self.schema, 1_024, header);
        let mut rest = bytes;
        let value = reader.read_value(&mut rest).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(rest.is_empty(), "{}: {} bytes are left over", self.name, rest.len());
        let mut again = Vec::new();
        writer
            .expect("a writer")
            .write_value(value, &mut again)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(again, bytes, "{}", self.name);
    }
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1_500)
}

#[test]
fn every_value_of_every_record_reads_back_and_is_what_the_reference_writes() {
    let cases = cases();
    proptest!(|(entropy in entropy())| {
        for case in &cases {
            case.check_reference(&(case.encoded)(&entropy));
            (case.check_own)(&entropy);
        }
    });
}

#[test]
fn the_extremes_too() {
    let cases = cases();
    for byte in 0..=u8::MAX {
        let entropy = [byte; 4_096];
        for case in &cases {
            case.check_reference(&(case.encoded)(&entropy));
            (case.check_own)(&entropy);
        }
    }
}

#[test]
fn headers_name_their_schema_alone() {
    let cases = cases();
    let headers: BTreeSet<&Header> = cases.iter().map(|case| &case.header).collect();
    assert_eq!(headers.len(), cases.len());
    for writer in &cases {
        let value = (writer.encoded)(&[]);
        assert_eq!(value[..HEADER_BYTES], writer.header.0, "{}", writer.name);
        for reader in &cases {
            let same = reader.name == writer.name;
            assert_eq!((reader.is)(&value), same, "{} by {}", writer.name, reader.name);
            assert_eq!((reader.decode)(&value).is_ok(), same, "{} by {}", writer.name, reader.name);
        }
    }
}
