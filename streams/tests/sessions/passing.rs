//! Topics that have expired up to their end, where a transaction's marker was the last thing in them.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streams::kafka::SessionOptions;

use crate::toy::{IN, NAME, OUT};
use crate::world::World;

const WAIT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3_600);

fn input(world: &World) -> String {
    format!("{}{}", world.prefix, IN.name)
}

/// Sends a `count` as a transaction: a record and a marker.
fn send(world: &World) {
    let mut config = world.client();
    config.set("transactional.id", format!("{}upstream", world.prefix)).set("linger.ms", "0");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.init_transactions(WAIT).expect("taken over");
    producer.begin_transaction().expect("begun");
    let topic = input(world);
    producer.send(BaseRecord::to(&topic).key("k").payload("count")).map_err(|(error, _)| error).expect("there is room");
    producer.commit_transaction(WAIT).expect("committed");
}

/// Where the input begins and ends, and the committed offset.
fn marks(world: &World) -> (i64, i64, Option<i64>) {
    let mut config = world.client();
    config.set("group.id", format!("{}{NAME}", world.prefix));
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let (first, end) = consumer.fetch_watermarks(&input(world), 0, WAIT).expect("an answer");
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&input(world), 0);
    let answer = consumer.committed_offsets(asked, WAIT).expect("an answer");
    (first, end, answer.elements()[0].offset().to_raw().filter(|offset| *offset >= 0))
}

fn await_marks(world: &World, wanted: (i64, i64, Option<i64>)) {
    let begun = Instant::now();
    while marks(world) != wanted {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?} instead of {wanted:?}", marks(world));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Has the input begin at its end.
fn expire(world: &World) {
    let admin: AdminClient<DefaultClientContext> = world.client().create().expect("a client");
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&input(world), 0, Offset::End).expect("an offset");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let deleted = runtime.block_on(admin.delete_records(&all, &AdminOptions::new())).expect("the broker answers");
    deleted.elements().iter().for_each(|one| one.error().expect("deleted"));
}

#[test]
fn a_quiet_topic_may_expire_up_to_its_end() {
    let mut world = World::new(1);
    world.options = SessionOptions { pass_interval: Duration::from_millis(500), ..world.options.clone() };
    let worker = world.start("one");
    send(&world);
    await_marks(&world, (0, 2, Some(2)));
    // By a step of its own, and no more of them.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(worker.stats.commits.load(std::sync::atomic::Ordering::Relaxed), 2);
    worker.stop();
    expire(&world);
    await_marks(&world, (2, 2, Some(2)));
    let worker = world.start("one");
    worker.await_ready(1);
    send(&world);
    assert_eq!(world.await_values(OUT, 2), ["k=1", "k=2"]);
    worker.stop();
}

#[test]
fn one_that_stops_commits_what_it_has_passed_and_a_loss_is_told() {
    let mut world = World::new(1);
    world.options = SessionOptions { pass_interval: LONG, ..world.options.clone() };
    let worker = world.start("one");
    send(&world);
    world.await_values(OUT, 1);
    await_marks(&world, (0, 2, Some(1)));
    // So long that the marker is there, and fetched.
    thread::sleep(Duration::from_secs(1));
    worker.stop();
    await_marks(&world, (0, 2, Some(2)));
    send(&world);
    expire(&world);
    await_marks(&world, (4, 4, Some(2)));
    let error = world.start("one").failure().to_string();
    let told =
        format!("{}/0 begins at 4, and the group {}{NAME} has read it up to 2 only", input(&world), world.prefix);
    assert!(error.contains(&told), "{error}");
}
