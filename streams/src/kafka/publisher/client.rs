//! One of librdkafka's producers, and what it reports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use super::group::Group;
use super::{Held, PublisherOptions};
use crate::kafka::Connection;
use crate::kafka::errors::failed;
use crate::kafka::watch::{Watch, watched_by};
use crate::log::{Ack, LogError, Message};

/// What the client's bound on a message, which is one on its request, leaves for all but key and value.
const MESSAGE_OVERHEAD: usize = 512;

/// What the client gives back with a message's delivery report.
pub(super) struct Delivery {
    pub(super) group: Arc<Group>,
    /// Whether it is the first of its group, whose place is the acknowledgement.
    pub(super) first: bool,
    pub(super) bytes: usize,
}

/// Hears of deliveries, on the producer's polling thread.
struct Reports {
    watch: Arc<Watch>,
    held: Arc<Held>,
    own: Arc<Own>,
}

/// What concerns one client alone.
#[derive(Debug, Default)]
struct Own {
    /// Messages that it has not reported.
    messages: AtomicUsize,
    /// How many partitions are silent: what a delivery looks at, most of all to find none.
    silent: AtomicUsize,
    /// The first and the last time-out of partitions to which nothing was delivered since.
    silences: Mutex<BTreeMap<(String, i32), (Instant, Instant)>>,
}

impl Own {
    fn silences(&self) -> MutexGuard<'_, BTreeMap<(String, i32), (Instant, Instant)>> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, topic: &str, partition: i32) {
        if self.silent.load(Ordering::Relaxed) > 0 {
            let mut silences = self.silences();
            silences.remove(&(topic.to_owned(), partition));
            self.silent.store(silences.len(), Ordering::Relaxed);
        }
    }

    fn timed_out(&self, topic: &str, partition: i32, now: Instant) {
        let mut silences = self.silences();
        silences.entry((topic.to_owned(), partition)).or_insert((now, now)).1 = now;
        self.silent.store(silences.len(), Ordering::Relaxed);
    }

    fn silent(&self, most: Duration) -> Option<String> {
        let silences = self.silences();
        let silent = silences.iter().find(|(_, (first, last))| last.duration_since(*first) >= most);
        silent.map(|((topic, partition), _)| format!("{topic}-{partition}"))
    }
}

watched_by!(Reports, watch);

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        // Before the waiter hears of it, so that one who publishes upon that finds the room.
        self.held.release(1, delivery.bytes);
        self.own.messages.fetch_sub(1, Ordering::AcqRel);
        match result {
            Ok(message) => {
                self.own.heard(message.topic(), message.partition());
                let place = (u32::try_from(message.partition()), u64::try_from(message.offset()));
                match place {
                    (Ok(partition), Ok(offset)) => {
                        delivery.group.delivered(delivery.first.then_some(Ack { partition, offset }));
                    }
                    _ => delivery.group.failed("the brokers acknowledged it and told no offset"),
                }
            }
            Err((error, message)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    self.own.timed_out(message.topic(), message.partition(), Instant::now());
                }
                delivery.group.failed(&reason(error));
            }
        }
    }
}

/// Why a delivery failed, without librdkafka's names for it where they say little.
pub(super) fn reason(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageTimedOut) => "the brokers did not acknowledge it in time".to_owned(),
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
            "the publisher was closed before the brokers acknowledged it".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A producer of the client's.
pub(super) struct Client {
    producer: ThreadedProducer<Reports>,
    own: Arc<Own>,
}

impl Client {
    pub(super) fn new(
        connection: &Connection,
        client_id: &str,
        options: &PublisherOptions,
        held: &Arc<Held>,
        watch: &Arc<Watch>,
    ) -> Result<Client, LogError> {
        let mut config = connection.client(client_id);
        watch.listen(&mut config);
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
        let own = Arc::new(Own::default());
        let reports = Reports { watch: Arc::clone(watch), held: Arc::clone(held), own: Arc::clone(&own) };
        let producer =
            config.create_with_context(reports).map_err(failed(format!("making the producer {client_id}")))?;
        Ok(Client { producer, own })
    }

    /// Hands one message to the client, which is to report it if this is no error.
    pub(super) fn send(&self, topic: &str, message: &Message, delivery: Delivery) -> Result<(), KafkaError> {
        let record = BaseRecord::with_opaque_to(topic, Box::new(delivery)).key(&message.key).payload(&message.value);
        // Before it can be reported.
        self.own.messages.fetch_add(1, Ordering::AcqRel);
        self.producer.send(record).map_err(|(error, _)| {
            self.own.messages.fetch_sub(1, Ordering::AcqRel);
            error
        })
    }

    /// A partition to which messages have timed out for at least so long, and none was delivered meanwhile.
    pub(super) fn silent(&self, most: Duration) -> Option<String> {
        self.own.silent(most)
    }

    /// Waits up to `wait` for what is under way, then gives the rest up.
    pub(super) fn end(self, wait: Duration, purge_wait: Duration) {
        self.drain(wait);
        if self.own.messages.load(Ordering::Acquire) > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.drain(purge_wait);
        }
        let messages = self.own.messages.load(Ordering::Acquire);
        if messages > 0 {
            tracing::error!(messages, "kafka: the producer did not give back messages that it was to forget");
        }
    }

    /// Waits until everything is reported. Not with the client's `flush`, which waits in steps of 100 ms.
    fn drain(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        while self.own.messages.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_timed_out_again_and_again_with_nothing_delivered_is_silent() {
        let (own, start) = (Own::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let most = Duration::from_secs(10);
        own.timed_out("a", 0, at(0));
        own.timed_out("b", 0, at(0));
        own.timed_out("a", 0, at(9));
        assert_eq!(own.silent(most), None, "not yet for long enough");
        own.heard("a", 0);
        own.timed_out("a", 0, at(11));
        assert_eq!(own.silent(most), None, "something was delivered meanwhile");
        own.timed_out("b", 0, at(10));
        assert_eq!(own.silent(most).as_deref(), Some("b-0"));
        own.heard("b", 0);
        assert_eq!(own.silent(most), None);
        assert_eq!(own.silent.load(Ordering::Relaxed), 1, "a is remembered");
    }
}
