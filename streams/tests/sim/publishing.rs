//! The publisher of the model.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use streams::kafka::PublisherOptions;
use streams::log::Pending;
use streams::sim::{Api, Call, Cluster, ClusterOptions, Fate, Faults, NoFaults, SimPublisher, TopicOptions};
use streams::{Ack, Message, PublishError, Publisher as _};

use crate::toy::IN;

/// What befalls the writes to come.
#[derive(Debug, Default)]
struct Script(Mutex<Vec<Fate>>);

impl Faults for Script {
    fn before(&self, _: &Cluster, call: &Call<'_>) -> Fate {
        let mut fates = self.0.lock().expect("no panic");
        if call.api != Api::Produce || fates.is_empty() { Fate::Arrives } else { fates.remove(0) }
    }
}

fn message(value: &str) -> Message {
    Message { topic: IN, key: b"k".to_vec(), value: value.as_bytes().to_vec() }
}

fn answer(pending: Pending) -> Option<Result<Ack, PublishError>> {
    match pin!(pending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn values(cluster: &Cluster) -> Vec<String> {
    let mut values = Vec::new();
    cluster.read(IN.name, 0, 0, &mut |_, _, value| {
        values.push(String::from_utf8(value.expect("a value").to_vec()).expect("text"));
    });
    values
}

fn publish(publisher: &SimPublisher, values: &[&str]) -> Pending {
    publisher.publish(values.iter().map(|value| message(value)).collect()).expect("there is room")
}

fn world(faults: Arc<dyn Faults>) -> (Cluster, SimPublisher) {
    let cluster = Cluster::new(ClusterOptions::default(), faults);
    cluster.create_topic(IN.name, TopicOptions::of(1));
    let publisher = cluster.process("edge").publisher(PublisherOptions {
        queue_messages_max: 4,
        delivery_timeout: Duration::from_secs(5),
        ..PublisherOptions::default()
    });
    (cluster, publisher)
}

/// Two groups under these fates of their writes: how each is answered, and what is there in the end.
#[track_caller]
fn check(fates: &[Fate], ok: [bool; 2], there: &[&str]) {
    let script = Arc::new(Script(Mutex::new(fates.to_vec())));
    let (cluster, publisher) = world(script);
    let one = publish(&publisher, &["a", "b"]);
    cluster.advance(Duration::from_millis(50));
    let two = publish(&publisher, &["c"]);
    cluster.advance(Duration::from_secs(20));
    let answers = [one, two].map(|pending| answer(pending).expect("answered by now").is_ok());
    assert_eq!((answers, values(&cluster)), (ok, there.iter().map(|value| (*value).to_owned()).collect()), "{fates:?}");
    assert_eq!(publisher.queued(), 0);
}

#[test]
fn what_is_acknowledged_is_there_once_and_in_order() {
    let (soon, never) = (Duration::from_millis(10), Duration::MAX);
    check(&[], [true, true], &["a", "b", "c"]);
    check(&[Fate::Lost { noticed: soon }], [true, true], &["a", "b", "c"]);
    check(&[Fate::Unanswered { noticed: soon }, Fate::Unanswered { noticed: soon }], [true, true], &["a", "b", "c"]);
    check(&[Fate::Repeated { again: soon }], [true, true], &["a", "b", "c"]);
    check(&[Fate::Late { noticed: soon, arrives: 10 * soon }], [true, true], &["a", "b", "c"]);
    // What failed may be there or not, or come yet.
    check(&[Fate::Lost { noticed: never }], [false, true], &["c"]);
    check(&[Fate::Unanswered { noticed: never }], [false, true], &["a", "b", "c"]);
    check(&[Fate::Late { noticed: never, arrives: Duration::from_secs(9) }], [false, true], &["c", "a", "b"]);
}

#[test]
fn its_queue_is_bounded() {
    let (cluster, publisher) = world(Arc::new(NoFaults));
    let pending = publish(&publisher, &["a", "b", "c"]);
    assert!(matches!(publisher.publish(vec![message("d"), message("e")]), Err(PublishError::Full)));
    cluster.advance(Duration::from_millis(10));
    assert_eq!(answer(pending).expect("answered").expect("written"), Ack { partition: 0, offset: 0 });
    let pending = publish(&publisher, &["d", "e"]);
    cluster.advance(Duration::from_millis(10));
    assert_eq!(answer(pending).expect("answered").expect("written"), Ack { partition: 0, offset: 3 });
    let large = Message { value: vec![0; 2 << 20], ..message("") };
    assert!(matches!(publisher.publish(vec![large]), Err(PublishError::TooLarge { .. })));
}
