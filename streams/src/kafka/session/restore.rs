//! Reading a changelog back.
//!
//! What counts as its end: another producer's transaction over the partition may be decided and its markers still be
//! on their way, offsets first. So the end is the high watermark, open transactions included, as of a moment after the
//! committed offsets were known, and reading begins once the last stable offset has reached it. It ends when the
//! consumer's position has passed it, markers included: that there is no more to read is no proof, since a replica that has
//! just become the leader may know less of what is committed than the one before it.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;

use super::waiting::{REMEDY, Waiting};
use crate::kafka::client::{Clients, ReaderClient, Time, number};
use crate::kafka::errors::{answer, failed, transient};
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
/// So often there has to be no more to read, the last stable offset looked at anew each time, for a restore to end before
/// its position is at the end: then nothing is left there that could be read.
const ENDS_WITHOUT_POSITION: u32 = 3;

/// Reads the changelog partitions of a worker, one at a time.
pub(super) struct Restorer<C: Clients> {
    changelog: String,
    reader: C::Reader,
    time: C::Time,
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
    /// Until no transaction before the end is open.
    waiting: Waiting,
}

impl<C: Clients> Restorer<C> {
    pub(super) fn new(clients: &C, worker: &str, changelog: &str) -> Result<Restorer<C>, LogError> {
        let reader = clients.reader(worker, changelog)?;
        Ok(Restorer { changelog: changelog.to_owned(), reader, time: clients.time(), current: None })
    }

    /// Whether a client has lost sight of all brokers for good.
    pub(super) fn is_stranded(&self) -> bool {
        self.reader.is_stranded()
    }

    /// Forgets what it was at: the next part begins anew.
    pub(super) fn forget(&mut self) {
        self.current = None;
    }

    /// Whether any change of a partition was ever committed; `None` if the brokers do not say.
    pub(super) fn has_changes(&mut self, partition: u32) -> Result<Option<bool>, LogError> {
        self.forget();
        self.read_from(partition, None)?;
        let until = self.time.now() + ASK_WAIT;
        while self.time.now() < until {
            match self.reader.poll(PAUSE) {
                Some(Ok(_)) => return Ok(Some(true)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Some(false)),
                Some(Err(error)) => tolerate(error)?,
                None => {}
            }
        }
        Ok(None)
    }

    /// Hands over a part of the changes after a position; `None` if the brokers do not say where they end.
    pub(super) fn part(
        &mut self,
        partition: u32,
        after: Option<u64>,
        apply: ApplyChanges<'_>,
    ) -> Result<Option<Restored>, LogError> {
        let next = after.unwrap_or(0);
        if self.current.as_ref().is_none_or(|current| current.partition != partition || current.next != next) {
            let Some(current) = self.begin(partition, next)? else { return Ok(None) };
            if after == Some(current.end) {
                return Ok(Some(Restored::Complete(current.end)));
            }
            self.current = Some(current);
        }
        let mut current = self.current.take().expect("it has just begun");
        if !current.reading && !self.is_stable(&mut current)? {
            self.time.sleep(PAUSE);
            let end = current.end;
            self.current = Some(current);
            return Ok(Some(Restored::Partly(end)));
        }
        if !current.reading {
            self.read_from(partition, Some(next))?;
            current.reading = true;
        }
        let restored = self.read(&mut current, apply)?;
        match restored {
            Restored::Complete(_) => self.reader.stop().map_err(failed("ending a restore"))?,
            Restored::Partly(_) => self.current = Some(current),
        }
        Ok(Some(restored))
    }

    /// Finds out where the changelog ends; `None` if the brokers do not say.
    fn begin(&self, partition: u32, next: u64) -> Result<Option<Current>, LogError> {
        let Some((low, end)) = watermarks(self.reader.high(partition, ASK_WAIT))? else { return Ok(None) };
        if next > end {
            return Err(LogError::Ahead { asked: next, end });
        }
        if next < low {
            return Err(LogError::Gone { asked: next, first: low });
        }
        Ok(Some(Current {
            partition,
            next,
            end,
            reading: false,
            short_ends: 0,
            waiting: Waiting::new(self.time.now()),
        }))
    }

    /// Whether every transaction before the end is decided.
    fn is_stable(&self, current: &mut Current) -> Result<bool, LogError> {
        let marks = watermarks(self.reader.stable(current.partition, ASK_WAIT))?;
        let Some((_, stable)) = marks.filter(|(_, stable)| *stable < current.end) else { return Ok(marks.is_some()) };
        if let Some(seconds) = current.waiting.is_to_be_said(self.time.now()) {
            let (changelog, partition, end) = (&self.changelog, current.partition, current.end);
            tracing::warn!(changelog, partition, stable, end, seconds, "a transaction is still open: {REMEDY}");
        }
        Ok(false)
    }

    /// The position that was read to, what cannot be seen included; `None` before anything was.
    fn position(&self, partition: u32) -> Result<Option<u64>, LogError> {
        self.reader.position(partition).map_err(failed("reading the changelog"))
    }

    fn read_from(&self, partition: u32, offset: Option<u64>) -> Result<(), LogError> {
        self.reader.read_from(partition, offset).map_err(failed("reading the changelog"))
    }

    fn read(&self, current: &mut Current, apply: ApplyChanges<'_>) -> Result<Restored, LogError> {
        let until = self.time.now() + PART_MAX;
        let mut changes = Vec::new();
        let mut next = current.next;
        let mut ended = false;
        while !ended && self.time.now() < until {
            match self.reader.poll(PAUSE) {
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

/// The first position of a partition and the one after its last; `None` if the brokers do not say.
fn watermarks(asked: KafkaResult<(i64, i64)>) -> Result<Option<(u64, u64)>, LogError> {
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
