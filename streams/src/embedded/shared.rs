//! What the writer, the readers and the handles of one log share.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::consumers::{ConsumerInfo, Consumers, StepMark};
use super::options::Options;
use super::segment::{self, Mark, Segment};
use super::stats::Counters;
use crate::disk::Disk;
use crate::log::LogError;

/// What an entry of the memory window takes besides its bytes.
const WINDOW_ENTRY_BYTES: usize = 128;

/// Longest wait, whatever is asked for.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// When a wait that begins now ends.
pub(super) fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(WAIT_MAX)
}

/// Why the log takes no more.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) context: String,
    pub(super) kind: io::ErrorKind,
    pub(super) message: String,
}

impl Failure {
    /// It in words.
    pub(super) fn reason(&self) -> String {
        format!("{}: {}", self.context, self.message)
    }

    /// It as the error of whoever asks the log for anything.
    pub(super) fn error(&self) -> LogError {
        LogError::Io { context: self.context.clone(), source: io::Error::new(self.kind, self.message.clone()) }
    }
}

/// Where the bytes at a position are.
#[derive(Debug)]
pub(super) enum Located {
    /// Nothing is durable there yet; the position, moved over the header of a new segment.
    End(u64),
    /// In memory; the position, moved likewise.
    Memory(u64, Buffer),
    /// In the segment's file only; the position, moved likewise.
    File(u64, Segment),
}

#[derive(Debug)]
struct State {
    /// Position after the last durable byte.
    durable: u64,
    /// Never empty; each starts where the one before it ends.
    segments: VecDeque<Segment>,
    /// The last batches, in order.
    window: VecDeque<Buffer>,
    window_bytes: usize,
    consumers: Consumers,
    closed: bool,
}

/// What opening has found.
#[derive(Debug)]
pub(super) struct Known {
    /// Never empty; each starts where the one before it ends.
    pub(super) segments: VecDeque<Segment>,
    pub(super) consumers: Consumers,
}

/// What the parts of one log share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    pub(super) counters: Counters,
    /// Whether all that the log does is done by whoever asks for it, so that waiting would be for ever.
    driven: bool,
    state: Mutex<State>,
    /// Something became durable, or the log failed or closed.
    progress: Condvar,
    failure: OnceLock<Failure>,
}

