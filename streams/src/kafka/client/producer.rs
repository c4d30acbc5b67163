//! The transactional producer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};

use super::consumer::with_offsets;
use super::{Delivered, Outgoing, Place, ProducerClient, Refused, number};
use crate::kafka::errors::failed;
use crate::kafka::session::MESSAGE_BYTES_MAX;
use crate::kafka::watch::watched_by;
use crate::kafka::{Connection, SessionOptions, Watch};
use crate::log::LogError;

/// How often the outstanding acknowledgements are looked at.
const DRAIN_EVERY: Duration = Duration::from_micros(100);
/// The opaque of a record whose place is of no interest; other records have their changelog partition plus one.
const OUTPUT: usize = 0;

#[derive(Debug)]
struct TransactionContext {
    watch: Arc<Watch>,
    delivered: Mutex<Delivered>,
}

impl TransactionContext {
    fn delivered(&self) -> MutexGuard<'_, Delivered> {
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
                delivered.change(partition, end);
            }
            Err((error, _)) => drop(delivered.error.get_or_insert_with(|| error.clone())),
        }
    }
}

/// A producer of a transactional id.
#[allow(missing_debug_implementations, reason = "clients have no Debug")]
pub struct TransactionalProducer(BaseProducer<TransactionContext>);

impl TransactionalProducer {
    pub(super) fn new(
        connection: &Connection,
        id: &str,
        options: &SessionOptions,
    ) -> Result<TransactionalProducer, LogError> {
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
        Ok(TransactionalProducer(producer.map_err(failed("making the producer"))?))
    }
}

/// What the client says of a call that failed.
fn refused(error: KafkaError) -> Refused {
    let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable() && !error.is_fatal());
    Refused { error, retriable }
}

impl ProducerClient for TransactionalProducer {
    type Group = ConsumerGroupMetadata;

    fn init(&self, wait: Duration) -> Result<(), Refused> {
        self.0.init_transactions(wait).map_err(refused)
    }

    fn begin(&self) -> KafkaResult<()> {
        self.0.begin_transaction()
    }

    fn send(&self, record: Outgoing<'_>) -> KafkaResult<()> {
        let Outgoing { topic, partition, key, value, is_change } = record;
        let place = partition.filter(|_| is_change).map_or(OUTPUT, |partition| partition as usize + 1);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, place).key(key);
        record.partition = partition.map(number);
        record.payload = value;
        self.0.send(record).map_err(|(error, _)| error)
    }

    fn poll(&self) {
        self.0.poll(Duration::ZERO);
    }

    fn pause(&self) {
        thread::sleep(DRAIN_EVERY);
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.0.in_flight_count()).unwrap_or(0)
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.0.context().delivered()
    }

    fn purge(&self) {
        self.0.purge(PurgeConfig::default().queue().inflight());
    }

    fn send_offsets(&self, offsets: &[Place<'_>], group: &ConsumerGroupMetadata, wait: Duration) -> KafkaResult<()> {
        self.0.send_offsets_to_transaction(&with_offsets(offsets)?, group, wait)
    }

    fn commit(&self, wait: Duration) -> Result<(), Refused> {
        self.0.commit_transaction(wait).map_err(refused)
    }

    fn abort(&self, wait: Duration) -> KafkaResult<()> {
        self.0.abort_transaction(wait)
    }

    fn is_fatal(&self) -> bool {
        self.0.client().fatal_error().is_some()
    }

    fn is_stranded(&self) -> bool {
        self.0.context().watch.is_stranded()
    }
}
