//! The log of one partition: records, markers, open transactions and what is known of each producer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::Code;

/// How many of a producer's last batches a leader remembers, to know one that comes again.
const BATCHES_REMEMBERED: usize = 5;

/// A producer's number, and how often its id was given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct ProducerId {
    pub(in crate::sim) id: u64,
    pub(in crate::sim) epoch: u16,
}

/// One place of a log: a record, or a marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub offset: u64,
    /// What it is.
    pub kind: EntryKind,
    /// When it was written, since the start of the simulation.
    pub at: Duration,
    /// The number of the producer that wrote it.
    pub producer: u64,
}

/// What is at one place of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A record.
    Record {
        /// The key.
        key: Bytes,
        /// The value; `None` is a tombstone.
        value: Option<Bytes>,
        /// What became of its transaction.
        fate: RecordFate,
    },
    /// The end of a transaction's records in this partition.
    Marker {
        /// Whether they are committed.
        committed: bool,
    },
}

/// What became of a record's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFate {
    /// It is in none, or its marker says committed.
    Committed,
    /// Its marker says aborted.
    Aborted,
    /// There is no marker yet.
    Open,
}

/// What a leader knows of a producer.
#[derive(Debug)]
struct Known {
    epoch: u16,
    next_sequence: u32,
    /// First sequence, records and first offset of the last batches.
    batches: VecDeque<(u32, u32, u64)>,
}

/// A batch of records of one producer.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Batch {
    pub(in crate::sim) producer: ProducerId,
    pub(in crate::sim) sequence: u32,
    pub(in crate::sim) is_transactional: bool,
    pub(in crate::sim) records: Vec<(Bytes, Option<Bytes>)>,
}

/// A partition as its leader has it.
#[derive(Debug, Default)]
pub(in crate::sim) struct Partition {
    entries: VecDeque<Entry>,
    first: u64,
    next: u64,
    /// Where each open transaction begins, by its producer's number.
    open: BTreeMap<u64, u64>,
    producers: BTreeMap<u64, Known>,
    /// When a tombstone or a marker was first passed by compaction, by offset.
    pub(super) cleaned: BTreeMap<u64, Duration>,
    /// The high watermark that a new leader knows, until it knows all.
    lagging: Option<u64>,
}

impl Partition {
    pub(in crate::sim) fn first(&self) -> u64 {
        self.first
    }

    /// The position after the last record.
    pub(in crate::sim) fn end(&self) -> u64 {
        self.next
    }

    pub(in crate::sim) fn high_watermark(&self) -> u64 {
        self.lagging.unwrap_or(self.next)
    }

    /// As far as everything is decided, whether the leader knows it or not.
    pub(in crate::sim) fn decided(&self) -> u64 {
        self.open.values().copied().min().unwrap_or(self.next)
    }

    pub(in crate::sim) fn last_stable(&self) -> u64 {
        self.decided().min(self.high_watermark())
    }

    /// Whether a leader that is new to it does not know yet how far it goes.
    pub(in crate::sim) fn is_lagging(&self) -> bool {
        self.lagging.is_some()
    }

    /// Has a new leader, which knows less of the high watermark by so many offsets, until `None`.
    pub(in crate::sim) fn set_lag(&mut self, offsets: Option<u64>) {
        self.lagging = offsets.map(|offsets| self.next.saturating_sub(offsets).max(self.first));
    }

    pub(in crate::sim) fn has_open(&self, producer: u64) -> bool {
        self.open.contains_key(&producer)
    }

    /// Everything, in order.
    pub(in crate::sim) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Everything from an offset on.
    pub(in crate::sim) fn entries_from(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        let at = self.entries.partition_point(|entry| entry.offset < offset);
        self.entries.range(at..)
    }

    /// Writes a batch; the offset of its first record. One that was written before is known by its sequence.
    pub(super) fn append(&mut self, batch: &Batch, now: Duration) -> Result<u64, Code> {
        let ProducerId { id, epoch } = batch.producer;
        let length = u32::try_from(batch.records.len()).expect("a batch has a bound");
        match self.producers.get(&id) {
            Some(known) if known.epoch > epoch => return Err(Code::InvalidProducerEpoch),
            Some(known) if known.epoch == epoch => {
                let repeated = known.batches.iter().find(|(first, of, _)| (*first, *of) == (batch.sequence, length));
                if let Some((_, _, offset)) = repeated {
                    return Ok(*offset);
                }
                if batch.sequence != known.next_sequence {
                    return Err(Code::OutOfOrderSequenceNumber);
                }
            }
            // A new epoch begins a new sequence; a producer that is not known is taken as it comes.
            Some(_) if batch.sequence != 0 => return Err(Code::OutOfOrderSequenceNumber),
            Some(_) | None => {}
        }
        let offset = self.next;
        let known = self.known(batch.producer);
        known.next_sequence = batch.sequence + length;
        known.batches.push_back((batch.sequence, length, offset));
        if known.batches.len() > BATCHES_REMEMBERED {
            known.batches.pop_front();
        }
        let fate = if batch.is_transactional { RecordFate::Open } else { RecordFate::Committed };
        if batch.is_transactional {
            self.open.entry(id).or_insert(offset);
        }
        for (key, value) in &batch.records {
            let kind = EntryKind::Record { key: key.clone(), value: value.clone(), fate };
            self.push(kind, id, now);
        }
        Ok(offset)
    }

    /// Writes a marker, which decides what the producer has open here.
    pub(super) fn mark(&mut self, producer: ProducerId, committed: bool, now: Duration) {
        let known = self.known(producer);
        known.epoch = known.epoch.max(producer.epoch);
        if let Some(first) = self.open.remove(&producer.id) {
            let decided = if committed { RecordFate::Committed } else { RecordFate::Aborted };
            let at = self.entries.partition_point(|entry| entry.offset < first);
            for entry in self.entries.range_mut(at..).filter(|entry| entry.producer == producer.id) {
                if let EntryKind::Record { fate: fate @ RecordFate::Open, .. } = &mut entry.kind {
                    *fate = decided;
                }
            }
        }
        self.push(EntryKind::Marker { committed }, producer.id, now);
    }

    /// What is known of a producer, with what was known of earlier epochs forgotten.
    fn known(&mut self, producer: ProducerId) -> &mut Known {
        let fresh = || Known { epoch: producer.epoch, next_sequence: 0, batches: VecDeque::new() };
        let known = self.producers.entry(producer.id).or_insert_with(fresh);
        if known.epoch < producer.epoch {
            *known = fresh();
        }
        known
    }

    fn push(&mut self, kind: EntryKind, producer: u64, at: Duration) {
        self.entries.push_back(Entry { offset: self.next, kind, at, producer });
        self.next += 1;
    }

    /// Drops everything before an offset.
    pub(in crate::sim) fn drop_before(&mut self, offset: u64) {
        let at = self.entries.partition_point(|entry| entry.offset < offset);
        self.entries.drain(..at);
        self.first = self.first.max(offset);
    }

    /// Keeps of what is before an offset only what `keep` says.
    pub(super) fn retain_before(&mut self, offset: u64, mut keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(|entry| entry.offset >= offset || keep(entry));
    }
}
