//! The materializer: keeps the read model and the claims up with the log, beside however many others of its kind.
//!
//! # Constraints
//!
//! 1. A position is saved when everything before it is written, so whoever begins there leaves nothing out.
//! 2. Another one beside it changes nothing, also one that was given up and does not know it yet: what both write is the
//!    same, and positions never go back.
//! 3. While the server is away it waits, as a member of its group that gives its partitions up when it is asked to.
//! 4. It writes to one log's keyspace only.
//!
//! # Order of operations, and what a crash leaves
//!
//! The keyspace is this log's → partitions come → their positions are read → records from there on → a batch is written → its
//! positions are saved. A crash leaves a batch that is written in part, or whole and without its positions: the next one
//! writes it again, as it is. A rebalance in the middle of a batch drops it, and its positions are not saved.
//!
//! Read model and claims are two tasks, each with a group of its own: claims are mended [`GRACE`](super::GRACE) after their
//! report, for which the read model does not wait.

mod progress;
mod rebuild;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemas::topics::{BALANCES, COMMISSIONS, CONVERSIONS, LEDGER_ENTRIES, PAYOUTS, TRANSITIONS, TopicSpec};
use streams::kafka::{Batch, Connection, GroupOptions, GroupReader, Positions, Turn};
use streams::log::Limits;
use streams::{LogError, Record, Topic};
use tokio::runtime::Handle;

pub use self::progress::MaterializerProgress;
pub use self::rebuild::{Rebuild, RebuildError, RebuildProgress};
use self::waiting::{Pauses, Waited, until};
use super::claims::ClaimKeeper;
use super::error::CqlError;
use super::link::Cql;
use super::model::{AdoptError, Writer};

/// Longest wait for records: it bounds how late a stop is seen.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How long the group is listened to at a time, while there is something else to wait for: long enough for more than a line
/// of the client's log.
const HOLD_FOR: Duration = Duration::from_millis(20);

const fn topic(spec: &TopicSpec) -> Topic {
    Topic { id: spec.number, name: spec.name }
}

/// What the read model is made of.
const READ_MODEL_TOPICS: [Topic; 5] =
    [topic(&TRANSITIONS), topic(&COMMISSIONS), topic(&LEDGER_ENTRIES), topic(&BALANCES), topic(&PAYOUTS)];
/// What claims are made of.
const CLAIMS_TOPICS: [Topic; 1] = [topic(&CONVERSIONS)];

/// What a materializer does with what it reads.
#[derive(Clone, Debug)]
pub enum Task {
    /// It writes the read model.
    ReadModel,
    /// It makes claims good.
    Claims(ClaimKeeper),
}

impl Task {
    /// Its name, and that of its group.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Task::ReadModel => "materializer",
            Task::Claims(_) => "claim-keeper",
        }
    }

    fn topics(&self) -> &'static [Topic] {
        match self {
            Task::ReadModel => &READ_MODEL_TOPICS,
            Task::Claims(_) => &CLAIMS_TOPICS,
        }
    }

    /// Does it, however long the server is away.
    async fn apply(&self, cql: &Cql, writer: &Writer, records: &[Record]) -> Result<(), CqlError> {
        match self {
            Task::ReadModel => writer.write(records).await,
            Task::Claims(keeper) => {
                let mut pauses = Pauses::new(cql);
                while let Err(error) = keeper.keep(records).await {
                    pauses.after(error).await?;
                }
                Ok(())
            }
        }
    }
}

/// How a materializer reads.
#[derive(Clone, Debug, Default)]
pub struct MaterializerOptions {
    /// As what member.
    pub group: GroupOptions,
    /// How much is written at once.
    pub limits: Limits,
}

