//! Publishing for the edge: idempotent, in order, bounded, and never blocking.
//!
//! **Architecture Invariant:** what is enqueued counts against the bounds until its delivery is reported. The client's
//! own queue has no bound that could be met first, so a group of messages is enqueued whole or not at all.
//!
//! # A partition that stays silent
//!
//! After a broker was away, librdkafka may lose track of a partition's leader and time out every message to it for as
//! long as the client lives, while the brokers are there and other partitions are served (its issue 5430), or of every
//! broker (its issue 5301). So
//! [`KafkaPublisher::renew_if_silent`], which whoever runs a publisher calls now and then, puts a new client in the old
//! one's place. A crash of this process would have done no more: what the old client had under way has failed, and
//! may be there or not.

mod client;
pub(crate) mod group;
mod options;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Connection;
use super::watch::Watch;
use crate::log::{Ack, LogError, Message, Pending, PublishError, Publisher};
use client::{Client, Delivery, reason};
use group::Group;
pub(crate) use options::range;
pub use options::{Compression, OpenError, OptionError, PublisherOptions};

/// How long dropping a publisher waits for what is under way.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// How long the client may take to give back what it is told to forget.
const PURGE_WAIT: Duration = Duration::from_secs(2);

/// For how long a partition's messages have to time out, one after another, before the client is replaced.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a client that is replaced may take for what it delivers to other partitions: many times a round trip.
const RETIRE_WAIT: Duration = Duration::from_secs(1);

/// Messages and bytes whose delivery has not been reported, by whichever client.
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

/// A [`Publisher`] over Kafka. A group of messages goes out in its order with nothing of another group in between,
/// keys choose partitions as Java's clients do, and what is acknowledged is on every in-sync replica, once.
pub struct KafkaPublisher {
    connection: Connection,
    client_id: String,
    options: PublisherOptions,
    held: Arc<Held>,
    watch: Arc<Watch>,
    /// Held while a group is enqueued: this is what keeps groups apart.
    open: Mutex<Open>,
    renewals: AtomicU64,
}

struct Open {
    /// `None` once it is closed.
    client: Option<Client>,
    /// Names of topics in the cluster, by their numbers.
    names: BTreeMap<u16, String>,
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
        let (held, watch) = (Arc::new(Held::default()), Arc::new(Watch::idle(client_id)));
        let client = Client::new(connection, client_id, &options, &held, &watch)?;
        Ok(KafkaPublisher {
            connection: connection.clone(),
            client_id: client_id.to_owned(),
            options,
            held,
            watch,
            open: Mutex::new(Open { client: Some(client), names: BTreeMap::new() }),
            renewals: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Puts a new client in the place of one that has lost sight of all brokers for good, or to which a partition has been
    /// silent, although a broker is connected: for 10 s and longer, every message to it timed out. What the old one cannot deliver within a second fails with
    /// [`PublishError::Failed`]. To be called now and then, by one thread; blocks for some seconds if there is reason to.
    ///
    /// # Errors
    /// The new client could not be made; the old one stays.
    pub fn renew_if_silent(&self) -> Result<bool, LogError> {
        if self.watch.is_stranded() {
            tracing::warn!("kafka: the producer has lost sight of all brokers for good: another is made");
        } else {
            let silent = match &self.state().client {
                Some(client) => client.silent(SILENCE_MAX),
                None => None,
            };
            let Some(partition) = silent.filter(|_| self.watch.stats().brokers.values().any(|broker| broker.up)) else {
                return Ok(false);
            };
            tracing::warn!(
                partition,
                "kafka: every message to it timed out, and brokers are there: another client is made"
            );
        }
        let client = Client::new(&self.connection, &self.client_id, &self.options, &self.held, &self.watch)?;
        let old = {
            let mut open = self.state();
            // Closed meanwhile: then nothing takes its place.
            if open.client.is_none() {
                return Ok(false);
            }
            open.client.replace(client)
        };
        self.renewals.fetch_add(1, Ordering::Relaxed);
        if let Some(old) = old {
            old.end(RETIRE_WAIT, PURGE_WAIT);
        }
        Ok(true)
    }

    /// How often a client was replaced.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Takes no more, waits up to `wait` for what is under way, then gives the rest up: it fails with
    /// [`PublishError::Failed`], since it may be at a broker already. Blocks, so not on a runtime's thread.
    pub fn close(&self, wait: Duration) {
        let client = self.state().client.take();
        if let Some(client) = client {
            client.end(wait, PURGE_WAIT);
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
        let mut open = self.state();
        let Open { client, names } = &mut *open;
        let Some(client) = client else {
            return Err(PublishError::Closed);
        };
        if let Some(reason) = self.failure() {
            return Err(PublishError::Failed(reason));
        }
        self.reserve(messages.len(), bytes)?;
        let group = Arc::new(Group::new(waiter, messages.len()));
        let mut unsent_bytes = bytes;
        for (index, message) in messages.iter().enumerate() {
            let bytes = message.key.len() + message.value.len();
            let delivery = Delivery { group: Arc::clone(&group), first: index == 0, bytes };
            let name = names.entry(message.topic.id).or_insert_with(|| self.connection.topic(message.topic));
            if let Err(error) = client.send(name, message, delivery) {
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
