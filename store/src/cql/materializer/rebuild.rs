//! Filling an empty keyspace from the log, in parallel and to an end.
//!
//! What it does a materializer would do too, only with the partitions one after the other and without coming to an end. So
//! one that is cut short leaves what a materializer goes on from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use streams::LogError;
use streams::kafka::{Connection, KafkaReader, Overtaken, Positions, Share, Turn};
use streams::log::Limits;
use tokio::runtime::Handle;

use super::super::claims::ClaimKeeper;
use super::super::error::CqlError;
use super::super::link::Cql;
use super::super::model::{AdoptError, Writer};
use super::waiting::{Waited, until};
use super::{Task, WAIT_MAX};

/// What its Kafka clients are called.
const CLIENT: &str = "rebuild";

/// Why a keyspace was not filled.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There are rows.
    #[error(
        "keyspace {keyspace} is not empty: {table} has rows. `conversions materializer` goes on from where they end; to \
         begin anew, drop the keyspace and run `conversions migrate`"
    )]
    NotEmpty {
        /// The keyspace.
        keyspace: String,
        /// One of its tables that has some.
        table: String,
    },
    /// The log has dropped its beginning.
    #[error(
        "{topic}/{partition} begins at {first}: what was before it is lost, and is in no read model that is made now. Accept \
         the loss with --accept-loss"
    )]
    Overtaken {
        /// The topic.
        topic: &'static str,
        /// The partition.
        partition: u32,
        /// The first offset that there is.
        first: u64,
    },
    /// The log cannot be read.
    #[error("reading the log: {0}")]
    Log(#[from] LogError),
    /// The keyspace is another log's.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The server.
    #[error("writing the read model: {0}")]
    Cql(#[from] CqlError),
}

/// How far a rebuild is, in offsets.
#[derive(Debug, Default)]
pub struct RebuildProgress {
    /// All that there were when the log was looked at.
    pub total: AtomicU64,
    /// Those of them that are written.
    pub done: AtomicU64,
    /// Records among them.
    pub records: AtomicU64,
}

/// Fills an empty keyspace with what the topics have as it begins, and makes the claims good that are missing.
#[derive(Clone)]
pub struct Rebuild {
    cql: Cql,
    writer: Writer,
    connection: Connection,
    tasks: [Task; 2],
    overtaken: Overtaken,
    limits: Limits,
    runtime: Handle,
    progress: Arc<RebuildProgress>,
}

impl Rebuild {
    /// One that has written nothing yet.
    #[must_use]
    pub fn new(
        (cql, writer, keeper): (&Cql, &Writer, ClaimKeeper),
        connection: &Connection,
        overtaken: Overtaken,
        limits: Limits,
        runtime: &Handle,
    ) -> Rebuild {
        Rebuild {
            cql: cql.clone(),
            writer: writer.clone(),
            connection: connection.clone(),
            tasks: [Task::ReadModel, Task::Claims(keeper)],
            overtaken,
            limits,
            runtime: runtime.clone(),
            progress: Arc::default(),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> &RebuildProgress {
        &self.progress
    }

    /// Sees whether the log still has its beginning. It blocks, so it is for a thread.
    ///
    /// # Errors
    /// [`RebuildError::Overtaken`], or the brokers do not answer.
    pub fn check_log(&self) -> Result<(), RebuildError> {
        for task in &self.tasks {
            let reader = KafkaReader::open(&self.connection, CLIENT, task.topics(), &Positions::new())?;
            self.progress.total.fetch_add(reader.left(), Ordering::Relaxed);
            let late = reader.positions().into_iter().find(|(_, first)| *first > 0);
            let Some(((id, partition), first)) = late else { continue };
            let topic = task.topics().iter().find(|topic| topic.id == id).map_or("a topic", |topic| topic.name);
            match self.overtaken {
                Overtaken::Refuse => return Err(RebuildError::Overtaken { topic, partition, first }),
                Overtaken::GoOn => {
                    tracing::error!("{topic}/{partition} begins at {first}: what was before is left out");
                }
            }
        }
        Ok(())
    }

    /// Makes the keyspace this log's, if it is empty.
    ///
    /// # Errors
    /// [`RebuildError::NotEmpty`], or the server does not answer.
    pub async fn begin(&self, identity: &str) -> Result<(), RebuildError> {
        if let Some(table) = self.writer.table_with_rows().await? {
            return Err(RebuildError::NotEmpty { keyspace: self.cql.options().keyspace.clone(), table });
        }
        Ok(self.writer.adopt(identity).await?)
    }

    /// Writes a share of the partitions of all topics, up to where they ended as this began; `false` if `stop` was set
    /// before that. It blocks, so it is for a thread.
    ///
    /// # Errors
    /// [`RebuildError`]; what was written stays.
    pub fn fill(&self, share: Share, stop: &AtomicBool) -> Result<bool, RebuildError> {
        for task in &self.tasks {
            let none = Positions::new();
            let reader = KafkaReader::open_share(&self.connection, CLIENT, task.topics(), &none, share)?;
            if !self.drain(task, reader, stop)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn drain(&self, task: &Task, mut reader: KafkaReader, stop: &AtomicBool) -> Result<bool, RebuildError> {
        let mut left = reader.left();
        let mut saved = Positions::new();
        while !reader.caught_up() {
            let records = reader.next(&self.limits, WAIT_MAX)?;
            let mut positions = reader.positions();
            positions.retain(|partition, position| saved.get(partition) != Some(position) && *position > 0);
            let write = async {
                task.apply(&self.cql, &self.writer, &records).await?;
                self.writer.save_positions(&positions).await
            };
            match until(&self.runtime, stop, write, || Ok(Turn::Nothing))? {
                Waited::Done(written) => written?,
                Waited::Turned(_) | Waited::Stopped => return Ok(false),
            }
            if stop.load(Ordering::Acquire) {
                return Ok(false);
            }
            saved.extend(positions);
            self.progress.records.fetch_add(records.len() as u64, Ordering::Relaxed);
            self.progress.done.fetch_add(left.saturating_sub(reader.left()), Ordering::Relaxed);
            left = left.min(reader.left());
        }
        Ok(true)
    }
}

impl fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebuild")
            .field("tasks", &self.tasks)
            .field("overtaken", &self.overtaken)
            .finish_non_exhaustive()
    }
}
