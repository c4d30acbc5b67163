//! What reads a changelog.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;

use super::call::Answered;
use super::clients::{ask, passes};
use super::member::watermarks;
use super::process::Process;
use super::requests::{Fetch, ListOffsets};
use crate::kafka::client::ReaderClient;

/// Reads the partitions of a changelog, one at a time.
#[derive(Debug)]
pub struct SimReader {
    process: Process,
    changelog: String,
    reading: Mutex<Option<Reading>>,
}

/// The partition that is read.
#[derive(Debug)]
struct Reading {
    partition: u32,
    /// Where to go on; `None` is where it begins.
    next: Option<u64>,
    /// The position that was read to, by what was handed over.
    position: Option<u64>,
    queue: VecDeque<OwnedMessage>,
    /// Whether the end was told since there was something new.
    has_ended: bool,
}

impl SimReader {
    pub(super) fn new(process: &Process, changelog: &str) -> SimReader {
        SimReader { process: process.clone(), changelog: changelog.to_owned(), reading: Mutex::default() }
    }

    fn reading(&self) -> MutexGuard<'_, Option<Reading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to read from, asked for if it is where the partition begins.
    fn from(&self, wait: Duration) -> Option<KafkaResult<(u32, u64)>> {
        let (partition, next) = self.reading().as_ref().map(|reading| (reading.partition, reading.next))?;
        if let Some(next) = next {
            return Some(Ok((partition, next)));
        }
        let request = ListOffsets { topic: self.changelog.clone(), partition, is_stable: true };
        match ask(&self.process, &request, wait) {
            Ok((first, _)) => Some(Ok((partition, first))),
            Err(RDKafkaErrorCode::OperationTimedOut) => None,
            Err(code) => Some(Err(KafkaError::MessageConsumption(code))),
        }
    }

    /// Fetches once; what it has to tell besides records.
    fn fetch(&self, deadline: Duration) -> Option<KafkaError> {
        let cluster = self.process.cluster();
        let (partition, offset) = match self.from(deadline.saturating_sub(cluster.now()))? {
            Ok(from) => from,
            Err(error) => return Some(error),
        };
        let records_max = cluster.state().options.changelog_fetch_records_max;
        let request = Fetch { topic: self.changelog.clone(), partition, offset, records_max };
        let answer = cluster.ask(&self.process, &request, 0, deadline);
        let mut reading = self.reading();
        let reading = reading.as_mut()?;
        match answer {
            Answered::With(Ok(fetched)) => {
                let is_end = fetched.records.is_empty() && fetched.next >= fetched.end;
                // The client tells no position before it has passed anything.
                if fetched.next > offset {
                    reading.position = Some(fetched.next);
                }
                reading.next = Some(fetched.next);
                reading.has_ended &= fetched.records.is_empty();
                reading.queue.extend(fetched.records);
                if is_end && !std::mem::replace(&mut reading.has_ended, true) {
                    return Some(KafkaError::PartitionEOF(i32::try_from(partition).unwrap_or(i32::MAX)));
                }
                None
            }
            Answered::With(Err(RDKafkaErrorCode::OffsetOutOfRange)) => {
                Some(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))
            }
            Answered::With(Err(code)) if !passes(code) => Some(KafkaError::MessageConsumption(code)),
            Answered::With(Err(_)) | Answered::Not => None,
        }
    }
}

impl ReaderClient for SimReader {
    type Record<'a> = OwnedMessage;

    fn high(&self, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        watermarks(&self.process, &self.changelog, partition, false, wait)
    }

    fn stable(&self, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        watermarks(&self.process, &self.changelog, partition, true, wait)
    }

    fn read_from(&self, partition: u32, offset: Option<u64>) -> KafkaResult<()> {
        let fresh = Reading { partition, next: offset, position: None, queue: VecDeque::new(), has_ended: false };
        *self.reading() = Some(fresh);
        Ok(())
    }

    fn poll(&self, wait: Duration) -> Option<KafkaResult<OwnedMessage>> {
        self.process.check();
        let cluster = self.process.cluster();
        let deadline = cluster.now().saturating_add(wait);
        let next = || self.reading().as_mut().and_then(|reading| reading.queue.pop_front());
        loop {
            if let Some(record) = next() {
                return Some(Ok(record));
            }
            if let Some(error) = self.fetch(deadline) {
                return Some(Err(error));
            }
            if let Some(record) = next() {
                return Some(Ok(record));
            }
            if cluster.now() >= deadline {
                return None;
            }
            cluster.idle(&self.process, cluster.next_due().map_or(deadline, |due| due.min(deadline)));
        }
    }

    fn position(&self, partition: u32) -> KafkaResult<Option<u64>> {
        Ok(self.reading().as_ref().filter(|reading| reading.partition == partition).and_then(|one| one.position))
    }

    fn is_stranded(&self) -> bool {
        false
    }

    fn stop(&self) -> KafkaResult<()> {
        *self.reading() = None;
        Ok(())
    }
}
