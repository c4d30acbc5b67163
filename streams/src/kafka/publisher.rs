//! Publishing for the edge: idempotent, in order, bounded, and never blocking.
//!
//! **Architecture Invariant:** what is enqueued counts against the bounds until its delivery is reported. The client's
//! own queue has no bound that could be met first, so a group of messages is enqueued whole or not at all.

pub(crate) mod group;
mod options;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use super::Connection;
use super::errors::failed;
use super::watch::{Watch, watched_by};
use crate::log::{Ack, Message, Pending, PublishError, Publisher};
use group::Group;
pub(crate) use options::range;
pub use options::{Compression, OpenError, OptionError, PublisherOptions};

/// What the client's bound on a message, which is one on its request, leaves for all but key and value.
const MESSAGE_OVERHEAD: usize = 512;

/// How long dropping a publisher waits for what is under way.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// How long the client may take to give back what it is told to forget.
const PURGE_WAIT: Duration = Duration::from_secs(2);

/// Messages and bytes whose delivery has not been reported.
#[derive(Debug, Default)]
struct Held {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Held {
    fn add(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn release(&self, messages: usize, bytes: usize) {
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn get(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }
}

/// What the client gives back with a message's delivery report.
struct Delivery {
    group: Arc<Group>,
    /// Whether it is the first of its group, whose place is the acknowledgement.
    first: bool,
    bytes: usize,
}

/// Hears of deliveries, on the producer's polling thread.
struct Reports {
    watch: Arc<Watch>,
    held: Arc<Held>,
}

watched_by!(Reports, watch);

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        // Before the waiter hears of it, so that one who publishes upon that finds the room.
        self.held.release(1, delivery.bytes);
        match result {
            Ok(message) => {
                let place = (u32::try_from(message.partition()), u64::try_from(message.offset()));
                match place {
                    (Ok(partition), Ok(offset)) => {
                        delivery.group.delivered(delivery.first.then_some(Ack { partition, offset }));
                    }
                    _ => delivery.group.failed("the brokers acknowledged it and told no offset"),
                }
            }
            Err((error, _)) => delivery.group.failed(&reason(error)),
        }
    }
}

/// Why a delivery failed, without librdkafka's names for it where they say little.
fn reason(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageTimedOut) => "the brokers did not acknowledge it in time".to_owned(),
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
            "the publisher was closed before the brokers acknowledged it".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A [`Publisher`] over Kafka. A group of messages goes out in its order with nothing of another group in between,
/// keys choose partitions as Java's clients do, and what is acknowledged is on every in-sync replica, once.
pub struct KafkaPublisher {
    connection: Connection,
    producer: ThreadedProducer<Reports>,
    options: PublisherOptions,
    held: Arc<Held>,
    watch: Arc<Watch>,
    /// Held while a group is enqueued: this is what keeps groups apart.
    open: Mutex<bool>,
}

impl KafkaPublisher {
    /// Makes the producer. It connects by itself, now or when the brokers are there.
    ///
    /// # Errors
    /// An option that is out of its range, or settings that librdkafka does not take.
    pub fn open(
        connection: &Connection,
        client_id: &str,
        options: PublisherOptions,
    ) -> Result<KafkaPublisher, OpenError> {
        options.check()?;
        let held = Arc::new(Held::default());
        let mut config = connection.client(client_id);
        let watch = Watch::new(client_id, &mut config);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", options.compression.name())
            .set("linger.ms", options.linger.as_millis().to_string())
            .set("message.timeout.ms", options.delivery_timeout.as_millis().to_string())
            .set("message.max.bytes", (options.message_bytes_max + MESSAGE_OVERHEAD).to_string())
            // No bound of the client's: ours is met first, before anything of a group is enqueued.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2147483647");
        let reports = Reports { watch: Arc::clone(&watch), held: Arc::clone(&held) };
        let producer =
            config.create_with_context(reports).map_err(failed(format!("making the producer {client_id}")))?;
        let connection = connection.clone();
        Ok(KafkaPublisher { connection, producer, options, held, watch, open: Mutex::new(true) })
    }

