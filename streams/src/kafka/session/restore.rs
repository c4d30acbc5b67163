//! Reading a changelog back.
//!
//! What counts as its end: another producer's transaction over the partition may be decided and its markers still be
//! on their way, offsets first. So the end is the high watermark, open transactions included, as of a moment after the
//! committed offsets were known, and reading begins once the last stable offset has reached it. It ends when the
//! consumer's position has passed it, markers included: that there is no more to read is no proof, since a replica that has
//! just become the leader may know less of what is committed than the one before it.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::partitions::number;
use crate::kafka::errors::{answer, failed, transient};
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
/// How often a restore that waits for an open transaction says so.
const WARN_EVERY: Duration = Duration::from_secs(30);
/// So often there has to be no more to read, the last stable offset looked at anew each time, for a restore to end before
/// its position is at the end: then nothing is left there that could be read.
const ENDS_WITHOUT_POSITION: u32 = 3;

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
    /// How often there was no more to read, at a position before the end.
    short_ends: u32,
    /// When it was last said that it waits for an open transaction.
    warned: Instant,
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
                // A changelog that is not there is told of after this.
                .set("topic.metadata.propagation.max.ms", "5000")
                .set("fetch.wait.max.ms", "20")
                // After its queue was full the client fetches nothing for a second, which is longer than it lasts.
                .set("fetch.queue.backoff.ms", "10");
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
                Some(Err(error)) => tolerate(error)?,
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
                None => {
                    // An answer that says nothing may come at once.
                    thread::sleep(PAUSE);
                    return Ok(Restored::Partly(next));
                }
            }
        }
        let mut current = self.current.take().expect("it has just begun");
        if !current.reading && !self.is_stable(&mut current)? {
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
        let Some((low, end)) = watermarks(&self.high, &self.changelog, partition)? else { return Ok(None) };
        if next > end {
            return Err(LogError::Ahead { asked: next, end });
        }
        if next < low {
            return Err(LogError::Gone { asked: next, first: low });
        }
        Ok(Some(Current { partition, next, end, reading: false, short_ends: 0, warned: Instant::now() }))
    }

    /// Whether every transaction before the end is decided.
    fn is_stable(&self, current: &mut Current) -> Result<bool, LogError> {
        let marks = watermarks(&self.stable, &self.changelog, current.partition)?;
        let Some((_, stable)) = marks.filter(|(_, stable)| *stable < current.end) else { return Ok(marks.is_some()) };
        if current.warned.elapsed() >= WARN_EVERY {
            current.warned = Instant::now();
            let (changelog, partition, end) = (&self.changelog, current.partition, current.end);
            tracing::warn!(changelog, partition, stable, end, "a restore waits for a transaction that is still open");
        }
        Ok(false)
    }

    /// The position that was read to, what cannot be seen included; `None` before anything was.
    fn position(&self, partition: u32) -> Result<Option<u64>, LogError> {
        let positions = self.stable.position().map_err(failed("reading the changelog"))?;
        let position = positions.find_partition(&self.changelog, number(partition)).map(|found| found.offset());
        Ok(match position {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            _ => None,
        })
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
                Some(Ok(record)) if record.partition() != number(current.partition) => {}
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
                Some(Err(KafkaError::PartitionEOF(of))) if of == number(current.partition) => {
                    let position = self.position(current.partition)?.unwrap_or(next);
                    current.short_ends += u32::from(position < current.end);
                    ended = position >= current.end || current.short_ends == ENDS_WITHOUT_POSITION;
                    if !ended {
                        current.reading = false;
                        break;
                    }
                    next = next.max(current.end);
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => tolerate(error)?,
            }
        }
        if !changes.is_empty() {
            apply(&changes, next)?;
        }
        current.next = next;
        Ok(if ended { Restored::Complete(next) } else { Restored::Partly(current.end) })
    }
}

/// The first position of a partition and the one after its last, as this consumer sees it; `None` if the brokers do not
/// say.
fn watermarks(consumer: &BaseConsumer<Watched>, topic: &str, partition: u32) -> Result<Option<(u64, u64)>, LogError> {
    let asked = consumer.fetch_watermarks(topic, number(partition), ASK_WAIT);
    let Some((low, high)) = answer("asking where a changelog ends", asked)? else { return Ok(None) };
    Ok(u64::try_from(low).ok().zip(u64::try_from(high).ok()))
}

/// Errors that are known to pass are logged. After others, such as a batch that does not decompress, the client goes on
/// behind what it could not read, and the state would lack it.
fn tolerate(error: KafkaError) -> Result<(), LogError> {
    match error.rdkafka_error_code() {
        Some(code) if transient(code) => tracing::debug!(%error, "reading a changelog goes on by itself"),
        // Nobody joins the group: who may not use it may still read.
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
        _ => return Err(failed("reading a changelog")(error)),
    }
    Ok(())
}
