//! Random histories against a list.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use proptest::prelude::*;

use super::layer::{Layer, Layered};
use super::*;
use crate::disk::DiskFile;

const CONSUMERS: [&str; 2] = ["one", "two"];

/// One thing that happens to a log.
#[derive(Clone, Debug)]
enum Event {
    Publish {
        topic: usize,
        count: usize,
        value_bytes: usize,
    },
    Step {
        consumer: usize,
        records_max: usize,
        outputs: usize,
        changes: usize,
    },
    Reopen,
    /// A crash that takes so many bytes off the last segment, or puts some there.
    Tear {
        bytes: u64,
        junk: usize,
    },
    Drop {
        percent: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3_usize, 1..4_usize, 0..200_usize)
            .prop_map(|(topic, count, value_bytes)| Event::Publish { topic, count, value_bytes }),
        6 => (0..2_usize, 1..5_usize, 0..3_usize, 0..3_usize).prop_map(|(consumer, records_max, outputs, changes)| {
            Event::Step { consumer, records_max, outputs, changes }
        }),
        1 => Just(Event::Reopen),
        1 => (0..600_u64, 0..80_usize).prop_map(|(bytes, junk)| Event::Tear { bytes, junk }),
        1 => (0..120_u64).prop_map(|percent| Event::Drop { percent }),
    ]
}

/// A frame as the list has it.
#[derive(Clone, Debug)]
struct Expected {
    /// Where it begins, if that was told.
    position: Option<u64>,
    end: u64,
    records: Vec<Message>,
    step: Option<(&'static str, u64, Vec<Change>)>,
}

/// A disk that does not sync: these histories have no power cuts.
#[derive(Debug)]
struct Quick;

impl Layer for Quick {
    fn sync(&self, _: &dyn DiskFile) -> io::Result<()> {
        Ok(())
    }
}

struct Model {
    folder: TempDir,
    options: Options,
    log: Option<(EmbeddedLog, [EmbeddedSession; 2])>,
    frames: Vec<Expected>,
    number: usize,
    /// The end of the log when segments were last dropped: what that relied on is not torn off.
    relied_on: u64,
}

impl Model {
    fn new(options: Options) -> Model {
        let mut model = Model { folder: folder(), options, log: None, frames: Vec::new(), number: 0, relied_on: 0 };
        model.reopen();
        model
    }

    fn reopen(&mut self) {
        self.log = None;
        let disk = Arc::new(Layered(Arc::new(Quick)));
        let log = EmbeddedLog::open_on(disk, self.folder.path(), self.options.clone()).expect("opens");
        let sessions = [assigned(&log, CONSUMERS[0], &[ORDERS, CLICKS]), assigned(&log, CONSUMERS[1], &[CLICKS])];
        self.log = Some((log, sessions));
    }

    fn log(&mut self) -> (&EmbeddedLog, &mut [EmbeddedSession; 2]) {
        let (log, sessions) = self.log.as_mut().expect("open");
        (log, sessions)
    }

    fn messages(&mut self, topic: Topic, count: usize, value_bytes: usize) -> Vec<Message> {
        self.number += 1;
        (0..count).map(|index| message(topic, &format!("{} {index}", self.number), &"v".repeat(value_bytes))).collect()
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Publish { topic, count, value_bytes } => {
                let records = self.messages(ALL[topic], count, value_bytes);
                let (log, _) = self.log();
                let position = publish(log, records.clone());
                let end = log.durable();
                self.frames.push(Expected { position: Some(position), end, records, step: None });
            }
            Event::Step { consumer, records_max, outputs, changes } => {
                self.step(consumer, records_max, outputs, changes);
            }
            Event::Reopen => self.reopen(),
            Event::Tear { bytes, junk } => self.tear(bytes, junk),
            Event::Drop { percent } => {
                let (log, _) = self.log();
                let durable = log.durable();
                if log.drop_before(durable * percent / 100).expect("dropped") > 0 {
                    self.relied_on = durable;
                }
            }
        }
    }

    fn step(&mut self, consumer: usize, records_max: usize, outputs: usize, changes: usize) {
        let expected = self.unread(consumer);
        let outputs = self.messages(CLICKS, outputs, 10);
        let rows: Vec<Change> =
            (0..changes).map(|row| change(&format!("{row}"), (row > 0).then_some("value"))).collect();
        let (log, sessions) = self.log();
        let session = &mut sessions[consumer];
        let limits = Limits { records_max, bytes_max: usize::MAX };
        let polled = match session.poll(&limits, NO_WAIT).expect("readable") {
            Polled::Records(records) => records,
            Polled::Nothing => Vec::new(),
            other => panic!("{other:?}"),
        };
        assert!(polled.len() >= records_max.min(expected.len()));
        check_records(&polled, &expected[..polled.len()]);
        if polled.is_empty() && outputs.is_empty() && rows.is_empty() {
            return;
        }
        let end = commit(session, outputs.clone(), rows.clone());
        let input = session.committed();
        assert_eq!(end, log.durable());
        let step = Some((CONSUMERS[consumer], input, rows));
        self.frames.push(Expected { position: None, end, records: outputs, step });
    }