    /// Messages and bytes of keys and values that are enqueued and not yet reported as delivered or failed.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.held.get()
    }

    /// What the client says of itself and of the brokers.
    #[must_use]
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Why nothing is taken any more and the process has to restart, if so. Kafka ends an idempotent producer when it
    /// can no longer tell what it has, such as after a loss of data.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.watch.fatal().map(str::to_owned)
    }

    /// Takes no more, waits up to `wait` for what is under way, then gives the rest up: it fails with
    /// [`PublishError::Failed`], since it may be at a broker already. Blocks, so not on a runtime's thread.
    pub fn close(&self, wait: Duration) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.drain(wait);
        if self.held.get().0 > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.drain(PURGE_WAIT);
        }
        let (messages, _) = self.held.get();
        if messages > 0 {
            tracing::error!(messages, "kafka: the producer did not give back messages that it was to forget");
        }
    }

    /// Waits until nothing is held. Not with the client's `flush`, which waits in steps of 100 ms.
    fn drain(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        while self.held.get().0 > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The size of a group, if each of its messages and the whole fit.
    fn size(&self, messages: &[Message]) -> Result<usize, PublishError> {
        let mut sum = 0;
        for message in messages {
            let bytes = message.key.len() + message.value.len();
            if bytes > self.options.message_bytes_max {
                return Err(PublishError::TooLarge { bytes, bytes_max: self.options.message_bytes_max });
            }
            sum += bytes;
        }
        let bytes_max = self.options.queue_bytes_max;
        if sum > bytes_max { Err(PublishError::TooLarge { bytes: sum, bytes_max }) } else { Ok(sum) }
    }

    /// Counts a group in, if there is room: an empty queue takes any that is not too large.
    fn reserve(&self, messages: usize, bytes: usize) -> Result<(), PublishError> {
        let (held_messages, held_bytes) = self.held.get();
        let over = held_messages + messages > self.options.queue_messages_max
            || held_bytes + bytes > self.options.queue_bytes_max;
        if over && held_messages > 0 {
            return Err(PublishError::Full);
        }
        self.held.add(messages, bytes);
        Ok(())
    }

    /// Hands one message to the client.
    fn send(&self, message: &Message, delivery: Delivery) -> Result<(), KafkaError> {
        let topic = self.connection.topic(message.topic);
        let record = BaseRecord::with_opaque_to(&topic, Box::new(delivery)).key(&message.key).payload(&message.value);
        self.producer.send(record).map_err(|(error, _)| error)
    }
}

impl Publisher for KafkaPublisher {
    /// Besides [`PublishError::Full`] and [`PublishError::Closed`]: [`PublishError::TooLarge`], and
    /// [`PublishError::Failed`] if the client refuses the group, as it does for ever after a
    /// [failure](KafkaPublisher::failure). A group of no messages is acknowledged at once, with offset 0.
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        let bytes = self.size(&messages)?;
        let (waiter, pending) = Pending::new();
        if messages.is_empty() {
            let _ = waiter.send(Ok(Ack { partition: 0, offset: 0 }));
            return Ok(pending);
        }
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(PublishError::Closed);
        }
        if let Some(reason) = self.failure() {
            return Err(PublishError::Failed(reason));
        }
        self.reserve(messages.len(), bytes)?;
        let group = Arc::new(Group::new(waiter, messages.len()));
        let mut unsent_bytes = bytes;
        for (index, message) in messages.iter().enumerate() {
            let bytes = message.key.len() + message.value.len();
            let delivery = Delivery { group: Arc::clone(&group), first: index == 0, bytes };
            if let Err(error) = self.send(message, delivery) {
                let unsent = messages.len() - index;
                self.held.release(unsent, unsent_bytes);
                if index == 0 {
                    return Err(PublishError::Failed(reason(&error)));
                }
                // Those before it cannot be taken back: the group fails when their deliveries are reported.
                (0..unsent).for_each(|_| group.failed(&reason(&error)));
                break;
            }
            unsent_bytes -= bytes;
        }
        Ok(pending)
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("options", &self.options)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
