//! The clients of librdkafka.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;

use super::{ChangelogConsumers, Clients, GroupConsumer, Identity, Time, TransactionalProducer};
use crate::kafka::{Connection, SessionOptions, Watch};
use crate::log::LogError;

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicTime;

impl Time for MonotonicTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, wait: Duration) {
        thread::sleep(wait);
    }
}

/// Makes the clients of one worker.
#[derive(Debug)]
pub struct Librdkafka {
    connection: Connection,
    /// Listens to the member, also to one that takes another's place.
    watch: Arc<Watch>,
}

impl Librdkafka {
    /// Clients of this cluster; log lines call the member's `client`.
    #[must_use]
    pub fn new(connection: &Connection, client: &str) -> Librdkafka {
        Librdkafka { connection: connection.clone(), watch: Arc::new(Watch::idle(client)) }
    }

    /// What the member's client says while it works.
    #[must_use]
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

impl Clients for Librdkafka {
    type Member = GroupConsumer;
    type Producer = TransactionalProducer;
    type Reader = ChangelogConsumers;
    type Group = ConsumerGroupMetadata;
    type Time = MonotonicTime;

    fn time(&self) -> MonotonicTime {
        MonotonicTime
    }

    fn name(&self, name: &str) -> String {
        self.connection.name(name)
    }

    fn member(
        &self,
        identity: &Identity,
        topics: &[&str],
        options: &SessionOptions,
    ) -> Result<GroupConsumer, LogError> {
        GroupConsumer::join(&self.connection, identity, topics, options, &self.watch)
    }

    fn producer(&self, id: &str, options: &SessionOptions) -> Result<TransactionalProducer, LogError> {
        TransactionalProducer::new(&self.connection, id, options)
    }

    fn reader(&self, worker: &str, changelog: &str) -> Result<ChangelogConsumers, LogError> {
        ChangelogConsumers::new(&self.connection, worker, changelog)
    }
}
