//! Topics on a broker, a keyspace on a server, and materializers in threads.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use schemas::AvroRecord;
use schemas::topics::{BALANCES, COMMISSIONS, CONVERSIONS, LEDGER_ENTRIES, PAYOUTS, TRANSITIONS, TopicSpec};
use store::cql::{
    ClaimKeeper, Cql, CqlError, Materializer, MaterializerError, MaterializerOptions, MaterializerProgress, Options,
    Task, Writer,
};
use streams::SystemClock;
use streams::kafka::{Admin, AtomicWriter, Connection, GroupOptions, KafkaReader, Positions, TopicWanted};
use streams::log::Limits;
use testkit::Kafka;

use crate::common::topic;
use crate::server::{open, runtime, wait};

pub(crate) const WAIT: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 2;
pub(crate) const IDENTITY: &str = "a log of the tests";

/// What a test works on.
pub(crate) struct World {
    pub(crate) connection: Connection,
    options: Options,
    pub(crate) cql: Cql,
}

/// A materializer in a thread, told to stop when it is dropped.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    /// Its own way to the server.
    pub(crate) cql: Cql,
    progress: Arc<MaterializerProgress>,
    thread: JoinHandle<Result<(), MaterializerError>>,
}

/// Asks until it is so.
#[track_caller]
pub(crate) fn until<T: Debug>(mut ask: impl FnMut() -> Result<(), T>) {
    let begun = Instant::now();
    while let Err(last) = ask() {
        assert!(begun.elapsed() < WAIT, "not within {WAIT:?}: {last:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    /// Empty topics, and a writer to these keyspaces.
    pub(crate) fn new(options: &Options) -> World {
        // Told with a test that fails: what the materializers had to say.
        let filter = tracing_subscriber::EnvFilter::new("warn,store=debug,streams=debug");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let connection = Connection::new(Kafka::shared().bootstrap(), &Kafka::unique_prefix());
        let admin = Admin::open(&connection, "admin").expect("a client");
        let topics =
            [CONVERSIONS, TRANSITIONS, COMMISSIONS, LEDGER_ENTRIES, BALANCES, PAYOUTS].map(|spec| TopicWanted {
                name: spec.name.to_owned(),
                partitions: PARTITIONS,
                replication: None,
                configs: BTreeMap::new(),
            });
        admin.create(&topics, WAIT).expect("the topics are made");
        World { connection, cql: open(options), options: options.clone() }
    }

    /// Writes records, each in the partition of its order.
    pub(crate) fn write<R: AvroRecord>(&self, spec: TopicSpec, records: &[(String, R)]) {
        let records = records
            .iter()
            .map(|(order, record)| (topic(spec), order.clone().into_bytes(), Some(schemas::encode(record))));
        let writer = AtomicWriter::open(&self.connection, "test").expect("a writer");
        writer.write(&records.collect::<Vec<_>>()).expect("written");
    }

    /// Where the partitions end that have anything.
    pub(crate) fn ends(&self) -> Positions {
        let topics = [CONVERSIONS, TRANSITIONS].map(topic);
        let mut reader = KafkaReader::open(&self.connection, "ends", &topics, &Positions::new()).expect("a reader");
        while !reader.caught_up() {
            reader.next(&Limits::default(), Duration::from_millis(50)).expect("records");
        }
        reader.positions().into_iter().filter(|(_, end)| *end > 0).collect()
    }

    /// How far the keyspace says that it is.
    pub(crate) fn positions(&self) -> Result<Positions, CqlError> {
        wait(Writer::new(&self.cql).positions())
    }

    /// Starts one that writes the read model.
    pub(crate) fn start(&self) -> Worker {
        self.start_with(|_| Task::ReadModel)
    }

    /// Starts one that makes claims good.
    pub(crate) fn start_keeper(&self) -> Worker {
        self.start_with(|cql| Task::Claims(ClaimKeeper::new(cql, Arc::new(SystemClock))))
    }

    fn start_with(&self, task: impl Fn(&Cql) -> Task) -> Worker {
        let group = GroupOptions { session_timeout: Duration::from_secs(3), ..GroupOptions::default() };
        let options = MaterializerOptions { group, ..MaterializerOptions::default() };
        let cql = open(&self.options);
        let (store, log) = ((&cql, &Writer::new(&cql)), (&self.connection, IDENTITY));
        let materializer = Materializer::new(store, task(&cql), log, options, runtime().handle());
        let stop = Arc::new(AtomicBool::new(false));
        let (progress, told) = (materializer.progress(), Arc::clone(&stop));
        Worker { stop, cql, progress, thread: thread::spawn(move || materializer.run(&told)) }
    }
}

impl Worker {
    pub(crate) fn count(&self, counter: fn(&MaterializerProgress) -> &AtomicU64) -> u64 {
        assert!(!self.thread.is_finished(), "the materializer has ended");
        counter(&self.progress).load(Ordering::Acquire)
    }

    pub(crate) fn caught_up(&self) -> bool {
        self.progress.caught_up.load(Ordering::Acquire)
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("no panic").expect("no failure");
    }
}
