//! What a state machine sees and may do.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::log::{Message, Topic};
use crate::store::{Change, StateStore, StoreError};

/// The table byte of a processor's own rows.
const STATE_TABLE: u8 = b's';
/// The table byte of timers: then the due time, big-endian, then the key.
const TIMER_TABLE: u8 = b't';

/// A record as a state machine gets it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The number of the topic it came from.
    pub topic: u16,
    /// Its partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// A state machine. It has no state of its own: all it knows is in the rows of the [`Context`].
///
/// It does no I/O, reads no clock and rolls no dice, so the same inputs at the same times give the same effects.
pub trait Processor: Send + 'static {
    /// Its name: the consumer group, and the prefix of its changelog.
    fn name(&self) -> &'static str;

    /// The topics it reads. They have equal partition counts, and a key means the same in each.
    fn inputs(&self) -> Vec<Topic>;

    /// The version of its rows. A store written by another one is wiped and restored.
    fn state_version(&self) -> u32;

    /// Takes one record.
    ///
    /// # Errors
    /// A [`Refusal`] undoes what this record did, and sends it to the dead letters; a store failure stops the worker.
    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure>;

    /// Takes a timer that is due, by the key it was set for. The timer is gone when this is called. One that is set now
    /// fires in a later step, however long it is due.
    ///
    /// # Errors
    /// As for [`Processor::apply`].
    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure>;

    /// Makes the record that carries a refused one to the dead letters.
    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message;
}

/// Why a state machine did not take a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// A stable code.
    pub reason: &'static str,
    /// What exactly was wrong.
    pub message: String,
}

/// Why a record or a timer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The record's fault: it goes to the dead letters.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours: the worker stops, and nothing of the step is committed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record, or a timer, on its way to the dead letters.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The processor that refused it.
    pub processor: &'static str,
    /// Where it was.
    pub input: Input<'a>,
    /// Why.
    pub refusal: &'a Refusal,
    /// When, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// What one step has done to one partition so far: rows over the store, coalesced by key.
#[derive(Debug, Default)]
pub(crate) struct Overlay(BTreeMap<Bytes, Option<Bytes>>);

impl Overlay {
    /// Deletes a row for the step itself, whatever becomes of the record that is being taken.
    pub(crate) fn delete(&mut self, row: Bytes) {
        self.0.insert(row, None);
    }

    /// Whether the step has deleted a row.
    pub(crate) fn is_deleted(&self, row: &[u8]) -> bool {
        matches!(self.0.get(row), Some(None))
    }

    /// The changes, one a key, in order of the keys.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.0.into_iter().map(|(key, value)| Change { key, value }).collect()
    }
}

/// One record's view of its partition: reads see what the step and the record itself have done.
#[allow(missing_debug_implementations, reason = "a store has no useful Debug")]
pub struct Context<'a> {
    now_ms: i64,
    store: &'a dyn StateStore,
    overlay: &'a mut Overlay,
    outputs: &'a mut Vec<Message>,
    staged: Vec<(Bytes, Option<Bytes>)>,
    outputs_before: usize,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        now_ms: i64,
        store: &'a dyn StateStore,
        overlay: &'a mut Overlay,
        outputs: &'a mut Vec<Message>,
    ) -> Context<'a> {
        let outputs_before = outputs.len();
        Context { now_ms, store, overlay, outputs, staged: Vec::new(), outputs_before }
    }

    /// The worker's clock at the beginning of the step, in milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The row under `key`.
    ///
    /// # Errors
    /// The store failed.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let row = row_key(key);
        if let Some((_, value)) = self.staged.iter().rev().find(|(staged, _)| *staged == row) {
            return Ok(value.clone());
        }
        match self.overlay.0.get(&row) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(&row),
        }
    }

    /// Writes the row under `key`.
    pub fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.staged.push((row_key(key), Some(Bytes::from(value))));
    }

    /// Deletes the row under `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.staged.push((row_key(key), None));
    }

    /// The first rows whose keys begin with `prefix`, in order, at most `rows_max`, keys without their table byte.
    ///
    /// # Errors
    /// The store failed.
    pub fn scan(&self, prefix: &[u8], rows_max: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let from = row_key(prefix);
        let mut own: BTreeMap<Bytes, Option<Bytes>> = self
            .overlay
            .0
            .range(from.clone()..)
            .take_while(|(key, _)| key.starts_with(&from))
            .map(clone_pair)
            .collect();
        own.extend(self.staged.iter().filter(|(key, _)| key.starts_with(&from)).cloned());
        let mut rows = Vec::new();
        self.store.scan(&from, &prefix_end(&from), &mut |key, value| {
            if !own.contains_key(key) {
                rows.push((Bytes::copy_from_slice(&key[1..]), Bytes::copy_from_slice(value)));
            }
            rows.len() < rows_max
        })?;
        rows.extend(own.into_iter().filter_map(|(key, value)| value.map(|value| (key.slice(1..), value))));
        rows.sort();
        rows.truncate(rows_max);
        Ok(rows)
    }

    /// Sets a timer: [`Processor::timer`] is called with `key` at the first step that begins at or after `due_ms`.
    pub fn set_timer(&mut self, due_ms: i64, key: &[u8]) {
        self.staged.push((timer_key(due_ms, key), Some(Bytes::new())));
    }

    /// Clears a timer set for this very time and key; there may be none.
    pub fn clear_timer(&mut self, due_ms: i64, key: &[u8]) {
        self.staged.push((timer_key(due_ms, key), None));
    }

    /// Writes a record, committed with everything else of the step.
    pub fn emit(&mut self, message: Message) {
        self.outputs.push(message);
    }

    /// Keeps what this record did.
    pub(crate) fn keep(self) {
        self.overlay.0.extend(self.staged);
    }

    /// Undoes what this record did.
    pub(crate) fn undo(self) {
        self.outputs.truncate(self.outputs_before);
    }
}

fn clone_pair((key, value): (&Bytes, &Option<Bytes>)) -> (Bytes, Option<Bytes>) {
    (key.clone(), value.clone())
}

/// The row of a processor's own key.
pub(crate) fn row_key(key: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(1 + key.len());
    row.push(STATE_TABLE);
    row.extend_from_slice(key);
    Bytes::from(row)
}

/// The row of a timer. Times before the epoch are due at once, so they are written as zero and keep the order.
pub(crate) fn timer_key(due_ms: i64, key: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(9 + key.len());
    row.push(TIMER_TABLE);
    row.extend_from_slice(&u64::try_from(due_ms).unwrap_or(0).to_be_bytes());
    row.extend_from_slice(key);
    Bytes::from(row)
}

/// The key under which a processor has written a row of its own; `None` for a row of another table.
#[must_use]
pub fn parse_row_key(row: &[u8]) -> Option<&[u8]> {
    row.strip_prefix(&[STATE_TABLE])
}

/// The due time and the key of a timer row; `None` for a row of another table.
#[must_use]
pub fn parse_timer_key(row: &[u8]) -> Option<(i64, &[u8])> {
    let rest = row.strip_prefix(&[TIMER_TABLE])?;
    let (due, key) = rest.split_at_checked(8)?;
    let due = u64::from_be_bytes(due.try_into().expect("8 bytes were split off"));
    Some((i64::try_from(due).unwrap_or(i64::MAX), key))
}

/// The first key after all keys that begin with `prefix`, whose first byte is a table's and below 255.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end;
        }
        end.pop();
    }
    unreachable!("a row key begins with its table byte")
}
