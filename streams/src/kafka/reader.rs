//! Reading whole topics, for whoever keeps what is in them: no group, and positions are the caller's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::Connection;
use super::client::watermarks;
use super::errors::{PAUSE, ask, failed, transient};
use super::watch::{Watch, Watched};
use crate::log::{Limits, LogError, Record, Topic};

/// How long opening may take, and looking up what a partition has.
const WAIT: Duration = Duration::from_secs(30);

/// What a reader keeps in memory ahead of its caller, in KiB; over it by one response of the brokers at most.
const AHEAD_KBYTES: &str = "16384";

/// Bytes of one response of a broker.
const FETCH_BYTES: &str = "8388608";

/// A partition: the topic's number, and its own.
type Partition = (u16, u32);

/// Which partitions a reader has, of several that share a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of them it is, from 0.
    pub number: u32,
    /// How many they are, at least 1.
    pub of: u32,
}

impl Share {
    /// There is no other.
    pub const ALL: Share = Share { number: 0, of: 1 };

    fn has(self, partition: u32) -> bool {
        partition % self.of.max(1) == self.number
    }
}

/// Reads topics from given positions on: what is committed and nothing else, in order within each partition. The
/// partitions are those that the topics have when it is opened: later ones are seen at the next open.
pub struct KafkaReader {
    connection: Connection,
    client_id: String,
    consumer: BaseConsumer<Watched>,
    watch: Arc<Watch>,
    /// The topics' names in the cluster, with their numbers.
    topics: Vec<(String, u16)>,
    places: BTreeMap<Partition, Place>,
    renewals: u64,
}

/// Where the reader is in a partition.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The next offset.
    position: u64,
    /// The last stable offset when the reader was opened.
    end: u64,
}

impl KafkaReader {
    /// Opens a reader of these topics from the positions `from`, by topic number and partition, such as earlier
    /// [`KafkaReader::positions`]; partitions that are not in it are read from their beginning. Blocks, up to half a
    /// minute when the brokers are away.
    ///
    /// # Errors
    /// [`LogError::Gone`] if the log no longer has all from a position on; [`LogError::Damaged`] if a position is
    /// after the end of its partition, which has another history then; [`LogError::Kafka`] if a topic is not there or
    /// the brokers do not answer.
    pub fn open(
        connection: &Connection,
        client_id: &str,
        topics: &[Topic],
        from: &BTreeMap<Partition, u64>,
    ) -> Result<KafkaReader, LogError> {
        KafkaReader::open_share(connection, client_id, topics, from, Share::ALL)
    }

    /// As [`KafkaReader::open`], of a share of the partitions.
    ///
    /// # Errors
    /// As for [`KafkaReader::open`].
    pub fn open_share(
        connection: &Connection,
        client_id: &str,
        topics: &[Topic],
        from: &BTreeMap<Partition, u64>,
        share: Share,
    ) -> Result<KafkaReader, LogError> {
        let deadline = Instant::now() + WAIT;
        let watch = Arc::new(Watch::idle(client_id));
        let consumer = consumer(connection, client_id, &watch, &[])?;
        let topics: Vec<(String, u16)> = topics.iter().map(|topic| (connection.topic(*topic), topic.id)).collect();
        let mut places = BTreeMap::new();
        let mut assignment = TopicPartitionList::new();
        for (name, id) in &topics {
            for partition in (0..partitions(&consumer, name, deadline)?).filter(|partition| share.has(*partition)) {
                let (first, end) = bounds(&consumer, name, partition, deadline)?;
                let asked = from.get(&(*id, partition)).copied();
                let position = check(name, partition, asked, first, end)?;
                // Where nothing was asked for, retention may drop the first records before they are fetched.
                let offset = asked.map_or(Offset::Beginning, |asked| Offset::Offset(asked.cast_signed()));
                assignment
                    .add_partition_offset(name, partition.cast_signed(), offset)
                    .map_err(failed(format!("assigning {name}/{partition}")))?;
                places.insert((*id, partition), Place { position, end });
            }
        }
        consumer.assign(&assignment).map_err(failed("assigning partitions"))?;
        let (connection, client_id) = (connection.clone(), client_id.to_owned());
        Ok(KafkaReader { connection, client_id, consumer, watch, topics, places, renewals: 0 })
    }

