//! What the driver and the edge need of a log, whichever log it is.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::store::{Change, StoreError};

/// A topic as the logs know it. The number is what the embedded log writes: it is never reused for another topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Stable number, at least 1.
    pub id: u16,
    /// The name, as Kafka has it.
    pub name: &'static str,
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// The key: equal keys keep their order.
    pub key: Vec<u8>,
    /// The encoded value.
    pub value: Vec<u8>,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The number of the topic it came from.
    pub topic: u16,
    /// Partition of that topic; always 0 in the embedded log.
    pub partition: u32,
    /// Position in the partition. Strictly increasing, with gaps: frames and control records take offsets too.
    pub offset: u64,
    /// The key.
    pub key: Bytes,
    /// The encoded value.
    pub value: Bytes,
}

/// The bounds of one step. A step takes at least one record, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most records a step takes; a log may go over it by less than one of its own frames.
    pub records_max: usize,
    /// Most bytes of keys and values a step takes, with the same allowance.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { records_max: 2_000, bytes_max: 4 << 20 }
    }
}

/// What a poll found.
#[derive(Debug)]
pub enum Polled {
    /// Records, in order within each partition. They belong to the next [`Session::commit`].
    Records(Vec<Record>),
    /// Partitions that are this worker's from now on. No record of one comes before its restore is complete.
    Assigned(Vec<u32>),
    /// Partitions that are no longer this worker's: nothing of theirs may be committed after this.
    Revoked(Vec<u32>),
    /// Nothing came within the wait.
    Nothing,
}

/// Everything that one step commits, besides the offsets of what was polled for it.
#[derive(Debug, Default)]
pub struct Step {
    /// Records to write, in order.
    pub outputs: Vec<Message>,
    /// State changes by partition, in order; a log without partitions has them all under 0.
    pub changes: Vec<(u32, Vec<Change>)>,
}

/// How a commit ended. Three outcomes, and a caller that treats two of them alike is wrong.
#[derive(Debug)]
#[must_use]
pub enum Commit {
    /// It is durable and visible. For each partition with changes, the changelog position up to and including this step.
    Committed(Vec<(u32, u64)>),
    /// It did not happen and never will. After [`Session::reset`] the same records are polled again.
    Aborted(LogError),
    /// It may or may not have happened. After [`Session::reset`] and a restore, whichever it was is what is read.
    Unknown(LogError),
}

/// One worker's session with a log: its consumer and its transactional producer in one.
///
/// The session keeps the ledger of offsets: what was polled since the last commit is what the next commit consumes.
pub trait Session: Send {
    /// Takes what is available, up to `limits`, waiting no longer than `wait` for the first record.
    ///
    /// # Errors
    /// A [`LogError`] that is not retriable: the worker stops.
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Polled, LogError>;

    /// Commits the step's outputs, its state changes and the offsets of all that was polled since the last commit.
    fn commit(&mut self, step: &Step) -> Commit;

    /// Whether there is something to commit though nothing was polled: reading has passed what is no record. Where that can
    /// happen it is said once in a while, and in any case if this `is_last`, with a stop to follow.
    fn has_passed(&mut self, is_last: bool) -> bool {
        let _ = is_last;
        false
    }

    /// Forgets what was polled and not committed, and fences whoever else may hold this session's identity.
    ///
    /// # Errors
    /// As for [`Session::poll`].
    fn reset(&mut self) -> Result<(), LogError>;

    /// Hands the state changes committed for `partition` after changelog position `after` (all, if `None`) to
    /// `apply`, in order, each group with the position that it brings the store to. It may hand over a part and return,
    /// so that other partitions are not kept waiting: then it is called again with the position reached.
    ///
    /// # Errors
    /// [`LogError::Gone`] if the log no longer has all changes after that position, [`LogError::Ahead`] if it never had
    /// it; [`LogError::Store`] if `apply` failed.
    fn restore(&mut self, partition: u32, after: Option<u64>, apply: ApplyChanges<'_>) -> Result<Restored, LogError>;
}

/// How far a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Restored {
    /// The store has all that is committed: it corresponds to this position, changes or none.
    Complete(u64),
    /// There is more, up to this position at the least.
    Partly(u64),
}

/// Takes a group of state changes and the position that it brings a store to.
pub type ApplyChanges<'a> = &'a mut dyn FnMut(&[Change], u64) -> Result<(), StoreError>;

/// Where a published group of messages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Partition of the first message of the group; always 0 in the embedded log.
    pub partition: u32,
    /// Offset of the first message of the group; in the embedded log the others follow it one by one.
    pub offset: u64,
}

/// A publish under way: resolves when the messages are durable, or never will be.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Ack, PublishError>>);

impl Pending {
    /// A pending publish and the other end, by which a log resolves it.
    #[must_use]
    pub fn new() -> (oneshot::Sender<Result<Ack, PublishError>>, Pending) {
        let (sender, receiver) = oneshot::channel();
        (sender, Pending(receiver))
    }
}

impl Future for Pending {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(PublishError::Closed)))
    }
}

/// The edge's side of a log.
pub trait Publisher: Send + Sync + 'static {
    /// Enqueues the messages, in order and all or none, without waiting; the result resolves once they are durable.
    ///
    /// # Errors
    /// [`PublishError::Full`] or [`PublishError::Closed`]: nothing was enqueued and nothing will be written.
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError>;
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        (**self).publish(messages)
    }
}

/// Why messages were not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The queue is at its bound: shed the load and retry later. Nothing was written.
    #[error("the log's queue is full")]
    Full,
    /// The messages are larger than one frame may be.
    #[error("the messages take {bytes} bytes, and a frame holds at most {bytes_max}")]
    TooLarge {
        /// What they take.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The log is shutting down. Nothing was written.
    #[error("the log is closed")]
    Closed,
    /// The log failed while these messages were being written: they may or may not be there after a restart.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// Why a log could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Reading or writing failed; after a failed write or sync the log takes no more.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, to which file.
        context: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Bytes that were durable do not read back as they were written.
    #[error("{0}")]
    Damaged(String),
    /// What was asked for has been dropped by retention.
    #[error("position {asked} is no longer in the log, which begins at {first}")]
    Gone {
        /// The position asked for.
        asked: u64,
        /// The first that is still there.
        first: u64,
    },
    /// What was asked for was never in the log: whoever asks has it from another one.
    #[error("position {asked} is beyond the log, which ends at {end}")]
    Ahead {
        /// The position asked for.
        asked: u64,
        /// The position after the last.
        end: u64,
    },
    /// Another process works under this worker's name.
    #[error("another process works as {worker}: give each process an instance name of its own")]
    Replaced {
        /// The worker.
        worker: String,
    },
    /// Applying restored changes failed.
    #[error("applying restored state failed: {0}")]
    Store(#[from] StoreError),
    /// A step, a group of messages or a record is larger than the log takes at once.
    #[error("{bytes} bytes to be written at once are over the limit of {bytes_max}")]
    TooLarge {
        /// What it would take.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Kafka, or its client, refused or failed. What the client tried again by itself is not here.
    #[error("{context}: {source}")]
    Kafka {
        /// What was being done, and what to do where that is known.
        context: String,
        /// The client's error.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The log is shutting down.
    #[error("the log is closed")]
    Closed,
}
