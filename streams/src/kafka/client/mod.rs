//! What a session asks of Kafka's client, call by call.
//!
//! A session's logic is written against these traits; [`Librdkafka`] is what it runs on. They are as thin as can be:
//! each method is one call of librdkafka, with its time-outs and its errors, so that whatever else implements them, the
//! model of [`crate::sim`] for one, is under the same logic that runs in production.
//!
//! **Architecture Invariant:** nothing is decided here. What an error means, and what is done next, is the session's.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::SessionOptions;
use crate::log::LogError;

mod consumer;
mod librdkafka;
mod producer;
mod reader;
mod watermarks;

pub use self::consumer::GroupConsumer;
pub(super) use self::consumer::Membership;
pub use self::librdkafka::{Librdkafka, MonotonicTime};
pub use self::producer::TransactionalProducer;
pub use self::reader::ChangelogConsumers;
pub(super) use self::watermarks::watermarks;

/// Who a worker is in the cluster.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The consumer group.
    pub group: String,
    /// The static member and the transactional id.
    pub worker: String,
}

/// Makes the clients of a session, and tells the time.
pub trait Clients: Send {
    /// The member of the group.
    type Member: MemberClient<Group = Self::Group>;
    /// The transactional producer.
    type Producer: ProducerClient<Group = Self::Group>;
    /// What reads the changelog back.
    type Reader: ReaderClient;
    /// The member and the generation that a transaction's offsets are of.
    type Group: Send;
    /// The time that waits are measured in.
    type Time: Time;

    /// The time.
    fn time(&self) -> Self::Time;

    /// The name of anything of this installation in the cluster.
    fn name(&self, name: &str) -> String;

    /// Joins a group as a static member that reads what is committed in these topics.
    ///
    /// # Errors
    /// The client cannot be made of these settings.
    fn member(&self, identity: &Identity, topics: &[&str], options: &SessionOptions) -> Result<Self::Member, LogError>;

    /// Makes a producer of a transactional id, which can do nothing yet.
    ///
    /// # Errors
    /// As for [`Clients::member`].
    fn producer(&self, id: &str, options: &SessionOptions) -> Result<Self::Producer, LogError>;

    /// Makes what reads a changelog.
    ///
    /// # Errors
    /// As for [`Clients::member`].
    fn reader(&self, worker: &str, changelog: &str) -> Result<Self::Reader, LogError>;
}

/// A clock that only measures and waits.
pub trait Time: Clone + Send {
    /// Now.
    fn now(&self) -> Instant;

    /// Lets time pass.
    fn sleep(&self, wait: Duration);
}

/// A partition of a topic, and a position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic's name in the cluster.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// The offset of the next record; not looked at where partitions alone are meant.
    pub offset: u64,
}

/// What the group did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These partitions, each with its topic, are the member's. The client has acknowledged it, and reads none of them
    /// yet.
    Assigned(Vec<(String, i32)>),
    /// No partition is the member's any more. The client has acknowledged it.
    Revoked,
}

/// A static member of a consumer group: the calls of a consumer.
pub trait MemberClient: Send {
    /// A record that was fetched.
    type Record<'a>: Message
    where
        Self: 'a;
    /// The member and its generation.
    type Group: Send;

    /// Takes what is next, waiting no longer than `wait`; rebalances are acknowledged meanwhile.
    fn poll(&self, wait: Duration) -> Option<Result<Self::Record<'_>, KafkaError>>;

    /// Takes the oldest thing that the group did.
    fn next_event(&self) -> Option<Event>;

    /// Whether the group did something that was not taken yet.
    fn has_events(&self) -> bool;

    /// Why the client can do nothing more, if that is so.
    fn fatal(&self) -> Option<RDKafkaErrorCode>;

    /// Whether the client has lost sight of all brokers for good.
    fn is_stranded(&self) -> bool;

    /// The ids of a group's members.
    ///
    /// # Errors
    /// The brokers refused, or did not answer within `wait`.
    fn members(&self, group: &str, wait: Duration) -> Result<Vec<String>, KafkaError>;

