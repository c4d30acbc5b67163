//! Writing together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streams::LogError;
use streams::kafka::{AtomicWriter, Connection, KafkaReader, Upsert, partition};
use streams::log::Limits;

use crate::support::{A, B, Transactions, World, drain, keys, world};

fn write_atomically(connection: &Connection, id: &str, records: &[Upsert]) -> Result<(), LogError> {
    AtomicWriter::open(connection, id)?.write(records)
}

#[test]
fn records_and_tombstones_are_written_together() {
    let World { connection, .. } = &world("write", 3);
    let records: Vec<_> = (0..300)
        .map(|n| {
            let value = (n % 3 > 0).then(|| format!("v{n}").into_bytes());
            (if n % 2 == 0 { A } else { B }, format!("k{n}").into_bytes(), value)
        })
        .collect();
    write_atomically(connection, "registry", &records).unwrap();
    let mut reader = KafkaReader::open(connection, "reader", &[A, B], &BTreeMap::new()).unwrap();
    let read = drain(&mut reader);
    assert_eq!(read.len(), 300);
    for (topic, key, value) in records {
        let found = read.iter().find(|record| record.key == key).unwrap();
        assert_eq!((found.topic, found.partition), (topic.id, partition(&key, 3)));
        assert_eq!(found.value, value.unwrap_or_default());
    }
    write_atomically(connection, "registry", &[]).unwrap();
}

#[test]
fn another_writer_of_the_same_name_is_fenced() {
    let World { connection, .. } = &world("fence", 1);
    let zombie = Transactions::new(connection, "registry");
    zombie.begin(connection, A, 0, &["zombie"]);
    write_atomically(connection, "registry", &[(A, b"k".to_vec(), Some(b"v".to_vec()))]).unwrap();
    let error = rdkafka::producer::Producer::commit_transaction(&zombie.0, Duration::from_secs(10)).unwrap_err();
    assert!(matches!(&error, rdkafka::error::KafkaError::Transaction(cause) if cause.is_fatal()), "{error}");
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert_eq!(keys(&drain(&mut reader)), ["k"]);
}

#[test]
fn whoever_is_fenced_writes_nothing_and_is_told_so() {
    let World { connection, .. } = &world("fenced", 1);
    let first = AtomicWriter::open(connection, "registry").unwrap();
    let second = AtomicWriter::open(connection, "registry").unwrap();
    let error = first.write(&[(A, b"first".to_vec(), Some(b"v".to_vec()))]).unwrap_err();
    assert!(matches!(&error, LogError::Replaced { worker } if worker == "registry"), "{error}");
    second.write(&[(A, b"second".to_vec(), Some(b"v".to_vec()))]).unwrap();
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert_eq!(keys(&drain(&mut reader)), ["second"]);
}

#[test]
fn a_record_that_the_brokers_refuse_takes_the_others_with_it() {
    let World { connection, .. } = &world("refused", 1);
    let large = vec![b'v'; 950_000];
    let topic = streams::Topic { id: 9, name: "small" };
    crate::support::create(connection, &[topic], 1, &[("max.message.bytes", "10000")]);
    let records = [(A, b"k".to_vec(), Some(b"v".to_vec())), (topic, b"k".to_vec(), Some(large))];
    let error = write_atomically(connection, "registry", &records).unwrap_err().to_string();
    assert!(error.contains("nothing was written"), "{error}");
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).unwrap();
    assert!(drain(&mut reader).is_empty());
    assert!(reader.next(&Limits::default(), Duration::from_millis(200)).unwrap().is_empty());
}

#[test]
fn with_no_broker_it_ends_and_says_that_nothing_was_written() {
    let nowhere = Connection::new("127.0.0.1:1", "nowhere-");
    let begun = Instant::now();
    let error = write_atomically(&nowhere, "registry", &[(A, b"k".to_vec(), None)]).unwrap_err().to_string();
    assert!(error.contains("nothing was written"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
