//! Publishing: acknowledgements, order, bounds, outages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use streams::kafka::{Compression, KafkaPublisher, KafkaReader, PublisherOptions};
use streams::log::Limits;
use streams::{Ack, Message, PublishError, Publisher};
use testkit::{Api, Fault};

use crate::support::{A, B, Outage, WAIT, World, connection, create, distinct, drain, world};

fn message(key: &str, value: &str) -> Message {
    Message { topic: A, key: key.into(), value: value.into() }
}

fn open(world: &World, options: PublisherOptions) -> KafkaPublisher {
    KafkaPublisher::open(&world.connection, "edge", options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_is_the_place_of_the_first_message() {
    let world = world("acks", 3);
    for compression in [Compression::None, Compression::Lz4, Compression::Snappy, Compression::Gzip] {
        let publisher = open(&world, PublisherOptions { compression, ..PublisherOptions::default() });
        let name = compression.name();
        let group = vec![message("k", name), message("other", name), Message { topic: B, ..message("k", name) }];
        let Ack { partition, offset } = publisher.publish(group).unwrap().await.unwrap();
        let reader = streams::kafka::RecordReader::open(&world.connection, "look").unwrap();
        let record = reader.read(A, partition, offset, Instant::now() + WAIT).unwrap().expect("it is there");
        assert_eq!((&record.key[..], &record.value[..]), (&b"k"[..], name.as_bytes()));
        assert_eq!(publisher.queued(), (0, 0));
    }
    let mut reader = KafkaReader::open(&world.connection, "reader", &[A, B], &BTreeMap::new()).unwrap();
    assert_eq!(drain(&mut reader).len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_group_is_acknowledged() {
    let world = world("empty", 1);
    let publisher = open(&world, PublisherOptions::default());
    assert_eq!(publisher.publish(Vec::new()).unwrap().await.unwrap(), Ack { partition: 0, offset: 0 });
}

/// 64 threads with groups of 8 for one key: groups are whole and one after another, and a thread's are in its order.
#[test]
fn groups_of_many_threads_stay_whole_and_in_order() {
    const THREADS: usize = 64;
    const GROUPS: usize = 50;
    const GROUP: usize = 8;
    let world = world("order", 1);
    let publisher = Arc::new(open(&world, PublisherOptions::default()));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let publisher = Arc::clone(&publisher);
            std::thread::spawn(move || {
                let send = |group| {
                    let messages = (0..GROUP).map(|n| message("k", &format!("{thread} {group} {n}"))).collect();
                    publisher.publish(messages).unwrap()
                };
                let pending: Vec<_> = (0..GROUPS).map(send).collect();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut acks = Vec::new();
                    for pending in pending {
                        acks.push(pending.await.unwrap().offset);
                    }
                    acks
                })
            })
        })
        .collect();
    let acks: Vec<Vec<u64>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut reader = KafkaReader::open(&world.connection, "reader", &[A], &BTreeMap::new()).unwrap();
    let records = drain(&mut reader);
    assert_eq!(records.len(), THREADS * GROUPS * GROUP);
    let mut next = [0; THREADS];
    for group in records.chunks(GROUP) {
        let text = String::from_utf8(group[0].value.to_vec()).unwrap();
        let thread: usize = text.split(' ').next().unwrap().parse().unwrap();
        for (n, record) in group.iter().enumerate() {
            assert_eq!(record.value, format!("{thread} {} {n}", next[thread]));
        }
        assert_eq!(acks[thread][next[thread]], group[0].offset);
        next[thread] += 1;
    }
    assert_eq!(next, [GROUPS; THREADS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_before_anything_is_enqueued() {
    let world = world("large", 1);
    let options =
        PublisherOptions { message_bytes_max: 10_000, queue_bytes_max: 30_000, ..PublisherOptions::default() };
    let publisher = open(&world, options);
    let sized = |bytes: usize| message("k", &"v".repeat(bytes - 1));
    let check = |group: Vec<Message>, expected: (usize, usize)| match publisher.publish(group) {
        Err(PublishError::TooLarge { bytes, bytes_max }) => assert_eq!((bytes, bytes_max), expected),
        other => panic!("{other:?}"),
    };
    check(vec![sized(10), sized(10_001)], (10_001, 10_000));
    check(vec![sized(10_000), sized(10_000), sized(10_000), sized(1)], (30_001, 30_000));
    assert_eq!(publisher.queued(), (0, 0));
    // The largest there may be, which no batch and no broker refuses.
    publisher.publish(vec![sized(10_000), sized(10_000), sized(10_000)]).unwrap().await.unwrap();
    let mut reader = KafkaReader::open(&world.connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert_eq!(drain(&mut reader).len(), 3);

    let publisher = open(&world, PublisherOptions::default());
    publisher.publish(vec![sized(1_000_000)]).unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_fails_the_group_and_no_other() {
    let world = world("unknown", 1);
    let publisher = open(&world, PublisherOptions { delivery_timeout: WAIT, ..PublisherOptions::default() });
    let nowhere = streams::Topic { id: 9, name: "nowhere" };
    let lost = publisher.publish(vec![message("k", "1"), Message { topic: nowhere, ..message("k", "2") }]);
    publisher.publish(vec![message("k", "3")]).unwrap().await.unwrap();
    publisher.close(Duration::ZERO);
    assert!(matches!(lost.unwrap().await, Err(PublishError::Failed(_))));
    assert!(matches!(publisher.publish(vec![message("k", "4")]), Err(PublishError::Closed)));
    assert_eq!(publisher.queued(), (0, 0));
}

/// Nothing listens: the bounds hold, memory stays, nobody waits, and closing answers everyone.
#[tokio::test(flavor = "multi_thread")]
async fn with_no_broker_at_all_the_queue_fills_and_closing_answers() {
    let nowhere = streams::kafka::Connection::new("127.0.0.1:1", "nowhere-");
    let options = PublisherOptions {
        queue_messages_max: 1_000,
        queue_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
        ..PublisherOptions::default()
    };
    let publisher = KafkaPublisher::open(&nowhere, "edge", options).unwrap();
    let mut pending = Vec::new();
    let full = loop {
        let begun = Instant::now();
        match publisher.publish(vec![message("k", "v"), message("k", "w")]) {
            Ok(one) => pending.push(one),
            Err(error) => break error,
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "publishing waited");
    };
    assert!(matches!(full, PublishError::Full), "{full:?}");
    assert_eq!((pending.len(), publisher.queued()), (500, (1_000, 2_000)));
    assert!(matches!(publisher.publish(vec![message("k", &"v".repeat(1_000_000))]), Err(PublishError::Full)));
    let begun = Instant::now();
    publisher.close(Duration::from_millis(200));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for one in pending {
        assert!(matches!(one.await, Err(PublishError::Failed(reason)) if reason.contains("closed")));
    }
    assert_eq!(publisher.queued(), (0, 0));
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The broker hangs for a while: the queue fills and says so at once, and afterwards everything that was acknowledged
/// is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_fills_the_queue_and_loses_nothing() {
    let outage = Outage::prepare();
    let connection = connection("outage");
    create(&connection, &[A], 3, &[]);
    let options =
        PublisherOptions { queue_messages_max: 5_000, queue_bytes_max: 8 << 20, ..PublisherOptions::default() };
    let publisher = KafkaPublisher::open(&connection, "edge", options).unwrap();
    publisher.publish(vec![message("warm", "0")]).unwrap().await.unwrap();
    outage.begin();
    let value = "v".repeat(400);
    let mut pending = Vec::new();
    for n in 0..5_000 {
        pending.push(publisher.publish(vec![message(&n.to_string(), &format!("{n} {value}"))]).unwrap());
    }
    let before_kib = resident_kib();
    let begun = Instant::now();
    for _ in 0..100_000 {
        assert!(matches!(publisher.publish(vec![message("k", &value)]), Err(PublishError::Full)));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "refusing took {:?}", begun.elapsed());
    assert!(resident_kib() < before_kib + 8 * 1024, "{} KiB, before {before_kib}", resident_kib());
    tokio::time::sleep(Duration::from_secs(2)).await;
    outage.end();
    for one in pending {
        one.await.unwrap();
    }
    publisher.publish(vec![message("k", "after")]).unwrap().await.unwrap();
    let mut reader = KafkaReader::open(&connection, "reader", &[A], &BTreeMap::new()).unwrap();
    let records = drain(&mut reader);
    assert_eq!((records.len(), distinct(&records).len()), (5_002, 5_002));
}

/// Brokers are there and answer everything but what is written: after a while another client is tried, and not one that
/// has reason to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_delivers_nothing_is_replaced_while_brokers_are_there() {
    let (kafka, proxy) = testkit::Kafka::start_behind_proxy();
    let connection = streams::kafka::Connection::new(kafka.bootstrap(), "silence-");
    create(&connection, &[A], 1, &[]);
    let options = PublisherOptions { delivery_timeout: Duration::from_secs(2), ..PublisherOptions::default() };
    let publisher = KafkaPublisher::open(&connection, "silent-edge", options).unwrap();
    publisher.publish(vec![message("k", "before")]).unwrap().await.unwrap();
    assert!(!publisher.renew_if_silent().unwrap(), "it delivers");
    let fault = proxy.inject(Api::Produce, "silent-edge", Fault::LoseRequest, Duration::from_secs(25));
    let begun = Instant::now();
    while !publisher.renew_if_silent().unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not replaced");
        // Whoever waits for it hears within its time-out.
        let lost = tokio::time::timeout(Duration::from_secs(5), publisher.publish(vec![message("k", "lost")]).unwrap());
        assert!(matches!(lost.await.unwrap(), Err(PublishError::Failed(_))));
    }
    assert!(begun.elapsed() >= Duration::from_secs(10), "it was replaced after {:?}", begun.elapsed());
    assert!(proxy.hits(fault) > 1, "no request was lost, so nothing was shown");
    assert_eq!(publisher.renewals(), 1);
    while publisher.publish(vec![message("k", "after")]).unwrap().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the new client does not deliver");
    }
    assert!(!publisher.renew_if_silent().unwrap(), "the new client delivers");
    // Without any broker there is nothing that another client would find.
    drop(kafka);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(14) {
        let _ = publisher.publish(vec![message("k", "nowhere")]).unwrap().await;
        assert!(!publisher.renew_if_silent().unwrap(), "it was replaced though no broker is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_tell_of_the_brokers_and_of_what_is_behind() {
    let mut world = world("statistics", 1);
    let publisher = open(&world, PublisherOptions::default());
    for n in 0..200 {
        publisher.publish(vec![message(&n.to_string(), "v")]).unwrap().await.unwrap();
    }
    // So little ahead that most stays at the broker.
    world.connection.set("queued.min.messages", "1").unwrap();
    world.connection.set("fetch.message.max.bytes", "1").unwrap();
    world.connection.set("fetch.queue.backoff.ms", "20").unwrap();
    let mut reader = KafkaReader::open(&world.connection, "reader", &[A], &BTreeMap::new()).unwrap();
    let deadline = Instant::now() + WAIT;
    let mut read = 0;
    while reader.watch().stats().partitions.is_empty() {
        assert!(Instant::now() < deadline);
        read += reader.next(&Limits { records_max: 1, ..Limits::default() }, WAIT).unwrap().len();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let known = reader.watch().stats().partitions[&(world.connection.topic(A), 0)];
    assert_eq!((known.stable, known.end, known.unstable()), (Some(200), Some(200), Some(0)));
    assert!(known.lag().unwrap() >= 200 - read as u64, "{known:?}, {read} read");
    assert_eq!(reader.lag(), 200 - read as u64);
    while !reader.caught_up() {
        assert!(Instant::now() < deadline);
        read += reader.next(&Limits::default(), Duration::from_millis(50)).unwrap().len();
    }
    assert_eq!((read, reader.lag()), (200, 0));
    // A round trip is of the last second, so there has to be one.
    let round_trip = |publisher: &KafkaPublisher| {
        let stats = publisher.watch().stats();
        stats.brokers.values().find(|broker| broker.up).map_or(0, |broker| broker.rtt_avg_us)
    };
    while round_trip(&publisher) == 0 {
        assert!(Instant::now() < deadline, "{:?}", publisher.watch().stats());
        publisher.publish(vec![message("k", "v")]).unwrap().await.unwrap();
    }
    assert!(round_trip(&publisher) < 10_000_000);
}
