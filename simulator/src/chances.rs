//! Whether a fault happens, and how often each has.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::swarm::{Kind, Swarm};

/// Decides about the faults of one concern, and counts them.
#[derive(Debug)]
pub(crate) struct Chances {
    pub(crate) random: Random,
    swarm: Swarm,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) counts: BTreeMap<Kind, u64>,
}

impl Chances {
    pub(crate) fn new(seed: u64, concern: &str, swarm: Swarm) -> Chances {
        Chances { random: Random::new(seed, concern), swarm, calm: false, counts: BTreeMap::new() }
    }

    /// Whether a kind happens at all in this run.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        !self.calm && self.swarm.rate(kind) > 0
    }

    /// Whether a fault of a kind happens now; counted if so.
    pub(crate) fn happens(&mut self, kind: Kind) -> bool {
        let happens = !self.calm && self.random.happens(self.swarm.rate(kind));
        if happens {
            *self.counts.entry(kind).or_default() += 1;
        }
        happens
    }
}
