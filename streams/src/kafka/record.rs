//! Reading single records, for whoever holds their coordinates.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::Connection;
use super::errors::{failed, timed_out, transient};
use super::reader::{bounds, consumer, record};
use super::watch::{Watch, Watched};
use crate::log::{LogError, Record, Topic};

/// Records that are read at the same time; more wait for one of these, up to their deadline.
const CONSUMERS: usize = 2;

/// A consumer looks at its deadline so often, whatever comes.
const STEP: Duration = Duration::from_millis(100);

/// Reads one record at a time, from any thread.
pub struct RecordReader {
    connection: Connection,
    client_id: String,
    idle: Mutex<Vec<BaseConsumer<Watched>>>,
    returned: Condvar,
}

impl RecordReader {
    /// Makes the consumers. They connect by themselves, now or when the brokers are there.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if librdkafka does not take the settings.
    pub fn open(connection: &Connection, client_id: &str) -> Result<RecordReader, LogError> {
        let made = (0..CONSUMERS).map(|_| make(connection, client_id));
        let idle = Mutex::new(made.collect::<Result<Vec<_>, _>>()?);
        let (connection, client_id) = (connection.clone(), client_id.to_owned());
        Ok(RecordReader { connection, client_id, idle, returned: Condvar::new() })
    }

    /// The committed record at exactly `offset`; `None` if there is none: the offset is after the last stable one, or
    /// holds a control record or an aborted one, or compaction took it. Blocks up to `deadline`.
    ///
    /// # Errors
    /// [`LogError::Gone`] if the partition begins after it; [`LogError::Kafka`] if the brokers did not answer in time
    /// or refused.
    pub fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        deadline: Instant,
    ) -> Result<Option<Record>, LogError> {
        let context = || format!("reading {}/{partition} at {offset}", topic.name);
        let consumer = self.take(deadline).ok_or_else(|| timed_out(context()))?;
        let found = self.read_with(&consumer, topic, partition, offset, deadline);
        let unassigned = consumer.unassign().map_err(failed(context()));
        let consumer = match &found {
            // It may have lost sight of all brokers for good (librdkafka's issue 5301); another one has not.
            Err(LogError::Kafka { .. }) => make(&self.connection, &self.client_id).unwrap_or(consumer),
            Ok(_) | Err(_) => consumer,
        };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
        self.returned.notify_one();
        unassigned.and(found)
    }

    fn take(&self, deadline: Instant) -> Option<BaseConsumer<Watched>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(consumer) = idle.pop() {
                return Some(consumer);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            idle = self.returned.wait_timeout(idle, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn read_with(
        &self,
        consumer: &BaseConsumer<Watched>,
        topic: Topic,
        partition: u32,
        offset: u64,
        deadline: Instant,
    ) -> Result<Option<Record>, LogError> {
        let topics = [(self.connection.topic(topic), topic.id)];
        let name = &topics[0].0;
        let context = || format!("reading {name}/{partition} at {offset}");
        let (first, end) = bounds(consumer, name, partition, deadline)?;
        if offset >= end {
            return Ok(None);
        }
        if offset < first {
            return Err(LogError::Gone { asked: offset, first });
        }
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(name, partition.cast_signed(), Offset::Offset(offset.cast_signed()))
            .map_err(failed(context()))?;
        consumer.assign(&assignment).map_err(failed(context()))?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left.min(STEP)) {
                Some(Ok(message)) => {
                    let found = message.offset().cast_unsigned() == offset;
                    return Ok(found.then(|| record(&topics, &message)).flatten());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => match error.rdkafka_error_code() {
                    // Retention came between the two questions.
                    Some(RDKafkaErrorCode::AutoOffsetReset) => {
                        let (first, _) = bounds(consumer, name, partition, deadline)?;
                        return Err(LogError::Gone { asked: offset, first });
                    }
                    Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
                    Some(code) if transient(code) => {}
                    _ => return Err(failed(context())(error)),
                },
                None => {}
            }
            if Instant::now() >= deadline {
                return Err(timed_out(context()));
            }
        }
    }
}

/// A consumer that reads single records.
fn make(connection: &Connection, client_id: &str) -> Result<BaseConsumer<Watched>, LogError> {
    // One record is wanted: ask for little, and keep nothing ahead.
    let settings = [
        ("enable.partition.eof", "true"),
        ("queued.min.messages", "1"),
        ("queued.max.messages.kbytes", "1024"),
        ("fetch.message.max.bytes", "65536"),
        // A broker has one fetch of a consumer at a time, so one that waits for more holds up the next record.
        ("fetch.wait.max.ms", "5"),
        // With one record in the queue it counts as full, and a partition is not asked again for this long.
        ("fetch.queue.backoff.ms", "1"),
        // They would pile up while it is idle, and nobody asks for them.
        ("statistics.interval.ms", "0"),
    ];
    consumer(connection, client_id, &Arc::new(Watch::idle(client_id)), &settings)
}

impl fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordReader").field("connection", &self.connection).finish_non_exhaustive()
    }
}
