//! What a client once heard of a partition, and is no longer true.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use streams::kafka::client::{Clients, Librdkafka, ReaderClient};

use crate::support::{A, WAIT, World, bootstrap, world};

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
