//! What has to be in the log, from what was said and seen of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use streams::Record;

use crate::workers::{ECHO, IN, OUT, TIMER_MS};

/// What is known of a published group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody has said.
    Open,
    /// It is durable, from this offset on.
    Acknowledged(u64),
    /// It was not taken.
    Refused,
}

/// A group that was published.
#[derive(Clone, Debug)]
struct Group {
    size: usize,
    fate: Fate,
    /// Where it was seen.
    seen: Option<u64>,
}

/// Every record that was ever seen, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Model {
    records: Vec<Record>,
    groups: Vec<Group>,
    /// Inputs that were not counted yet: offset, key, id.
    uncounted: VecDeque<(u64, Bytes, String)>,
    counted_offset: Option<u64>,
    counts: BTreeMap<Bytes, u64>,
    /// Timers that were set and have not fired: due, id.
    timers: BTreeSet<(i64, String)>,
    /// What was not repeated yet.
    unrepeated: VecDeque<(u64, Bytes, Bytes)>,
    repeated: u64,
}

impl Model {
    /// A group of so many messages is about to be published; returns its number.
    pub(crate) fn group(&mut self, size: usize) -> usize {
        self.groups.push(Group { size, fate: Fate::Open, seen: None });
        self.groups.len() - 1
    }

    /// Something was said of a group.
    pub(crate) fn said(&mut self, group: usize, fate: Fate) {
        let group = &mut self.groups[group];
        assert!(group.fate == Fate::Open, "a group has one answer");
        group.fate = fate;
    }

    /// Whether a group was seen.
    pub(crate) fn is_seen(&self, group: usize) -> bool {
        self.groups[group].seen.is_some()
    }

    /// Records were read, from a place at or before the end of what was seen.
    pub(crate) fn saw(&mut self, records: &[Record]) {
        let Some(first) = records.first() else { return };
        let known = self.records.partition_point(|record| record.offset < first.offset);
        let again = self.records.len() - known;
        for (record, before) in records.iter().zip(&self.records[known..]) {
            assert_eq!(record, before, "what was seen is there again, at the same place");
        }
        for (index, record) in records.iter().enumerate().skip(again) {
            let before = self.records.last().map(|last| last.offset);
            assert!(before < Some(record.offset), "{} is after {before:?}", record.offset);
            self.take(record, records.get(index + 1));
            self.records.push(record.clone());
        }
    }

    /// A log that was opened again has records from `first` on: all that were seen since are among them.
    pub(crate) fn saw_all(&mut self, first: u64, records: &[Record]) {
        let kept = self.records.iter().filter(|record| record.offset >= first).count();
        assert!(records.len() >= kept, "{} of {kept} records are there", records.len());
        if let (Some(was), Some(is)) = (self.records.iter().find(|record| record.offset >= first), records.first()) {
            assert_eq!(was.offset, is.offset, "the log begins where it did");
        }
        self.saw(records);
    }

    /// Everything that was acknowledged was seen where it was said to be.
    pub(crate) fn check_acknowledged(&self) {
        for (number, group) in self.groups.iter().enumerate() {
            match group.fate {
                Fate::Acknowledged(offset) => {
                    assert_eq!(group.seen, Some(offset), "group {number} was acknowledged");
                }
                Fate::Refused => assert_eq!(group.seen, None, "group {number} was refused"),
                Fate::Open => {}
            }
        }
    }

    fn take(&mut self, record: &Record, next: Option<&Record>) {
        let value = String::from_utf8(record.value.to_vec()).expect("text");
        let words: Vec<&str> = value.split(' ').collect();
        let key = record.key.clone();
        match record.topic {
            topic if topic == IN.id => {
                self.take_input(record.offset, words[0], next);
                self.uncounted.push_back((record.offset, key, words[0].to_owned()));
            }
            topic if topic == OUT.id => {
                if key == "fired" {
                    self.take_fired(words[0], words[1].parse().expect("a time"));
                } else {
                    self.take_count(key.clone(), words[0], words[1], words[2].parse().expect("a time"));
                }
                self.unrepeated.push_back((record.offset, key, record.value.clone()));
            }
            topic if topic == ECHO.id => {
                let (_, expected_key, expected) = self.unrepeated.pop_front().expect("nothing is repeated twice");
                assert_eq!((key, record.value.clone()), (expected_key, expected), "repeated in order");
                self.repeated += 1;
            }
            other => panic!("a record of topic {other}"),
        }
    }

