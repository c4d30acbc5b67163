//! Smoke.
use crate::toy::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use streams::kafka::{PublisherOptions, SessionOptions, Work};
use streams::log::{Limits, Publisher};
use streams::sim::*;
use streams::{Driver, Message};

#[test]
fn one_worker_counts() {
    let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
    cluster.create_topic("in", TopicOptions::of(3));
    cluster.create_topic("out", TopicOptions::of(3));
    cluster.create_topic("dead", TopicOptions::of(1));
    cluster.create_topic("toy-changelog", TopicOptions::compacted(3));
    let edge = cluster.process("edge");
    let publisher = edge.publisher(PublisherOptions::default());
    for n in 0..1000 {
        let _ = publisher
            .publish(vec![Message { topic: IN, key: format!("k{}", n % 20).into_bytes(), value: b"count".to_vec() }])
            .unwrap();
    }
    let process = cluster.process("one");
    let work = Work { processor: NAME, inputs: vec![IN], worker: "one".to_owned() };
    let session = process.session(&work, SessionOptions::default(), Arc::new(AtomicBool::new(false))).unwrap();
    let disk = Disk::default();
    let mut driver = Driver::new(
        Toy(1),
        session,
        Box::new(disk.stores(&process, Duration::from_secs(3600))),
        Arc::new(process.clock()),
        Limits { records_max: 50, ..Limits::default() },
    );
    let begun = std::time::Instant::now();
    for _ in 0..40 {
        process.run(|| driver.turn()).unwrap().unwrap();
    }
    eprintln!("{:?} virtual {:?}", begun.elapsed(), cluster.now());
    for line in cluster.history() {
        eprintln!("{line}");
    }
    let mut n = 0;
    for p in 0..3 {
        cluster.read("out", p, 0, &mut |_, _, _| n += 1);
    }
    assert_eq!(n, 1000);
}
