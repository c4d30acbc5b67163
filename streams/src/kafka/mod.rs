//! The log on Apache Kafka.
//!
//! **Architecture Invariant:** whoever reads reads what is committed, and whoever writes for a processor writes in a
//! transaction. No setting that this rests on can be changed from outside: see [`Connection::set`].

mod admin;
mod errors;
mod partition;
mod publisher;
mod reader;
mod record;
mod session;
mod stats;
mod stores;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::log::Topic;

pub use admin::{Admin, TopicDescription, TopicWanted, contradictions};
pub use partition::partition;
pub use publisher::{Compression, KafkaPublisher, OpenError, OptionError, PublisherOptions};
pub use reader::KafkaReader;
pub use record::RecordReader;
pub use session::{COMMIT_BUCKETS_MS, KafkaSession, SessionOptions, SessionStats, Work};
pub use stats::{BrokerStats, KafkaStats, PartitionStats};
pub use stores::KafkaStores;
pub use watch::Watch;
pub use write::{Upsert, write_atomically};

/// Where a Kafka cluster is and how it is spoken to.
#[derive(Clone)]
pub struct Connection {
    prefix: String,
    client: BTreeMap<String, String>,
}

/// Settings of librdkafka that are set here and nowhere else, since correctness rests on them.
const FIXED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Settings of librdkafka that are options of the clients here, under these names and their others.
const OPTIONS: &[&str] = &[
    "compression.codec",
    "compression.type",
    "linger.ms",
    "log_level",
    "message.max.bytes",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "statistics.interval.ms",
];

/// A setting that cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client setting {name} cannot be given: {reason}")]
pub struct SettingError {
    /// The setting.
    pub name: String,
    /// Why not.
    pub reason: &'static str,
}

impl Connection {
    /// A connection to the brokers `bootstrap`, a list of `host:port` with commas. The names of topics, groups and
    /// transactional ids begin with `prefix`, so that several installations share a cluster.
    #[must_use]
    pub fn new(bootstrap: &str, prefix: &str) -> Connection {
        let client = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap.to_owned())]);
        Connection { prefix: prefix.to_owned(), client }
    }

    /// Passes a setting on to librdkafka, such as those of TLS and SASL.
    ///
    /// # Errors
    /// The setting is one that correctness rests on, or that an option here stands for.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        if FIXED.contains(&name) {
            let reason = "exactly-once rests on it, so the program sets it itself";
            return Err(SettingError { name: name.to_owned(), reason });
        }
        if OPTIONS.contains(&name) {
            let reason = "an option of the program decides it, or the program itself";
            return Err(SettingError { name: name.to_owned(), reason });
        }
        self.client.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The name of a topic in the cluster.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        self.name(topic.name)
    }

    /// The name of anything of this installation in the cluster.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A client's settings, to which its own are added.
    pub(crate) fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", self.name(client_id));
        // Which lines are kept is for the filter of the process, not for the client to decide.
        config.set_log_level(RDKafkaLogLevel::Info);
        // A broker that comes back is found within half a second instead of ten.
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config
    }
}

impl fmt::Debug for Connection {
    /// Without the values: there are passwords among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.client.keys().collect();
        f.debug_struct("Connection").field("prefix", &self.prefix).field("client", &names).finish()
    }
}
