//! A cluster that claims are made of, and what is done with its clients.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use streams::kafka::SessionOptions;
use streams::kafka::client::{Clients, Delivered, Identity, Outgoing, ProducerClient, ReaderClient, Time};
use streams::sim::{self, Call, Cluster, ClusterOptions, Fate, Faults, TopicOptions};
use testkit::{Api, Fault};

/// How long anything may take.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// The group that members are of.
pub(crate) const GROUP: &str = "group";

/// A cluster.
pub(crate) trait World {
    type Clients: Clients;

    /// The clients of a process.
    fn clients(&self) -> Self::Clients;

    /// Makes a topic.
    fn create(&self, topic: &str, partitions: u32);

    /// Makes a compacted topic, in which all but the last few records is cleaned soon.
    fn create_compacted(&self, topic: &str);

    /// Has the cleaner come, at once or soon.
    fn clean(&self);

    /// Deletes the records of partition 0 before an offset, as retention does.
    fn delete_before(&self, topic: &str, offset: u64);

    /// Does this to the next request of this kind.
    fn inject(&self, api: Api, fault: Fault);
}

/// A record: its offset, its key and its value.
pub(crate) type Row = (i64, String, Option<String>);
/// The producer of a world.
pub(crate) type Producer<W> = <<W as World>::Clients as Clients>::Producer;

pub(crate) fn options() -> SessionOptions {
    SessionOptions {
        session_timeout: Duration::from_secs(3),
        transaction_timeout: Duration::from_secs(20),
        ..SessionOptions::default()
    }
}

pub(crate) fn sleep(world: &impl World, wait: Duration) {
    world.clients().time().sleep(wait);
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(world: &impl World, what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let time = world.clients().time();
    let until = time.now() + 2 * WAIT;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(time.now() < until, "{what}: not in time");
        time.sleep(Duration::from_millis(10));
    }
}

/// Whoever works under a name, which is its transactional id too.
pub(crate) fn identity(clients: &impl Clients, name: &str) -> Identity {
    Identity { group: clients.name(GROUP), worker: clients.name(name) }
}

/// A producer that has taken its id over.
pub(crate) fn producer<W: World>(world: &W, name: &str) -> Producer<W> {
    producer_with(world, name, &options())
}

pub(crate) fn producer_with<W: World>(world: &W, name: &str, options: &SessionOptions) -> Producer<W> {
    let clients = world.clients();
    let producer = clients.producer(&clients.name(name), options).expect("a producer");
    eventually(world, "taking the id over", || match producer.init(WAIT) {
        Ok(()) => Some(()),
        Err(refused) if refused.retriable => None,
        Err(refused) => panic!("{:?}", refused.error),
    });
    producer
}

/// Writes records and waits until they are acknowledged.
pub(crate) fn write<W: World>(
    world: &W,
    producer: &Producer<W>,
    topic: &str,
    partition: u32,
    rows: &[(&str, Option<&str>)],
) -> Result<u64, KafkaError> {
    let topic = world.clients().name(topic);
    *producer.delivered() = Delivered::default();
    for (key, value) in rows {
        let (key, value) = (key.as_bytes(), value.map(str::as_bytes));
        producer.send(Outgoing { topic: &topic, partition: Some(partition), key, value, is_change: true })?;
    }
    loop {
        producer.poll();
        if let Some(error) = producer.delivered().error.clone() {
            return Err(error);
        }
        if producer.in_flight() == 0 {
            return Ok(producer.delivered().ends[&partition]);
        }
        producer.pause();
    }
}

/// Begins a transaction and writes a record in it.
pub(crate) fn open<W: World>(world: &W, producer: &Producer<W>, topic: &str, partition: u32) {
    producer.begin().expect("begun");
    write(world, producer, topic, partition, &[("k", Some("v"))]).expect("acknowledged");
}

#[track_caller]
pub(crate) fn commit(producer: &impl ProducerClient) {
    producer.commit(WAIT).map_err(|refused| refused.error).expect("committed");
}

/// The last stable offset and the high watermark of a partition.
pub(crate) fn ends(world: &impl World, topic: &str, partition: u32) -> (i64, i64) {
    let clients = world.clients();
    let reader = clients.reader(&clients.name("reader"), &clients.name(topic)).expect("a reader");
    (reader.stable(partition, WAIT).expect("an answer").1, reader.high(partition, WAIT).expect("an answer").1)
}

