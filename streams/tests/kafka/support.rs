//! The broker, and topics of a test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{LazyLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use streams::kafka::{Admin, Connection, KafkaReader, TopicWanted};
use streams::{Record, Topic};

pub(crate) const A: Topic = Topic { id: 1, name: "a" };
pub(crate) const B: Topic = Topic { id: 2, name: "b" };

pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Where the broker listens.
pub(crate) fn bootstrap() -> String {
    std::env::var("CONVERSIONS_KAFKA_BOOTSTRAP")
        .expect("CONVERSIONS_KAFKA_BOOTSTRAP is the host:port of a Kafka broker to test against")
}

/// Tests share the broker; those that stop it have it alone.
static BROKER: RwLock<()> = RwLock::new(());

pub(crate) struct World {
    pub(crate) connection: Connection,
    _shared: Option<RwLockReadGuard<'static, ()>>,
}

/// A connection with a prefix of its own, and topics `a` and `b` of so many partitions.
pub(crate) fn world(test: &str, partitions: u32) -> World {
    let shared = BROKER.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let connection = connection(test);
    create(&connection, &[A, B], partitions, &[]);
    World { connection, _shared: Some(shared) }
}

pub(crate) fn connection(test: &str) -> Connection {
    static RUN: LazyLock<u128> = LazyLock::new(|| {
        #[allow(clippy::disallowed_methods, reason = "names differ from run to run, the broker outlives them")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).unwrap().as_millis()
    });
    Connection::new(&bootstrap(), &format!("{test}-{}-", *RUN))
}

pub(crate) fn create(connection: &Connection, topics: &[Topic], partitions: u32, configs: &[(&str, &str)]) {
    let admin = Admin::open(connection, "admin").unwrap();
    let configs: BTreeMap<String, String> = configs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let wanted: Vec<TopicWanted> = topics
        .iter()
        .map(|t| TopicWanted { name: t.name.into(), partitions, replication: None, configs: configs.clone() })
        .collect();
    assert_eq!(admin.create(&wanted, WAIT).unwrap().len(), topics.len());
}

/// A transactional producer of the client library itself, to do what the code under test never does.
pub(crate) struct Transactions(pub(crate) ThreadedProducer<rdkafka::producer::DefaultProducerContext>);

impl Transactions {
    pub(crate) fn new(connection: &Connection, id: &str) -> Transactions {
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap())
            .set("transactional.id", connection.name(id))
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .create()
            .unwrap();
        producer.init_transactions(WAIT).unwrap();
        Transactions(producer)
    }

    /// Begins one with these records, all of which are at the broker afterwards.
    pub(crate) fn begin(&self, connection: &Connection, topic: Topic, partition: i32, keys: &[&str]) {
        self.0.begin_transaction().unwrap();
        let name = connection.topic(topic);
        for key in keys {
            let record = BaseRecord::to(&name).partition(partition).key(*key).payload(*key);
            self.0.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.0.flush(WAIT).unwrap();
    }

    pub(crate) fn commit(&self) {
        self.0.commit_transaction(WAIT).unwrap();
    }

    pub(crate) fn abort(&self) {
        self.0.abort_transaction(WAIT).unwrap();
    }
}

/// Reads until the reader says that it has caught up.
pub(crate) fn drain(reader: &mut KafkaReader) -> Vec<Record> {
    let mut records = Vec::new();
    let deadline = std::time::Instant::now() + WAIT;
    while !reader.caught_up() {
        assert!(std::time::Instant::now() < deadline, "not caught up: {reader:?}");
        records.extend(reader.next(&streams::log::Limits::default(), Duration::from_millis(50)).unwrap());
    }
    records
}

pub(crate) fn keys(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.key).into_owned()).collect()
}

pub(crate) fn distinct(records: &[Record]) -> BTreeSet<Vec<u8>> {
    records.iter().map(|record| record.value.to_vec()).collect()
}

/// The broker alone, to be stopped for a while: its process is found by what listens on its port.
pub(crate) struct Outage {
    pid: String,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Outage {
    pub(crate) fn prepare() -> Outage {
        let alone = BROKER.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let pid = std::env::var("CONVERSIONS_KAFKA_PID").expect("CONVERSIONS_KAFKA_PID is the broker's process");
        Outage { pid, _alone: alone }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid]).status().unwrap().success());
    }

    pub(crate) fn begin(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn end(&self) {
        self.signal("-CONT");
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.end();
    }
}
