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

/// A client that looks for brokers asks twice a second at least, as it is told to here.
const SILENCE: Duration = Duration::from_millis(700);
/// After it two statistics of a client have come, one a second.
const STATISTICS_WAIT: Duration = Duration::from_secs(4);
/// Longer than it should ever take: seconds by itself, and half a minute beside work on all processors.
const LONG: Duration = Duration::from_secs(240);

/// Tells a client of this name of no broker, again and again, until it asks no more and `is_renewed`, which is asked
/// all the while. Once it asks no more it is told the truth, so that the client in its place hears of brokers.
async fn strand(proxy: &Proxy, client: &str, mut is_renewed: impl FnMut() -> bool) {
    let begun = Instant::now();
    loop {
        let fault = proxy.name_no_broker(client);
        let (mut asked, mut last) = (0, Instant::now());
        while asked == 0 || last.elapsed() < SILENCE {
            assert!(begun.elapsed() < LONG, "{client} was told {asked} times, and never lost sight of the brokers");
            if proxy.hits(fault) != asked {
                (asked, last) = (proxy.hits(fault), Instant::now());
            }
            is_renewed();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.withdraw(fault);
        let silent = Instant::now();
        while silent.elapsed() < STATISTICS_WAIT {
            if is_renewed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
    strand(&proxy, "stranded-edge", || {
        drop(publisher.renew_if_silent());
        publisher.renewals() > 0
    })
    .await;
    strand(&proxy, "stranded-reader", || {
        drop(reader.next(&Limits::default(), Duration::ZERO));
        reader.renewals() > 0
    })
    .await;
    let mut member = GroupReader::open(&connection, "member", &[A], GroupOptions::default()).unwrap();
    let mut read = Vec::new();
    strand(&proxy, "stranded-member", || {
        turn(&mut member, &mut read);
        member.renewals() > 0
    })
    .await;
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
