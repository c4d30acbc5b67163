//! A cluster, the topics of a test in it, and workers that can be stopped and started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streams::kafka::{Connection, KafkaSession, KafkaStores, SessionOptions, SessionStats, Work};
use streams::log::Limits;
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Driver, DriverError, Progress, Stores, SystemClock, Topic};
use testkit::Kafka;

use crate::toy::{DEAD, IN, NAME, OUT, Toy};

pub(crate) const CHANGELOG: &str = "toy-changelog";

/// A key and a value, or a tombstone.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// The topics of one test.
pub(crate) struct World {
    pub(crate) bootstrap: String,
    pub(crate) prefix: String,
    pub(crate) version: u32,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) partitions: i32,
    pub(crate) options: SessionOptions,
}

/// A worker in a thread.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stats: Arc<SessionStats>,
    thread: JoinHandle<Result<(), DriverError>>,
}

impl World {
    /// Topics of this many partitions on the broker that the tests share.
    pub(crate) fn new(partitions: i32) -> World {
        World::on(Kafka::shared(), partitions)
    }

    /// Topics on this broker.
    pub(crate) fn on(kafka: &Kafka, partitions: i32) -> World {
        // Told with a test that fails: what the workers had to say.
        let filter = tracing_subscriber::EnvFilter::new("warn,streams=debug");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let options = SessionOptions { session_timeout: Duration::from_secs(3), ..SessionOptions::default() };
        let world = World {
            bootstrap: kafka.bootstrap().to_owned(),
            prefix: Kafka::unique_prefix(),
            version: 1,
            folder: tempfile::tempdir().expect("a folder"),
            partitions,
            options,
        };
        world.create();
        world
    }

