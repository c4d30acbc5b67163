//! The requests that clients make of brokers.

use std::time::Duration;

use rdkafka::message::{OwnedMessage, Timestamp};

use super::broker::{Batch, Code, EntryKind, Generation, Joining, ProducerId, RecordFate, State, Target};
use super::call::Request;
use super::faults::Api;

/// A producer asks for its number.
#[derive(Clone, Debug)]
pub(super) struct InitProducerId {
    /// The transactional id, and how long its transactions may stay open.
    pub(super) transactional: Option<(String, Duration)>,
    /// What the producer has that asks for its next epoch.
    pub(super) known: Option<ProducerId>,
}

impl Request for InitProducerId {
    type Answer = ProducerId;

    fn api(&self) -> Api {
        Api::InitProducerId
    }

    fn subject(&self) -> &str {
        self.transactional.as_ref().map_or("", |(name, _)| name)
    }

    fn execute(&self, state: &mut State) -> Result<ProducerId, Code> {
        let transactional = self.transactional.as_ref().map(|(name, timeout)| (name.as_str(), *timeout));
        state.init_producer(transactional, self.known)
    }
}

/// Partitions, or a group, are added to a transaction.
#[derive(Clone, Debug)]
pub(super) struct AddToTransaction {
    pub(super) name: String,
    pub(super) producer: ProducerId,
    pub(super) targets: Vec<Target>,
}

impl Request for AddToTransaction {
    type Answer = ();

    fn api(&self) -> Api {
        match self.targets.first() {
            Some(Target::Group(_)) => Api::AddOffsetsToTxn,
            Some(Target::Partition(..)) | None => Api::AddPartitionsToTxn,
        }
    }

    fn subject(&self) -> &str {
        &self.name
    }

    fn execute(&self, state: &mut State) -> Result<(), Code> {
        state.add_to_transaction(&self.name, self.producer, &self.targets)
    }
}

/// A batch is written to a partition.
#[derive(Clone, Debug)]
pub(super) struct Produce {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) batch: Batch,
}

impl Request for Produce {
    type Answer = u64;

    fn api(&self) -> Api {
        Api::Produce
    }

    fn subject(&self) -> &str {
        &self.topic
    }

    fn execute(&self, state: &mut State) -> Result<u64, Code> {
        state.produce(&self.topic, self.partition, &self.batch)
    }
}

/// A group's offsets are written in a transaction.
#[derive(Clone, Debug)]
pub(super) struct TxnOffsetCommit {
    pub(super) name: String,
    pub(super) producer: ProducerId,
    pub(super) of: Generation,
    pub(super) offsets: Vec<(String, u32, u64)>,
}

impl Request for TxnOffsetCommit {
    type Answer = ();

    fn api(&self) -> Api {
        Api::TxnOffsetCommit
    }

    fn subject(&self) -> &str {
        &self.name
    }

    fn execute(&self, state: &mut State) -> Result<(), Code> {
        state.commit_offsets(&self.of, self.producer, &self.offsets)
    }
}

/// A transaction is ended.
#[derive(Clone, Debug)]
pub(super) struct EndTxn {
    pub(super) name: String,
    pub(super) producer: ProducerId,
    pub(super) committed: bool,
}

impl Request for EndTxn {
    type Answer = ();

    fn api(&self) -> Api {
        Api::EndTxn
    }

    fn subject(&self) -> &str {
        &self.name
    }

    fn execute(&self, state: &mut State) -> Result<(), Code> {
        state.end_transaction(&self.name, self.producer, self.committed)
    }
}

/// A member joins.
#[derive(Clone, Debug)]
pub(super) struct JoinGroup(pub(super) Joining);

impl Request for JoinGroup {
    type Answer = String;

    fn api(&self) -> Api {
        Api::JoinGroup
    }

    fn subject(&self) -> &str {
        &self.0.instance
    }

    fn execute(&self, state: &mut State) -> Result<String, Code> {
        state.join_group(&self.0)
    }
}

/// A member asks for its partitions.
#[derive(Clone, Debug)]
pub(super) struct SyncGroup(pub(super) Generation);

impl Request for SyncGroup {
    type Answer = Option<Vec<(String, u32)>>;

    fn api(&self) -> Api {
        Api::SyncGroup
    }

    fn subject(&self) -> &str {
        &self.0.instance
    }

    fn execute(&self, state: &mut State) -> Result<Self::Answer, Code> {
        state.sync_group(&self.0)
    }
}

/// A member is there.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat(pub(super) Generation);

