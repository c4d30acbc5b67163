//! Tests of the log, with the disk it has and with disks that fail.

mod failing;
mod layer;
mod model;
mod recovery;
mod retention;
mod round_trip;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::{ConsumerInfo, EmbeddedLog, EmbeddedSession, Options, Reader};
use crate::log::{
    Ack, Commit, Limits, LogError, Message, Pending, Polled, PublishError, Publisher, Record, Restored, Session, Step,
    Topic,
};
use crate::store::Change;

const ORDERS: Topic = Topic { id: 1, name: "orders" };
const CLICKS: Topic = Topic { id: 2, name: "clicks" };
/// Has the same bit in a frame's header as [`ORDERS`].
const ORDERS_TWIN: Topic = Topic { id: 65, name: "orders-twin" };
const ALL: [Topic; 3] = [ORDERS, CLICKS, ORDERS_TWIN];

const NO_WAIT: Duration = Duration::ZERO;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &TempDir, options: Options) -> EmbeddedLog {
    EmbeddedLog::open(folder.path(), options).expect("the log opens")
}

/// Options with segments of about so many bytes.
fn segments_of(segment_bytes_max: u64) -> Options {
    Options { segment_bytes_max, ..Options::default() }
}

fn message(topic: Topic, key: &str, value: &str) -> Message {
    Message { topic, key: key.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
}

fn wait(pending: Pending) -> Result<Ack, PublishError> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(pending)
}

fn publish(log: &EmbeddedLog, messages: Vec<Message>) -> u64 {
    wait(log.publish(messages).expect("room")).expect("durable").offset
}

/// Everything a reader has to give now.
fn drain(reader: &mut Reader) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let some = reader.next(&Limits::default(), NO_WAIT).expect("readable");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn read_all(log: &EmbeddedLog, topics: &[Topic]) -> Vec<Record> {
    drain(&mut log.reader(topics, None))
}

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

/// A session that has its partition.
fn assigned(log: &EmbeddedLog, consumer: &str, topics: &[Topic]) -> EmbeddedSession {
    let mut session = log.session(consumer, topics);
    match session.poll(&Limits::default(), NO_WAIT) {
        Ok(Polled::Assigned(partitions)) => assert_eq!(partitions, [0]),
        other => panic!("expected the assignment, got {other:?}"),
    }
    session
}

fn poll(session: &mut EmbeddedSession) -> Vec<Record> {
    match session.poll(&Limits::default(), NO_WAIT) {
        Ok(Polled::Records(records)) => records,
        Ok(Polled::Nothing) => Vec::new(),
        other => panic!("expected records, got {other:?}"),
    }
}

fn change(key: &str, value: Option<&str>) -> Change {
    Change {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
    }
}

/// Commits and returns the position after the step.
fn commit(session: &mut EmbeddedSession, outputs: Vec<Message>, changes: Vec<Change>) -> u64 {
    match session.commit(&Step { outputs, changes: vec![(0, changes)] }) {
        Commit::Committed(positions) => {
            assert_eq!(positions.len(), 1);
            assert_eq!(positions[0].0, 0);
            positions[0].1
        }
        other => panic!("expected a commit, got {other:?}"),
    }
}

/// The changes restored after a position, and the end.
fn restore(session: &mut EmbeddedSession, after: Option<u64>) -> Result<(Vec<Change>, u64), LogError> {
    let mut all = Vec::new();
    let mut last = after.unwrap_or(0);
    let restored = session.restore(0, after, &mut |changes, position| {
        assert!(position > last && !changes.is_empty());
        last = position;
        all.extend_from_slice(changes);
        Ok(())
    })?;
    let Restored::Complete(end) = restored else { panic!("an embedded log restores in one go: {restored:?}") };
    assert!(end >= last);
    Ok((all, end))
}

/// The segment files, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Changes the bytes of a file.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("readable");
    change(&mut bytes);
    fs::write(path, bytes).expect("writable");
}

/// What opening says, which must be damage.
fn refusal(folder: &Path) -> String {
    match EmbeddedLog::open(folder, Options::default()) {
        Err(LogError::Damaged(message)) => message,
        other => panic!("expected the damage to be refused, got {other:?}"),
    }
}
