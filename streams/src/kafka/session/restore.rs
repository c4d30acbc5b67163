//! Reading a changelog back.
//!
//! What counts as its end: another producer's transaction over the partition may be decided and its markers still be
//! on their way, offsets first. So the end is the high watermark, open transactions included, as of a moment after the
//! committed offsets were known, and reading begins once the last stable offset has reached it.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::partitions::number;
use crate::kafka::errors::failed;
use crate::kafka::watch::Watched;
use crate::kafka::{Connection, Watch};
use crate::log::{ApplyChanges, LogError, Restored};
use crate::store::Change;

/// Changes handed to the store at a time.
const CHANGES_PER_BATCH: usize = 4_096;
/// How long one part may take, so that other partitions are not kept waiting.
const PART_MAX: Duration = Duration::from_millis(50);
/// How long one question to the brokers may take.
const ASK_WAIT: Duration = Duration::from_secs(1);
/// How long to wait for records, or between two looks at an open transaction.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads the changelog partitions of a worker, one at a time.
pub(super) struct Restorer {
    changelog: String,
    /// Sees what is committed, and tells the last stable offset.
    stable: BaseConsumer<Watched>,
    /// Tells the high watermark.
    high: BaseConsumer<Watched>,
    current: Option<Current>,
}

/// The partition being read.
struct Current {
    partition: u32,
    /// The position after what the store has.
    next: u64,
    /// The position to reach.
    end: u64,
    reading: bool,
}

impl Restorer {
    pub(super) fn new(connection: &Connection, worker: &str, changelog: &str) -> Result<Restorer, LogError> {
        let consumer = |isolation: &str| -> Result<BaseConsumer<Watched>, LogError> {
            let mut config = connection.client(worker);
            config
                // Never joined: the client wants one for reading at all.
                .set("group.id", worker)
                .set("isolation.level", isolation)
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("max.partition.fetch.bytes", "8388608")
                .set("queued.max.messages.kbytes", "32768")
                .set("fetch.wait.max.ms", "20");
            let context = Watched(Watch::new(worker, &mut config));
            BaseConsumer::from_config_and_context(&config, context)
                .map_err(failed("making the consumer of the changelog"))
        };
        let (stable, high) = (consumer("read_committed")?, consumer("read_uncommitted")?);
        Ok(Restorer { changelog: changelog.to_owned(), stable, high, current: None })
    }

    /// Forgets what it was at: the next part begins anew.
    pub(super) fn forget(&mut self) {
        self.current = None;
    }

    /// Whether any change of a partition was ever committed; `None` if the brokers do not say.
    pub(super) fn has_changes(&mut self, partition: u32) -> Result<Option<bool>, LogError> {
        self.forget();
        self.read_from(partition, Offset::Beginning)?;
        let until = Instant::now() + ASK_WAIT;
        while Instant::now() < until {
            match self.stable.poll(PAUSE) {
                Some(Ok(_)) => return Ok(Some(true)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Some(false)),
                Some(Err(error)) => tracing::debug!(%error, "reading a changelog goes on by itself"),
                None => {}
            }
        }
        Ok(None)
    }

    /// Hands over a part of the changes after a position.
    pub(super) fn part(
        &mut self,
        partition: u32,
        after: Option<u64>,
        apply: ApplyChanges<'_>,
    ) -> Result<Restored, LogError> {
        let next = after.unwrap_or(0);
        if self.current.as_ref().is_none_or(|current| current.partition != partition || current.next != next) {
            match self.begin(partition, next)? {
                Some(current) if after == Some(current.end) => return Ok(Restored::Complete(current.end)),
                Some(current) => self.current = Some(current),
                None => return Ok(Restored::Partly(next)),
            }
        }
        let mut current = self.current.take().expect("it has just begun");
        if !current.reading && !self.is_stable(&current)? {
            thread::sleep(PAUSE);
            let end = current.end;
            self.current = Some(current);
            return Ok(Restored::Partly(end));
        }
        if !current.reading {
            self.read_from(partition, Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX)))?;
            current.reading = true;
        }
        let restored = self.read(&mut current, apply)?;
        match restored {
            Restored::Complete(_) => self.stable.unassign().map_err(failed("ending a restore"))?,
            Restored::Partly(_) => self.current = Some(current),
        }
        Ok(restored)
    }

    /// Finds out where the changelog ends; `None` if the brokers do not say.
    fn begin(&self, partition: u32, next: u64) -> Result<Option<Current>, LogError> {
        let Some((low, end)) = watermarks(&self.high, &self.changelog, partition) else { return Ok(None) };
        if next > end {
            return Err(LogError::Ahead { asked: next, end });
        }
        if next < low {
            return Err(LogError::Gone { asked: next, first: low });
        }
        Ok(Some(Current { partition, next, end, reading: false }))
    }

    /// Whether every transaction before the end is decided.
    fn is_stable(&self, current: &Current) -> Result<bool, LogError> {
        let marks = watermarks(&self.stable, &self.changelog, current.partition);
        Ok(marks.is_some_and(|(_, stable)| stable >= current.end))
    }

    fn read_from(&self, partition: u32, offset: Offset) -> Result<(), LogError> {
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.changelog, number(partition), offset)
            .map_err(failed("reading the changelog"))?;
        self.stable.assign(&from).map_err(failed("reading the changelog"))
    }

    fn read(&self, current: &mut Current, apply: ApplyChanges<'_>) -> Result<Restored, LogError> {
        let until = Instant::now() + PART_MAX;
        let mut changes = Vec::new();
        let mut next = current.next;
        let mut ended = false;
        while !ended && Instant::now() < until {
            match self.stable.poll(PAUSE) {
                Some(Ok(record)) => {
                    next = u64::try_from(record.offset()).map_or(next, |offset| offset + 1);
                    match record.key() {
                        Some(key) => changes.push(Change {
                            key: Bytes::copy_from_slice(key),
                            value: record.payload().map(Bytes::copy_from_slice),
                        }),
                        None => tracing::error!(offset = record.offset(), "a change without a key is passed over"),
                    }
                    if changes.len() >= CHANGES_PER_BATCH {
                        apply(&changes, next)?;
                        changes.clear();
                    }
                }
                // Everything up to the last stable offset was read, which had reached the end before reading began.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    ended = true;
                    next = next.max(current.end);
                }
                Some(Err(error)) => tracing::debug!(%error, "reading a changelog goes on by itself"),
                None => {}
            }
        }
        if !changes.is_empty() {
            apply(&changes, next)?;
        }
        current.next = next;
        Ok(if ended { Restored::Complete(next) } else { Restored::Partly(current.end) })
    }
}

/// The first position of a partition and the one after its last, as this consumer sees it.
fn watermarks(consumer: &BaseConsumer<Watched>, topic: &str, partition: u32) -> Option<(u64, u64)> {
    match consumer.fetch_watermarks(topic, number(partition), ASK_WAIT) {
        Ok((low, high)) => Some((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0))),
        Err(error) => {
            tracing::debug!(%error, topic, partition, "the end of a changelog is not known yet");
            None
        }
    }
}