    /// Reads these partitions from these offsets, and no others.
    ///
    /// # Errors
    /// The client does not take it.
    fn assign(&self, from: &[Place<'_>]) -> Result<(), KafkaError>;

    /// Whether there is no partition that it reads or may read.
    fn is_unassigned(&self) -> bool;

    /// The member and the generation that partitions were assigned in.
    fn group(&self) -> Option<Self::Group>;

    /// The committed offset of each of these partitions, in their order, once no transaction over them is undecided;
    /// `None` for one that has none.
    ///
    /// # Errors
    /// The brokers refused, or did not answer within `wait`.
    fn committed(&self, of: &[Place<'_>], wait: Duration) -> Result<Vec<Option<u64>>, KafkaError>;

    /// The first offset of a partition and the one after the last that is stable.
    ///
    /// # Errors
    /// As for [`MemberClient::committed`].
    fn watermarks(&self, topic: &str, partition: u32, wait: Duration) -> Result<(i64, i64), KafkaError>;

    /// How far each of these partitions was read, in their order: the offset after the last record that was handed over,
    /// and after the ends of transactions that come next; never beyond one that is open. `None` before anything was,
    /// since the partition was assigned. Right after [`MemberClient::assign`] it may still be what it was before.
    ///
    /// # Errors
    /// The client cannot say.
    fn positions(&self, of: &[Place<'_>]) -> Result<Vec<Option<u64>>, KafkaError>;

    /// Leaves the group once its partitions are revoked.
    fn unsubscribe(&self);
}

/// A record on its way to the brokers.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic's name in the cluster.
    pub topic: &'a str,
    /// The partition; without one, the key's.
    pub partition: Option<u32>,
    /// The key.
    pub key: &'a [u8],
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Whether [`Delivered::ends`] is to tell where its partition ends.
    pub is_change: bool,
}

/// What the brokers said of the records of a transaction.
#[derive(Debug, Default)]
pub struct Delivered {
    /// The first error.
    pub error: Option<KafkaError>,
    /// The position after the last change, by changelog partition.
    pub ends: BTreeMap<u32, u64>,
}

impl Delivered {
    /// A change was written.
    pub(crate) fn change(&mut self, partition: u32, end: u64) {
        let before = self.ends.entry(partition).or_default();
        *before = end.max(*before);
    }
}

/// Why a call of a transactional producer failed.
#[derive(Debug)]
pub struct Refused {
    /// The client's error.
    pub error: KafkaError,
    /// Whether the same call may be made again, which resumes what is under way.
    pub retriable: bool,
}

/// A transactional producer's calls.
pub trait ProducerClient: Send {
    /// The member and its generation.
    type Group;

    /// Takes the transactional id over.
    ///
    /// # Errors
    /// As the client says.
    fn init(&self, wait: Duration) -> Result<(), Refused>;

    /// Begins a transaction, of which no broker hears yet.
    ///
    /// # Errors
    /// The producer is in no state to.
    fn begin(&self) -> Result<(), KafkaError>;

    /// Enqueues a record.
    ///
    /// # Errors
    /// [`RDKafkaErrorCode::QueueFull`], after which it may be tried again, or the client does not take it.
    fn send(&self, record: Outgoing<'_>) -> Result<(), KafkaError>;

    /// Hears of what was delivered.
    fn poll(&self);

    /// Lets a little time pass, in which records may be delivered.
    fn pause(&self);

    /// How many records are neither delivered nor given up.
    fn in_flight(&self) -> usize;

    /// What was heard of since it was emptied.
    fn delivered(&self) -> MutexGuard<'_, Delivered>;

    /// Gives up what is queued or in flight.
    fn purge(&self);

    /// Adds offsets of a group to the transaction.
    ///
    /// # Errors
    /// As the client says.
    fn send_offsets(&self, offsets: &[Place<'_>], group: &Self::Group, wait: Duration) -> Result<(), KafkaError>;

    /// Commits the transaction.
    ///
    /// # Errors
    /// As the client says.
    fn commit(&self, wait: Duration) -> Result<(), Refused>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// As the client says.
    fn abort(&self, wait: Duration) -> Result<(), KafkaError>;

    /// Whether the client can do nothing more.
    fn is_fatal(&self) -> bool;

    /// Whether the client has lost sight of all brokers for good.
    fn is_stranded(&self) -> bool;
}

/// Consumers of a changelog's partitions, of which one is read at a time.
pub trait ReaderClient: Send {
    /// A record that was fetched.
    type Record<'a>: Message
    where
        Self: 'a;

    /// The first offset of a partition and its high watermark, open transactions included.
    ///
    /// # Errors
    /// The brokers refused, or did not answer within `wait`.
    fn high(&self, partition: u32, wait: Duration) -> Result<(i64, i64), KafkaError>;

    /// The first offset of a partition and its last stable one.
    ///
    /// # Errors
    /// As for [`ReaderClient::high`].
    fn stable(&self, partition: u32, wait: Duration) -> Result<(i64, i64), KafkaError>;

    /// Reads what is committed in a partition from an offset on, or from its beginning, and no other partition.
    ///
    /// # Errors
    /// The client does not take it.
    fn read_from(&self, partition: u32, offset: Option<u64>) -> Result<(), KafkaError>;

    /// Takes what is next, waiting no longer than `wait`: a record, or [`KafkaError::PartitionEOF`].
    fn poll(&self, wait: Duration) -> Option<Result<Self::Record<'_>, KafkaError>>;

    /// The position that was read to, what cannot be seen included; `None` before anything was.
    ///
    /// # Errors
    /// The client does not know the partition.
    fn position(&self, partition: u32) -> Result<Option<u64>, KafkaError>;

    /// Whether a client has lost sight of all brokers for good.
    fn is_stranded(&self) -> bool;

    /// Reads no partition.
    ///
    /// # Errors
    /// The client does not take it.
    fn stop(&self) -> Result<(), KafkaError>;
}

/// A partition's number as the client wants it.
pub(crate) fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("Kafka numbers partitions so")
}
