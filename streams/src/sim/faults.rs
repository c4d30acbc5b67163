//! What goes wrong, by the simulator's word.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::cluster::Cluster;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// A producer asks for its number, or for the next epoch of a transactional id.
    InitProducerId,
    /// Partitions are added to a transaction.
    AddPartitionsToTxn,
    /// Records are written.
    Produce,
    /// A group's offsets are added to a transaction.
    AddOffsetsToTxn,
    /// Offsets are written in a transaction.
    TxnOffsetCommit,
    /// A transaction is ended.
    EndTxn,
    /// A member joins a group.
    JoinGroup,
    /// A member asks for its partitions.
    SyncGroup,
    /// A member is there.
    Heartbeat,
    /// A member leaves.
    LeaveGroup,
    /// Committed offsets are asked for.
    OffsetFetch,
    /// It is asked where a partition begins and ends.
    ListOffsets,
    /// Records are read.
    Fetch,
    /// The members of a group are asked for.
    DescribeGroups,
}

/// A request of a process, about to be sent or just answered.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The number of the process.
    pub process: u64,
    /// Its name, which a restart keeps.
    pub name: &'a str,
    /// What kind of request.
    pub api: Api,
    /// What it is about: the transactional id, the member's name, or the topic.
    pub subject: &'a str,
    /// How often the same was sent before, since the answer was lost or was to ask again.
    pub attempt: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Arrives,
    /// It is lost on its way. The client notices after a time, as when a connection breaks, and sends it again if it
    /// still has time; [`Duration::MAX`] is for one that waits until its own time-out.
    Lost {
        /// When the client notices, from now.
        noticed: Duration,
    },
    /// It is done, and the answer is lost.
    Unanswered {
        /// As in [`Fate::Lost`].
        noticed: Duration,
    },
    /// It is lost for the client, and yet it arrives later. What tells it from a request of the time that it arrives in
    /// is its epoch alone, which librdkafka keeps from one transaction to the next: if the client has asked again
    /// meanwhile, was answered and has begun its next transaction, an EndTxn ends that one, and offsets of a
    /// TxnOffsetCommit take the place of its own. With [`Duration::MAX`] for `noticed`, the session has given the
    /// producer up by then.
    Late {
        /// As in [`Fate::Lost`].
        noticed: Duration,
        /// When it arrives, from now.
        arrives: Duration,
    },
    /// It is done and answered, and arrives a second time.
    Repeated {
        /// When it arrives again, from now.
        again: Duration,
    },
    /// The broker does nothing and answers with this, such as [`RDKafkaErrorCode::NotLeaderForPartition`],
    /// [`RDKafkaErrorCode::CoordinatorLoadInProgress`] or [`RDKafkaErrorCode::NotEnoughReplicas`].
    Refused(RDKafkaErrorCode),
    /// The process dies before it is sent.
    Crash,
}

/// Decides what goes wrong and what happens meanwhile. Every method may be called while an earlier call of it has not
/// returned: what is run in one of them makes requests of its own.
///
/// While a call lasts, the process that makes it does nothing else; its background goes on, unless it is
/// [suspended](super::Process::suspend).
pub trait Faults: Send + Sync {
    /// Before a broker acts. Time may be let pass here, and others may do their steps.
    fn before(&self, cluster: &Cluster, call: &Call<'_>) -> Fate {
        let _ = (cluster, call);
        Fate::Arrives
    }

    /// After a broker has acted, and before the process has its answer: likewise.
    fn after(&self, cluster: &Cluster, call: &Call<'_>) {
        let _ = (cluster, call);
    }

    /// A process has nothing to do until a time since the start. Others may do their steps; then time passes until
    /// then.
    fn idle(&self, cluster: &Cluster, process: u64, until: Duration) {
        let _ = (cluster, process, until);
    }

    /// How long a marker is under way to a partition of a topic, or to that of a group's offsets. The cluster must not
    /// be used here.
    fn marker_delay(&self, name: &str, partition: u32) -> Duration {
        let _ = (name, partition);
        Duration::ZERO
    }
}

/// Nothing goes wrong, and nothing happens meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {}