    fn create(&self) {
        let admin: AdminClient<_> = self.client().create().expect("a client");
        let name = |topic: &str| format!("{}{topic}", self.prefix);
        let (input, output, dead, changelog) = (name(IN.name), name(OUT.name), name(DEAD.name), name(CHANGELOG));
        let topic = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let wanted = [
            topic(&input, self.partitions),
            topic(&output, self.partitions),
            topic(&dead, 1),
            topic(&changelog, self.partitions).set("cleanup.policy", "compact"),
        ];
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for created in runtime.block_on(admin.create_topics(&wanted, &options)).expect("the brokers answer") {
            created.expect("the topic is made");
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("broker.address.family", "v4");
        config
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(&self.bootstrap, &self.prefix)
    }

    pub(crate) fn state(&self, worker: &str) -> PathBuf {
        self.folder.path().join(worker)
    }

    /// A session of a worker.
    pub(crate) fn session(&self, name: &str, stop: &Arc<AtomicBool>) -> KafkaSession {
        let work = Work { processor: NAME, inputs: vec![IN], worker: name.to_owned() };
        let session = KafkaSession::open(&self.connection(), &work, self.options.clone(), Arc::clone(stop));
        session.expect("a session")
    }

    /// The stores of a worker.
    pub(crate) fn stores(&self, name: &str) -> KafkaStores {
        let state = StateFolder::open(&self.state(name), 8 << 20).expect("the state opens");
        let stores = FolderStores::new(state, Path::new(""), NAME, self.version);
        let stamps = self.folder.path().join(format!("{name}-stamps"));
        let unseen_max = Duration::from_secs(3_600);
        KafkaStores::new(stores, &stamps, NAME, &self.prefix, unseen_max, Arc::new(SystemClock)).expect("stores")
    }

    /// The stamp of a stopped worker's store.
    pub(crate) fn position(&self, name: &str, partition: u32) -> Option<u64> {
        self.stores(name).open(partition).expect("a store").position()
    }

    /// Stamps a stopped worker's store with another position.
    pub(crate) fn stamp(&self, name: &str, partition: u32, position: u64) {
        self.stores(name).open(partition).expect("a store").apply(&[], position).expect("stamped");
    }

    /// Starts a worker on the state that it left, if any.
    pub(crate) fn start(&self, name: &str) -> Worker {
        let stop = Arc::new(AtomicBool::new(false));
        let session = self.session(name, &stop);
        let stats = session.stats();
        let (stores, clock) = (Box::new(self.stores(name)), Arc::new(SystemClock));
        let mut driver = Driver::new(Toy(self.version), session, stores, clock, Limits::default());
        let progress = driver.progress();
        let leave = Arc::new(AtomicBool::new(false));
        let (stopped, leaves) = (Arc::clone(&stop), Arc::clone(&leave));
        let thread = thread::spawn(move || {
            driver.run(&stopped)?;
            if leaves.load(Ordering::Acquire) {
                driver.into_session().leave();
            }
            Ok(())
        });
        Worker { stop, leave, progress, stats, thread }
    }

    /// How many members the group of the workers has.
    pub(crate) fn members(&self) -> usize {
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        let group = format!("{}{NAME}", self.prefix);
        let groups = consumer.client().fetch_group_list(Some(&group), Duration::from_secs(10)).expect("an answer");
        groups.groups().iter().map(|group| group.members().len()).sum()
    }

    /// Sends scripts, each with its key.
    pub(crate) fn send(&self, scripts: impl IntoIterator<Item = (String, String)>) {
        self.write(IN.name, scripts.into_iter().map(|(key, script)| (None, key.into_bytes(), script.into_bytes())));
    }

    /// Sends `count` to each of these keys, so many times.
    pub(crate) fn count(&self, keys: usize, times: usize) {
        self.send((0..keys * times).map(|number| (format!("k{}", number % keys), "count".to_owned())));
    }

    /// Writes records, each to the partition of its key or to a certain one.
    pub(crate) fn write(&self, topic: &str, records: impl IntoIterator<Item = (Option<i32>, Vec<u8>, Vec<u8>)>) {
        let mut config = self.client();
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
        let producer: BaseProducer = config.create().expect("a producer");
        let topic = format!("{}{topic}", self.prefix);
        for (partition, key, value) in records {
            let mut record = BaseRecord::to(&topic).key(&key).payload(&value);
            record.partition = partition;
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_secs(60)).expect("acknowledged");
    }

    /// Waits until every key was counted so often; each count is there once, in order, and the changelog has the last.
    pub(crate) fn check_counts(&self, keys: usize, times: usize) {
        let values = self.await_values(OUT, keys * times);
        let mut seen = vec![0; keys];
        for value in &values {
            let (key, count) = value.split_once('=').expect("a count");
            let key: usize = key[1..].parse().expect("a key");
            seen[key] += 1;
            assert_eq!(count.parse::<usize>().expect("a number"), seen[key], "{value} in {values:?}");
        }
        assert_eq!(seen, vec![times; keys]);
        let rows: BTreeMap<_, _> = self.read(CHANGELOG).into_values().flatten().collect();
        let counts = rows.values().flatten().map(|value| u64::from_be_bytes(value[..].try_into().expect("8 bytes")));
        assert_eq!(counts.collect::<Vec<_>>(), vec![times as u64; keys]);
    }

    /// Everything that is committed in a topic, by partition.
    pub(crate) fn read(&self, topic: &str) -> BTreeMap<i32, Vec<Row>> {
        let mut config = self.client();
        config
            .set("group.id", "reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let name = format!("{}{topic}", self.prefix);
        let partitions = if topic == DEAD.name { 1 } else { self.partitions };
        let mut all = TopicPartitionList::new();
        (0..partitions)
            .for_each(|partition| all.add_partition_offset(&name, partition, Offset::Beginning).expect("an offset"));
        consumer.assign(&all).expect("assigned");
        let mut found: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        let mut ended = 0;
        while ended < partitions {
            match consumer.poll(Duration::from_secs(20)).expect("in time") {
                Ok(record) => {
                    let row = (record.key().unwrap_or_default().to_vec(), record.payload().map(<[u8]>::to_vec));
                    found.entry(record.partition()).or_default().push(row);
                }
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    /// The values that are committed in a topic.
    pub(crate) fn values(&self, topic: Topic) -> Vec<String> {
        let text = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("text");
        self.read(topic.name).into_values().flatten().map(|(_, value)| text(value)).collect()
    }

    /// Waits until as many values are committed in a topic.
    pub(crate) fn await_values(&self, topic: Topic, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let values = self.values(topic);
            if values.len() >= count {
                return values;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{} of {count} within a minute", values.len());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Worker {
    /// Ends it as a process ends that is told to, or dies between two steps.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("no panic").expect("no failure");
    }

    /// Ends it, and its membership with it.
    pub(crate) fn leave(self) {
        self.leave.store(true, Ordering::Release);
        self.stop();
    }

    /// How it ended by itself.
    pub(crate) fn failure(self) -> DriverError {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it was to fail");
            thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().expect("no panic").expect_err("a failure")
    }

    pub(crate) fn ready(&self) -> u64 {
        self.progress.partitions_ready.load(Ordering::Acquire)
    }

    pub(crate) fn await_ready(&self, partitions: u64) {
        let begun = Instant::now();
        while self.ready() != partitions {
            assert!(!self.thread.is_finished(), "the worker has ended");
            assert!(begun.elapsed() < Duration::from_secs(30), "{} of {partitions} are ready", self.ready());
            thread::sleep(Duration::from_millis(2));
        }
    }
}
