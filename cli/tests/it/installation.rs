//! Topics of a test's own on the shared broker, and commands that run on them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use schemas::registry::{Fold, Folded, MasterKeys, Registry, Secrets};
use schemas::topics::{REGISTRY, TopicSpec};
use streams::Record;
use streams::kafka::{AtomicWriter, Connection, KafkaReader};
use streams::log::Limits;
use tempfile::{NamedTempFile, TempDir};
use testkit::{Kafka, MASTER_KEY};

use crate::support::{command, run, text};
use crate::up::client::{self, SERVICE_TOKEN};
use crate::up::poll;

/// A process of the installation, killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// Waits for its first line, and returns the URL in it.
    pub(crate) fn url(&mut self) -> String {
        let mut line = String::new();
        let mut stdout = BufReader::new(self.child.stdout.take().expect("it was not asked before"));
        stdout.read_line(&mut line).expect("a line");
        let url = line.trim_end().find("http://").map(|at| line.trim_end()[at..].to_owned());
        url.unwrap_or_else(|| panic!("it announced {line:?}; its log:\n{}", self.log()))
    }

    /// Waits until its log has a text.
    pub(crate) fn wait_for_log(&self, expected: &str) {
        poll(Duration::from_secs(30), || self.log().contains(expected).then_some(()).ok_or_else(|| self.log()));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr.log")).expect("a file")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Partitions of the topics of which the settings decide it.
pub(crate) const PARTITIONS: u32 = 3;

/// The catalogue's topics under a prefix of their own.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) prefix: String,
    /// Its administrators.
    admins: NamedTempFile,
}

impl Installation {
    /// One whose topics nobody has made.
    pub(crate) fn without_topics() -> Installation {
        let mut admins = NamedTempFile::new().expect("a file");
        admins.write_all(client::admins().as_bytes()).expect("a list");
        Installation { prefix: Kafka::unique_prefix(), admins }
    }

    /// Makes the topics.
    pub(crate) fn new() -> Installation {
        let installation = Installation::without_topics();
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
            ("REGISTRY_MASTER_KEY", MASTER_KEY),
            ("INGEST_SERVICE_TOKEN", SERVICE_TOKEN),
            ("INGEST_ADMIN_TOKENS_FILE", self.admins.path().to_str().expect("UTF-8")),
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

    /// Starts a command that runs until it is dropped, on a data folder of its own.
    pub(crate) fn start(&self, name: &str, settings: &[(&str, &str)]) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let log = File::create(folder.path().join("stderr.log")).expect("a file");
        let mut command = self.command(&[name]);
        let data = folder.path().join("data");
        command
            .env("CONVERSIONS_INGEST_LISTEN", "127.0.0.1:0")
            .env("CONVERSIONS_INGEST_DATA", &data)
            .env("CONVERSIONS_MATERIALIZER_METRICS_LISTEN", "127.0.0.1:0")
            .env("CONVERSIONS_PROCESSORS_METRICS_LISTEN", "127.0.0.1:0")
            .env("CONVERSIONS_PROCESSORS_DATA", &data)
            .envs(settings.iter().map(|(name, value)| (format!("CONVERSIONS_{name}"), value)))
            .stdin(Stdio::null())
            .stderr(log);
        Running { child: command.spawn().expect("the binary starts"), folder }
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
        let keys = MasterKeys::parse(MASTER_KEY).expect("a master key");
        let mut fold = Fold::default();
        let mut sealed = (0, None);
        for record in self.read(&REGISTRY) {
            let value = (!record.value.is_empty()).then_some(&*record.value);
            if let Ok(Folded::Seal) = fold.apply(&record.key, value) {
                sealed = (fold.seal().expect("it was just read").version, fold.registry(Secrets::Decrypt(&keys)).ok());
            }
        }
        sealed
    }
}
