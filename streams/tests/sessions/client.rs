//! What a restore relies on in the client, and is promised nowhere.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::world::{CHANGELOG, World};

const WAIT: Duration = Duration::from_secs(20);

struct Changelog {
    topic: String,
    producer: BaseProducer,
    stable: BaseConsumer,
    high: BaseConsumer,
}

impl Changelog {
    fn new(world: &World) -> Changelog {
        let producer: BaseProducer =
            world.client().set("transactional.id", &world.prefix).create().expect("a producer");
        producer.init_transactions(WAIT).expect("it is its own id");
        let consumer = |isolation: &str| {
            let mut config = world.client();
            config.set("group.id", "none").set("isolation.level", isolation).set("enable.partition.eof", "true");
            config.create().expect("a consumer")
        };
        let (stable, high) = (consumer("read_committed"), consumer("read_uncommitted"));
        Changelog { topic: format!("{}{CHANGELOG}", world.prefix), producer, stable, high }
    }

    fn begin(&self) {
        self.producer.begin_transaction().expect("begun");
        let record = BaseRecord::to(&self.topic).key("k").payload("v").partition(0);
        self.producer.send(record).map_err(|(error, _)| error).expect("sent");
        self.producer.flush(WAIT).expect("acknowledged");
    }

    /// The ends that the two consumers tell.
    fn ends(&self) -> (i64, i64) {
        let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(&self.topic, 0, WAIT).expect("an answer").1;
        (end(&self.stable), end(&self.high))
    }

    /// Waits until the markers of the last transaction are written.
    fn await_stable(&self) {
        while self.ends().0 < self.ends().1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many records there are from an offset on, and the position after them.
    fn read(&self, from: i64) -> (usize, Offset) {
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.topic, 0, Offset::Offset(from)).expect("an offset");
        self.stable.assign(&all).expect("assigned");
        let (mut records, begun) = (0, Instant::now());
        loop {
            assert!(begun.elapsed() < WAIT, "{records} records and no end");
            // A marker makes it return early, with nothing.
            let Some(polled) = self.stable.poll(WAIT) else { continue };
            match polled {
                Ok(_) => records += 1,
                Err(KafkaError::PartitionEOF(0)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let positions = self.stable.position().expect("a position");
        (records, positions.find_partition(&self.topic, 0).expect("it is assigned").offset())
    }
}

/// One consumer tells the high watermark, the other the last stable offset.
#[test]
fn the_ends_of_an_open_transaction() {
    let changelog = Changelog::new(&World::new(1));
    assert_eq!(changelog.ends(), (0, 0));
    changelog.begin();
    assert_eq!(changelog.ends(), (0, 1));
    changelog.producer.commit_transaction(WAIT).expect("committed");
    changelog.await_stable();
    assert_eq!(changelog.ends(), (2, 2), "a record and a marker");
    changelog.begin();
    assert_eq!(changelog.ends(), (2, 3));
    changelog.producer.abort_transaction(WAIT).expect("aborted");
    changelog.await_stable();
    assert_eq!(changelog.ends(), (4, 4));
}

/// The position is the end also where the last thing there is a marker, or an aborted transaction.
#[test]
fn the_position_at_the_end() {
    let changelog = Changelog::new(&World::new(1));
    changelog.begin();
    changelog.producer.commit_transaction(WAIT).expect("committed");
    changelog.await_stable();
    assert_eq!(changelog.read(0), (1, Offset::Offset(2)));
    assert_eq!(changelog.read(1), (0, Offset::Offset(2)), "a marker alone");
    changelog.begin();
    assert_eq!(changelog.read(0), (1, Offset::Offset(2)), "an open transaction");
    changelog.producer.abort_transaction(WAIT).expect("aborted");
    changelog.await_stable();
    assert_eq!(changelog.read(0), (1, Offset::Offset(4)));
    assert_eq!(changelog.read(2), (0, Offset::Offset(4)));
}
