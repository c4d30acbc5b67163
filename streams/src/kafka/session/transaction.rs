//! The transactional producer: a step's outputs, state changes and offsets, all or nothing.
//!
//! rust-rdkafka's `flush`, which `commit_transaction` calls, waits in slices of 100 ms as long as anything is
//! outstanding: so everything is waited for before it is called.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::options::SessionOptions;
use super::partitions::number;
use crate::kafka::errors::{failed, fences};
use crate::kafka::watch::watched_by;
use crate::kafka::{Connection, Watch};
use crate::log::{LogError, Step};

/// How often the outstanding acknowledgements are looked at.
const DRAIN_EVERY: Duration = Duration::from_micros(100);
/// How long an abort may take. It only spares others the wait for the transaction's time-out.
const ABORT_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of a record, which are what the catalogue's topics take in a batch.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The opaque of a record whose place is of no interest; other records have their changelog partition plus one.
const OUTPUT: usize = 0;

/// What the brokers said of the records of a transaction.
#[derive(Debug, Default)]
struct Delivered {
    error: Option<KafkaError>,
    /// The position after the last change, by changelog partition.
    ends: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct TransactionContext {
    watch: Arc<Watch>,
    delivered: Mutex<Delivered>,
}

impl TransactionContext {
    fn delivered(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

watched_by!(TransactionContext, watch);

impl ProducerContext for TransactionContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let mut delivered = self.delivered();
        match result {
            Ok(_) if place == OUTPUT => {}
            Ok(record) => {
                let partition = u32::try_from(place - 1).expect("it was made of a partition");
                let end = u64::try_from(record.offset()).map_or(0, |offset| offset + 1);
                let before = delivered.ends.entry(partition).or_default();
                *before = end.max(*before);
            }
            Err((error, _)) => drop(delivered.error.get_or_insert_with(|| error.clone())),
        }
    }
}

/// How a transaction ended.
pub(super) enum Ended {
    /// Committed; for each changelog partition that was written, the position after it.
    Committed(BTreeMap<u32, u64>),
    /// Not committed, and it never will be.
    Aborted(LogError),
    /// Nobody here knows.
    Unknown(LogError),
}

/// Where a step's records go.
pub(super) struct Names<'a> {
    /// The names of all the step's topics in the cluster.
    pub(super) topics: &'a BTreeMap<&'static str, String>,
    /// The changelog.
    pub(super) changelog: &'a str,
}

/// A producer of a transactional id. It is not used again once it is spent.
pub(super) struct Transactor {
    producer: BaseProducer<TransactionContext>,
    /// How long records may take to be acknowledged, and a call to be answered.
    delivery_timeout: Duration,
    initialised: bool,
    spent: Cell<bool>,
    fenced: Cell<bool>,
}

