//! What the state machines share.

use schemas::records::DeadLetter;
use schemas::topics::{CATALOGUE, DEAD_LETTERS, TopicSpec};
use schemas::{AvroRecord, DecodeError, Timestamp, encode};
use streams::{Context, Message, Refusal, StoreError, Topic};

/// A topic of the catalogue as the logs know it.
#[must_use]
pub const fn topic(spec: &TopicSpec) -> Topic {
    Topic { id: spec.number, name: spec.name }
}

/// A message for a topic of the catalogue.
pub(crate) fn message<R: AvroRecord>(spec: &TopicSpec, key: Vec<u8>, record: &R) -> Message {
    debug_assert!(spec.records.contains(&R::NAME), "the catalogue says what a topic carries");
    Message { topic: topic(spec), key, value: encode(record) }
}

/// The step's clock.
pub(crate) fn now(context: &Context<'_>) -> Timestamp {
    Timestamp(context.now_ms())
}

pub(crate) fn refuse(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into() }
}

pub(crate) fn undecodable(error: &DecodeError) -> Refusal {
    refuse("undecodable", error.to_string())
}

/// A row of this processor's own that does not decode is a damaged store, not somebody's bad record.
pub(crate) fn row<R: AvroRecord>(bytes: &[u8]) -> Result<R, StoreError> {
    schemas::decode(bytes).map_err(|error| damaged(error.to_string()))
}

/// A row of this processor's own is not as it was written.
pub(crate) fn damaged(message: impl Into<String>) -> StoreError {
    StoreError { context: "reading a row", message: message.into() }
}

/// The record that carries a refused one.
pub(crate) fn dead_letter(letter: streams::DeadLetter<'_>) -> Message {
    let input = letter.input;
    let name = CATALOGUE.iter().find(|spec| spec.number == input.topic).map_or("timer", |spec| spec.name);
    let record = DeadLetter {
        processor: letter.processor.to_owned(),
        topic: name.to_owned(),
        partition: i32::try_from(input.partition).unwrap_or(i32::MAX),
        offset: i64::try_from(input.offset).unwrap_or(i64::MAX),
        reason: letter.refusal.reason.to_owned(),
        message: letter.refusal.message.clone(),
        key: input.key.to_vec(),
        value: input.value.to_vec(),
        at: Timestamp(letter.now_ms),
    };
    message(&DEAD_LETTERS, input.key.to_vec(), &record)
}

/// A version of a row's format that changes with its schema: the first four bytes of the fingerprint.
pub(crate) fn schema_version<R: AvroRecord>() -> u32 {
    let fingerprint = R::schema().rabin_fingerprint();
    u32::from_be_bytes([fingerprint[0], fingerprint[1], fingerprint[2], fingerprint[3]])
}