    /// Takes what is available, up to `limits`, waiting no longer than `wait` for the first record. A tombstone is a
    /// record with an empty value. While brokers are away there is nothing, with a warning in the log.
    ///
    /// # Errors
    /// [`LogError::Gone`] if retention overtook the reader; [`LogError::Kafka`] for what waiting does not cure. The
    /// reader is of no more use then: open another from the positions that were applied.
    pub fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Vec<Record>, LogError> {
        if self.watch.is_stranded() {
            self.renew()?;
        }
        let deadline = Instant::now() + wait;
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < limits.records_max.max(1) && (records.is_empty() || bytes < limits.bytes_max) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(if records.is_empty() { left } else { Duration::ZERO }) {
                Some(Ok(message)) => {
                    let Some(record) = record(&self.topics, &message) else { continue };
                    bytes += record.key.len() + record.value.len();
                    records.push(record);
                }
                Some(Err(error)) => self.take_error(error)?,
                None if !records.is_empty() || Instant::now() >= deadline => break,
                None => {}
            }
        }
        self.advance()?;
        Ok(records)
    }

    /// The next offset of each partition, by topic number and partition: where to open the next reader once all that
    /// was handed out is applied.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<Partition, u64> {
        self.places.iter().map(|(partition, place)| (*partition, place.position)).collect()
    }

    /// Whether everything that was committed when the reader was opened has been handed out.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.places.values().all(|place| place.position >= place.end)
    }

    /// Offsets that were committed when the reader was opened and have not been handed out; control records count.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.places.values().map(|place| place.end.saturating_sub(place.position)).sum()
    }

    /// Offsets that could be read and have not been, over all partitions, by what the client knew a second ago at
    /// most; control records count.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let stats = self.watch.stats();
        let end = |partition: &Partition, place: &Place| {
            let name = self.topics.iter().find(|(_, id)| *id == partition.0).map(|(name, _)| name.clone());
            let known = name.and_then(|name| stats.partitions.get(&(name, partition.1))).and_then(|seen| seen.stable);
            known.map_or(place.end, |stable| stable.max(place.end))
        };
        self.places.iter().map(|(partition, place)| end(partition, place).saturating_sub(place.position)).sum()
    }

    /// How often a client that had lost sight of all brokers for good was replaced.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    /// What the client says of itself and of the brokers.
    #[must_use]
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Goes on with another client where this one, which has lost sight of all brokers for good, was.
    fn renew(&mut self) -> Result<(), LogError> {
        self.renewals += 1;
        tracing::warn!(
            client = self.client_id,
            "kafka: the reader has lost sight of all brokers for good: another is made"
        );
        let mut assignment = TopicPartitionList::new();
        for ((id, partition), place) in &self.places {
            let Some((name, _)) = self.topics.iter().find(|(_, number)| number == id) else { continue };
            let offset = Offset::Offset(place.position.cast_signed());
            let added = assignment.add_partition_offset(name, partition.cast_signed(), offset);
            added.map_err(failed(format!("assigning {name}/{partition}")))?;
        }
        self.consumer = consumer(&self.connection, &self.client_id, &self.watch, &[])?;
        self.consumer.assign(&assignment).map_err(failed("assigning partitions"))
    }

    /// Takes over the client's positions, which control records move too. Aborted records move none: behind them it
    /// is the statistics that tell of an end that was reached.
    fn advance(&mut self) -> Result<(), LogError> {
        let positions = self.consumer.position().map_err(failed("asking the client for its positions"))?;
        let stats = self.watch.stats();
        for element in positions.elements() {
            let Some((_, id)) = self.topics.iter().find(|(name, _)| name == element.topic()) else { continue };
            let partition = element.partition().cast_unsigned();
            let Some(place) = self.places.get_mut(&(*id, partition)) else { continue };
            if let Offset::Offset(offset) = element.offset() {
                place.position = place.position.max(u64::try_from(offset).unwrap_or(0));
            }
            // Safe to go by: nothing up to that end was left to be polled.
            let drained = stats.partitions.get(&(element.topic().to_owned(), partition)).and_then(|seen| seen.drained);
            place.position = place.position.max(drained.unwrap_or(0));
        }
        Ok(())
    }

    fn take_error(&self, error: KafkaError) -> Result<(), LogError> {
        let Some(code) = error.rdkafka_error_code() else { return Err(failed("reading")(error)) };
        match code {
            // With no reset, this is how the client says that an offset is out of range; not of which partition.
            RDKafkaErrorCode::AutoOffsetReset => {
                let name =
                    |id: u16| self.topics.iter().find(|(_, number)| *number == id).map(|(name, _)| name.as_str());
                let places = self
                    .places
                    .iter()
                    .filter_map(|((id, partition), place)| Some((name(*id)?, *partition, place.position)));
                Err(gone(&self.consumer, places, error))
            }
            // Nobody joins the group: who may not use it may still read.
            RDKafkaErrorCode::GroupAuthorizationFailed => Ok(()),
            code if transient(code) => Ok(()),
            _ => Err(failed("reading")(error)),
        }
    }
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader")
            .field("topics", &self.topics)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// A consumer that reads what is committed, and is assigned its partitions. librdkafka does not consume without the
