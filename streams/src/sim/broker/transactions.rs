//! The transaction coordinator.
//!
//! It speaks the protocol of clients that keep their epoch from one transaction to the next, as librdkafka does: a
//! request of an earlier transaction that arrives late is told from one of the current by nothing but its epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::partition::ProducerId;
use super::{Action, Code, State};

/// Where a transaction's marker goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) enum Target {
    Partition(String, u32),
    /// The partition that has the group's offsets.
    Group(String),
}

/// What is going on under a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing since the id was taken over.
    Empty,
    Ongoing {
        since: Duration,
    },
    /// Decided; the markers are being written.
    Prepared {
        committed: bool,
    },
    Complete {
        committed: bool,
    },
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Transaction {
    producer: ProducerId,
    timeout: Duration,
    phase: Phase,
    touched: BTreeSet<Target>,
    /// Targets whose markers are not written yet.
    unmarked: BTreeSet<Target>,
    /// How many transactions were begun: a time-out is of one of them.
    number: u64,
}

impl State {
    /// Gives a producer its number. With a transactional id, whoever had it is fenced, and what that one left open is
    /// aborted: until that is done the answer is to ask again. `known` is what a producer has that asks for its next
    /// epoch.
    pub(in crate::sim) fn init_producer(
        &mut self,
        transactional: Option<(&str, Duration)>,
        known: Option<ProducerId>,
    ) -> Result<ProducerId, Code> {
        let fresh = ProducerId { id: self.producers_made, epoch: 0 };
        let Some((name, timeout)) = transactional else {
            self.producers_made += 1;
            return Ok(fresh);
        };
        let Some(transaction) = self.transactions.get_mut(name) else {
            if known.is_some() {
                return Err(Code::InvalidProducerEpoch);
            }
            self.producers_made += 1;
            let (touched, unmarked) = (BTreeSet::new(), BTreeSet::new());
            let made = Transaction { producer: fresh, timeout, phase: Phase::Empty, touched, unmarked, number: 0 };
            self.transactions.insert(name.to_owned(), made);
            return Ok(fresh);
        };
        let current = transaction.producer;
        if let Some(known) = known {
            // The answer to the same question was lost.
            if known.id == current.id && known.epoch + 1 == current.epoch && transaction.phase == Phase::Empty {
                return Ok(current);
            }
            if known != current {
                return Err(Code::ProducerFenced);
            }
        }
        match transaction.phase {
            Phase::Prepared { .. } => Err(Code::ConcurrentTransactions),
            Phase::Ongoing { .. } => {
                transaction.producer.epoch += 1;
                self.decide(name, false);
                Err(Code::ConcurrentTransactions)
            }
            Phase::Empty | Phase::Complete { .. } => {
                transaction.producer.epoch += 1;
                transaction.timeout = timeout;
                transaction.phase = Phase::Empty;
                Ok(transaction.producer)
            }
        }
    }

    /// Adds partitions, or a group's offsets, to the transaction, which begins with the first of them.
    pub(in crate::sim) fn add_to_transaction(
        &mut self,
        name: &str,
        producer: ProducerId,
        targets: &[Target],
    ) -> Result<(), Code> {
        if let Some(Target::Partition(topic, partition)) = targets.iter().find(
            |target| matches!(target, Target::Partition(topic, number) if self.partition(topic, *number).is_err()),
        ) {
            return self.partition(topic, *partition).map(drop);
        }
        let now = self.now;
        let transaction = self.transaction(name, producer)?;
        match transaction.phase {
            Phase::Prepared { .. } => return Err(Code::ConcurrentTransactions),
            Phase::Ongoing { .. } => {}
            Phase::Empty | Phase::Complete { .. } => {
                transaction.phase = Phase::Ongoing { since: now };
                transaction.number += 1;
                let (due, number) = (now + transaction.timeout, transaction.number);
                self.await_timeout(name, number, due);
            }
        }
        let transaction = self.transactions.get_mut(name).expect("it was just found");
        transaction.touched.extend(targets.iter().cloned());
        Ok(())
    }