/// Why a materializer stopped. What was written stays, and another goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum MaterializerError {
    /// The log has dropped what was not written yet.
    #[error(
        "the read model is written up to {asked}, and the log begins at {first}: what was between is lost to it. Accept the \
         loss with --accept-loss"
    )]
    Overtaken {
        /// The first that was not written.
        asked: u64,
        /// The first that there is.
        first: u64,
    },
    /// The log cannot be read.
    #[error("reading the log: {0}")]
    Log(#[source] LogError),
    /// The keyspace is another log's.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The server will not have what there is to be written.
    #[error("writing the read model: {0}")]
    Cql(#[from] CqlError),
}

impl From<LogError> for MaterializerError {
    fn from(error: LogError) -> MaterializerError {
        match error {
            LogError::Gone { asked, first } => MaterializerError::Overtaken { asked, first },
            error => MaterializerError::Log(error),
        }
    }
}

/// Makes the keyspace that a writer writes to the log's with this identity, however long the server is away.
///
/// # Errors
/// [`AdoptError::Another`], or the server refuses.
pub async fn adopt(cql: &Cql, writer: &Writer, identity: &str) -> Result<(), AdoptError> {
    let mut pauses = Pauses::new(cql);
    loop {
        match writer.adopt(identity).await {
            Err(AdoptError::Cql(error)) => pauses.after(error).await?,
            answered => return answered,
        }
    }
}

/// One that reads the partitions that its group gives it. It blocks, so it is for a thread of its own.
pub struct Materializer {
    cql: Cql,
    writer: Writer,
    task: Task,
    connection: Connection,
    /// What tells this log from all others.
    identity: String,
    options: MaterializerOptions,
    runtime: Handle,
    progress: Arc<MaterializerProgress>,
}

impl Materializer {
    /// One that writes with `writer` to `cql`, of which it waits in `runtime`.
    #[must_use]
    pub fn new(
        (cql, writer): (&Cql, &Writer),
        task: Task,
        (connection, identity): (&Connection, &str),
        options: MaterializerOptions,
        runtime: &Handle,
    ) -> Materializer {
        Materializer {
            cql: cql.clone(),
            writer: writer.clone(),
            task,
            connection: connection.clone(),
            identity: identity.to_owned(),
            options,
            runtime: runtime.clone(),
            progress: Arc::default(),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Arc<MaterializerProgress> {
        Arc::clone(&self.progress)
    }

    /// Works until `stop` is set, which it sees within 100 ms and whatever one record takes.
    ///
    /// # Errors
    /// [`MaterializerError`]
    pub fn run(&self, stop: &AtomicBool) -> Result<(), MaterializerError> {
        let adopted = until(&self.runtime, stop, adopt(&self.cql, &self.writer, &self.identity), || Ok(Turn::Nothing))?;
        let Waited::Done(adopted) = adopted else { return Ok(()) };
        adopted?;
        let (name, group) = (self.task.name(), self.options.group.clone());
        let mut reader = GroupReader::open(&self.connection, name, self.task.topics(), group)?;
        while !stop.load(Ordering::Acquire) {
            let mut turn = Some(reader.next(&self.options.limits, WAIT_MAX)?);
            while let Some(found) = turn.take() {
                turn = self.take(&mut reader, found, stop)?;
            }
            self.progress.look(&reader);
        }
        Ok(())
    }

    /// Does what a turn says, and returns the one that cut it short, if any did.
    fn take(&self, reader: &mut GroupReader, turn: Turn, stop: &AtomicBool) -> Result<Option<Turn>, MaterializerError> {
        match turn {
            Turn::Nothing => Ok(None),
            Turn::Revoked(_) => {
                self.progress.revoked();
                Ok(None)
            }
            Turn::Assigned(partitions) => {
                self.progress.assigned(partitions.len());
                match until(&self.runtime, stop, self.positions(), || reader.hold(HOLD_FOR))? {
                    Waited::Done(positions) => reader.begin(&positions?),
                    Waited::Turned(turn) => return Ok(Some(turn)),
                    Waited::Stopped => {}
                }
                Ok(None)
            }
            Turn::Batch(batch) => {
                let applied = self.apply(&batch);
                match until(&self.runtime, stop, applied, || reader.hold(HOLD_FOR))? {
                    Waited::Done(applied) => applied?,
                    Waited::Turned(turn) => {
                        self.progress.lost();
                        return Ok(Some(turn));
                    }
                    Waited::Stopped => return Ok(None),
                }
                self.progress.written(batch.records.len());
                Ok(None)
            }
        }
    }

    /// How far everything is written, however long the server is away.
    async fn positions(&self) -> Result<Positions, CqlError> {
        let mut pauses = Pauses::new(&self.cql);
        loop {
            match self.writer.positions().await {
                Ok(positions) => return Ok(positions),
                Err(error) => pauses.after(error).await?,
            }
        }
    }

    async fn apply(&self, batch: &Batch) -> Result<(), CqlError> {
        self.task.apply(&self.cql, &self.writer, &batch.records).await?;
        self.writer.save_positions(&batch.positions).await
    }
}

impl fmt::Debug for Materializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materializer")
            .field("task", &self.task)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
