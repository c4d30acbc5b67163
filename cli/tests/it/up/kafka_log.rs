//! What an installation has in Kafka, read without its help: the records of its topics, and how far its groups are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use schemas::topics::{
    CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CONVERSIONS, LEDGER_ENTRIES, PAYOUT_REPORTS, SETTLEMENTS, TopicSpec,
};
use streams::Topic;
use streams::kafka::{Connection, KafkaReader};
use streams::log::Limits;

use crate::installation::Installation;
use crate::up::topics::{AUDITED, Topics};

const WAIT: Duration = Duration::from_secs(30);
/// How long one look for more records waits.
const LOOK: Duration = Duration::from_millis(50);

/// The processors, each of which is a group, and what they read.
const GROUPS: [(&str, &[TopicSpec]); 3] = [
    ("orders", &[CONVERSIONS, CLICK_VERDICTS, SETTLEMENTS]),
    ("clicks", &[CLICKS, CLICK_LOOKUPS]),
    ("ledger", &[LEDGER_ENTRIES, PAYOUT_REPORTS]),
];

/// The last record of a partition that was read here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    /// The offset after it.
    pub(crate) next: u64,
}

/// A processor's group and what it reads.
struct Group {
    inputs: &'static [TopicSpec],
    /// Never a member: it only asks for what the group has committed.
    consumer: BaseConsumer,
}

/// A reader of everything that was committed, from the beginning.
pub(crate) struct KafkaLog {
    connection: Connection,
    groups: [Group; 3],
    reader: KafkaReader,
    found: Topics,
    /// After the last record of each partition, by the topic's number and its own.
    ends: BTreeMap<(u16, u32), u64>,
}

impl KafkaLog {
    /// Begins to read.
    pub(crate) fn open(installation: &Installation) -> KafkaLog {
        let connection = installation.connection();
        let group = |(name, inputs): (&str, &'static [TopicSpec])| {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", testkit::Kafka::shared().bootstrap())
                .set("group.id", connection.name(name));
            Group { inputs, consumer: config.create().expect("a consumer") }
        };
        let groups = GROUPS.map(group);
        let topics: Vec<Topic> = AUDITED.iter().map(processors::topic).collect();
        let reader = KafkaReader::open(&connection, "audit", &topics, &BTreeMap::new()).expect("the topics are there");
        KafkaLog { connection, groups, reader, found: Topics::default(), ends: BTreeMap::new() }
    }

    /// Everything that the topics hold.
    pub(crate) fn topics(mut self) -> Topics {
        let deadline = Instant::now() + WAIT;
        while !self.reader.caught_up() {
            assert!(Instant::now() < deadline, "not everything could be read: {:?}", self.reader);
            self.read_more();
        }
        self.found
    }

    /// Reads what has come, and says how many records that was.
    pub(crate) fn read_more(&mut self) -> usize {
        let records = self.reader.next(&Limits::default(), LOOK).expect("the log reads");
        for record in &records {
            self.ends.insert((record.topic, record.partition), record.offset + 1);
            self.found.take(record);
        }
        records.len()
    }

    /// The ends of all partitions of these topics that have records.
    pub(crate) fn ends(&self, of: &[TopicSpec]) -> Vec<End> {
        let end = |(&(id, partition), &next): (&(u16, u32), &u64)| {
            let topic = of.iter().find(|topic| topic.number == id).map(processors::topic)?;
            Some(End { topic, partition, next })
        };
        self.ends.iter().filter_map(end).collect()
    }

    /// The partitions of which a group has not committed the last record read here: topic, partition, how many offsets.
    pub(crate) fn behind(&self) -> Vec<(&'static str, u32, u64)> {
        self.groups.iter().flat_map(|group| self.group_behind(group)).collect()
    }

    fn group_behind(&self, group: &Group) -> Vec<(&'static str, u32, u64)> {
        let ends = self.ends(group.inputs);
        let mut asked = TopicPartitionList::new();
        for end in &ends {
            asked.add_partition(&self.connection.topic(end.topic), end.partition.cast_signed());
        }
        let committed = group.consumer.committed_offsets(asked, WAIT).expect("the brokers tell what is committed");
        let behind = |End { topic, partition, next }: End| {
            let found = committed.find_partition(&self.connection.topic(topic), partition.cast_signed());
            let committed = match found.map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => offset.cast_unsigned(),
                _ => 0,
            };
            (committed < next).then(|| (topic.name, partition, next - committed))
        };
        ends.into_iter().filter_map(behind).collect()
    }
}
