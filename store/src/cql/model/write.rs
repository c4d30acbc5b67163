//! The writer: brings records into the read model.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use quick_cache::sync::Cache;
use scylla::serialize::batch::BatchValuesFromIterator;
use scylla::statement::batch::{Batch as Statements, BatchType};
use streams::Record;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::super::error::CqlError;
use super::super::link::{Cql, Lane};
use super::super::stats::{count, read};
use super::batch::Batch;
use super::mapping::rows;
use super::rows::{Place, Row};

/// The pause before the second try of a request; each next is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Most entries of the lists' directory that are known to be there: those of some days of a busy merchant.
const KNOWN_MAX: usize = 32_768;

/// What a writer has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Records written.
    pub records: u64,
    /// Records that could not be, because they do not decode or make no sense, and were passed over.
    pub skipped: u64,
    /// Rows written.
    pub rows: u64,
    /// Requests that it took, each of one row or of several in one partition.
    pub requests: u64,
    /// Requests that had to be made again.
    pub retries: u64,
    /// Warnings that came with the server's answers.
    pub warnings: u64,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    skipped: AtomicU64,
    rows: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    warnings: AtomicU64,
}

/// Writes records, and how far it got. Clones write and count together.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) cql: Cql,
    /// Of the lists' directory: each of its rows is written for every row of its list, and once is enough.
    known: Cache<Place, ()>,
    counters: Counters,
}

impl Writer {
    /// A writer to the read model of a server.
    #[must_use]
    pub fn new(cql: &Cql) -> Writer {
        let (cql, known) = (cql.clone(), Cache::new(KNOWN_MAX));
        Writer { shared: Arc::new(Shared { cql, known, counters: Counters::default() }) }
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        let Counters { records, skipped, rows, requests, retries, warnings } = &self.shared.counters;
        WriterStats {
            records: read(records),
            skipped: read(skipped),
            rows: read(rows),
            requests: read(requests),
            retries: read(retries),
            warnings: read(warnings),
        }
    }

    pub(super) fn cql(&self) -> &Cql {
        &self.shared.cql
    }

    /// Writes records of any topics, and returns when all that is in them is written. It waits for a server that is away
    /// as long as that takes: whoever has no time left drops the future, which leaves some rows written and some not,
    /// and may write all of them again.
    ///
    /// A record that makes no sense is passed over and counted: it is in the dead letters, or of an operator's own making.
    ///
    /// # Errors
    /// [`CqlError::Permanent`] if the server will not have a row, ever.
    pub async fn write(&self, records: &[Record]) -> Result<(), CqlError> {
        let counters = &self.shared.counters;
        let mut batch = Batch::default();
        let mut written = 0;
        for record in records {
            match rows(record) {
                Ok(rows) => {
                    written += 1;
                    rows.into_iter().for_each(|row| batch.add(row));
                }
                Err(reason) => {
                    count(&counters.skipped, 1);
                    let (topic, partition, offset) = (record.topic, record.partition, record.offset);
                    tracing::error!(topic, partition, offset, reason, "a record is passed over by the read model");
                }
            }
        }
        self.put(batch).await?;
        count(&counters.records, written);
        Ok(())
    }

    /// Writes rows, those of one partition in their order and partitions side by side.
    pub(super) async fn put(&self, mut batch: Batch) -> Result<(), CqlError> {
        let shared = &self.shared;
        batch.retain(|place, row| !row.is_of_directory() || shared.known.get(place).is_none());
        let directory: Vec<Place> =
            batch.iter().filter(|(_, row)| row.is_of_directory()).map(|(place, _)| place.clone()).collect();
        let at_once_max = shared.cql.options().writes_in_flight_max;
        let mut writing = JoinSet::new();
        for partition in batch.into_partitions() {
            if writing.len() >= at_once_max
                && let Some(done) = writing.join_next().await
            {
                ended(done)?;
            }
            writing.spawn(Arc::clone(shared).partition(partition));
        }
        while let Some(done) = writing.join_next().await {
            ended(done)?;
        }
        directory.into_iter().for_each(|place| shared.known.insert(place, ()));
        Ok(())
    }
}

/// What a task ended with. None is cancelled but by dropping all of them.
fn ended(done: Result<Result<(), CqlError>, JoinError>) -> Result<(), CqlError> {
    match done {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(CqlError::Transient(error.to_string())),
        },
    }
}

impl Shared {
    async fn partition(self: Arc<Self>, requests: Vec<Vec<Row>>) -> Result<(), CqlError> {
        for rows in requests {
            let mut pause = PAUSE_MIN;
            while let Err(error) = self.request(&rows).await {
                match error {
                    CqlError::Permanent(error) => return Err(CqlError::Permanent(refused(&rows, &error))),
                    CqlError::Away(_) => self.cql.wait_up().await,
                    CqlError::Transient(_) => {}
                }
                count(&self.counters.retries, 1);
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            count(&self.counters.requests, 1);
            count(&self.counters.rows, rows.len());
        }
        Ok(())
    }

    /// Writes rows of one partition.
    async fn request(&self, rows: &[Row]) -> Result<(), CqlError> {
        let call = self.cql.call(Lane::Writes).await?;
        let connected = call.connected();
        let (session, statements) = (&connected.session, &connected.model);
        let answer = match rows {
            [row] => session.execute_unpaged(statements.put(row), row).await,
            rows => {
                let mut batch = Statements::new(BatchType::Unlogged);
                rows.iter().for_each(|row| batch.append_statement(statements.put(row).clone()));
                let profile = rows.first().and_then(|row| statements.put(row).get_execution_profile_handle());
                batch.set_execution_profile_handle(profile.cloned());
                batch.set_is_idempotent(true);
                session.batch(&batch, BatchValuesFromIterator::new(rows.iter())).await
            }
        };
        for warning in call.done(answer)?.warnings() {
            count(&self.counters.warnings, 1);
            tracing::warn!(warning, "the CQL server says of rows that it wrote");
        }
        Ok(())
    }
}

fn refused(rows: &[Row], error: &str) -> String {
    let table = rows.first().map_or("no table", Row::table);
    format!("{} rows of {table} were refused: {error}", rows.len())
}
