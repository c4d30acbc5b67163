//! Writing a few records together, for commands.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::Connection;
use super::errors::{ask, failed, fences};
use super::watch::{Watch, Watched};
use crate::log::{LogError, Topic};

/// How long the brokers may take to give the producer its identity, which waits for another's transaction to end.
const BEGIN_WAIT: Duration = Duration::from_secs(30);

/// How long the writing may take: then the coordinator aborts.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the commit may take before its outcome is unknown.
const COMMIT_WAIT: Duration = Duration::from_secs(20);

/// What to write: the topic, the key, and the value; a value of `None` is a tombstone.
pub type Upsert = (Topic, Vec<u8>, Option<Vec<u8>>);

impl ProducerContext for Watched {
    type DeliveryOpaque = ();

    /// A commit fails when a delivery has.
    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

/// Writes records in one transaction under a name, once. What is read after [`AtomicWriter::open`] is what nobody else
/// of that name can change any more.
pub struct AtomicWriter {
    connection: Connection,
    transactional_id: String,
    producer: ThreadedProducer<Watched>,
}

impl AtomicWriter {
    /// Takes the name over: whoever held it is fenced, and what it had not committed is never seen. Blocks, up to half a
    /// minute when the brokers are away.
    ///
    /// # Errors
    /// [`LogError::Kafka`], whose text says that nothing was written.
    pub fn open(connection: &Connection, transactional_id: &str) -> Result<AtomicWriter, LogError> {
        let mut config = connection.client(transactional_id);
        let watch = Watch::new(transactional_id, &mut config);
        config
            .set("transactional.id", connection.name(transactional_id))
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("partitioner", "murmur2_random")
            // The records are in memory already.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2147483647");
        let context = || format!("beginning as {transactional_id}: nothing was written");
        let producer: ThreadedProducer<Watched> =
            config.create_with_context(Watched(watch)).map_err(failed(context()))?;
        ask(context, Instant::now() + BEGIN_WAIT, |wait| producer.init_transactions(wait))?;
        Ok(AtomicWriter { connection: connection.clone(), transactional_id: transactional_id.to_owned(), producer })
    }

    /// Writes the records: readers see all of them or none. Blocks, up to a minute when the brokers are away.
    ///
    /// # Errors
    /// [`LogError::Replaced`] if another took the name over: nothing was written. [`LogError::Kafka`], whose text says
    /// either that nothing was written, or that the records may or may not have been: writing them again settles it.
    pub fn write(self, records: &[Upsert]) -> Result<(), LogError> {
        if records.is_empty() {
            return Ok(());
        }
        let nothing = |doing: &str| failed(format!("{doing} {} records: nothing was written", records.len()));
        let producer = &self.producer;
        producer.begin_transaction().map_err(nothing("beginning a transaction of"))?;
        let written = match send(&self.connection, producer, records) {
            Ok(()) => commit(producer, records.len()),
            Err(error) => {
                abort(producer);
                Err(nothing("sending")(error))
            }
        };
        written.map_err(|error| match self.is_fenced() {
            true => LogError::Replaced { worker: self.transactional_id.clone() },
            false => error,
        })
    }

    fn is_fenced(&self) -> bool {
        self.producer.client().fatal_error().is_some_and(|(code, _)| fences(code))
    }
}

impl fmt::Debug for AtomicWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicWriter").field("transactional_id", &self.transactional_id).finish_non_exhaustive()
    }
}

fn send(connection: &Connection, producer: &ThreadedProducer<Watched>, records: &[Upsert]) -> Result<(), KafkaError> {
    for (topic, key, value) in records {
        let name = connection.topic(*topic);
        let mut record = BaseRecord::to(&name).key(key);
        record.payload = value.as_ref();
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let deadline = Instant::now() + TRANSACTION_TIMEOUT;
    // With nothing outstanding a commit is quick; the client's own flush waits in steps of 100 ms.
    while producer.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn commit(producer: &ThreadedProducer<Watched>, records: usize) -> Result<(), LogError> {
    let deadline = Instant::now() + COMMIT_WAIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let error = match producer.commit_transaction(left) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if let KafkaError::Transaction(cause) = &error {
            // What could be aborted was not committed. Otherwise the brokers have been asked to commit it, and nobody knows.
            if cause.txn_requires_abort() && abort(producer) {
                return Err(failed(format!("committing {records} records: nothing was written"))(error));
            }
            if cause.is_retriable() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        }
        let context = format!("committing {records} records, which may or may not have been written: run it again");
        return Err(failed(context)(error));
    }
}

/// Ends the transaction; whether it could. If not, and nobody asked to commit it, the coordinator aborts it when its time
/// is over.
fn abort(producer: &ThreadedProducer<Watched>) -> bool {
    let aborted = producer.abort_transaction(Duration::from_secs(10));
    if let Err(error) = &aborted {
        tracing::warn!("kafka: a transaction is left to its time-out: {error}");
    }
    aborted.is_ok()
}