/// name of a group; this one is never joined.
pub(super) fn consumer(
    connection: &Connection,
    client_id: &str,
    watch: &Arc<Watch>,
    settings: &[(&str, &str)],
) -> Result<BaseConsumer<Watched>, LogError> {
    let mut config = connection.client(client_id);
    watch.listen(&mut config);
    config
        .set("group.id", connection.name(client_id))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error");
    let defaults = [
        ("check.crcs", "true"),
        ("queued.max.messages.kbytes", AHEAD_KBYTES),
        ("fetch.max.bytes", FETCH_BYTES),
        ("fetch.wait.max.ms", "100"),
    ];
    for (name, value) in defaults {
        set_if_free(&mut config, name, value);
    }
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let context = format!("making the consumer {client_id}");
    config.create_with_context(Watched(Arc::clone(watch))).map_err(failed(context))
}

fn set_if_free(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// How many partitions a topic has.
pub(super) fn partitions(consumer: &BaseConsumer<Watched>, name: &str, deadline: Instant) -> Result<u32, LogError> {
    let context = || format!("looking up the topic {name}");
    let count = ask(context, deadline, |wait| {
        let metadata = consumer.fetch_metadata(Some(name), wait)?;
        let Some(topic) = metadata.topics().first() else { return Ok(0) };
        match topic.error() {
            None => Ok(topic.partitions().len()),
            Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        }
    })?;
    if count == 0 {
        let source = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
        return Err(LogError::Kafka { context: context(), source });
    }
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The error of a consumer that one of these partitions, each with its position, has overtaken with its beginning. While
/// the beginning is after the last stable offset the client tells that one for it, so it is asked again until the
/// transaction has ended.
pub(super) fn gone<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: impl Iterator<Item = (&'a str, u32, u64)> + Clone,
    error: KafkaError,
) -> LogError {
    let deadline = Instant::now() + WAIT;
    loop {
        for (name, partition, position) in places.clone() {
            let checked = bounds(consumer, name, partition, deadline)
                .and_then(|(first, end)| check(name, partition, Some(position), first, end));
            if let Err(error) = checked {
                return error;
            }
        }
        if Instant::now() >= deadline {
            return failed("reading from an offset that its partition does not have")(error);
        }
        thread::sleep(PAUSE);
    }
}

/// The first offset of a partition and its last stable one.
pub(super) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    name: &str,
    partition: u32,
    deadline: Instant,
) -> Result<(u64, u64), LogError> {
    let context = || format!("asking for the bounds of {name}/{partition}");
    ask(context, deadline, |wait| {
        let (first, end) = watermarks(consumer, name, partition, wait)?;
        match (u64::try_from(first), u64::try_from(end)) {
            (Ok(first), Ok(end)) => Ok((first, end)),
            _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OffsetNotAvailable)),
        }
    })
}

/// The position to begin at: the one asked for, if the partition has all from there on.
pub(super) fn check(name: &str, partition: u32, asked: Option<u64>, first: u64, end: u64) -> Result<u64, LogError> {
    match asked {
        None => Ok(first),
        Some(asked) if asked < first => Err(LogError::Gone { asked, first }),
        Some(asked) if asked > end => Err(LogError::Damaged(format!(
            "{name}/{partition} ends at {end}, and was read up to {asked}: it has another history now, so begin anew"
        ))),
        Some(asked) => Ok(asked),
    }
}

/// A message as a record, if it is of one of the topics.
pub(super) fn record(topics: &[(String, u16)], message: &BorrowedMessage<'_>) -> Option<Record> {
    let (_, topic) = topics.iter().find(|(name, _)| name == message.topic())?;
    let bytes = |bytes: Option<&[u8]>| bytes.map_or_else(Bytes::new, Bytes::copy_from_slice);
    Some(Record {
        topic: *topic,
        partition: message.partition().cast_unsigned(),
        offset: message.offset().cast_unsigned(),
        key: bytes(message.key()),
        value: bytes(message.payload()),
    })
}
