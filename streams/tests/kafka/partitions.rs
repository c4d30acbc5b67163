//! A key's partition is the one that Java's clients choose.

use streams::kafka::{KafkaPublisher, PublisherOptions, partition};
use streams::{Message, Publisher, Topic};

use crate::support::{World, create, world};

const COUNTS: [u32; 4] = [1, 3, 12, 64];

const TOPICS: [Topic; 4] = [
    Topic { id: 11, name: "p1" },
    Topic { id: 12, name: "p3" },
    Topic { id: 13, name: "p12" },
    Topic { id: 14, name: "p64" },
];

/// Keys with their partitions among 1, 3, 12 and 64, made with Apache Kafka 4.3.1 (kafka-clients) by
/// `BuiltInPartitioner.partitionForKey(key, n)` of `org.apache.kafka.clients.producer.internals`. The keys of random
/// bytes are `new Random(42).nextBytes`, of 1, 2, 3, 4, 5, 7, 8, 15, 16, 31 and 64 bytes, one after another.
const GOLDEN: &[(&[u8], [u32; 4])] = &[
    (b"", [0, 0, 9, 25]),
    (b"a", [0, 1, 4, 60]),
    (b"ab", [0, 2, 2, 42]),
    (b"abc", [0, 0, 3, 27]),
    (b"abcd", [0, 2, 8, 52]),
    (b"abcde", [0, 1, 1, 29]),
    (b"abcdef", [0, 0, 0, 60]),
    (b"abcdefg", [0, 1, 1, 25]),
    (b"abcdefgh", [0, 0, 9, 29]),
    (b"\xc3\xa9", [0, 0, 3, 7]),
    (b"\xe2\x82\xac", [0, 1, 10, 62]),
    (b"\xe6\x9d\xb1\xe4\xba\xac", [0, 1, 7, 43]),
    (b"\xf0\x9f\x98\x80", [0, 0, 9, 17]),
    (b"himal/live/SHOP-1", [0, 1, 7, 23]),
    (b"himal/live/SHOP-2", [0, 2, 5, 29]),
    (b"himal/test/SHOP-1", [0, 2, 2, 38]),
    (b"himal/live/2026-000042", [0, 1, 7, 43]),
    (b"acme/live/\xc3\x85-17", [0, 0, 6, 38]),
    (b"acme/live/10001", [0, 1, 1, 1]),
    (b"acme/live/10002", [0, 0, 6, 54]),
    (b"aff-7/EUR/live", [0, 0, 3, 55]),
    (b"aff-7/USD/live/payable", [0, 2, 11, 15]),
    (b"01890a5d-ac96-774b-bcce-b302099a8057", [0, 1, 1, 61]),
    (b"\x00", [0, 2, 8, 60]),
    (b"\xff", [0, 0, 3, 27]),
    (b"\x80", [0, 2, 8, 60]),
    (b"\x00\x00", [0, 0, 6, 42]),
    (b"\xff\xff\xff", [0, 0, 6, 62]),
    (b"\xff\xff\xff\xff", [0, 2, 5, 37]),
    (b"\x80\x00\x7f\xff\x01", [0, 0, 0, 12]),
    (b"5", [0, 0, 6, 6]),
    (b"\xf7\x8a", [0, 1, 4, 20]),
    (b"\xe1\xbb\xe7", [0, 0, 6, 22]),
    (b"(\xc0E\x0c", [0, 0, 3, 55]),
    (b"\xe4<\x08OK", [0, 2, 8, 48]),
    (b"\x83\x9d\xeeFm\x85,", [0, 0, 3, 51]),
    (b"\xbeja\xaa\x9a\x0ca\x17", [0, 1, 1, 41]),
    (b"\xbdgC\xe7\xdc\x97\x85s\x99\x8eh^\x88\x5c\xb3", [0, 1, 7, 27]),
    (b"\xf8l\x97F \xbe\xbf\xb0\x11\x00\xb2vTW\x18\xc3", [0, 0, 0, 20]),
    (b"\x0f@l\xc8\xe3\xa1\x88\xff\xf1\x10Y\xebo\xbc\xe6&U\xdf\xbdo\x83\xb8\x96p\xd6\xd9\xf9\xbfR\xd8=", [0, 1, 1, 49]),
    (b"\xdc\x0b\xf6b\x05\x83\x5c\xcc\x16\xadh-\x8cG\x8a&\xf4P'\x98IY\x9bV\xddS\xb35\x1aW+@\xf2\x7fr\xd3\x7f4{]\x99y\x16,\xfa\x95\x9d(2\xa4a\x96\xd9,0F\x97\xe9S\xc0\x02l\xc4\xa4", [0, 1, 7, 59]),
];

#[test]
fn the_function_agrees_with_java() {
    for (key, partitions) in GOLDEN {
        assert_eq!(COUNTS.map(|count| partition(key, count)), *partitions, "{}", key.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_agrees_with_java() {
    let World { connection, .. } = &world("partitions", 1);
    for (topic, count) in TOPICS.iter().zip(COUNTS) {
        create(connection, &[*topic], count, &[]);
    }
    let publisher = KafkaPublisher::open(connection, "edge", PublisherOptions::default()).unwrap();
    for (key, partitions) in GOLDEN {
        for (topic, expected) in TOPICS.iter().zip(partitions) {
            let message = Message { topic: *topic, key: key.to_vec(), value: b"x".to_vec() };
            let ack = publisher.publish(vec![message]).unwrap().await.unwrap();
            assert_eq!(ack.partition, *expected, "{} in {}", key.escape_ascii(), topic.name);
        }
    }
}
