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

/// So many times as often a worker is supplanted in a step without records: there are few of them.
const OF_TIMERS: u32 = 16;
/// In how many of 10,000 steps time leaps to a timer.
const LEAPS_TO_TIMERS: u32 = 150;
/// How often of 10,000 what is late of a transaction arrives with a request of the next one.
const MIDWAY: u32 = 2_500;

/// Decides about faults, and counts them.
#[derive(Debug)]
pub(crate) struct Dice {
    pub(crate) chances: Chances,
    /// No broker answers until then.
    pub(crate) away_until: Duration,
    /// How many steps are within one another.
    pub(crate) depth: u32,
    /// A marker is stuck, and nobody has come or gone since.
    pub(crate) stuck: bool,
}

/// What others do while a worker is within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// One of them takes a turn.
    Turn,
    /// They go on until then; whoever is within the call is stopped as a whole, or only waits.
    Until(Duration, Stopped),
    /// The process is stopped until its group has given it up, and for so long after that.
    Supplanted(Duration),
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
        Dice { chances: Chances::new(seed, "faults", swarm), away_until: Duration::ZERO, depth: 0, stuck: false }
    }

    /// Whether a fault of a kind happens now; counted if so.
    pub(crate) fn happens(&mut self, kind: Kind) -> bool {
        self.chances.happens(kind)
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.chances.random
    }

    /// What others do before a worker's request is sent, or after it was done.
    fn meanwhile(&mut self, api: Api, now: Duration) -> Meanwhile {
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

    /// What others do before a worker's request is sent, which may be one of a step without records.
    pub(crate) fn before(&mut self, api: Api, is_of_timers: bool, now: Duration) -> Meanwhile {
        // Once the coordinator knows of a transaction it ends it when that takes long, and its producer with it.
        let begins = api == Api::AddPartitionsToTxn && self.depth < DEPTH_MAX;
        let times = if is_of_timers { OF_TIMERS } else { 1 };
        if begins && (0..times).any(|_| self.happens(Kind::Supplanted)) {
            return Meanwhile::Supplanted(self.chances.random.time(Duration::from_secs(5), Duration::from_secs(30)));
        }
        self.meanwhile(api, now)
    }

    /// What they do after it was done.
    pub(crate) fn after(&mut self, api: Api, now: Duration) -> Meanwhile {
        // Whoever has committed behind a marker that is stuck, and has not written its store, has to find out what it did.
        if api == Api::EndTxn && self.stuck && self.chances.has(Kind::MarkerStuck) && self.chances.random.happens(5_000)
        {
            self.stuck = false;
            return Meanwhile::Crash;
        }
        self.meanwhile(api, now)
    }

    /// Whether time leaps to the next timer, in a run in which steps of timers are aimed at.
    pub(crate) fn leaps_to_timers(&mut self) -> bool {
        self.chances.has(Kind::Supplanted) && self.chances.random.happens(LEAPS_TO_TIMERS)
    }

    /// Whether what is late of a worker's last transaction arrives with this request of the next, if there is something.
    pub(crate) fn is_midway(&mut self, api: Api) -> bool {
        let is_within = matches!(api, Api::Produce | Api::AddOffsetsToTxn | Api::TxnOffsetCommit);
        is_within && self.chances.has(Kind::LateMidway) && self.chances.random.happens(MIDWAY)
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
        if is_of_one_transaction && self.happens(Kind::LateMidway) {
            let arrives = self.chances.random.time(Duration::from_secs(5), Duration::from_secs(60));
            return Fate::Late { noticed: Duration::MAX, arrives };
        }
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

    /// How long a marker is on its way to a topic, or to a group's offsets.
    pub(crate) fn marker_delay(&mut self, name: &str) -> Duration {
        if name.ends_with("changelog") && self.happens(Kind::MarkerStuck) {
            self.stuck = true;
            return self.chances.random.time(Duration::from_secs(5), Duration::from_secs(40));
        }
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
