//! The driver's log with transactions off: what is written and consumed may come twice or be half there after a crash.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streams::log::{ApplyChanges, Limits, Restored};
use streams::{Commit, LogError, Polled, Record, Session, Step, Topic};

/// How long the brokers may take for the records of a step.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// Reads all partitions of its inputs from their beginning, writes with an idempotent producer and the same settings as the
/// production session, and commits offsets when the step's records are acknowledged.
pub struct PlainSession {
    consumer: BaseConsumer,
    producer: ThreadedProducer<Reports>,
    reports: Reports,
    prefix: String,
    changelog: String,
    inputs: Vec<(String, Topic)>,
    partitions: Option<Vec<u32>>,
    polled: BTreeMap<(String, i32), i64>,
    last_commit: Instant,
    commit_interval: Duration,
}

/// What is written and not acknowledged, and where each partition of the changelog ends.
#[derive(Clone, Default)]
struct Reports {
    under_way: Arc<AtomicUsize>,
    ends: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    /// Whether it is one of the changelog.
    type DeliveryOpaque = Box<bool>;

    fn delivery(&self, result: &DeliveryResult<'_>, of_changelog: Box<bool>) {
        let message = result.as_ref().unwrap_or_else(|(error, _)| panic!("a record was not written: {error}"));
        if *of_changelog {
            let number = |number: i64| u64::try_from(number).expect("it was written");
            let end = number(message.offset()) + 1;
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            let known = ends.entry(u32::try_from(message.partition()).expect("it was written")).or_default();
            *known = end.max(*known);
        }
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PlainSession {
    /// A session on all partitions `0..partitions` of `inputs`, for a processor of this name.
    ///
    /// # Errors
    /// librdkafka does not take the settings.
    pub fn open(
        bootstrap: &str,
        prefix: &str,
        processor: &str,
        inputs: &[Topic],
        partitions: u32,
        commit_interval: Duration,
    ) -> Result<PlainSession, KafkaError> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
        let consumer: BaseConsumer = client
            .clone()
            .set("group.id", format!("{prefix}{processor}"))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()?;
        let inputs: Vec<_> = inputs.iter().map(|topic| (format!("{prefix}{}", topic.name), *topic)).collect();
        let mut assigned = TopicPartitionList::new();
        for (name, _) in &inputs {
            assigned.add_partition_range(name, 0, i32::try_from(partitions).expect("a small number") - 1);
        }
        consumer.assign(&assigned)?;
        let reports = Reports::default();
        let producer = client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "2")
            .set("queue.buffering.max.messages", "1000000")
            .create_with_context(reports.clone())?;
        Ok(PlainSession {
            consumer,
            producer,
            reports,
            prefix: prefix.to_owned(),
            changelog: format!("{prefix}{processor}-changelog"),
            inputs,
            partitions: Some((0..partitions).collect()),
            polled: BTreeMap::new(),
            last_commit: Instant::now(),
            commit_interval,
        })
    }

    fn send(&self, topic: &str, partition: Option<u32>, key: &[u8], value: Option<&[u8]>, of_changelog: bool) {
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(of_changelog)).key(key);
        record.payload = value;
        record.partition = partition.map(|partition| i32::try_from(partition).expect("a small number"));
        self.reports.under_way.fetch_add(1, Ordering::AcqRel);
        self.producer.send(record).unwrap_or_else(|(error, _)| panic!("a record was not taken: {error}"));
    }
}

impl Session for PlainSession {
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Polled, LogError> {
        if let Some(partitions) = self.partitions.take() {
            return Ok(Polled::Assigned(partitions));
        }
        let (until, commit_due) = (Instant::now() + wait, self.last_commit + self.commit_interval);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < limits.records_max && bytes < limits.bytes_max {
            let until = if records.is_empty() { until } else { commit_due };
            let Some(polled) = self.consumer.poll(until.saturating_duration_since(Instant::now())) else { break };
            let message = polled.expect("the broker answers");
            let (_, topic) = self.inputs.iter().find(|(name, _)| name == message.topic()).expect("an input");
            self.polled.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
            let copy = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec().into();
            bytes += message.key_len() + message.payload_len();
            records.push(Record {
                topic: topic.id,
                partition: u32::try_from(message.partition()).expect("a small number"),
                offset: u64::try_from(message.offset()).expect("an offset"),
                key: copy(message.key()),
                value: copy(message.payload()),
            });
        }
        Ok(if records.is_empty() { Polled::Nothing } else { Polled::Records(records) })
    }

    fn commit(&mut self, step: &Step) -> Commit {
        self.last_commit = Instant::now();
        for message in &step.outputs {
            let name = format!("{}{}", self.prefix, message.topic.name);
            self.send(&name, None, &message.key, Some(&message.value), false);
        }
        for (partition, changes) in &step.changes {
            for change in changes {
                self.send(&self.changelog, Some(*partition), &change.key, change.value.as_deref(), true);
            }
        }
        let begun = Instant::now();
        while self.reports.under_way.load(Ordering::Acquire) > 0 {
            assert!(begun.elapsed() < DELIVERY_MAX, "the brokers do not acknowledge");
            thread::sleep(Duration::from_micros(50));
        }
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in std::mem::take(&mut self.polled) {
            offsets.add_partition_offset(&topic, partition, Offset::Offset(offset)).expect("an offset");
        }
        if offsets.count() > 0 {
            self.consumer.commit(&offsets, CommitMode::Async).expect("offsets are taken");
        }
        let ends = self.reports.ends.lock().unwrap_or_else(PoisonError::into_inner);
        Commit::Committed(ends.iter().map(|(partition, end)| (*partition, *end)).collect())
    }

    /// There is nothing to go back to: without transactions a step that failed is half there.
    fn reset(&mut self) -> Result<(), LogError> {
        panic!("a step was not written, and cannot be taken back");
    }

    fn restore(&mut self, _: u32, after: Option<u64>, _: ApplyChanges<'_>) -> Result<Restored, LogError> {
        assert_eq!(after, None, "a measurement begins with nothing");
        Ok(Restored::Complete(0))
    }
}

impl fmt::Debug for PlainSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainSession").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}
