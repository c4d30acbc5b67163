//! The queue before the writer: bounded by messages and by bytes, which no channel is.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::draft::Draft;
use crate::log::{Ack, PublishError};

/// How a step ended.
#[derive(Debug)]
pub(super) enum StepAnswer {
    /// It is durable; the position after its frame.
    Durable(u64),
    /// A newer session of the consumer took over, or the log closed: nothing was written.
    Refused,
    /// The log failed while or before it was written.
    Failed,
}

/// Who waits for a frame.
#[derive(Debug)]
pub(super) enum Origin {
    /// A publisher.
    Publisher(oneshot::Sender<Result<Ack, PublishError>>),
    /// A session.
    Session {
        consumer: String,
        generation: u64,
        /// The input position that the step commits.
        input: u64,
        answer: SyncSender<StepAnswer>,
    },
}

impl Origin {
    /// Tells that the frame may or may not be there after a restart.
    pub(super) fn fail(self, reason: &str) {
        match self {
            Origin::Publisher(waiter) => drop(waiter.send(Err(PublishError::Failed(reason.to_owned())))),
            Origin::Session { answer, .. } => drop(answer.send(StepAnswer::Failed)),
        }
    }
}

/// A frame to be written, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) draft: Draft,
    pub(super) origin: Origin,
}

#[derive(Debug)]
enum Door {
    Open,
    Closed,
    Failed(String),
}

#[derive(Debug)]
struct Waiting {
    requests: VecDeque<Request>,
    messages: usize,
    bytes: usize,
    door: Door,
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    messages_max: usize,
    bytes_max: usize,
}

impl Queue {
    /// An empty queue with these bounds.
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Queue {
        let waiting = Waiting { requests: VecDeque::new(), messages: 0, bytes: 0, door: Door::Open };
        Queue { waiting: Mutex::new(waiting), arrived: Condvar::new(), messages_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages and bytes that wait.
    pub(super) fn depth(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.messages, waiting.bytes)
    }

    /// Whether a publisher's frame would be taken now, so that one that would not need not be encoded.
    pub(super) fn check_room(&self, messages: usize, bytes: usize) -> Result<(), PublishError> {
        self.room(&self.lock(), messages, bytes)
    }

    fn room(&self, waiting: &Waiting, messages: usize, bytes: usize) -> Result<(), PublishError> {
        match &waiting.door {
            Door::Open => {}
            Door::Closed => return Err(PublishError::Closed),
            Door::Failed(reason) => return Err(PublishError::Failed(reason.clone())),
        }
        let over = waiting.messages + messages > self.messages_max || waiting.bytes + bytes > self.bytes_max;
        if over && !waiting.requests.is_empty() { Err(PublishError::Full) } else { Ok(()) }
    }

    /// Enqueues a publisher's frame.
    pub(super) fn publish(&self, request: Request) -> Result<(), PublishError> {
        let mut waiting = self.lock();
        self.room(&waiting, request.draft.records() as usize, request.draft.bytes())?;
        self.push(&mut waiting, request);
        Ok(())
    }

    /// Enqueues a session's step, whatever waits already: a session has at most one, so there are few, and the edge
    /// must not be able to starve them. A closed or failed queue answers it.
    pub(super) fn commit(&self, request: Request) {
        let mut waiting = self.lock();
        match &waiting.door {
            Door::Open => self.push(&mut waiting, request),
            Door::Failed(reason) => request.origin.fail(reason),
            Door::Closed => match request.origin {
                Origin::Publisher(waiter) => drop(waiter.send(Err(PublishError::Closed))),
                Origin::Session { answer, .. } => drop(answer.send(StepAnswer::Refused)),
            },
        }
    }

    fn push(&self, waiting: &mut Waiting, request: Request) {
        waiting.messages += request.draft.records() as usize;
        waiting.bytes += request.draft.bytes();
        waiting.requests.push_back(request);
        self.arrived.notify_one();
    }

    /// Takes what waits, up to so many bytes but at least one frame; waits for it. `None` once closed and empty.
    pub(super) fn take(&self, bytes_max: usize) -> Option<Vec<Request>> {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            match waiting.door {
                Door::Open => {}
                Door::Closed | Door::Failed(_) => return None,
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(waiting.take(bytes_max))
    }

    /// Takes what waits, with the same bounds, without waiting for anything.
    pub(super) fn take_waiting(&self, bytes_max: usize) -> Vec<Request> {
        self.lock().take(bytes_max)
    }

    /// Takes no more; what waits is still written.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        match waiting.door {
            Door::Open => waiting.door = Door::Closed,
            Door::Closed | Door::Failed(_) => {}
        }
        self.arrived.notify_one();
    }

    /// Takes no more and fails what waits.
    pub(super) fn fail(&self, reason: &str) {
        let mut waiting = self.lock();
        waiting.door = Door::Failed(reason.to_owned());
        waiting.messages = 0;
        waiting.bytes = 0;
        for request in std::mem::take(&mut waiting.requests) {
            request.origin.fail(reason);
        }
    }
}

impl Waiting {
    /// The first requests, up to so many bytes but at least one.
    fn take(&mut self, bytes_max: usize) -> Vec<Request> {
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while let Some(next) = self.requests.front() {
            let next_bytes = next.draft.bytes();
            if !taken.is_empty() && taken_bytes + next_bytes > bytes_max {
                break;
            }
            taken_bytes += next_bytes;
            self.messages -= next.draft.records() as usize;
            self.bytes -= next_bytes;
            taken.extend(self.requests.pop_front());
        }
        taken
    }
}