    /// A message of a group: the group is whole, in order and there once.
    fn take_input(&mut self, offset: u64, id: &str, next: Option<&Record>) {
        let (number, index) = id.split_once('.').expect("group and index");
        let (number, index): (usize, usize) = (number.parse().expect("a number"), index.parse().expect("a number"));
        let group = &mut self.groups[number];
        assert!(group.fate != Fate::Refused, "group {number} was refused");
        if index == 0 {
            assert_eq!(group.seen, None, "group {number} is there twice");
            group.seen = Some(offset);
        }
        assert_eq!(group.seen.map(|seen| seen + index as u64), Some(offset), "group {number} is in one piece");
        if index + 1 < group.size {
            let follows = next.is_some_and(|next| next.offset == offset + 1);
            assert!(follows, "group {number} ends after {index}");
        }
    }

    fn take_count(&mut self, key: Bytes, id: &str, count: &str, due_ms: i64) {
        let (offset, expected_key, expected) = self.uncounted.pop_front().expect("nothing is counted twice");
        assert_eq!((&key, id), (&expected_key, &*expected), "counted in order");
        let now = self.counts.entry(key).or_default();
        *now += 1;
        assert_eq!(now.to_string(), count, "the count of {id}");
        self.counted_offset = Some(offset);
        self.timers.insert((due_ms, id.to_owned()));
    }

    fn take_fired(&mut self, id: &str, now_ms: i64) {
        let timer = self.timers.iter().find(|(_, of)| of == id).cloned();
        let timer = timer.unwrap_or_else(|| panic!("the timer of {id} fires twice"));
        assert!(timer.0 <= now_ms && TIMER_MS > 0, "the timer of {id} fires before it is due");
        self.timers.remove(&timer);
    }

    /// What the consumers have committed agrees with what they have written.
    pub(crate) fn check_input(&self, consumer: &str, input: u64) {
        let (left, done) = match consumer {
            "tally" => (self.uncounted.front().map(|(offset, ..)| *offset), self.counted_offset),
            _ => (self.unrepeated.front().map(|(offset, ..)| *offset), None),
        };
        assert!(left.is_none_or(|offset| offset >= input), "{consumer} passed {left:?} at {input} and did nothing");
        assert!(done.is_none_or(|offset| offset < input), "{consumer} did {done:?} and is at {input}");
    }

    /// The rows that the first processor's store has to have.
    pub(crate) fn tally_rows(&self) -> Vec<(Bytes, Bytes)> {
        let counts = self.counts.iter().map(|(key, count)| (row(b's', key), Bytes::from(count.to_string())));
        let timers = self.timers.iter().map(|(due_ms, id)| {
            let mut key = due_ms.to_be_bytes().to_vec();
            key.extend_from_slice(id.as_bytes());
            (row(b't', &key), Bytes::new())
        });
        let mut rows: Vec<(Bytes, Bytes)> = counts.chain(timers).collect();
        rows.sort();
        rows
    }

    /// The rows that the second processor's store has to have.
    pub(crate) fn echo_rows(&self) -> Vec<(Bytes, Bytes)> {
        let seen = (self.repeated > 0).then(|| (row(b's', b"seen"), Bytes::from(self.repeated.to_string())));
        seen.into_iter().collect()
    }

    /// Nothing is left to be done.
    pub(crate) fn check_done(&self) {
        assert!(self.uncounted.is_empty(), "not counted: {:?}", self.uncounted);
        assert!(self.timers.is_empty(), "not fired: {:?}", self.timers);
        assert!(self.unrepeated.is_empty(), "not repeated: {:?}", self.unrepeated);
    }

    /// How many outputs were seen.
    pub(crate) fn outputs(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.repeated
    }
}

fn row(table: u8, key: &[u8]) -> Bytes {
    [&[table], key].concat().into()
}
