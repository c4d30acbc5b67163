//! Reading whole topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams::kafka::{Connection, KafkaReader, Share};
use streams::log::{Limits, LogError};

use crate::support::{A, B, Transactions, WAIT, World, bootstrap, drain, keys, world};

fn open(connection: &Connection, from: &BTreeMap<(u16, u32), u64>) -> KafkaReader {
    KafkaReader::open(connection, "reader", &[A, B], from).unwrap()
}

#[test]
fn what_is_not_committed_is_not_seen_and_control_records_count_as_read() {
    let World { connection, .. } = &world("isolation", 2);
    let first = Transactions::new(connection, "first");
    let second = Transactions::new(connection, "second");
    first.begin(connection, A, 0, &["a", "b"]);
    first.commit();
    first.begin(connection, A, 0, &["gone", "too"]);
    first.abort();
    first.begin(connection, B, 1, &["c"]);
    first.commit();
    // Three markers stand at the ends: behind records, behind aborted ones, and behind nothing but another.
    let mut reader = open(connection, &BTreeMap::new());
    assert!(!reader.caught_up());
    assert_eq!(reader.lag(), 8);
    let mut read = drain(&mut reader);
    read.sort_by_key(|record| (record.topic, record.partition));
    assert_eq!(keys(&read), ["a", "b", "c"]);
    assert_eq!(reader.lag(), 0);
    let ends = BTreeMap::from([((1, 0), 6), ((1, 1), 0), ((2, 0), 0), ((2, 1), 2)]);
    assert_eq!(reader.positions(), ends);

    // Open: not seen, and whoever opens a reader meanwhile has caught up without it.
    second.begin(connection, A, 0, &["later"]);
    assert!(reader.next(&Limits::default(), Duration::from_millis(300)).unwrap().is_empty());
    assert!(open(connection, &ends).caught_up());
    second.commit();
    let records = reader.next(&Limits::default(), WAIT).unwrap();
    assert_eq!((keys(&records), records[0].offset), (vec!["later".to_owned()], 6));

    // From positions on, it is what comes after them.
    let mut again = open(connection, &BTreeMap::from([((1, 0), 1), ((2, 1), 2)]));
    assert_eq!(keys(&drain(&mut again)), ["b", "later"]);
}

/// An aborted record right before an open transaction: there is nothing to read and no marker before the end, so the
/// client's position never gets there.
#[test]
fn an_end_behind_aborted_records_is_reached_though_nothing_is_read() {
    let World { connection, .. } = &world("aborted-end", 1);
    let first = Transactions::new(connection, "first");
    let second = Transactions::new(connection, "second");
    first.begin(connection, A, 0, &["gone"]);
    second.begin(connection, A, 0, &["open"]);
    first.abort();
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert!(!reader.caught_up(), "the record at 0 may be one to read");
    assert!(drain(&mut reader).is_empty());
    assert_eq!(reader.positions(), BTreeMap::from([((1, 0), 1)]));
    second.commit();
    assert_eq!(keys(&reader.next(&Limits::default(), WAIT).unwrap()), ["open"]);
}

/// The client has fetched to the end and says so, while most of what it fetched was not handed out.
#[test]
fn what_the_client_has_ahead_is_not_read() {
    let World { connection, .. } = &world("ahead", 1);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c", "d"]);
    producer.commit();
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    let one = Limits { records_max: 1, bytes_max: 1 << 20 };
    assert_eq!(keys(&reader.next(&one, WAIT).unwrap()), ["a"]);
    // Statistics come every second, and the end is in those after it was met.
    for next in ["b", "c"] {
        std::thread::sleep(Duration::from_millis(2_500));
        assert_eq!(keys(&reader.next(&one, WAIT).unwrap()), [next]);
    }
    assert_eq!((reader.positions(), reader.caught_up()), (BTreeMap::from([((1, 0), 3)]), false));
    assert_eq!(keys(&drain(&mut reader)), ["d"]);
}

