//! The transactional producer: a step's outputs, state changes and offsets, all or nothing.
//!
//! rust-rdkafka's `flush`, which `commit_transaction` calls, waits in slices of 100 ms as long as anything is
//! outstanding: so everything is waited for before it is called.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::options::SessionOptions;
use crate::kafka::client::{Clients, Delivered, Outgoing, Place, ProducerClient, Refused, Time};
use crate::kafka::errors::{failed, fences, transient};
use crate::log::{LogError, Step};

/// How long an abort may take. It only spares others the wait for the transaction's time-out.
const ABORT_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of a record, which are what the catalogue's topics take in a batch.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How a transaction ended.
pub(super) enum Ended {
    /// Committed; for each changelog partition that was written, the position after it.
    Committed(BTreeMap<u32, u64>),
    /// Not committed, and it never will be.
    Aborted(LogError),
    /// Nobody here knows.
    Unknown(LogError),
}

/// Where a step's records go.
pub(super) struct Names<'a> {
    /// The names of all the step's topics in the cluster.
    pub(super) topics: &'a BTreeMap<&'static str, String>,
    /// The changelog.
    pub(super) changelog: &'a str,
}

/// A producer of a transactional id. It is not used again once it is spent.
pub(super) struct Transactor<C: Clients> {
    producer: C::Producer,
    time: C::Time,
    /// How long records may take to be acknowledged, and a call to be answered.
    delivery_timeout: Duration,
    initialised: bool,
    spent: Cell<bool>,
    fenced: Cell<bool>,
}

impl<C: Clients> Transactor<C> {
    /// Makes a producer, which can do nothing yet.
    pub(super) fn new(clients: &C, id: &str, options: &SessionOptions) -> Result<Transactor<C>, LogError> {
        Ok(Transactor {
            producer: clients.producer(id, options)?,
            time: clients.time(),
            delivery_timeout: options.delivery_timeout(),
            initialised: false,
            spent: Cell::new(false),
            fenced: Cell::new(false),
        })
    }

    /// Takes the id over, which decides any transaction that its last holder left open and fences that one; `false` if
    /// the brokers have not done so within `wait`: then the same is asked again.
    pub(super) fn init(&mut self, wait: Duration) -> Result<bool, LogError> {
        if self.initialised {
            return Ok(true);
        }
        match self.producer.init(wait) {
            Ok(()) => self.initialised = true,
            Err(Refused { error, retriable: true }) => {
                tracing::debug!(%error, "the transactional id is not taken over yet");
            }
            Err(Refused { error, retriable: false }) => return Err(failed("taking the transactional id over")(error)),
        }
        Ok(self.initialised)
    }

    /// Hears what the client has to say.
    pub(super) fn listen(&self) {
        self.producer.poll();
    }

    /// Whether the client has lost sight of all brokers for good.
    pub(super) fn is_stranded(&self) -> bool {
        self.producer.is_stranded()
    }