/// Waits until the markers of what is decided are written, so that nothing is open; the end.
pub(crate) fn settled(world: &impl World, topic: &str, partition: u32) -> i64 {
    eventually(world, "markers", || {
        let (stable, high) = ends(world, topic, partition);
        (stable == high).then_some(high)
    })
}

/// What is committed in a partition, and the position at its end.
pub(crate) fn read(world: &impl World, topic: &str, partition: u32) -> (Vec<Row>, Option<u64>) {
    read_from(world, topic, partition, None).expect("it can be read")
}

pub(crate) fn read_from(
    world: &impl World,
    topic: &str,
    partition: u32,
    from: Option<u64>,
) -> Result<(Vec<Row>, Option<u64>), KafkaError> {
    let clients = world.clients();
    let reader = clients.reader(&clients.name("reader"), &clients.name(topic)).expect("a reader");
    reader.read_from(partition, from).expect("assigned");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let mut rows = Vec::new();
    eventually(world, "the end", || match reader.poll(Duration::from_millis(100)) {
        Some(Ok(record)) => {
            rows.push((record.offset(), text(record.key().unwrap_or_default()), record.payload().map(text)));
            None
        }
        Some(Err(KafkaError::PartitionEOF(_))) => Some(Ok(())),
        // The reader joins no group, and a broker may have nothing to say yet.
        Some(Err(error)) if code(&error) == Some(RDKafkaErrorCode::AutoOffsetReset) => Some(Err(error)),
        Some(Err(_)) | None => None,
    })?;
    Ok((rows, reader.position(partition).expect("it is assigned")))
}

pub(crate) fn row(offset: i64, key: &str, value: &str) -> Row {
    (offset, key.to_owned(), Some(value.to_owned()))
}

pub(crate) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code()
}

/// The model.
pub(crate) struct Model {
    cluster: Cluster,
    faults: Arc<Injected>,
}

/// Faults that wait for their requests.
#[derive(Debug, Default)]
struct Injected(Mutex<VecDeque<(sim::Api, Fault)>>);

impl Model {
    pub(crate) fn new() -> Model {
        let faults = Arc::new(Injected::default());
        let options = ClusterOptions { transaction_check_every: Duration::from_millis(500), ..Default::default() };
        let cluster = Cluster::new(options, Arc::clone(&faults) as Arc<dyn Faults>);
        Model { cluster, faults }
    }
}

impl World for Model {
    type Clients = sim::SimClients;

    fn clients(&self) -> sim::SimClients {
        self.cluster.process("process").clients()
    }

    fn create(&self, topic: &str, partitions: u32) {
        self.cluster.create_topic(topic, TopicOptions::of(partitions));
    }

    fn create_compacted(&self, topic: &str) {
        self.cluster.create_topic(topic, TopicOptions { active_records: 2, ..TopicOptions::compacted(1) });
    }

    fn clean(&self) {
        self.cluster.clean();
    }

    fn delete_before(&self, topic: &str, offset: u64) {
        self.cluster.delete_before(topic, 0, offset);
    }

    fn inject(&self, api: Api, fault: Fault) {
        let api = match api {
            Api::Produce => sim::Api::Produce,
            Api::JoinGroup => sim::Api::JoinGroup,
            Api::InitProducerId => sim::Api::InitProducerId,
            Api::AddOffsetsToTxn => sim::Api::AddOffsetsToTxn,
            Api::EndTxn => sim::Api::EndTxn,
            Api::TxnOffsetCommit => sim::Api::TxnOffsetCommit,
        };
        self.faults.0.lock().expect("no panic").push_back((api, fault));
    }
}

impl Faults for Injected {
    fn before(&self, _: &Cluster, call: &Call<'_>) -> Fate {
        let mut waiting = self.0.lock().expect("no panic");
        let Some(at) = waiting.iter().position(|(api, _)| *api == call.api) else { return Fate::Arrives };
        let (_, fault) = waiting.remove(at).expect("it was just found");
        let noticed = Duration::from_millis(50);
        match fault {
            Fault::LoseRequest => Fate::Lost { noticed },
            Fault::LoseAnswer => Fate::Unanswered { noticed },
            Fault::Repeat => Fate::Repeated { again: Duration::from_millis(1) },
            Fault::RepeatLate(again) => Fate::Repeated { again },
        }
    }

    fn marker_delay(&self, _: &str, partition: u32) -> Duration {
        Duration::from_millis(3 + 5 * u64::from(partition))
    }
}
