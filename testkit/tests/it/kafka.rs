//! Clusters: their faults, and that nothing is left of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::{Brokers, Kafka};

use crate::gone::{self, assert_gone, processes_of};

/// Does the broker answer an ApiVersions request?
fn answers(address: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
        stream.read_exact(&mut [0; 4])
    };
    ask().is_ok()
}

#[test]
fn one_broker_with_faults() {
    let kafka = Kafka::start(Brokers::One);
    let (address, folder) = (kafka.bootstrap().to_owned(), kafka.folder().to_owned());
    assert!(address.starts_with("127.0.0.1:") && answers(&address), "{address}");
    kafka.topics(&["--create", "--topic", "kept", "--partitions", "2"]);

    kafka.kill(1);
    assert!(!answers(&address), "killed");
    kafka.start_node(1);
    assert_eq!(kafka.topics(&["--list"]).trim(), "kept");

    kafka.stall(1);
    assert!(!answers(&address), "stalled");
    kafka.resume(1);
    assert!(answers(&address), "resumed");

    kafka.stall(1);
    kafka.stop(1);
    assert!(!answers(&address), "a stalled node is stopped too");
    kafka.start_all();
    assert!(answers(&address));

    assert_eq!(processes_of(&folder).len(), 2, "node and watchdog: {:?}", processes_of(&folder));
    drop(kafka);
    assert_gone(&folder, Duration::ZERO);
}

#[test]
fn three_brokers_spare_one() {
    let kafka = Kafka::start(Brokers::Three);
    let nodes: Vec<String> = kafka.bootstrap().split(',').map(str::to_owned).collect();
    assert_eq!(nodes.len(), 3);
    kafka.kill(2);
    assert_eq!(nodes.iter().map(|node| answers(node)).collect::<Vec<_>>(), [true, false, true]);
    kafka.topics(&["--create", "--topic", "a", "--partitions", "1", "--replication-factor", "2"]);
    let shown = kafka.topics(&["--describe", "--topic", "a"]);
    assert!(shown.contains("min.insync.replicas=2"), "{shown}");
    kafka.start_node(2);
    assert!(nodes.iter().all(|node| answers(node)));
}

#[test]
fn shared_is_one() {
    let (one, two) = (Kafka::shared(), Kafka::shared());
    assert!(answers(one.bootstrap()));
    assert_eq!(one.bootstrap(), two.bootstrap());
    assert_ne!(Kafka::unique_prefix(), Kafka::unique_prefix());
}

#[test]
fn faults_name_what_is_wrong() {
    let refused = std::panic::catch_unwind(|| Kafka::shared().kill(4)).unwrap_err();
    let message = refused.downcast_ref::<String>().unwrap();
    assert!(message.contains("there is no node 4"), "{message}");
}

#[test]
fn killed_owner_leaves_nothing() {
    gone::with_its_owner("kafka::killed_owner_leaves_nothing", || {
        let kafka = Kafka::start(Brokers::One);
        (kafka.folder().to_owned(), kafka)
    });
}
