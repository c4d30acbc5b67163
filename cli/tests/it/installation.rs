//! Topics of a test's own on the shared broker, and commands that run on them.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use schemas::registry::{Fold, Folded, Registry};
use schemas::topics::{REGISTRY, TopicSpec};
use streams::Record;
use streams::kafka::{AtomicWriter, Connection, KafkaReader};
use streams::log::Limits;
use testkit::Kafka;

use crate::support::{command, run, text};

/// Partitions of the topics of which the settings decide it.
pub(crate) const PARTITIONS: u32 = 3;

/// The catalogue's topics under a prefix of their own.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) prefix: String,
}

impl Installation {
    /// Makes the topics.
    pub(crate) fn new() -> Installation {
        let installation = Installation { prefix: Kafka::unique_prefix() };
        let made = installation.run(&["topics", "--create"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        installation
    }

    /// A command under the settings of this installation.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        let partitions = PARTITIONS.to_string();
        let settings = [
            ("KAFKA_BOOTSTRAP", Kafka::shared().bootstrap()),
            ("KAFKA_PREFIX", &self.prefix),
            ("TOPICS_PARTITIONS", &partitions),
            ("TOPICS_REPLICATION_FACTOR", "1"),
            ("TOPICS_MIN_INSYNC_REPLICAS", "1"),
        ];
        command.envs(settings.map(|(name, value)| (format!("CONVERSIONS_{name}"), value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments), "")
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(Kafka::shared().bootstrap(), &self.prefix)
    }

    /// Everything in a topic.
    pub(crate) fn read(&self, topic: &TopicSpec) -> Vec<Record> {
        let opened = KafkaReader::open(&self.connection(), "test", &[processors::topic(topic)], &BTreeMap::new());
        let mut reader = opened.expect("a reader");
        let mut records = Vec::new();
        while !reader.caught_up() {
            records.extend(reader.next(&Limits::default(), Duration::from_millis(100)).expect("records"));
        }
        records
    }

    /// Writes a record past every check.
    pub(crate) fn write(&self, topic: &TopicSpec, key: &[u8], value: &[u8]) {
        let record = (processors::topic(topic), key.to_vec(), Some(value.to_vec()));
        let writer = AtomicWriter::open(&self.connection(), "test").expect("a writer");
        writer.write(&[record]).expect("it is written");
    }

    /// The registry that the topic's last seal made, and its version; 0 if there is none.
    pub(crate) fn registry(&self) -> (i64, Option<Arc<Registry>>) {
        let mut fold = Fold::default();
        let mut sealed = (0, None);
        for record in self.read(&REGISTRY) {
            let value = (!record.value.is_empty()).then_some(&*record.value);
            if let Ok(Folded::Seal) = fold.apply(&record.key, value) {
                sealed = (fold.seal().expect("it was just read").version, fold.registry().ok());
            }
        }
        sealed
    }
}
