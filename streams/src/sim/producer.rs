//! The transactional producer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::broker::{Batch, Code, Generation, ProducerId, Target};
use super::call::Answered;
use super::clients::{ask, passes};
use super::process::Process;
use super::requests::{AddToTransaction, EndTxn, InitProducerId, Produce, TxnOffsetCommit};
use crate::kafka::client::{Delivered, Outgoing, Place, ProducerClient, Refused};
use crate::kafka::errors::fences;
use crate::kafka::session::MESSAGE_BYTES_MAX;
use crate::kafka::{SessionOptions, partition};

/// Between two attempts at what a broker could not do yet.
const BACKOFF: Duration = Duration::from_millis(10);
/// What a look at outstanding records takes at least.
const PAUSE: Duration = Duration::from_micros(100);
/// Records and bytes that go to a broker at once.
const BATCH_RECORDS_MAX: usize = 10_000;
const QUEUE_RECORDS_MAX: usize = 1_000_000;

/// A producer of a transactional id.
#[derive(Debug)]
pub struct SimProducer {
    process: Process,
    name: String,
    transaction_timeout: Duration,
    /// How long a record may take to be acknowledged.
    message_timeout: Duration,
    inner: Mutex<Inner>,
    delivered: Mutex<Delivered>,
}

#[derive(Debug, Default)]
struct Inner {
    producer: Option<ProducerId>,
    is_open: bool,
    /// What the coordinator has been told of.
    added: Vec<(String, u32)>,
    /// Whether a request of this transaction was sent to the coordinator.
    is_told: bool,
    outgoing: BTreeMap<(String, u32), Outbox>,
    /// Records in all of them.
    waiting: usize,
    /// The next attempt, after one that is to be made again.
    not_before: Duration,
    /// A record was given up of which it is not known whether it was written: sequences are broken.
    needs_epoch: bool,
    /// The transaction can only be aborted.
    is_broken: bool,
    fatal: Option<Code>,
}

/// What goes to one partition.
#[derive(Debug, Default)]
struct Outbox {
    sequence: u32,
    is_change: bool,
    records: Vec<(Bytes, Option<Bytes>)>,
    /// How many of these were sent, and must be sent again as they were.
    sent: usize,
    attempt: u32,
    /// When the oldest of them is given up.
    deadline: Duration,
}

