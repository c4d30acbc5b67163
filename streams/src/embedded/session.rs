//! A consumer's session: its reading and its transactional writing.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::cursor::Cursor;
use super::draft::{Draft, TopicSet};
use super::pump::Pump;
use super::queue::{Origin, Queue, Request, StepAnswer};
use super::shared::{Shared, deadline};
use crate::log::{Commit, Limits, LogError, Message, Polled, Restored, Session, Step, Topic};
use crate::store::{Change, StoreError};

/// Changes handed to the store at a time while restoring; over it by less than one frame's.
const RESTORE_CHANGES_MAX: usize = 4_096;

/// Bytes of frames whose changes are handed to the store at a time, with the same allowance.
const RESTORE_BYTES_MAX: usize = 4 << 20;

/// One consumer's session with an embedded log. It has one partition, 0, which is assigned by the first poll.
///
/// The last session opened for a consumer is the one that may commit; those before it get [`LogError::Closed`].
/// Keys and values of records share the memory of the batch or chunk they were read in: copy what is kept.
#[derive(Debug)]
pub struct EmbeddedSession {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    /// Of a log without a thread.
    pump: Option<Arc<Pump>>,
    consumer: String,
    generation: u64,
    topics: TopicSet,
    assigned: bool,
    cursor: Cursor,
    /// The input position of the last commit.
    committed: u64,
    /// Whether records were handed out that are not committed.
    uncommitted: bool,
    /// Whether the last poll was for a single record: then its step cannot be divided any more.
    is_single: bool,
}

impl EmbeddedSession {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        pump: Option<Arc<Pump>>,
        consumer: String,
        topics: &[Topic],
    ) -> EmbeddedSession {
        let generation = shared.take_over(&consumer);
        let committed = shared.input(&consumer);
        EmbeddedSession {
            cursor: Cursor::new(Arc::clone(&shared), committed),
            shared,
            queue,
            pump,
            consumer,
            generation,
            topics: TopicSet::new(topics),
            assigned: false,
            committed,
            uncommitted: false,
            is_single: false,
        }
    }

    /// The committed input position: everything before it has been processed, or was of no interest.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed
    }

    fn append(&mut self, outputs: &[Message], changes: &[(u32, Vec<Change>)]) -> Commit {
        let bytes = Draft::step_bytes(&self.consumer, outputs, changes);
        let options = &self.shared.options;
        let bytes_max = if self.is_single { options.frame_bytes_max } else { options.group_bytes_max };
        if bytes > bytes_max {
            return Commit::Aborted(LogError::TooLarge { bytes, bytes_max });
        }
        let input = self.cursor.position();
        let (answer, answered) = mpsc::sync_channel(1);
        self.queue.commit(Request {
            draft: Draft::step(&self.consumer, input, outputs, changes),
            origin: Origin::Session { consumer: self.consumer.clone(), generation: self.generation, input, answer },
        });
        let answered = match &self.pump {
            None => answered.recv(),
            Some(pump) => pump.wait_for(&answered),
        };
        match answered {
            Ok(StepAnswer::Durable(end)) => {
                self.committed = input;
                self.uncommitted = false;
                Commit::Committed(vec![(0, end)])
            }
            Ok(StepAnswer::Refused) => Commit::Aborted(LogError::Closed),
            Ok(StepAnswer::Failed) | Err(mpsc::RecvError) => {
                Commit::Unknown(self.shared.failure().map_or(LogError::Closed, |failure| failure.error()))
            }
        }
    }

    /// Commits the position alone if other topics' frames have gone by for long.
    fn commit_idle(&mut self) -> Result<(), LogError> {
        if self.uncommitted || self.cursor.position() - self.committed <= self.shared.options.idle_bytes_max {
            return Ok(());
        }
        match self.append(&[], &[]) {
            Commit::Committed(_) => Ok(()),
            Commit::Aborted(error) | Commit::Unknown(error) => Err(error),
        }
    }
}

impl Session for EmbeddedSession {
    /// Besides the errors of reading: [`LogError::Gone`] if the log no longer reaches back to the committed position,
    /// [`LogError::Closed`] if the log was closed or a newer session of this consumer was opened, [`LogError::Io`]
    /// for ever once the log has failed.
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Polled, LogError> {
        self.shared.check_session(&self.consumer, self.generation)?;
        if !self.assigned {
            self.assigned = true;
            return Ok(Polled::Assigned(vec![0]));
        }
        self.is_single = limits.records_max <= 1;
        let deadline = deadline(wait);
        let scan_bytes_max = self.shared.options.idle_bytes_max;
        let mut records = Vec::new();
        loop {
            self.cursor.collect(&self.topics, limits, scan_bytes_max, &mut records)?;
            if !records.is_empty() {
                self.uncommitted = true;
                return Ok(Polled::Records(records));
            }
            self.commit_idle()?;
            if !self.shared.wait_beyond(self.cursor.position(), deadline)? {
                return Ok(Polled::Nothing);
            }
        }
    }

    /// Appends one frame and blocks until it is durable. A step without anything, of nothing polled, writes nothing and is
    /// committed as of the end of the log.
    ///
    /// [`Commit::Aborted`] is [`LogError::TooLarge`], with less room for a step that can be divided: one after a poll for more
    /// than a single record. Or it is [`LogError::Closed`] for a log that was closed and for a session
    /// that was replaced. [`Commit::Unknown`] means that the log has failed, for ever: restart the process, and what
    /// opening the log finds decides whether the step happened.
    fn commit(&mut self, step: &Step) -> Commit {
        debug_assert!(step.changes.iter().all(|(partition, _)| *partition == 0), "an embedded log has one partition");
        let has_changes = step.changes.iter().any(|(_, changes)| !changes.is_empty());
        if step.outputs.is_empty() && !has_changes && !self.uncommitted {
            return Commit::Committed(vec![(0, self.shared.durable())]);
        }
        self.append(&step.outputs, &step.changes)
    }

    fn reset(&mut self) -> Result<(), LogError> {
        self.shared.check_session(&self.consumer, self.generation)?;
        self.committed = self.shared.input(&self.consumer);
        self.cursor.seek(self.committed);
        self.uncommitted = false;
        Ok(())
    }

    fn restore(
        &mut self,
        _partition: u32,
        after: Option<u64>,
        apply: &mut dyn FnMut(&[Change], u64) -> Result<(), StoreError>,
    ) -> Result<Restored, LogError> {
        let (from, until) = self.shared.restore_range(&self.consumer, after)?;
        let mut cursor = Cursor::new(Arc::clone(&self.shared), from);
        let mut changes = Vec::new();
        let mut bytes = 0;
        while cursor.position() < until {
            let Some(header) = cursor.next()? else { break };
            if header.changes == 0 {
                continue;
            }
            let frame = cursor.frame(header);
            if frame.step().is_some_and(|(consumer, _)| consumer == self.consumer) {
                frame.changes(&mut changes).ok_or_else(|| cursor.malformed(&header))?;
                bytes += frame.body.len();
            }
            if changes.len() >= RESTORE_CHANGES_MAX || bytes >= RESTORE_BYTES_MAX {
                apply(&changes, cursor.position())?;
                changes.clear();
                bytes = 0;
            }
        }
        if !changes.is_empty() {
            apply(&changes, until)?;
        }
        Ok(Restored::Complete(until))
    }
}
