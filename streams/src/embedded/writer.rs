//! The writer: the one thread that owns the active file.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::buffer::Buffer;
use super::consumers::StepMark;
use super::queue::{Origin, Queue, Request, StepAnswer};
use super::segment;
use super::shared::{Failure, Shared};
use crate::disk::DiskFile;
use crate::log::{Ack, LogError};

/// What writes: a thread, or whoever drives the log.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    /// The active file.
    pub(super) file: Box<dyn DiskFile>,
    /// Position at which it starts.
    pub(super) start: u64,
    /// Position of its first frame.
    pub(super) data_start: u64,
    /// Position up to which everything is written and synced.
    pub(super) end: u64,
}

/// Whoever waits for a frame that is being written.
struct Waiter {
    origin: Origin,
    position: u64,
    end: u64,
    has_changes: bool,
}

/// Fails the log if the thread unwinds, since nobody would be answered any more.
struct Watch {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let context = "writing the log".to_owned();
            let message = "the writer panicked: restart the process".to_owned();
            let failure = Failure { context, kind: io::ErrorKind::Other, message };
            self.queue.fail(&failure.reason());
            self.shared.fail(failure);
        }
    }
}

impl Writer {
    /// Writes what comes until the queue is closed and empty, or until the first failure.
    pub(super) fn run(mut self) {
        let _watch = Watch { shared: Arc::clone(&self.shared), queue: Arc::clone(&self.queue) };
        while let Some(requests) = self.queue.take(self.shared.options.batch_bytes_max) {
            if self.admit_and_write(requests).is_err() {
                return;
            }
        }
    }

    /// Writes one batch of what waits; `false` if nothing does.
    pub(super) fn write_one(&mut self) -> bool {
        let _watch = Watch { shared: Arc::clone(&self.shared), queue: Arc::clone(&self.queue) };
        let requests = self.queue.take_waiting(self.shared.options.batch_bytes_max);
        let waited = !requests.is_empty();
        // The log has failed then, which whoever waited has been told.
        let _ = self.admit_and_write(requests);
        waited
    }

    fn admit_and_write(&mut self, requests: Vec<Request>) -> Result<(), ()> {
        let requests = self.admit(requests);
        if requests.is_empty() { Ok(()) } else { self.write(requests) }
    }

    /// Answers the steps of fenced sessions and returns the other requests.
    fn admit(&self, requests: Vec<Request>) -> Vec<Request> {
        let admitted = |request: Request| match &request.origin {
            Origin::Session { consumer, generation, answer, .. } => {
                if self.shared.begin_step(consumer, *generation) {
                    return Some(request);
                }
                drop(answer.send(StepAnswer::Refused));
                None
            }
            Origin::Publisher(_) => Some(request),
        };
        requests.into_iter().filter_map(admitted).collect()
    }

    /// Writes one batch, shows it to the readers, answers those who wait.
    fn write(&mut self, requests: Vec<Request>) -> Result<(), ()> {
        if let Err(error) = self.roll_if_full() {
            return self.fail(error, requests.into_iter().map(|request| request.origin));
        }
        let messages = requests.iter().map(|request| u64::from(request.draft.records())).sum();
        let (bytes, waiters) = self.assemble(requests);
        let begun = match self.write_durably(&bytes) {
            Ok(begun) => begun,
            Err(error) => return self.fail(error, waiters.into_iter().map(|waiter| waiter.origin)),
        };
        self.shared.counters.synced(waiters.len(), messages, bytes.len(), begun.elapsed());
        let steps: Vec<StepMark> = waiters.iter().filter_map(Waiter::step).collect();
        let batch = Buffer::written(self.end, Bytes::from(bytes));
        self.end = batch.end();
        self.shared.show(batch, &steps);
        for waiter in waiters {
            waiter.answer();
        }
        Ok(())
    }

    /// Writes and syncs, and returns when the sync began.
    fn write_durably(&mut self, bytes: &[u8]) -> Result<Instant, LogError> {
        let at = self.end - self.start;
        let context = |doing: &str| {
            format!(
                "{doing} {} bytes at byte {at} of {}",
                bytes.len(),
                segment::path(&self.shared.folder, self.start).display()
            )
        };
        self.file.write_all_at(bytes, at).map_err(segment::io_error(context("writing")))?;
        let begun = Instant::now();
        self.file.sync_data().map_err(segment::io_error(context("syncing")))?;
        Ok(begun)
    }

    fn roll_if_full(&mut self) -> Result<(), LogError> {
        let is_empty = self.end == self.data_start;
        if is_empty || self.end - self.start < self.shared.options.segment_bytes_max {
            return Ok(());
        }
        let (file, segment) = segment::create(&*self.shared.disk, &self.shared.folder, self.end, self.shared.marks())?;
        self.file = file;
        self.start = segment.start;
        self.data_start = segment.data_start;
        self.end = segment.end;
        self.shared.add_segment(segment);
        Ok(())
    }

    /// Gives every frame its place and puts their bytes one after the other.
    fn assemble(&self, requests: Vec<Request>) -> (Vec<u8>, Vec<Waiter>) {
        let mut batch = Vec::new();
        if requests.len() > 1 {
            batch.reserve_exact(requests.iter().map(|request| request.draft.bytes()).sum());
        }
        let mut waiters = Vec::with_capacity(requests.len());
        for Request { draft, origin } in requests {
            let position = self.end + batch.len() as u64;
            let has_changes = draft.has_changes();
            let frame = draft.seal(position, self.end);
            waiters.push(Waiter { origin, position, end: position + frame.len() as u64, has_changes });
            if batch.capacity() == 0 {
                batch = frame;
            } else {
                batch.extend_from_slice(&frame);
            }
        }
        (batch, waiters)
    }

    /// Poisons the log: a failed write or sync is never tried again, because the system may have dropped the pages.
    fn fail(&self, error: LogError, origins: impl Iterator<Item = Origin>) -> Result<(), ()> {
        let (doing, kind, message) = match error {
            LogError::Io { context, source } => (context, source.kind(), source.to_string()),
            other => ("writing".to_owned(), io::ErrorKind::Other, other.to_string()),
        };
        let context = format!(
            "{doing}, after which the log takes no more (make room or replace the disk, then restart the process)"
        );
        let failure = Failure { context, kind, message };
        let reason = failure.reason();
        self.shared.fail(failure);
        self.queue.fail(&reason);
        for origin in origins {
            origin.fail(&reason);
        }
        Err(())
    }
}

impl Waiter {
    fn step(&self) -> Option<StepMark> {
        match &self.origin {
            Origin::Publisher(_) => None,
            Origin::Session { consumer, input, .. } => Some(StepMark {
                consumer: consumer.clone(),
                input: *input,
                end: self.end,
                has_changes: self.has_changes,
            }),
        }
    }

    fn answer(self) {
        match self.origin {
            Origin::Publisher(waiter) => drop(waiter.send(Ok(Ack { partition: 0, offset: self.position }))),
            Origin::Session { answer, .. } => drop(answer.send(StepAnswer::Durable(self.end))),
        }
    }
}
