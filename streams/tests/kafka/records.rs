//! Reading one record by its coordinates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use streams::kafka::{Connection, KafkaPublisher, PublisherOptions, RecordReader};
use streams::{LogError, Message, Publisher};

use crate::support::{A, B, Transactions, WAIT, World, world};

#[test]
fn a_record_is_found_by_its_offset_and_nothing_else_is() {
    let World { connection, .. } = &world("records", 2);
    let (first, second) = (Transactions::new(connection, "first"), Transactions::new(connection, "second"));
    first.begin(connection, A, 1, &["a", "b"]);
    first.commit();
    first.begin(connection, A, 1, &["gone"]);
    first.abort();
    first.begin(connection, A, 1, &["c"]);
    first.commit();
    second.begin(connection, A, 1, &["open"]);
    let reader = RecordReader::open(connection, "look").unwrap();
    let read = |offset| {
        let record = reader.read(A, 1, offset, Instant::now() + WAIT).unwrap();
        record.map(|record| {
            assert_eq!((record.topic, record.partition, record.offset), (1, 1, offset));
            String::from_utf8(record.value.to_vec()).unwrap()
        })
    };
    // Records, the commit's marker, the aborted record and its marker, a record and its marker, and one that is open.
    let expected = [Some("a"), Some("b"), None, None, None, Some("c"), None, None, None];
    for (offset, value) in (0..).zip(expected) {
        assert_eq!(read(offset).as_deref(), value, "at {offset}");
    }
    assert_eq!(read(u64::MAX >> 1), None);
    second.commit();
    // The broker answers before the marker is written, without which the record is still open.
    let begun = Instant::now();
    while read(7).is_none() {
        assert!(begun.elapsed() < WAIT, "a committed record stays open");
    }
    assert_eq!(read(7).as_deref(), Some("open"));
    assert_eq!(reader.read(B, 0, 0, Instant::now() + WAIT).unwrap(), None);
}

#[test]
fn many_threads_read_what_they_ask_for() {
    let World { connection, .. } = &world("records-many", 3);
    let publisher = KafkaPublisher::open(connection, "edge", PublisherOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut places = Vec::new();
    for n in 0..200 {
        let message = Message { topic: A, key: format!("k{n}").into_bytes(), value: format!("v{n}").into_bytes() };
        places.push(runtime.block_on(publisher.publish(vec![message]).unwrap()).unwrap());
    }
    let (reader, places) = (Arc::new(RecordReader::open(connection, "look").unwrap()), Arc::new(places));
    let begun = Instant::now();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (reader, places) = (Arc::clone(&reader), Arc::clone(&places));
            std::thread::spawn(move || {
                for step in 0..50 {
                    let n = (thread * 37 + step * 101) % 200;
                    let place = places[n];
                    let found = reader.read(A, place.partition, place.offset, Instant::now() + WAIT).unwrap().unwrap();
                    assert_eq!(found.value, format!("v{n}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(10), "400 records took {:?}", begun.elapsed());
}

#[test]
fn a_deadline_is_kept_with_no_broker_at_all() {
    let reader = RecordReader::open(&Connection::new("127.0.0.1:1", "nowhere-"), "look").unwrap();
    let begun = Instant::now();
    let error = reader.read(A, 0, 0, begun + Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, LogError::Kafka { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