impl Transactor {
    /// Makes a producer, which can do nothing yet.
    pub(super) fn new(connection: &Connection, id: &str, options: &SessionOptions) -> Result<Transactor, LogError> {
        let mut config = connection.client(id);
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", options.transaction_timeout.as_millis().to_string())
            .set("message.timeout.ms", options.delivery_timeout().as_millis().to_string())
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "1")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            // After a commit the markers are still being written: 100 ms, the default, would be a commit's whole time.
            .set("retry.backoff.ms", "10");
        let context = TransactionContext { watch: Watch::new(id, &mut config), delivered: Mutex::default() };
        let producer = BaseProducer::from_config_and_context(&config, context);
        Ok(Transactor {
            producer: producer.map_err(failed("making the producer"))?,
            delivery_timeout: options.delivery_timeout(),
            initialised: false,
            spent: Cell::new(false),
            fenced: Cell::new(false),
        })
    }

    /// Takes the id over, which decides any transaction that its last holder left open and fences that one; `false` if
    /// the brokers have not done so within `wait`: then the same is asked again.
    pub(super) fn init(&mut self, wait: Duration) -> Result<bool, LogError> {
        if self.initialised {
            return Ok(true);
        }
        match self.producer.init_transactions(wait) {
            Ok(()) => self.initialised = true,
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.is_fatal() => {
                tracing::debug!(%error, "the transactional id is not taken over yet");
            }
            Err(error) => return Err(failed("taking the transactional id over")(error)),
        }
        Ok(self.initialised)
    }

    /// Whether it can do nothing more.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Whether the last transaction failed because another producer has the id, or the broker has given this one up.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.get()
    }

    /// Writes and commits a step with the offsets it consumes.
    pub(super) fn run(
        &self,
        step: &Step,
        names: &Names<'_>,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Ended {
        *self.producer.context().delivered() = Delivered::default();
        if let Err(error) = self.producer.begin_transaction() {
            self.note(&error);
            return self.abort(failed("beginning a transaction")(error));
        }
        if let Err((context, error)) = self.write(step, names, offsets, group) {
            self.note(&error);
            return self.abort(if is_too_large(&error) { too_large(step) } else { failed(context)(error) });
        }
        self.commit()
    }

    fn write(
        &self,
        step: &Step,
        names: &Names<'_>,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), (&'static str, KafkaError)> {
        let deadline = Instant::now() + self.delivery_timeout;
        for message in &step.outputs {
            let topic = &names.topics[message.topic.name];
            let record = BaseRecord::with_opaque_to(topic, OUTPUT).key(&message.key[..]).payload(&message.value[..]);
            self.send(record, deadline).map_err(|error| ("writing an output", error))?;
        }
        for (partition, changes) in &step.changes {
            for change in changes {
                let mut record = BaseRecord::with_opaque_to(names.changelog, *partition as usize + 1)
                    .partition(number(*partition))
                    .key(&change.key[..]);
                record.payload = change.value.as_deref();
                self.send(record, deadline).map_err(|error| ("writing the changelog", error))?;
            }
        }
        self.drain(deadline).map_err(|error| ("waiting for acknowledgements", error))?;
        let sent = self.producer.send_offsets_to_transaction(offsets, group, self.delivery_timeout);
        sent.map_err(|error| ("adding offsets to the transaction", error))
    }

    /// Enqueues a record, waiting for room.
    fn send(&self, record: BaseRecord<'_, [u8], [u8], usize>, deadline: Instant) -> Result<(), KafkaError> {
        let mut record = record;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.producer.poll(Duration::ZERO);
                    thread::sleep(DRAIN_EVERY);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until every record is acknowledged.
    fn drain(&self, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            self.producer.poll(Duration::ZERO);
            if let Some(error) = self.producer.context().delivered().error.clone() {
                return Err(error);
            }
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            // The client gives a record up by itself; this is for the case that it does not.
            if Instant::now() > deadline + self.delivery_timeout {
                return Err(KafkaError::Flush(RDKafkaErrorCode::MessageTimedOut));
            }
            thread::sleep(DRAIN_EVERY);
        }
    }

    fn commit(&self) -> Ended {
        let deadline = Instant::now() + self.delivery_timeout;
        loop {
            match self.producer.commit_transaction(self.delivery_timeout) {
                Ok(()) => return Ended::Committed(std::mem::take(&mut self.producer.context().delivered().ends)),
                // The same call again resumes the commit under way.
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!(%error, "the commit is resumed");
                }
                // It may have been done before whatever failed. An abort would not tell: the client may take another
                // epoch of its id for one, which the brokers give after a commit too.
                Err(error) => {
                    self.note(&error);
                    self.spent.set(true);
                    return Ended::Unknown(failed("committing")(error));
                }
            }
        }
    }

    /// Ends a transaction whose commit was never asked for: whatever becomes of the abort, nobody ever sees it.
    fn abort(&self, reason: LogError) -> Ended {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + ABORT_WAIT;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::ZERO);
            thread::sleep(DRAIN_EVERY);
        }
        if let Err(abort) = self.producer.abort_transaction(ABORT_WAIT) {
            tracing::debug!(error = %abort, "the abort is left to the next producer of the id");
            self.note(&abort);
            self.spent.set(true);
        }
        Ended::Aborted(reason)
    }

    fn note(&self, error: &KafkaError) {
        let fenced = error.rdkafka_error_code().is_some_and(fences);
        self.fenced.set(self.fenced.get() || fenced);
        self.spent.set(self.spent.get() || self.producer.client().fatal_error().is_some());
    }
}

/// Whether a record, or the batch that it is in, is more than the client or the brokers take.
fn is_too_large(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize))
}

/// Tells of a step's largest record.
fn too_large(step: &Step) -> LogError {
    let outputs = step.outputs.iter().map(|message| message.key.len() + message.value.len());
    let changes = step.changes.iter().flat_map(|(_, changes)| changes);
    let changes = changes.map(|change| change.key.len() + change.value.as_ref().map_or(0, |value| value.len()));
    LogError::TooLarge { bytes: outputs.chain(changes).max().unwrap_or(0), bytes_max: MESSAGE_BYTES_MAX }
}