impl Request for Heartbeat {
    type Answer = ();

    fn api(&self) -> Api {
        Api::Heartbeat
    }

    fn subject(&self) -> &str {
        &self.0.instance
    }

    fn execute(&self, state: &mut State) -> Result<(), Code> {
        state.heartbeat(&self.0)
    }
}

/// A member leaves.
#[derive(Clone, Debug)]
pub(super) struct LeaveGroup(pub(super) Generation);

impl Request for LeaveGroup {
    type Answer = ();

    fn api(&self) -> Api {
        Api::LeaveGroup
    }

    fn subject(&self) -> &str {
        &self.0.instance
    }

    fn execute(&self, state: &mut State) -> Result<(), Code> {
        state.leave_group(&self.0.group, &self.0.instance, &self.0.member)
    }
}

/// The members of a group are asked for.
#[derive(Clone, Debug)]
pub(super) struct DescribeGroups(pub(super) String);

impl Request for DescribeGroups {
    type Answer = Vec<String>;

    fn api(&self) -> Api {
        Api::DescribeGroups
    }

    fn subject(&self) -> &str {
        &self.0
    }

    fn execute(&self, state: &mut State) -> Result<Vec<String>, Code> {
        Ok(state.group_members(&self.0))
    }
}

/// Committed offsets are asked for.
#[derive(Clone, Debug)]
pub(super) struct OffsetFetch {
    pub(super) group: String,
    pub(super) of: Vec<(String, u32)>,
}

impl Request for OffsetFetch {
    type Answer = Vec<Option<u64>>;

    fn api(&self) -> Api {
        Api::OffsetFetch
    }

    fn subject(&self) -> &str {
        &self.group
    }

    fn execute(&self, state: &mut State) -> Result<Self::Answer, Code> {
        state.fetch_offsets(&self.group, &self.of)
    }
}

/// It is asked where a partition begins and ends.
#[derive(Clone, Debug)]
pub(super) struct ListOffsets {
    pub(super) topic: String,
    pub(super) partition: u32,
    /// Whether the end is the last stable offset instead of the high watermark.
    pub(super) is_stable: bool,
}

impl Request for ListOffsets {
    type Answer = (u64, u64);

    fn api(&self) -> Api {
        Api::ListOffsets
    }

    fn subject(&self) -> &str {
        &self.topic
    }

    fn execute(&self, state: &mut State) -> Result<(u64, u64), Code> {
        let partition = state.partition(&self.topic, self.partition)?;
        if partition.is_lagging() {
            return Err(Code::OffsetNotAvailable);
        }
        let end = if self.is_stable { partition.last_stable() } else { partition.high_watermark() };
        Ok((partition.first(), end))
    }
}

/// Committed records are read from one partition.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) records_max: usize,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) records: Vec<OwnedMessage>,
    /// Where reading goes on.
    pub(super) next: u64,
    /// The offset after the last record or marker that was passed, if there was one.
    pub(super) passed: Option<u64>,
    /// The last stable offset.
    pub(super) end: u64,
}

impl Request for Fetch {
    type Answer = Fetched;

    fn api(&self) -> Api {
        Api::Fetch
    }

    fn subject(&self) -> &str {
        &self.topic
    }

    fn execute(&self, state: &mut State) -> Result<Fetched, Code> {
        let partition = state.partition(&self.topic, self.partition)?;
        if self.offset < partition.first() || self.offset > partition.end() {
            return Err(Code::OffsetOutOfRange);
        }
        let end = partition.last_stable();
        let mut fetched = Fetched { records: Vec::new(), next: self.offset.max(end), passed: None, end };
        for entry in partition.entries_from(self.offset).take_while(|entry| entry.offset < end) {
            if let EntryKind::Marker { .. } = &entry.kind {
                fetched.passed = Some(entry.offset + 1);
            }
            if let EntryKind::Record { key, value, fate: RecordFate::Committed } = &entry.kind {
                if fetched.records.len() == self.records_max {
                    fetched.next = entry.offset;
                    break;
                }
                fetched.passed = Some(entry.offset + 1);
                fetched.records.push(OwnedMessage::new(
                    value.as_ref().map(|value| value.to_vec()),
                    Some(key.to_vec()),
                    self.topic.clone(),
                    Timestamp::NotAvailable,
                    i32::try_from(self.partition).expect("Kafka numbers partitions so"),
                    i64::try_from(entry.offset).expect("offsets are small"),
                    None,
                ));
            }
        }
        Ok(fetched)
    }
}
