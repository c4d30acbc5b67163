//! The log on Apache Kafka.
//!
//! **Architecture Invariant:** whoever reads reads what is committed, and whoever writes for a processor writes in a
//! transaction. No setting that this rests on can be changed from outside: see [`Connection::set`].

mod admin;
pub mod client;
pub(crate) mod errors;
mod extents;
mod group;
mod partition;
pub(crate) mod publisher;
mod reach;
mod reader;
mod record;
pub(crate) mod session;
mod stats;
mod stores;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::log::Topic;

pub use admin::{Admin, TopicDescription, TopicWanted, contradictions};
pub use extents::{Extent, Extents};
pub use group::{Batch, GroupOptions, GroupReader, Overtaken, Positions, Turn};
pub use partition::partition;
pub use publisher::{Compression, KafkaPublisher, OpenError, OptionError, PublisherOptions};
pub use reach::ReachError;
pub use reader::{KafkaReader, Share};
pub use record::RecordReader;
pub use session::{COMMIT_BUCKETS_MS, KafkaSession, SessionOptions, SessionStats, Work};
pub use stats::{BrokerStats, KafkaStats, PartitionStats};
pub use stores::KafkaStores;
pub use watch::Watch;
pub use write::{AtomicWriter, Upsert};

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

/// Parts of the names of settings whose values may be, or hold, secrets.
const SECRET: &[&str] = &["assertion", "config", "key", "password", "pem", "secret", "token"];

/// Why a setting cannot be passed on. Nothing of it shows the value of a setting that [`is_secret`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It is not for others to decide.
    #[error("cannot be given: exactly-once rests on it, so the program sets it itself")]
    Fixed,
    /// An option of a client here stands for it.
    #[error("cannot be given: an option of the program decides it, or the program itself")]
    Option,
    /// The client knows no such setting, or does not take this value.
    #[error("is refused by the Kafka client: {0}")]
    Refused(String),
    /// It needs TLS, or a mechanism that comes with it.
    #[error("needs TLS, which this program was built without: build it with the feature `tls`")]
    NeedsTls,
}

/// Whether the value of a client setting may be a secret, or hold one.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
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
    /// The setting is one that correctness rests on or that an option here stands for, or the client does not take it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        if FIXED.contains(&name) {
            return Err(SettingError::Fixed);
        }
        if OPTIONS.contains(&name) {
            return Err(SettingError::Option);
        }
        if name.contains('_') {
            // What has an underscore is a pointer to a callback, or made from the log filter.
            return Err(SettingError::Refused("there is no such setting".to_owned()));
        }
        client_takes(name, value)?;
        self.client.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The same for readers that would rather have many records at once than each as soon as it is there: unless a setting
    /// says otherwise, the brokers wait with an answer for 20 ms, or until they have 256 KiB.
    #[must_use]
    pub fn unhurried(&self) -> Connection {
        let mut connection = self.clone();
        for (name, value) in [("fetch.min.bytes", "262144"), ("fetch.wait.max.ms", "20")] {
            connection.client.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        connection
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

/// Asks the client whether it takes a setting.
fn client_takes(name: &str, value: &str) -> Result<(), SettingError> {
    let has_tls = cfg!(feature = "tls");
    if matches!(name, "sasl.mechanism" | "sasl.mechanisms") {
        // Checked by the client only when it begins to connect.
        return match value {
            "PLAIN" => Ok(()),
            "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER" if has_tls => Ok(()),
            "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER" => Err(SettingError::NeedsTls),
            _ => Err(SettingError::Refused(
                "must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, in capitals".to_owned(),
            )),
        };
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, reason, _, _)) if !has_tls && reason.contains("OpenSSL not available") => {
            Err(SettingError::NeedsTls)
        }
        // The reason may quote the value.
        Err(_) if is_secret(name) => {
            Err(SettingError::Refused("the name is unknown, or the value not taken".to_owned()))
        }
        Err(KafkaError::ClientConfig(_, reason, _, _)) => Err(SettingError::Refused(reason.trim().to_owned())),
        Err(_) => Err(SettingError::Refused("neither name nor value may have a NUL character".to_owned())),
    }
}

impl fmt::Debug for Connection {
    /// Without the values: there are passwords among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.client.keys().collect();
        f.debug_struct("Connection").field("prefix", &self.prefix).field("client", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As librdkafka has them in the end, whatever else a client of ours sets.
    #[test]
    fn settings_reach_the_client() {
        let settings = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "edge"),
            ("sasl.password", "hunter2"),
            ("socket.timeout.ms", "5000"),
            // One that clients of ours have another default for.
            ("reconnect.backoff.max.ms", "900"),
        ];
        let mut connection = Connection::new("broker:9092", "test.");
        for (name, value) in settings {
            connection.set(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let client = connection.client("edge").create_native_config().expect("the client takes them together");
        for (name, value) in settings.into_iter().chain([("bootstrap.servers", "broker:9092")]) {
            assert_eq!(client.get(name).expect("a known name"), value, "{name}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn settings_of_tls_need_it() {
        let mut connection = Connection::new("broker:9092", "test.");
        for (name, value) in [
            ("security.protocol", "ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/etc/kafka/ca.pem"),
        ] {
            assert_eq!(connection.set(name, value), Err(SettingError::NeedsTls), "{name}");
        }
    }
}
