//! Brokers that do not let everybody in, and clients that do not speak to every broker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streams::kafka::{
    Admin, AtomicWriter, Connection, GroupOptions, GroupReader, KafkaPublisher, KafkaReader, Positions,
    PublisherOptions, ReachError, RecordReader, TopicWanted, Turn,
};
use streams::log::Limits;
use streams::{Message, Publisher, Topic};
use tempfile::TempDir;
use testkit::{Authority, Kafka};

const A: Topic = Topic { id: 1, name: "a" };
const WAIT: Duration = Duration::from_secs(30);
/// How long a broker is asked that does not let us in.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// A broker that knows `edge`, and whose certificate is for its address.
fn start() -> (Kafka, Authority, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let broker = authority.issue("broker", "IP:127.0.0.1");
    (Kafka::start_guarded("edge", "s3cret", &broker, &authority), authority, folder)
}

/// A connection with these settings passed on, and a prefix of its own.
fn connection(bootstrap: &str, settings: &[(&str, &str)]) -> Connection {
    let mut connection = Connection::new(bootstrap, &Kafka::unique_prefix());
    for (name, value) in settings {
        connection.set(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    connection
}

/// Each kind of client does what it is for.
fn all_are_let_in(connection: &Connection) {
    let identity = connection.reach(WAIT).expect("it is reached");
    assert!(identity.starts_with("kafka "), "{identity}");
    let wanted = TopicWanted { name: A.name.into(), partitions: 1, replication: None, configs: BTreeMap::new() };
    Admin::open(connection, "admin").expect("settings").create(&[wanted], WAIT).expect("made");

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let publisher = KafkaPublisher::open(connection, "edge", PublisherOptions::default()).expect("settings");
    let message = Message { topic: A, key: b"published".to_vec(), value: b"1".to_vec() };
    let pending = publisher.publish(vec![message]).expect("there is room");
    let ack = runtime.block_on(pending).expect("durable");
    let writer = AtomicWriter::open(connection, "writer").expect("begun");
    writer.write(&[(A, b"written".to_vec(), Some(b"2".to_vec()))]).expect("committed");

    let reader = RecordReader::open(connection, "look").expect("settings");
    let record = reader.read(A, ack.partition, ack.offset, Instant::now() + WAIT).expect("read").expect("it is there");
    assert_eq!(&record.key[..], b"published");
    let (begun, mut keys) = (Instant::now(), Vec::new());
    let mut reader = KafkaReader::open(connection, "reader", &[A], &BTreeMap::new()).expect("opened");
    while !reader.caught_up() {
        assert!(begun.elapsed() < WAIT, "{keys:?}");
        let records = reader.next(&Limits::default(), Duration::from_millis(50)).expect("read");
        keys.extend(records.into_iter().map(|record| record.key.to_vec()));
    }
    assert_eq!(keys, [b"published".to_vec(), b"written".to_vec()]);
    let mut member = GroupReader::open(connection, "group", &[A], GroupOptions::default()).expect("settings");
    loop {
        assert!(begun.elapsed() < WAIT, "no partition was assigned");
        match member.next(&Limits::default(), Duration::from_millis(50)).expect("a member") {
            Turn::Assigned(_) => member.begin(&Positions::new()),
            Turn::Batch(batch) => break assert_eq!(batch.records.len(), 2),
            Turn::Nothing | Turn::Revoked(_) => {}
        }
    }
}

fn why_not(connection: &Connection) -> ReachError {
    connection.reach(REFUSED_WITHIN).expect_err("it is kept out")
}

/// SASL's `PLAIN`, in the clear: what a build without TLS has.
#[test]
fn who_logs_in_is_let_in() {
    let (broker, _authority, _folder) = start();
    let login = |username, password| {
        let protocol = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN")];
        let settings = [&protocol[..], &[("sasl.username", username), ("sasl.password", password)]].concat();
        connection(&broker.login(), &settings)
    };
    all_are_let_in(&login("edge", "s3cret"));
    for connection in [login("edge", "hunter2"), login("nobody", "s3cret")] {
        let why = why_not(&connection);
        assert!(matches!(why, ReachError::Login(_)), "{why:?}");
        assert!(["hunter2", "s3cret"].iter().all(|secret| !why.to_string().contains(secret)), "{why}");
    }
    let why = why_not(&connection(&broker.login(), &[]));
    assert!(matches!(why, ReachError::Silent(_)), "{why:?}");
}

#[cfg(feature = "tls")]
#[test]
fn who_shows_the_right_certificate_is_spoken_to() {
    let (broker, authority, folder) = start();
    let other = Authority::new(folder.path(), "other");
    let edge = authority.issue("edge", "DNS:edge");
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let tls = |bootstrap: &str, authority: &Authority| {
        let ca_file = path(&authority.ca_file());
        connection(bootstrap, &[("security.protocol", "SSL"), ("ssl.ca.location", &ca_file)])
    };
    let shows = |mut connection: Connection, edge: &testkit::Issued| {
        connection.set("ssl.certificate.location", &path(&edge.cert_file)).expect("it takes a certificate");
        connection.set("ssl.key.location", &path(&edge.key_file)).expect("it takes a key");
        connection
    };
    all_are_let_in(&shows(tls(&broker.tls(), &authority), &edge));
    let elsewhere = broker.tls().replace("127.0.0.1", "localhost");
    for (connection, expected, what) in [
        (shows(tls(&broker.tls(), &other), &edge), "certificate verify failed", "another authority's"),
        (shows(tls(&elsewhere, &authority), &edge), "certificate verify failed", "a certificate of another name"),
        (tls(&broker.tls(), &authority), "alert", "none of ours"),
        (shows(tls(&broker.tls(), &authority), &other.issue("edge", "DNS:edge")), "alert", "an unknown one"),
    ] {
        let why = why_not(&connection);
        assert!(matches!(&why, ReachError::Tls(why) if why.contains(expected)), "{what}: {why:?}");
    }
}