impl SimProducer {
    pub(super) fn new(process: &Process, name: &str, options: &SessionOptions) -> SimProducer {
        SimProducer {
            process: process.clone(),
            name: name.to_owned(),
            transaction_timeout: options.transaction_timeout,
            message_timeout: options.delivery_timeout(),
            inner: Mutex::default(),
            delivered: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The producer's number, if it may do something.
    fn usable(&self) -> KafkaResult<ProducerId> {
        let inner = self.inner();
        match (inner.fatal, inner.producer) {
            (Some(code), _) => Err(KafkaError::Global(code)),
            (None, Some(producer)) => Ok(producer),
            (None, None) => Err(KafkaError::Global(Code::State)),
        }
    }

    /// Notes what an answer means for the producer.
    fn failed(&self, code: Code) -> KafkaError {
        let mut inner = self.inner();
        inner.is_broken = true;
        if fences(code) {
            inner.fatal = Some(Code::Fenced);
            return KafkaError::Global(Code::Fenced);
        }
        KafkaError::Global(code)
    }

    fn init_request(&self, known: Option<ProducerId>) -> InitProducerId {
        InitProducerId { transactional: Some((self.name.clone(), self.transaction_timeout)), known }
    }

    /// Tells the coordinator of partitions that it has not been told of; whether it knows of all.
    fn add_partitions(&self, producer: ProducerId) -> Result<bool, Code> {
        let fresh: Vec<(String, u32)> = {
            let inner = self.inner();
            inner
                .outgoing
                .iter()
                .filter(|(place, outbox)| !outbox.records.is_empty() && !inner.added.contains(place))
                .map(|(place, _)| place.clone())
                .collect()
        };
        if fresh.is_empty() {
            return Ok(true);
        }
        let targets = fresh.iter().map(|(topic, partition)| Target::Partition(topic.clone(), *partition)).collect();
        let request = AddToTransaction { name: self.name.clone(), producer, targets };
        // Even if the answer is lost, it may have been heard: an abort has to be asked for.
        self.inner().is_told = true;
        let deadline = self.deadline();
        let answer = self.process.cluster().ask(&self.process, &request, 0, deadline);
        let now = self.process.cluster().now();
        let mut inner = self.inner();
        match answer {
            Answered::With(Ok(())) => inner.added.extend(fresh),
            Answered::With(Err(code)) if !passes(code) => return Err(code),
            Answered::With(Err(_)) | Answered::Not => {
                inner.not_before = now + BACKOFF;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// When the oldest record is given up.
    fn deadline(&self) -> Duration {
        let inner = self.inner();
        let waiting = inner.outgoing.values().filter(|outbox| !outbox.records.is_empty());
        waiting.map(|outbox| outbox.deadline).min().unwrap_or(Duration::MAX)
    }

    /// Sends what waits for one partition, once.
    fn produce(&self, producer: ProducerId, place: &(String, u32)) {
        let (request, attempt, deadline) = {
            let mut inner = self.inner();
            let Some(outbox) = inner.outgoing.get_mut(place).filter(|outbox| !outbox.records.is_empty()) else {
                return;
            };
            if outbox.sent == 0 {
                outbox.sent = outbox.records.len().min(BATCH_RECORDS_MAX);
            }
            let records = outbox.records[..outbox.sent].to_vec();
            let batch = Batch { producer, sequence: outbox.sequence, is_transactional: true, records };
            let request = Produce { topic: place.0.clone(), partition: place.1, batch };
            outbox.attempt += 1;
            (request, outbox.attempt - 1, outbox.deadline)
        };
        let answer = self.process.cluster().ask(&self.process, &request, attempt, deadline);
        let now = self.process.cluster().now();
        let mut inner = self.inner();
        match answer {
            Answered::With(Ok(offset)) => {
                let Some(outbox) = inner.outgoing.get_mut(place) else { return };
                let sent = std::mem::take(&mut outbox.sent);
                outbox.records.drain(..sent);
                outbox.sequence += u32::try_from(sent).expect("a batch has a bound");
                outbox.attempt = 0;
                let is_change = outbox.is_change;
                inner.waiting -= sent;
                drop(inner);
                if is_change {
                    self.delivered().change(place.1, offset + sent as u64);
                }
            }
            Answered::With(Err(code)) if !passes(code) => {
                inner.is_broken = true;
                inner.needs_epoch = true;
                inner.forget();
                drop(inner);
                self.delivered().error.get_or_insert(KafkaError::MessageProduction(code));
            }
            Answered::With(Err(_)) | Answered::Not => inner.not_before = now + BACKOFF,
        }
    }

    /// Gives up what took too long.
    fn expire(&self) {
        let now = self.process.cluster().now();
        let mut inner = self.inner();
        if !inner.outgoing.values().any(|outbox| !outbox.records.is_empty() && outbox.deadline <= now) {
            return;
        }
        inner.needs_epoch |= inner.outgoing.values().any(|outbox| outbox.sent > 0);
        inner.is_broken = true;
        inner.forget();
        drop(inner);
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        self.delivered().error.get_or_insert(error);
    }

    fn end(&self, committed: bool, wait: Duration) -> Result<(), Code> {
        let Some(producer) = self.inner().producer else { return Err(Code::State) };
        let is_told = self.inner().is_told;
        if is_told {
            ask(&self.process, &EndTxn { name: self.name.clone(), producer, committed }, wait)?;
        }
        let mut inner = self.inner();
        inner.forget();
        inner.added.clear();
        (inner.is_told, inner.is_open, inner.is_broken) = (false, false, false);
        Ok(())
    }
}

impl Inner {
    /// Gives up what is not acknowledged.
    fn forget(&mut self) {
        for outbox in self.outgoing.values_mut() {
            outbox.records.clear();
            (outbox.sent, outbox.attempt) = (0, 0);
        }
        self.waiting = 0;
    }
}

/// What the client says of a call that ran out of time or failed for good.
fn refused(code: Code, error: KafkaError) -> Refused {
    Refused { error, retriable: code == Code::OperationTimedOut }
}

impl ProducerClient for SimProducer {
    type Group = Generation;

    fn init(&self, wait: Duration) -> Result<(), Refused> {
        match ask(&self.process, &self.init_request(None), wait) {
            Ok(producer) => {
                self.inner().producer = Some(producer);
                Ok(())
            }
            Err(code) => Err(refused(code, self.failed(code))),
        }
    }

    fn begin(&self) -> KafkaResult<()> {
        self.usable()?;
        let mut inner = self.inner();
        if inner.is_open {
            return Err(KafkaError::Global(Code::State));
        }
        inner.is_open = true;
        Ok(())
    }

    fn send(&self, record: Outgoing<'_>) -> KafkaResult<()> {
        self.usable()?;
        let Outgoing { topic, key, value, is_change, .. } = record;
        if key.len() + value.map_or(0, <[u8]>::len) > MESSAGE_BYTES_MAX {
            return Err(KafkaError::MessageProduction(Code::MessageSizeTooLarge));
        }
        let now = self.process.cluster().now();
        let partitions = self.process.cluster().partitions(topic);
        if partitions == 0 {
            return Err(KafkaError::MessageProduction(Code::UnknownTopicOrPartition));
        }
        let number = record.partition.unwrap_or_else(|| partition(key, partitions));
        let mut inner = self.inner();
        if inner.is_broken || !inner.is_open {
            return Err(KafkaError::MessageProduction(Code::State));
        }
        if inner.waiting >= QUEUE_RECORDS_MAX {
            return Err(KafkaError::MessageProduction(Code::QueueFull));
        }
        inner.waiting += 1;
        let outbox = inner.outgoing.entry((topic.to_owned(), number)).or_default();
        if outbox.records.is_empty() {
            outbox.deadline = now + self.message_timeout;
        }
        outbox.is_change = is_change;
        outbox.records.push((Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice)));
        Ok(())
    }

    fn poll(&self) {
        self.process.check();
        self.expire();
        let Ok(producer) = self.usable() else { return };
        if self.inner().waiting == 0 || self.inner().not_before > self.process.cluster().now() {
            return;
        }
        match self.add_partitions(producer) {
            Ok(true) => {}
            Ok(false) => return,
            Err(code) => {
                let error = self.failed(code);
                self.inner().forget();
                self.delivered().error.get_or_insert(error);
                return;
            }
        }
        let places: Vec<(String, u32)> = self.inner().outgoing.keys().cloned().collect();
        places.iter().for_each(|place| self.produce(producer, place));
    }

    fn pause(&self) {
        let cluster = self.process.cluster();
        let (now, next) = (cluster.now(), self.inner().not_before);
        cluster.idle(&self.process, next.min(self.deadline()).max(now + PAUSE));
    }

    fn in_flight(&self) -> usize {
        self.inner().waiting
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn purge(&self) {
        let mut inner = self.inner();
        inner.needs_epoch |= inner.outgoing.values().any(|outbox| outbox.sent > 0);
        inner.forget();
    }

    fn send_offsets(&self, offsets: &[Place<'_>], group: &Generation, wait: Duration) -> KafkaResult<()> {
        let producer = self.usable()?;
        if offsets.is_empty() {
            // The client asks nobody, so no generation is looked at.
            return Ok(());
        }
        let cluster = self.process.cluster();
        let deadline = cluster.now().saturating_add(wait);
        let targets = vec![Target::Group(group.group.clone())];
        self.inner().is_told = true;
        let add = AddToTransaction { name: self.name.clone(), producer, targets };
        ask(&self.process, &add, wait).map_err(|code| self.failed(code))?;
        let offsets = offsets.iter().map(|at| (at.topic.to_owned(), at.partition, at.offset)).collect();
        let commit = TxnOffsetCommit { name: self.name.clone(), producer, of: group.clone(), offsets };
        let left = deadline.saturating_sub(cluster.now());
        ask(&self.process, &commit, left).map_err(|code| self.failed(code))
    }

    fn commit(&self, wait: Duration) -> Result<(), Refused> {
        let check = self.usable().and_then(|_| match self.inner().is_broken {
            true => Err(KafkaError::Global(Code::State)),
            false => Ok(()),
        });
        check.map_err(|error| Refused { error, retriable: false })?;
        self.end(true, wait).map_err(|code| match code {
            // The transaction is as it was: the same call again asks for the same.
            Code::OperationTimedOut => refused(code, KafkaError::Global(code)),
            Code::InvalidTransactionalState => {
                self.inner().fatal = Some(code);
                refused(code, KafkaError::Global(code))
            }
            _ => refused(code, self.failed(code)),
        })
    }

    fn abort(&self, wait: Duration) -> KafkaResult<()> {
        let producer = self.usable()?;
        let cluster = self.process.cluster();
        let deadline = cluster.now().saturating_add(wait);
        self.end(false, wait).map_err(|code| self.failed(code))?;
        if !self.inner().needs_epoch {
            return Ok(());
        }
        let left = deadline.saturating_sub(cluster.now());
        let next = ask(&self.process, &self.init_request(Some(producer)), left).map_err(|code| self.failed(code))?;
        let mut inner = self.inner();
        inner.producer = Some(next);
        inner.needs_epoch = false;
        inner.outgoing.clear();
        Ok(())
    }

    fn is_fatal(&self) -> bool {
        self.inner().fatal.is_some()
    }

    fn is_stranded(&self) -> bool {
        false
    }
}
