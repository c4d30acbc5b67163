//! What a client once heard of a partition, and is no longer true.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use streams::kafka::client::{Clients, Librdkafka, ReaderClient};
use streams::kafka::{
    Connection, GroupOptions, GroupReader, KafkaPublisher, KafkaReader, Positions, PublisherOptions, Turn,
};
use streams::log::Limits;
use streams::{Message, Publisher};
use testkit::{Kafka, Proxy};

use crate::support::{A, WAIT, World, bootstrap, create, world};

fn make_two_partitions(topic: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(WAIT));
    let made = runtime.block_on(admin.create_partitions(&[NewPartitions::new(topic, 2)], &options)).unwrap();
    made.into_iter().for_each(|made| drop(made.unwrap()));
}

#[test]
fn a_partition_that_a_client_does_not_know_is_asked_for_anew() {
    let World { connection, .. } = &world("metadata", 1);
    let name = connection.topic(A);
    let reader = Librdkafka::new(connection, "metadata").reader("metadata", &name).unwrap();
    assert_eq!(reader.high(0, WAIT), Ok((0, 0)));
    assert!(reader.high(1, WAIT).is_err() && reader.stable(1, WAIT).is_err(), "it is not there");
    make_two_partitions(&name);
    let deadline = Instant::now() + WAIT;
    while reader.high(1, WAIT).is_err() || reader.stable(1, WAIT).is_err() {
        assert!(Instant::now() < deadline, "{:?} and {:?}", reader.high(1, WAIT), reader.stable(1, WAIT));
        thread::sleep(Duration::from_millis(50));
    }
}

/// After it two statistics of a client have come, one a second.
const STATISTICS_WAIT: Duration = Duration::from_secs(4);
/// More tries than it should ever take.
const MANY_TRIES: Duration = Duration::from_secs(90);

/// Waits for so long after a client of this name was told of no broker, and goes on with `between` meanwhile.
async fn told_of_no_broker(proxy: &Proxy, client: &str, mut between: impl FnMut()) {
    let (fault, asked) = (proxy.name_no_broker(client), Instant::now());
    while proxy.hits(fault) == 0 || asked.elapsed() < STATISTICS_WAIT {
        assert!(asked.elapsed() < WAIT, "it does not ask for metadata");
        between();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A client that is told of no broker forgets those that it knows. Mostly it soon asks the configured ones again; but not if
/// it hears of the loss before it is through with the answer, which is why that is a long one here.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_sight_of_all_brokers_is_replaced() {
    let (kafka, proxy) = Kafka::start_behind_proxy();
    let mut connection = Connection::new(kafka.bootstrap(), "stranded-");
    create(&connection, &[A], 500, &[]);
    connection.set("topic.metadata.refresh.interval.ms", "500").unwrap();
    let publisher = KafkaPublisher::open(&connection, "stranded-edge", PublisherOptions::default()).unwrap();
    let mut reader = KafkaReader::open(&connection, "stranded-reader", &[A], &BTreeMap::new()).unwrap();
    let message = || Message { topic: A, key: "k".into(), value: "v".into() };
    publisher.publish(vec![message()]).unwrap().await.unwrap();
    assert_eq!(reader.next(&Limits::default(), WAIT).unwrap().len(), 1);
    let begun = Instant::now();
    while publisher.renewals() == 0 {
        assert!(begun.elapsed() < MANY_TRIES, "it never lost sight of the brokers, so nothing was shown");
        told_of_no_broker(&proxy, "stranded-edge", || drop(publisher.renew_if_silent())).await;
    }
    let begun = Instant::now();
    while reader.renewals() == 0 {
        assert!(begun.elapsed() < MANY_TRIES, "it never lost sight of the brokers, so nothing was shown");
        told_of_no_broker(&proxy, "stranded-reader", || drop(reader.next(&Limits::default(), Duration::ZERO))).await;
    }
    let mut member = GroupReader::open(&connection, "member", &[A], GroupOptions::default()).unwrap();
    let (mut read, begun) = (Vec::new(), Instant::now());
    while member.renewals() == 0 {
        assert!(begun.elapsed() < MANY_TRIES, "it never lost sight of the brokers, so nothing was shown");
        told_of_no_broker(&proxy, "stranded-member", || turn(&mut member, &mut read)).await;
    }
    publisher.publish(vec![message()]).unwrap().await.unwrap();
    assert_eq!(reader.next(&Limits::default(), WAIT).unwrap().len(), 1);
    let begun = Instant::now();
    while read != [0, 1] {
        assert!(begun.elapsed() < WAIT, "another member was to read all of it: {read:?}, {member:?}");
        turn(&mut member, &mut read);
    }
}

/// Reads from the beginning of whatever the member is assigned; `read` has the offsets since it was.
fn turn(member: &mut GroupReader, read: &mut Vec<u64>) {
    match member.next(&Limits::default(), Duration::from_millis(50)).unwrap() {
        Turn::Assigned(_) => {
            read.clear();
            member.begin(&Positions::new());
        }
        Turn::Batch(batch) => read.extend(batch.records.iter().map(|record| record.offset)),
        Turn::Revoked(_) | Turn::Nothing => {}
    }
}