impl Shared {
    /// The state of a log that was just opened.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        options: Options,
        recovered: Known,
        driven: bool,
    ) -> Shared {
        let Known { segments, consumers } = recovered;
        let durable = segments.back().map_or(0, |segment| segment.end);
        let state = State { durable, segments, window: VecDeque::new(), window_bytes: 0, consumers, closed: false };
        Shared {
            disk,
            folder,
            options,
            counters: Counters::default(),
            driven,
            state: Mutex::new(state),
            progress: Condvar::new(),
            failure: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Position after the last durable byte.
    pub(super) fn durable(&self) -> u64 {
        self.lock().durable
    }

    /// Position of the first byte that is still there.
    pub(super) fn first(&self) -> u64 {
        self.lock().first()
    }

    /// All segments, in order.
    pub(super) fn segments(&self) -> Vec<Segment> {
        self.lock().segments.iter().cloned().collect()
    }

    /// Finds the durable bytes at a position.
    pub(super) fn locate(&self, position: u64) -> Result<Located, LogError> {
        let state = self.lock();
        if position < state.first() {
            return Err(LogError::Gone { asked: position, first: state.first() });
        }
        if position > state.durable {
            return Err(beyond_end(position, state.durable));
        }
        let after = state.segments.partition_point(|segment| segment.start <= position);
        let segment = &state.segments[after - 1];
        let position = position.max(segment.data_start);
        if position >= state.durable {
            return Ok(Located::End(position));
        }
        let after = state.window.partition_point(|buffer| buffer.start() <= position);
        match after.checked_sub(1).map(|index| &state.window[index]) {
            Some(buffer) if position < buffer.end() => Ok(Located::Memory(position, buffer.clone())),
            Some(_) | None => Ok(Located::File(position, segment.clone())),
        }
    }

    /// Waits until something after `position` is durable; `false` if nothing was by `deadline`.
    pub(super) fn wait_beyond(&self, position: u64, deadline: Instant) -> Result<bool, LogError> {
        let mut state = self.lock();
        loop {
            self.check_failure()?;
            if state.durable > position {
                return Ok(true);
            }
            if state.closed {
                return Err(LogError::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.driven {
                return Ok(false);
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The error of a log that failed.
    pub(super) fn check_failure(&self) -> Result<(), LogError> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Why the log failed, if it did.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// Takes no more, for ever. The first failure is the one that is told.
    pub(super) fn fail(&self, failure: Failure) {
        tracing::error!(reason = failure.reason(), "the log failed and takes no more");
        let _ = self.failure.set(failure);
        let _state = self.lock();
        self.progress.notify_all();
    }

    /// Tells everyone who waits that nothing more comes.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.progress.notify_all();
    }

    /// What the header of a segment that starts now is to say of the consumers.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.lock().consumers.marks()
    }

    /// A new segment is ready to be written.
    pub(super) fn add_segment(&self, segment: Segment) {
        let mut state = self.lock();
        state.durable = segment.end;
        state.segments.push_back(segment);
    }

    /// A batch is durable: shows it to the readers.
    pub(super) fn show(&self, batch: Buffer, steps: &[StepMark]) {
        let mut state = self.lock();
        state.durable = batch.end();
        if let Some(segment) = state.segments.back_mut() {
            segment.end = batch.end();
        }
        for step in steps {
            state.consumers.committed(step);
        }
        state.window_bytes += batch.len() + WINDOW_ENTRY_BYTES;
        state.window.push_back(batch);
        while state.window_bytes > self.options.memory_bytes_max {
            let Some(oldest) = state.window.pop_front() else { break };
            state.window_bytes -= oldest.len() + WINDOW_ENTRY_BYTES;
        }
        self.progress.notify_all();
    }

    /// Opens a session of a consumer and returns its generation. Waits out a step of the session before it, so that
    /// the committed input position is final.
    pub(super) fn take_over(&self, consumer: &str) -> u64 {
        let mut state = self.lock();
        let first = state.first();
        let generation = state.consumers.take_over(consumer, first);
        while state.consumers.is_writing(consumer) && self.failure.get().is_none() {
            assert!(!self.driven, "a session cannot wait for the batch that it is opened in");
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        generation
    }

    /// Refuses a session that may do no more: the log failed or closed, or a newer session took over.
    pub(super) fn check_session(&self, consumer: &str, generation: u64) -> Result<(), LogError> {
        self.check_failure()?;
        let state = self.lock();
        if state.closed || !state.consumers.is_current(consumer, generation) {
            return Err(LogError::Closed);
        }
        Ok(())
    }

    /// Begins to write a step; `false` if its session is fenced.
    pub(super) fn begin_step(&self, consumer: &str, generation: u64) -> bool {
        self.lock().consumers.begin(consumer, generation)
    }

    /// The committed input position of a consumer, or where it begins.
    pub(super) fn input(&self, consumer: &str) -> u64 {
        let state = self.lock();
        state.consumers.input(consumer).unwrap_or(state.first())
    }

    /// What there is to tell of the consumers.
    pub(super) fn consumers(&self) -> Vec<ConsumerInfo> {
        self.lock().consumers.infos()
    }

    /// From where and until where to read for the changes of a consumer after `after`.
    pub(super) fn restore_range(&self, consumer: &str, after: Option<u64>) -> Result<(u64, u64), LogError> {
        let state = self.lock();
        let asked = after.unwrap_or(0);
        if asked > state.durable {
            return Err(beyond_end(asked, state.durable));
        }
        let first = state.first();
        if asked >= first {
            return Ok((asked, state.durable));
        }
        let dropped = state
            .segments
            .front()
            .and_then(|oldest| oldest.marks.iter().find(|mark| mark.consumer == consumer).map(|mark| mark.changes));
        match dropped {
            Some(changes) if changes > asked => Err(LogError::Gone { asked, first }),
            Some(_) | None => Ok((first, state.durable)),
        }
    }

    /// The oldest segment, if it ends at or before `position` and before all that any consumer still has to read.
    pub(super) fn droppable(&self, position: u64) -> Option<Segment> {
        let state = self.lock();
        let oldest = state.segments.front().filter(|_| state.segments.len() > 1)?;
        let needed = state.consumers.lowest_input().unwrap_or(u64::MAX);
        (oldest.end <= position.min(needed)).then(|| oldest.clone())
    }

    /// Forgets the oldest segment, whose file is gone.
    pub(super) fn forget_oldest(&self) {
        let mut state = self.lock();
        state.segments.pop_front();
        let first = state.first();
        while state.window.front().is_some_and(|buffer| buffer.start() < first) {
            if let Some(oldest) = state.window.pop_front() {
                state.window_bytes -= oldest.len() + WINDOW_ENTRY_BYTES;
            }
        }
    }
}

impl State {
    fn first(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.start)
    }
}

fn beyond_end(asked: u64, end: u64) -> LogError {
    LogError::Damaged(format!(
        "position {asked} is past the end of the log, which is {end}: what asks for it was made from another log, or \
         from a part of this one that was cut off. Remove that state, so that it is made again from this log"
    ))
}

/// The segment's part of an error about the bytes at `position`.
pub(super) fn damage(shared: &Shared, position: u64, reason: &str) -> LogError {
    let start = shared.segments().iter().rev().map(|segment| segment.start).find(|start| *start <= position);
    segment::damaged(&shared.folder, start.unwrap_or(0), position, reason)
}
