//! Which faults a run has, and how often each: swarm testing.
//!
//! A run with every kind of fault is mostly the ones that hide the others: nothing gets far enough for what takes two rare
//! things in a row. So each run has a random subset of the kinds, each with a rate of its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::random::Random;

/// In how many of 10,000 runs each kind is that is aimed.
const AIMED_SHARE: u32 = 2_500;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A request is lost on its way to the brokers.
    RequestLost,
    /// A request is executed, and its answer lost.
    AnswerLost,
    /// A request is lost for its client, and is executed later.
    RequestLate,
    /// A request is executed, and a second time later.
    RequestRepeated,
    /// A broker answers that it cannot now.
    RequestRefused,
    /// The markers of a transaction take their time.
    MarkerDelayed,
    /// A process of workers dies, anywhere.
    WorkerCrash,
    /// An edge dies, anywhere between two of its waits.
    EdgeCrash,
    /// A process of workers is stopped in the middle of a call, for longer than others wait for it.
    Frozen,
    /// A worker is slow: it is within a call while the others go on, and its heartbeats with them.
    Slow,
    /// No broker answers for a while.
    BrokersAway,
    /// A partition has a new leader, which does not know yet how far it goes.
    LeaderChanged,
    /// A group has a new coordinator.
    CoordinatorChanged,
    /// Retention and compaction come often.
    Cleaned,
    /// The disk of a machine is new after a crash.
    DiskLost,
    /// A crash is one of the machine, and takes the last writes back.
    PowerLost,
    /// The clocks of machines differ, and jump.
    ClockSkewed,
    /// An edge's claims cannot be asked.
    ClaimsDown,
    /// They take long.
    ClaimsSlow,
    /// They have forgotten all.
    ClaimsLost,
    /// A merchant does not get its answer.
    ReplyLost,
    /// A process of workers is retired: it leaves its groups, and comes back later.
    Retired,
    /// The registry changes.
    RegistryChanged,
    /// Hours pass in which nobody does anything.
    TimeLeaps,
    /// What is asked of the claims that edges share is lost on its way.
    ClaimLost,
    /// It is lost for whoever asked, and is done later.
    ClaimLate,
    /// It is done half-way, and nobody is told.
    ClaimHalfDone,
    /// A process that keeps shared claims dies.
    KeeperCrash,
    /// What ends a transaction, or says what it consumed, arrives when its client has given it up: in the middle of the next.
    LateMidway,
    /// A process of workers is stopped just before it begins a transaction, until others have its partitions and work.
    Supplanted,
    /// The marker of a changelog takes very long, and workers come or go meanwhile.
    MarkerStuck,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 31] = [
        Kind::RequestLost,
        Kind::AnswerLost,
        Kind::RequestLate,
        Kind::RequestRepeated,
        Kind::RequestRefused,
        Kind::MarkerDelayed,
        Kind::WorkerCrash,
        Kind::EdgeCrash,
        Kind::Frozen,
        Kind::Slow,
        Kind::BrokersAway,
        Kind::LeaderChanged,
        Kind::CoordinatorChanged,
        Kind::Cleaned,
        Kind::DiskLost,
        Kind::PowerLost,
        Kind::ClockSkewed,
        Kind::ClaimsDown,
        Kind::ClaimsSlow,
        Kind::ClaimsLost,
        Kind::ReplyLost,
        Kind::Retired,
        Kind::RegistryChanged,
        Kind::TimeLeaps,
        // Those that came later are at the end, so that the others are drawn as before.
        Kind::ClaimLost,
        Kind::ClaimLate,
        Kind::ClaimHalfDone,
        Kind::KeeperCrash,
        Kind::LateMidway,
        Kind::Supplanted,
        Kind::MarkerStuck,
    ];

    /// Those that are aimed at where they are worst; nothing is drawn for them in a run that does not have them.
    pub const AIMED: [Kind; 3] = [Kind::LateMidway, Kind::Supplanted, Kind::MarkerStuck];

    /// The highest rate of a kind, in 10,000 of what it may happen to: requests, or steps of the schedule.
    fn most(self) -> u64 {
        match self {
            Kind::RequestLost | Kind::AnswerLost | Kind::RequestLate | Kind::RequestRefused => 400,
            Kind::RequestRepeated => 300,
            Kind::MarkerDelayed => 6_000,
            Kind::WorkerCrash => 60,
            Kind::EdgeCrash | Kind::ReplyLost => 800,
            Kind::Frozen => 60,
            Kind::Slow => 100,
            Kind::BrokersAway | Kind::Retired | Kind::TimeLeaps => 150,
            Kind::LeaderChanged => 1_000,
            Kind::CoordinatorChanged | Kind::Cleaned => 400,
            Kind::DiskLost | Kind::PowerLost => 6_000,
            Kind::ClockSkewed => 300,
            Kind::ClaimsDown | Kind::ClaimsSlow => 3_000,
            Kind::ClaimsLost => 300,
            Kind::RegistryChanged => 300,
            Kind::ClaimLate => 2_000,
            Kind::ClaimLost => 5_000,
            Kind::ClaimHalfDone => 6_000,
            Kind::KeeperCrash => 300,
            Kind::LateMidway | Kind::Supplanted | Kind::MarkerStuck => 2_000,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The faults of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swarm {
    rates: BTreeMap<Kind, u32>,
}

impl Swarm {
    /// A random subset, without those that are not to be.
    pub(crate) fn draw(seed: u64, without: &[Kind]) -> Swarm {
        let mut random = Random::new(seed, "swarm");
        let share = random.pick(&[0, 1_500, 3_000, 5_000, 8_000]);
        let mut aimed = Random::new(seed, "aimed");
        let mut rates = BTreeMap::new();
        for kind in Kind::ALL {
            // What is aimed shows most where little else goes wrong.
            let (random, share) =
                if Kind::AIMED.contains(&kind) { (&mut aimed, AIMED_SHARE) } else { (&mut random, share) };
            let (is_in, rate) = (random.happens(share), random.between(1, kind.most()));
            // Most rates are low: a run is to get somewhere.
            let rate = (rate >> random.below(4)).max(1);
            if is_in && !without.contains(&kind) {
                rates.insert(kind, u32::try_from(rate).expect("it is below 10,000"));
            }
        }
        Swarm { rates }
    }

    /// How often a kind happens, in 10,000.
    pub(crate) fn rate(&self, kind: Kind) -> u32 {
        self.rates.get(&kind).copied().unwrap_or(0)
    }

    /// The kinds that it has.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.rates.keys().copied().collect()
    }
}