    /// Whether it can do nothing more.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Whether the last transaction failed because another producer has the id, or the broker has given this one up.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.get()
    }

    /// Writes and commits a step with the offsets it consumes.
    pub(super) fn run(&self, step: &Step, names: &Names<'_>, offsets: &[Place<'_>], group: &C::Group) -> Ended {
        *self.producer.delivered() = Delivered::default();
        if let Err(error) = self.producer.begin() {
            self.note(&error);
            return self.abort(failed("beginning a transaction")(error));
        }
        if let Err((context, error)) = self.write(step, names, offsets, group) {
            self.note(&error);
            // What was not answered may arrive yet, in the time of a later transaction of the same epoch: offsets of this
            // one would take the place of that one's. A producer that has taken the id over has another epoch.
            if error.rdkafka_error_code().is_some_and(transient) {
                self.spent.set(true);
            }
            return self.abort(if is_too_large(&error) { too_large(step) } else { failed(context)(error) });
        }
        self.commit()
    }

    fn write(
        &self,
        step: &Step,
        names: &Names<'_>,
        offsets: &[Place<'_>],
        group: &C::Group,
    ) -> Result<(), (&'static str, KafkaError)> {
        let deadline = self.time.now() + self.delivery_timeout;
        for message in &step.outputs {
            let topic = &names.topics[message.topic.name];
            let (key, value) = (&message.key[..], Some(&message.value[..]));
            let record = Outgoing { topic, partition: None, key, value, is_change: false };
            self.send(record, deadline).map_err(|error| ("writing an output", error))?;
        }
        for (partition, changes) in &step.changes {
            for change in changes {
                let record = Outgoing {
                    topic: names.changelog,
                    partition: Some(*partition),
                    key: &change.key[..],
                    value: change.value.as_deref(),
                    is_change: true,
                };
                self.send(record, deadline).map_err(|error| ("writing the changelog", error))?;
            }
        }
        self.drain(deadline).map_err(|error| ("waiting for acknowledgements", error))?;
        let sent = self.producer.send_offsets(offsets, group, self.delivery_timeout);
        sent.map_err(|error| ("adding offsets to the transaction", error))
    }

    /// Enqueues a record, waiting for room.
    fn send(&self, record: Outgoing<'_>, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) if self.time.now() < deadline => {
                    self.producer.poll();
                    self.producer.pause();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until every record is acknowledged.
    fn drain(&self, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            self.producer.poll();
            if let Some(error) = self.producer.delivered().error.clone() {
                return Err(error);
            }
            if self.producer.in_flight() == 0 {
                return Ok(());
            }
            // The client gives a record up by itself; this is for the case that it does not.
            if self.time.now() > deadline + self.delivery_timeout {
                return Err(KafkaError::Flush(RDKafkaErrorCode::MessageTimedOut));
            }
            self.producer.pause();
        }
    }

    fn commit(&self) -> Ended {
        let deadline = self.time.now() + self.delivery_timeout;
        loop {
            match self.producer.commit(self.delivery_timeout) {
                Ok(()) => return Ended::Committed(std::mem::take(&mut self.producer.delivered().ends)),
                // The same call again resumes the commit under way.
                Err(Refused { error, retriable: true }) if self.time.now() < deadline => {
                    tracing::debug!(%error, "the commit is resumed");
                }
                // It may have been done before whatever failed. An abort would not tell: the client may take another
                // epoch of its id for one, which the brokers give after a commit too.
                Err(Refused { error, .. }) => {
                    self.note(&error);
                    self.spent.set(true);
                    return Ended::Unknown(failed("committing")(error));
                }
            }
        }
    }

    /// Ends a transaction whose commit was never asked for: whatever becomes of the abort, nobody ever sees it.
    fn abort(&self, reason: LogError) -> Ended {
        self.producer.poll();
        // A purge forgets what was asked and not answered, and the client keeps its epoch then: a request that arrives later
        // would be of the next transaction.
        if self.producer.in_flight() > 0 {
            self.spent.set(true);
        }
        self.producer.purge();
        let deadline = self.time.now() + ABORT_WAIT;
        while self.producer.in_flight() > 0 && self.time.now() < deadline {
            self.producer.poll();
            self.producer.pause();
        }
        if let Err(abort) = self.producer.abort(ABORT_WAIT) {
            tracing::debug!(error = %abort, "the abort is left to the next producer of the id");
            self.note(&abort);
            self.spent.set(true);
        }
        Ended::Aborted(reason)
    }

    fn note(&self, error: &KafkaError) {
        let fenced = error.rdkafka_error_code().is_some_and(fences);
        self.fenced.set(self.fenced.get() || fenced);
        self.spent.set(self.spent.get() || self.producer.is_fatal());
    }
}

/// Whether a record, or the batch that it is in, is more than the client or the brokers take.
fn is_too_large(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize))
}

/// Tells of a step's largest record.
fn too_large(step: &Step) -> LogError {
    let outputs = step.outputs.iter().map(|message| message.key.len() + message.value.len());
    let changes = step.changes.iter().flat_map(|(_, changes)| changes);
    let changes = changes.map(|change| change.key.len() + change.value.as_ref().map_or(0, |value| value.len()));
    LogError::TooLarge { bytes: outputs.chain(changes).max().unwrap_or(0), bytes_max: MESSAGE_BYTES_MAX }
}