#[test]
fn readers_that_share_a_topic_read_each_partition_once() {
    let World { connection, .. } = &world("share", 3);
    let producer = Transactions::new(connection, "p");
    for partition in 0..3 {
        producer.begin(connection, A, partition, &[["a", "b", "c"][partition.unsigned_abs() as usize]]);
        producer.commit();
    }
    let read = |number| {
        let share = Share { number, of: 2 };
        let opened = KafkaReader::open_share(connection, "share", &[A, B], &BTreeMap::new(), share);
        let mut read = keys(&drain(&mut opened.unwrap()));
        read.sort();
        read
    };
    assert_eq!([read(0), read(1)], [vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()]]);
}

#[test]
fn limits_are_kept_and_order_with_them() {
    let World { connection, .. } = &world("limits", 1);
    let producer = Transactions::new(connection, "p");
    let names: Vec<String> = (0..1_000).map(|n| format!("{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    producer.begin(connection, A, 0, &names);
    producer.commit();
    for limits in [Limits { records_max: 7, bytes_max: 1 << 20 }, Limits { records_max: 1_000, bytes_max: 20 }] {
        let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
        let mut read = Vec::new();
        let deadline = Instant::now() + WAIT;
        while !reader.caught_up() {
            assert!(Instant::now() < deadline);
            let records = reader.next(&limits, Duration::from_millis(50)).unwrap();
            let bytes: usize = records.iter().map(|record| record.key.len() + record.value.len()).sum();
            assert!(records.len() <= limits.records_max && bytes <= limits.bytes_max.next_multiple_of(8));
            // A reader opened where this one is goes on where this one does.
            assert_eq!(reader.positions()[&(1, 0)] > 1_000, read.len() + records.len() == 1_000);
            read.extend(keys(&records));
        }
        assert_eq!(read, names);
    }
}

pub(crate) fn delete_before(connection: &Connection, offset: i64) {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&connection.topic(A), 0, Offset::Offset(offset)).unwrap();
    let options = AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(client.delete_records(&offsets, &options)).unwrap();
}

#[test]
fn a_position_that_the_log_does_not_have_is_told() {
    let World { connection, .. } = &world("gone", 1);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c", "d"]);
    producer.commit();
    // Behind by one record when retention comes: what is in the client's memory is read, then it is told.
    let mut slow = KafkaReader::open(connection, "slow", &[A], &BTreeMap::new()).unwrap();
    delete_before(connection, 3);
    let at = |position| KafkaReader::open(connection, "reader", &[A], &BTreeMap::from([((1, 0), position)]));
    assert!(matches!(at(1).unwrap_err(), LogError::Gone { asked: 1, first: 3 }));
    assert_eq!(keys(&drain(&mut at(3).unwrap())), ["d"]);
    assert!(at(5).unwrap().caught_up());
    let text = at(6).unwrap_err().to_string();
    assert!(text.contains("ends at 5") && text.contains("read up to 6"), "{text}");
    let mut beginning = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert_eq!(beginning.positions()[&(1, 0)], 3);
    assert_eq!(keys(&drain(&mut beginning)), ["d"]);
    let deadline = Instant::now() + WAIT;
    while !slow.caught_up() {
        assert!(Instant::now() < deadline);
        match slow.next(&Limits::default(), Duration::from_millis(50)) {
            Ok(_) => {}
            Err(LogError::Gone { first, .. }) => return assert_eq!(first, 3),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_reader_that_retention_overtakes_is_told() {
    let World { connection, .. } = &world("overtaken", 1);
    let producer = Transactions::new(connection, "p");
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::from([((1, 0), 0)])).unwrap();
    assert!(reader.next(&Limits::default(), Duration::from_millis(500)).unwrap().is_empty());
    // Records that it may not see yet hold it at 0, and are deleted before it may.
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    delete_before(connection, 2);
    producer.commit();
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline);
        match reader.next(&Limits::default(), Duration::from_millis(50)) {
            Ok(records) => assert!(records.is_empty(), "{records:?}"),
            Err(LogError::Gone { asked: 0, first: 2 }) => break,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let World { connection, .. } = &world("missing", 1);
    let nowhere = streams::Topic { id: 9, name: "nowhere" };
    let begun = Instant::now();
    let error = KafkaReader::open(connection, "reader", &[A, nowhere], &BTreeMap::new()).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(error.to_string().contains(&connection.topic(nowhere)), "{error}");
}
