//! What goes wrong, call by call.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use streams::sim::{Api, Fate};

use crate::chances::Chances;
use crate::random::Random;
use crate::swarm::{Kind, Swarm};

/// Others' steps within one's own, one within the other, at the most.
const DEPTH_MAX: u32 = 3;

/// So many times as often a worker dies or stops where it hands over or takes over: elsewhere it is seldom told from one that
/// did so between two steps.
const DELICATE: u32 = 4;

/// Decides about faults, and counts them.
#[derive(Debug)]
pub(crate) struct Dice {
    pub(crate) chances: Chances,
    /// No broker answers until then.
    pub(crate) away_until: Duration,
    /// How many steps are within one another.
    pub(crate) depth: u32,
}

/// What others do while a worker is within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// One of them takes a turn.
    Turn,
    /// They go on until then; whoever is within the call is stopped as a whole, or only waits.
    Until(Duration, Stopped),
    /// The caller dies.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Process,
    Worker,
}

impl Dice {
    pub(crate) fn new(seed: u64, swarm: Swarm) -> Dice {
        Dice { chances: Chances::new(seed, "faults", swarm), away_until: Duration::ZERO, depth: 0 }
    }

    /// Whether a fault of a kind happens now; counted if so.
    pub(crate) fn happens(&mut self, kind: Kind) -> bool {
        self.chances.happens(kind)
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.chances.random
    }

    /// What others do before a worker's request is sent, or after it was done.
    pub(crate) fn meanwhile(&mut self, api: Api, now: Duration) -> Meanwhile {
        if self.chances.calm || self.depth >= DEPTH_MAX {
            return Meanwhile::Nothing;
        }
        let times = if is_delicate(api) { DELICATE } else { 1 };
        if (0..times).any(|_| self.happens(Kind::WorkerCrash)) {
            return Meanwhile::Crash;
        }
        for (kind, stopped) in [(Kind::Frozen, Stopped::Process), (Kind::Slow, Stopped::Worker)] {
            if (0..times).any(|_| self.happens(kind)) {
                let wait = self.chances.random.time(Duration::from_millis(100), Duration::from_secs(45));
                return Meanwhile::Until(now + wait, stopped);
            }
        }
        if self.chances.random.happens(300) { Meanwhile::Turn } else { Meanwhile::Nothing }
    }

    /// Whether somebody else takes a turn while a worker waits.
    pub(crate) fn turn_while_idle(&mut self) -> bool {
        !self.chances.calm && self.depth < DEPTH_MAX && self.chances.random.happens(1_000)
    }

    /// What becomes of a request.
    pub(crate) fn fate(&mut self, api: Api, now: Duration) -> Fate {
        if now < self.away_until {
            return Fate::Lost { noticed: Duration::from_secs(1) };
        }
        if self.chances.calm {
            return Fate::Arrives;
        }
        if self.happens(Kind::RequestLost) {
            return Fate::Lost { noticed: self.noticed() };
        }
        if self.happens(Kind::AnswerLost) {
            return Fate::Unanswered { noticed: self.noticed() };
        }
        // What ends a transaction, or says what it consumed, must not come in the time of the next one after an answer to
        // its repeat: that is beyond any session until clients take an epoch for each transaction (see ARCHITECTURE.md).
        let is_of_one_transaction = matches!(api, Api::EndTxn | Api::TxnOffsetCommit);
        if self.happens(Kind::RequestLate) {
            let noticed = if is_of_one_transaction { Duration::MAX } else { self.noticed() };
            return Fate::Late { noticed, arrives: self.chances.random.short(Duration::from_secs(60)) };
        }
        if !is_of_one_transaction && self.happens(Kind::RequestRepeated) {
            return Fate::Repeated { again: self.chances.random.short(Duration::from_secs(60)) };
        }
        if let Some(codes) = refusals(api).filter(|_| self.happens(Kind::RequestRefused)) {
            return Fate::Refused(self.chances.random.pick(codes));
        }
        Fate::Arrives
    }

    /// When a client notices that there is no answer: a connection breaks, or its own time-out is over.
    fn noticed(&mut self) -> Duration {
        let times =
            [Duration::from_millis(5), Duration::from_millis(100), Duration::from_secs(2), Duration::from_secs(30)];
        self.chances.random.pick(&times)
    }

    /// How long a marker is on its way.
    pub(crate) fn marker_delay(&mut self) -> Duration {
        if self.happens(Kind::MarkerDelayed) {
            self.chances.random.short(Duration::from_secs(8))
        } else {
            Duration::ZERO
        }
    }
}

/// Whether a request begins or ends a transaction, says what it consumed, or takes over what another has left.
fn is_delicate(api: Api) -> bool {
    match api {
        Api::AddPartitionsToTxn
        | Api::TxnOffsetCommit
        | Api::EndTxn
        | Api::InitProducerId
        | Api::OffsetFetch
        | Api::ListOffsets => true,
        Api::Produce
        | Api::Fetch
        | Api::AddOffsetsToTxn
        | Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::DescribeGroups => false,
    }
}

/// What a broker may answer that cannot do what it is asked.
fn refusals(api: Api) -> Option<&'static [Code]> {
    match api {
        Api::Produce => Some(&[Code::NotLeaderForPartition, Code::NotEnoughReplicas, Code::RequestTimedOut]),
        Api::Fetch | Api::ListOffsets => Some(&[Code::NotLeaderForPartition, Code::LeaderNotAvailable]),
        Api::InitProducerId
        | Api::AddPartitionsToTxn
        | Api::AddOffsetsToTxn
        | Api::TxnOffsetCommit
        | Api::EndTxn
        | Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::OffsetFetch => Some(&[Code::CoordinatorLoadInProgress, Code::NotCoordinator]),
        Api::DescribeGroups => None,
    }
}
