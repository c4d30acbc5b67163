//! Retention and compaction.
//!
//! Compaction never passes the last stable offset, nor the records of late that stand for the segment being written.
//! The last record of a key stays, a tombstone for a time after it was first passed; aborted records go, and markers go
//! like tombstones. What stays keeps its offset, so there are gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::State;
use super::partition::{Entry, EntryKind, Partition, RecordFate};
use crate::sim::options::{Cleanup, TopicOptions};

impl State {
    /// Cleans every topic as it is to be.
    pub(in crate::sim) fn clean(&mut self) {
        let now = self.now;
        for topic in self.topics.values_mut() {
            let TopicOptions { cleanup, active_records, .. } = topic.options;
            for partition in &mut topic.partitions {
                let until = partition.last_stable().min(partition.end().saturating_sub(active_records));
                match cleanup {
                    Cleanup::Keep => {}
                    Cleanup::Delete { retention } => expire(partition, until, retention, now),
                    Cleanup::Compact { delete_retention } => compact(partition, until, delete_retention, now),
                }
            }
        }
        self.note(format_args!("cleaner has been there"));
    }
}

fn expire(partition: &mut Partition, until: u64, retention: Duration, now: Duration) {
    let young = partition.entries().find(|entry| entry.offset >= until || entry.at + retention > now);
    let first = young.map_or(until, |entry| entry.offset);
    partition.drop_before(first);
}

fn compact(partition: &mut Partition, until: u64, delete_retention: Duration, now: Duration) {
    let mut last: BTreeMap<Bytes, u64> = BTreeMap::new();
    let mut holds_records: BTreeSet<u64> = BTreeSet::new();
    for entry in partition.entries().take_while(|entry| entry.offset < until) {
        if let EntryKind::Record { key, fate: RecordFate::Committed, .. } = &entry.kind {
            last.insert(key.clone(), entry.offset);
        }
    }
    let is_last = |entry: &Entry, key: &Bytes| last.get(key) == Some(&entry.offset);
    for entry in partition.entries() {
        if let EntryKind::Record { key, .. } = &entry.kind
            && (entry.offset >= until || is_last(entry, key))
        {
            holds_records.insert(entry.producer);
        }
    }
    let mut cleaned = std::mem::take(&mut partition.cleaned);
    partition.retain_before(until, |entry| match &entry.kind {
        EntryKind::Record { key, value: Some(_), .. } => is_last(entry, key),
        EntryKind::Record { key, value: None, .. } => {
            is_last(entry, key) && now < *cleaned.entry(entry.offset).or_insert(now) + delete_retention
        }
        // A marker stays as long as there are records of its producer, and then for a time.
        EntryKind::Marker { .. } => {
            holds_records.contains(&entry.producer)
                || now < *cleaned.entry(entry.offset).or_insert(now) + delete_retention
        }
    });
    cleaned.retain(|offset, _| partition.entries_from(*offset).next().is_some_and(|entry| entry.offset == *offset));
    partition.cleaned = cleaned;
}
