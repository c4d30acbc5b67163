//! Frames: the unit of atomicity. What their bytes are is in the documentation of [`super`].

use std::ops::Range;

use bytes::Bytes;

use super::draft::TopicSet;
use super::fields::Fields;
use crate::log::Record;
use crate::store::Change;

/// Length of a frame's header.
pub(super) const HEADER_BYTES: usize = 48;

/// What begins every frame.
pub(super) const MAGIC: [u8; 4] = *b"\xF5frm";

/// The largest frame this format allows, header and body; options may only lower it.
pub(super) const FRAME_BYTES_LIMIT: usize = 64 << 20;

/// Who wrote a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A publisher: messages only.
    Published,
    /// A consumer: its new input position, output messages and state changes.
    Step,
}

/// A frame's header, without its magic and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) body_bytes: u32,
    pub(super) records: u32,
    pub(super) changes: u32,
    /// Where the frame begins.
    pub(super) position: u64,
    /// Up to where everything was known to be synced when the frame was written.
    pub(super) durable: u64,
    /// One bit for each topic in it, see [`super::draft::topic_bit`].
    pub(super) topics: u64,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end too early: so many are needed from the frame's beginning.
    Short(usize),
    /// They are something else.
    Bad(&'static str),
}

impl Header {
    /// The position after the frame.
    pub(super) fn end(&self) -> u64 {
        self.position + (HEADER_BYTES as u64) + u64::from(self.body_bytes)
    }

    /// Its bytes, given the checksum of the body.
    pub(super) fn encode(&self, body_crc: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12] = match self.kind {
            Kind::Published => 1,
            Kind::Step => 2,
        };
        bytes[16..20].copy_from_slice(&self.records.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.changes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.topics.to_le_bytes());
        let crc = continued_crc(body_crc, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Reads the header of the frame that begins with `bytes` and is expected at `position`; with `check`, the whole
/// frame must be there and have the right checksum.
pub(super) fn parse(bytes: &[u8], position: u64, check: bool) -> Result<Header, Fault> {
    let header = parse_header(bytes, position)?;
    let frame_bytes = HEADER_BYTES + header.body_bytes as usize;
    let body = bytes.get(HEADER_BYTES..frame_bytes).ok_or(Fault::Short(frame_bytes))?;
    if check {
        let stored = bytes.get(4..8).and_then(|crc| crc.try_into().ok()).map(u32::from_le_bytes);
        let found = continued_crc(crc32fast::hash(body), &bytes[8..HEADER_BYTES]);
        if stored != Some(found) {
            return Err(Fault::Bad("the checksum of a frame does not match its bytes"));
        }
    }
    Ok(header)
}

fn parse_header(bytes: &[u8], position: u64) -> Result<Header, Fault> {
    let short = Fault::Short(HEADER_BYTES);
    let mut fields = Fields::new(bytes.get(..HEADER_BYTES).ok_or(short)?);
    if fields.take(8).is_none_or(|_| bytes[..4] != MAGIC) {
        return Err(Fault::Bad("no frame begins here"));
    }
    let body_bytes = fields.u32().ok_or(short)?;
    let kind = match fields.u32().ok_or(short)? {
        1 => Kind::Published,
        2 => Kind::Step,
        _ => return Err(Fault::Bad("the kind of a frame is unknown")),
    };
    let header = Header {
        kind,
        body_bytes,
        records: fields.u32().ok_or(short)?,
        changes: fields.u32().ok_or(short)?,
        position: fields.u64().ok_or(short)?,
        durable: fields.u64().ok_or(short)?,
        topics: fields.u64().ok_or(short)?,
    };
    if header.position != position {
        return Err(Fault::Bad("a frame says that it belongs to another position"));
    }
    if HEADER_BYTES + body_bytes as usize > FRAME_BYTES_LIMIT {
        return Err(Fault::Bad("the length of a frame is impossible"));
    }
    Ok(header)
}

/// The checksum of what `crc` covers followed by `bytes`.
fn continued_crc(crc: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(bytes);
    hasher.finalize()
}

/// A frame that was read.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) body: Bytes,
}

impl Frame {
    /// Appends the records of the wanted topics and returns how many bytes of keys and values they have; `None` if
    /// the body is malformed.
    pub(super) fn records(&self, topics: &TopicSet, records: &mut Vec<Record>) -> Option<usize> {
        let mut bytes = 0;
        let mut fields = self.after_prefix()?;
        for index in 0..self.header.records {
            let (topic, key, value) = fields.record()?;
            if topics.contains(topic) {
                bytes += key.len() + value.len();
                records.push(self.to_record(index, topic, key, value));
            }
        }
        Some(bytes)
    }

    /// The record at `index`, or nothing if there are fewer; the outer `None` if the body is malformed.
    pub(super) fn record(&self, index: u32) -> Option<Option<Record>> {
        if index >= self.header.records {
            return Some(None);
        }
        let mut fields = self.after_prefix()?;
        for _ in 0..index {
            fields.record()?;
        }
        let (topic, key, value) = fields.record()?;
        Some(Some(self.to_record(index, topic, key, value)))
    }

    /// The consumer whose step this is and its input position; `None` if the frame is no step, or malformed.
    pub(super) fn step(&self) -> Option<(&str, u64)> {
        match self.header.kind {
            Kind::Published => None,
            Kind::Step => step_prefix(&self.body),
        }
    }

    /// Appends copies of the state changes; `None` if the body is malformed.
    pub(super) fn changes(&self, changes: &mut Vec<Change>) -> Option<()> {
        let mut fields = self.after_prefix()?;
        for _ in 0..self.header.records {
            fields.record()?;
        }
        for _ in 0..self.header.changes {
            let (key, value) = fields.change()?;
            // A row may outlive the frame by years and must not hold on to all of the frame's bytes.
            let end = value.as_ref().map_or(key.end, |value| value.end);
            let row = Bytes::copy_from_slice(&self.body[key.start..end]);
            changes.push(Change { key: row.slice(..key.len()), value: value.map(|_| row.slice(key.len()..)) });
        }
        Some(())
    }

    fn after_prefix(&self) -> Option<Fields<'_>> {
        let mut fields = Fields::new(&self.body);
        match self.header.kind {
            Kind::Published => {}
            Kind::Step => {
                let name_bytes = fields.u8()?;
                fields.take(usize::from(name_bytes) + 8)?;
            }
        }
        Some(fields)
    }

    fn to_record(&self, index: u32, topic: u16, key: Range<usize>, value: Range<usize>) -> Record {
        Record {
            topic,
            partition: 0,
            offset: self.header.position + u64::from(index),
            key: self.body.slice(key),
            value: self.body.slice(value),
        }
    }
}

/// The consumer and the input position with which a step's body begins.
pub(super) fn step_prefix(body: &[u8]) -> Option<(&str, u64)> {
    let mut fields = Fields::new(body);
    let name_bytes = fields.u8()?;
    let name = fields.take(usize::from(name_bytes))?;
    let input = fields.u64()?;
    Some((std::str::from_utf8(&body[name]).ok()?, input))
}