    /// Looks at a transaction when the coordinator does so next after it is due.
    fn await_timeout(&mut self, name: &str, number: u64, due: Duration) {
        let every = self.options.transaction_check_every.as_micros().max(1);
        let due_us = due.as_micros().div_ceil(every) * every;
        let due = Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX));
        self.schedule(due, Action::TransactionTimeout { name: name.to_owned(), number });
    }

    /// Ends a transaction. It is answered when that is decided, and the markers follow.
    pub(in crate::sim) fn end_transaction(
        &mut self,
        name: &str,
        producer: ProducerId,
        committed: bool,
    ) -> Result<(), Code> {
        match self.transaction(name, producer)?.phase {
            Phase::Ongoing { .. } => {
                self.decide(name, committed);
                Ok(())
            }
            Phase::Prepared { committed: decided } if decided == committed => Err(Code::ConcurrentTransactions),
            Phase::Complete { committed: decided } if decided == committed => Ok(()),
            Phase::Prepared { .. } | Phase::Complete { .. } | Phase::Empty => Err(Code::InvalidTransactionalState),
        }
    }

    /// Whether a transaction of this producer is going on that has this target: brokers ask before they write.
    pub(super) fn verify(&self, producer: ProducerId, target: &Target) -> Result<(), Code> {
        let by_number = self.transactions.values().find(|transaction| transaction.producer.id == producer.id);
        let transaction = by_number.ok_or(Code::InvalidProducerIdMapping)?;
        if transaction.producer.epoch != producer.epoch {
            return Err(Code::InvalidProducerEpoch);
        }
        let is_ongoing = matches!(transaction.phase, Phase::Ongoing { .. });
        if is_ongoing && transaction.touched.contains(target) {
            return Ok(());
        }
        Err(Code::InvalidTransactionalState)
    }

    pub(super) fn time_out_transaction(&mut self, name: &str, number: u64) {
        let Some(transaction) = self.transactions.get_mut(name) else { return };
        if transaction.number != number || !matches!(transaction.phase, Phase::Ongoing { .. }) {
            return;
        }
        transaction.producer.epoch += 1;
        self.note(format_args!("coordinator times {name} out"));
        self.decide(name, false);
    }

    fn transaction(&mut self, name: &str, producer: ProducerId) -> Result<&mut Transaction, Code> {
        let transaction = self.transactions.get_mut(name).ok_or(Code::InvalidProducerIdMapping)?;
        if transaction.producer.id != producer.id {
            return Err(Code::InvalidProducerIdMapping);
        }
        if transaction.producer.epoch != producer.epoch { Err(Code::ProducerFenced) } else { Ok(transaction) }
    }

    /// Decides a transaction. Its markers arrive at each place in its own time.
    fn decide(&mut self, name: &str, committed: bool) {
        let transaction = self.transactions.get_mut(name).expect("it was just found");
        transaction.phase = Phase::Prepared { committed };
        transaction.unmarked = std::mem::take(&mut transaction.touched);
        let (producer, targets) = (transaction.producer, transaction.unmarked.clone());
        self.note(format_args!("coordinator prepares {name} {producer:?} committed={committed}"));
        if targets.is_empty() {
            self.complete(name);
        }
        for target in targets {
            let delay = match &target {
                Target::Partition(topic, partition) => self.faults.marker_delay(topic, *partition),
                Target::Group(group) => self.faults.marker_delay(group, 0),
            };
            let marker = Action::Marker { name: name.to_owned(), producer, committed, target };
            self.schedule(self.now + delay, marker);
        }
    }

    /// A marker arrives.
    pub(super) fn mark(&mut self, name: &str, producer: ProducerId, committed: bool, target: &Target) {
        let now = self.now;
        self.note(format_args!("marker of {name} {producer:?} at {target:?} committed={committed}"));
        match target {
            Target::Partition(topic, partition) => {
                if let Ok(partition) = self.partition_mut(topic, *partition) {
                    partition.mark(producer, committed, now);
                }
            }
            Target::Group(group) => self.mark_offsets(group, producer.id, committed),
        }
        let transaction = self.transactions.get_mut(name).expect("ids are never forgotten");
        transaction.unmarked.remove(target);
        if transaction.unmarked.is_empty() {
            self.complete(name);
        }
    }

    fn complete(&mut self, name: &str) {
        let transaction = self.transactions.get_mut(name).expect("ids are never forgotten");
        if let Phase::Prepared { committed } = transaction.phase {
            transaction.phase = Phase::Complete { committed };
        }
    }

    /// The transactional ids with something undecided, or decided and not marked everywhere.
    pub(in crate::sim) fn unfinished(&self) -> impl Iterator<Item = &str> {
        let unfinished = |phase: Phase| matches!(phase, Phase::Ongoing { .. } | Phase::Prepared { .. });
        self.transactions.iter().filter(move |(_, one)| unfinished(one.phase)).map(|(name, _)| name.as_str())
    }
}

/// Transactional ids by name.
pub(super) type Transactions = BTreeMap<String, Transaction>;