    /// What a consumer has not committed yet.
    fn unread(&self, consumer: usize) -> Vec<Message> {
        let topics: &[Topic] = if consumer == 0 { &[ORDERS, CLICKS] } else { &[CLICKS] };
        let steps = self.frames.iter().rev().filter_map(|frame| frame.step.as_ref());
        let input = steps.filter(|step| step.0 == CONSUMERS[consumer]).map(|step| step.1).next().unwrap_or(0);
        let frames = self.frames.iter().filter(|frame| frame.end > input);
        frames.flat_map(|frame| &frame.records).filter(|message| topics.contains(&message.topic)).cloned().collect()
    }

    fn tear(&mut self, bytes: u64, junk: usize) {
        let (log, _) = self.log();
        let start = log.segments().expect("segments").last().map_or(0, |segment| segment.start);
        self.log = None;
        let path = files(self.folder.path()).pop().expect("a file");
        let header_bytes = fs::read(&path).map(|bytes| u32::from_le_bytes(bytes[16..20].try_into().expect("4 bytes")));
        let (mut left, relied_on) = (0, self.relied_on);
        edit(&path, |content| {
            let header_bytes = u64::from(header_bytes.expect("readable"));
            left = (content.len() as u64).saturating_sub(bytes).max(header_bytes);
            left = left.max(relied_on.saturating_sub(start));
            content.truncate(left as usize);
            content.extend(std::iter::repeat_n(0xF5, junk));
        });
        self.frames.retain(|frame| frame.end <= start + left);
        self.reopen();
    }

    fn check(&mut self) {
        let frames = self.frames.clone();
        let (log, sessions) = self.log();
        let first = log.first();
        let kept: Vec<&Expected> = frames.iter().filter(|frame| frame.end > first).collect();
        let records = read_all(log, &ALL);
        let messages: Vec<Message> = kept.iter().flat_map(|frame| frame.records.clone()).collect();
        check_records(&records, &messages);
        assert_eq!(records.len(), messages.len());
        assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        let mut inputs = BTreeMap::new();
        for frame in &frames {
            if let Some((consumer, input, _)) = &frame.step {
                inputs.insert(*consumer, *input);
            }
            if let Some(position) = frame.position.filter(|position| *position >= first) {
                let record = log.read_record(position, 0).expect("readable").expect("there");
                assert_eq!(record.key, frame.records[0].key);
            }
        }
        for (session, consumer) in sessions.iter_mut().zip(CONSUMERS) {
            if let Some(input) = inputs.get(consumer) {
                assert_eq!(session.committed(), *input);
            }
            check_restore(session, consumer, &frames, first);
        }
    }
}

fn check_records(records: &[Record], expected: &[Message]) {
    for (record, message) in records.iter().zip(expected) {
        assert_eq!((record.topic, &record.key[..]), (message.topic.id, &message.key[..]));
        assert_eq!(record.value, message.value);
    }
}

fn check_restore(session: &mut EmbeddedSession, consumer: &str, frames: &[Expected], first: u64) {
    let own: Vec<&Expected> = frames
        .iter()
        .filter(|frame| frame.step.as_ref().is_some_and(|step| step.0 == consumer && !step.2.is_empty()))
        .collect();
    let afters = [None].into_iter().chain(frames.iter().step_by(3).map(|frame| Some(frame.end)));
    for after in afters {
        let missing: Vec<&&Expected> = own.iter().filter(|frame| frame.end > after.unwrap_or(0)).collect();
        match restore(session, after) {
            Ok((changes, _)) => {
                let expected: Vec<Change> =
                    missing.iter().filter_map(|frame| frame.step.clone()).flat_map(|step| step.2).collect();
                assert_eq!(changes, expected);
            }
            Err(LogError::Gone { .. }) => assert!(missing.iter().any(|frame| frame.end <= first)),
            Err(other) => panic!("{other}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_of_frames(
        events in proptest::collection::vec(event(), 1..60),
        segment_bytes_max in 0..3_000_u64,
        memory_bytes_max in 0..4_000_usize,
    ) {
        let mut model = Model::new(Options { memory_bytes_max, read_bytes: 0, ..segments_of(segment_bytes_max) });
        for event in &events {
            model.apply(event);
        }
        model.check();
        model.reopen();
        model.check();
    }
}
