//! Frames on their way to the writer.

use bytes::Bytes;

use super::fields::DELETED;
use super::frame::{HEADER_BYTES, Header, Kind};
use crate::log::{Message, Topic};
use crate::store::Change;

/// Bytes of a record besides its key and value: topic, two lengths.
const RECORD_OVERHEAD_BYTES: usize = 10;

/// Bytes of a change besides its key and value: two lengths.
const CHANGE_OVERHEAD_BYTES: usize = 8;

/// The bit that stands for a topic in a frame's header; topics 64 apart share one.
pub(super) fn topic_bit(topic: u16) -> u64 {
    1 << (topic % 64)
}

/// The topics that a reader wants.
#[derive(Clone, Debug)]
pub(super) struct TopicSet {
    /// A bit for each of them, see [`topic_bit`].
    pub(super) bits: u64,
    ids: Vec<u16>,
}

impl TopicSet {
    /// The set of these topics.
    pub(super) fn new(topics: &[Topic]) -> TopicSet {
        TopicSet {
            bits: topics.iter().fold(0, |bits, topic| bits | topic_bit(topic.id)),
            ids: topics.iter().map(|topic| topic.id).collect(),
        }
    }

    /// Whether it is one of them.
    pub(super) fn contains(&self, topic: u16) -> bool {
        self.ids.contains(&topic)
    }
}

/// A frame on its way to the writer: all of it that is known before its place is.
#[derive(Debug)]
pub(super) struct Draft {
    /// Room for the header, then the body.
    bytes: Vec<u8>,
    body_crc: u32,
    kind: Kind,
    topics: u64,
    records: u32,
    changes: u32,
}

impl Draft {
    /// What [`Draft::published`] of these would take.
    pub(super) fn published_bytes(messages: &[Message]) -> usize {
        HEADER_BYTES + messages.iter().map(message_bytes).sum::<usize>()
    }

    /// A publisher's frame.
    pub(super) fn published(messages: &[Message]) -> Draft {
        let mut bytes = Vec::with_capacity(Draft::published_bytes(messages));
        bytes.resize(HEADER_BYTES, 0);
        Draft::finish(bytes, Kind::Published, messages, std::iter::empty())
    }

    /// What [`Draft::step`] of these would take.
    pub(super) fn step_bytes(consumer: &str, outputs: &[Message], changes: &[(u32, Vec<Change>)]) -> usize {
        let change_bytes: usize = changes.iter().flat_map(|(_, group)| group).map(change_bytes).sum();
        HEADER_BYTES + 9 + consumer.len() + outputs.iter().map(message_bytes).sum::<usize>() + change_bytes
    }

    /// A consumer's frame: having read up to `input`, it writes `outputs` and `changes`.
    pub(super) fn step(consumer: &str, input: u64, outputs: &[Message], changes: &[(u32, Vec<Change>)]) -> Draft {
        let mut bytes = Vec::with_capacity(Draft::step_bytes(consumer, outputs, changes));
        bytes.resize(HEADER_BYTES, 0);
        bytes.push(consumer.len() as u8);
        bytes.extend_from_slice(consumer.as_bytes());
        bytes.extend_from_slice(&input.to_le_bytes());
        Draft::finish(bytes, Kind::Step, outputs, changes.iter().flat_map(|(_, group)| group))
    }

    fn finish<'a>(
        mut bytes: Vec<u8>,
        kind: Kind,
        messages: &[Message],
        changes: impl Iterator<Item = &'a Change>,
    ) -> Draft {
        let mut topics = 0;
        for message in messages {
            topics |= topic_bit(message.topic.id);
            bytes.extend_from_slice(&message.topic.id.to_le_bytes());
            bytes.extend_from_slice(&(message.key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(message.value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&message.key);
            bytes.extend_from_slice(&message.value);
        }
        let mut count = 0;
        for change in changes {
            count += 1;
            let value_bytes = change.value.as_ref().map_or(DELETED, |value| value.len() as u32);
            bytes.extend_from_slice(&(change.key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&value_bytes.to_le_bytes());
            bytes.extend_from_slice(&change.key);
            bytes.extend_from_slice(change.value.as_deref().unwrap_or_default());
        }
        let body_crc = crc32fast::hash(&bytes[HEADER_BYTES..]);
        Draft { bytes, body_crc, kind, topics, records: messages.len() as u32, changes: count }
    }

    /// Length of the whole frame.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Number of messages in it.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Whether it has state changes.
    pub(super) fn has_changes(&self) -> bool {
        self.changes > 0
    }

    /// The finished frame, now that its place is known.
    pub(super) fn seal(mut self, position: u64, durable: u64) -> Vec<u8> {
        let header = Header {
            kind: self.kind,
            body_bytes: (self.bytes.len() - HEADER_BYTES) as u32,
            records: self.records,
            changes: self.changes,
            position,
            durable,
            topics: self.topics,
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.encode(self.body_crc));
        self.bytes
    }
}

fn message_bytes(message: &Message) -> usize {
    RECORD_OVERHEAD_BYTES + message.key.len() + message.value.len()
}

fn change_bytes(change: &Change) -> usize {
    CHANGE_OVERHEAD_BYTES + change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
}
