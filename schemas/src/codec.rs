//! Values on topics and in state: Avro single-object encoding (Avro 1.11 specification, "Single-object encoding").
//!
//! Ten bytes of header, `C3 01` and the schema's CRC-64-AVRO fingerprint in little endian, then the Avro datum. The
//! first byte is also where another framing would be told apart: Confluent's wire format begins with `00` and a
//! registry id of four bytes; it is refused by name until there is a registry to ask.

use std::cell::Cell;
use std::io::BufRead;

use serde::{Serialize, de::DeserializeOwned};
use serde_avro_fast::{Schema, de::DeserializerState, ser::SerializerConfig};

/// Bytes before the datum.
pub const HEADER_BYTES: usize = 10;
const MARKER: [u8; 2] = [0xC3, 0x01];
const CONFLUENT_MARKER: u8 = 0x00;

/// A record with an Avro schema.
pub trait AvroRecord: Serialize + DeserializeOwned {
    /// The record's name in its schema.
    const NAME: &'static str;
    /// The schema's text: the `.avsc` file.
    const SCHEMA: &'static str;

    /// The parsed schema.
    fn schema() -> &'static Schema;
}

/// Why bytes are no value of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short, or another framing.
    #[error("the value has no Avro single-object header (it begins with {0})")]
    NoHeader(String),
    /// Confluent's framing, which needs a schema registry.
    #[error("the value is framed for a Confluent schema registry, which is not supported")]
    Confluent,
    /// A fingerprint that is none of the schemas expected here.
    #[error("schema fingerprint {found} is not of {expected}")]
    UnknownSchema {
        /// The fingerprint in hexadecimal, as it stands in the header.
        found: String,
        /// The records expected.
        expected: &'static str,
    },
    /// The datum does not fit its schema.
    #[error("the value is no {record}: {message}")]
    Invalid {
        /// The record.
        record: &'static str,
        /// What was wrong.
        message: String,
    },
}

/// Most that a thread keeps for its next record; the largest ones are too rare to keep room for.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Where a thread encodes: a record's length is known only then, and growing to it copies what is there again and again.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes a value with its header.
///
/// # Panics
/// Never for the types of this crate: each is tested to fit its schema whatever its values.
#[must_use]
pub fn encode<R: AvroRecord>(record: &R) -> Vec<u8> {
    let config = &mut SerializerConfig::new(R::schema());
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let scratch =
        serde_avro_fast::to_single_object(record, scratch, config).expect("a record of this crate fits its own schema");
    let value = scratch.as_slice().to_vec();
    if scratch.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(scratch);
    }
    value
}

/// Whether the value's header names this record's schema.
#[must_use]
pub fn is<R: AvroRecord>(value: &[u8]) -> bool {
    value.len() >= HEADER_BYTES && value[..2] == MARKER && value[2..HEADER_BYTES] == *R::schema().rabin_fingerprint()
}

/// Decodes a value, header first.
///
/// # Errors
/// The header is missing or another schema's, or the datum does not fit or leaves bytes over.
pub fn decode<R: AvroRecord>(value: &[u8]) -> Result<R, DecodeError> {
    if !is::<R>(value) {
        return Err(header_error(value, R::NAME));
    }
    let invalid = |message: String| DecodeError::Invalid { record: R::NAME, message };
    // From the slice, never through a reader: a reader allocates the length that a text claims to have before it looks
    // whether so many bytes are there.
    let mut state = DeserializerState::from_slice(&value[HEADER_BYTES..], R::schema());
    let record = R::deserialize(state.deserializer()).map_err(|error| invalid(error.to_string()))?;
    let mut reader = state.into_reader();
    let rest = reader.fill_buf().map_err(|error| invalid(error.to_string()))?;
    if rest.is_empty() { Ok(record) } else { Err(invalid(format!("{} bytes are left over", rest.len()))) }
}

/// What is wrong with the header of a value that none of the records `expected` decodes.
#[must_use]
pub fn header_error(value: &[u8], expected: &'static str) -> DecodeError {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        [0xC3, 0x01, rest @ ..] if rest.len() >= 8 => DecodeError::UnknownSchema { found: hex(&rest[..8]), expected },
        [CONFLUENT_MARKER, ..] if value.len() >= 5 => DecodeError::Confluent,
        _ if value.is_empty() => DecodeError::NoHeader("nothing".to_owned()),
        _ => DecodeError::NoHeader(hex(&value[..value.len().min(HEADER_BYTES)])),
    }
}

macro_rules! avro_record {
    ($($record:ident = $file:literal),+ $(,)?) => {$(
        impl crate::codec::AvroRecord for $record {
            const NAME: &'static str = stringify!($record);
            const SCHEMA: &'static str = include_str!(concat!("../avro/", $file, ".avsc"));

            fn schema() -> &'static serde_avro_fast::Schema {
                static SCHEMA: std::sync::LazyLock<serde_avro_fast::Schema> =
                    std::sync::LazyLock::new(|| $record::SCHEMA.parse().expect("a committed schema parses"));
                &SCHEMA
            }
        }
    )+};
}
pub(crate) use avro_record;
