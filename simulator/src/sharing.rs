//! What is done about claims: they are troubled and fed, keepers of shared ones start, end and go on, and in the end
//! everything is looked at.

use std::time::Duration;

use crate::claims::Mode;
use crate::cql::{KeeperProcess, Logged, Place, Told, What};
use crate::edge_store::EdgeStore;
use crate::sometimes::{Rare, Sometimes};
use crate::swarm::Kind;
use crate::world::World;

/// Between the end of a keeper and its next start, at the most.
const RESTART_MAX: Duration = Duration::from_secs(20);

impl World {
    /// Lets the claims of edges read on in the log.
    pub(crate) fn feed(&self, edge: usize) {
        let claims = self.inner().edges[edge].claims.clone();
        if let EdgeStore::Own(claims) = claims
            && claims.feed(&self.cluster, self.topology.partitions)
        {
            self.inner().sometimes.saw(Rare::ClaimsRemade);
        }
    }

    /// Sets what the claims of an edge do when they are asked.
    pub(crate) fn set_claims(&self, edge: usize, mode: Mode) {
        let inner = self.inner();
        match (&inner.edges[edge].claims, &inner.shared) {
            (EdgeStore::Own(claims), _) => claims.set(mode),
            (EdgeStore::Shared(_), Some(shared)) => shared.server.set(edge, mode),
            (EdgeStore::Shared(_), None) => {}
        }
    }

    /// Lets keepers start, end, and go on.
    pub(crate) fn keepers_go_on(&self) {
        let (now, partitions) = (self.cluster.now(), self.topology.partitions);
        let keepers = self.inner().shared.as_ref().map_or(0, |shared| shared.keepers.len());
        for number in 0..keepers {
            let crashes = self.dice().happens(Kind::KeeperCrash);
            let mut guard = self.inner();
            let inner = &mut *guard;
            let Some(shared) = &mut inner.shared else { return };
            let place = &mut shared.keepers[number];
            if crashes && let Some(process) = place.process.take() {
                place.starts_at = now + inner.random.short(RESTART_MAX);
                process.process.crash();
            }
            let taken = match place.process.take() {
                None if place.starts_at > now => continue,
                // The numbers of clients are those of the edges, and then those of the keepers.
                None => {
                    let client = self.topology.edges + number;
                    KeeperProcess::start(&self.cluster, &shared.server, client, &shared.kept)
                }
                Some(process) => process,
            };
            drop(guard);
            self.keeper_goes_on(number, taken, partitions);
        }
    }

    fn keeper_goes_on(&self, number: usize, mut process: KeeperProcess, partitions: u32) {
        let before = process.stats();
        let kept = process.go_on(&self.cluster, partitions);
        let after = process.stats();
        let mut guard = self.inner();
        let inner = &mut *guard;
        inner.sometimes.saw_if(Rare::ClaimKept, after.made > before.made);
        inner.sometimes.saw_if(Rare::ClaimMoved, after.moved > before.moved);
        let Some(shared) = &mut inner.shared else { return };
        for (partition, offset) in kept.unwrap_or_default() {
            // It never goes back, whoever writes it down.
            let written = shared.kept.entry(partition).or_default();
            *written = offset.max(*written);
        }
        shared.keepers[number].process = Some(process);
    }

    /// Reads what is new in the log, of what is claimed.
    pub(crate) fn look_at_claims(&self) {
        if let Some(shared) = &mut self.inner().shared {
            shared.logged.look(&self.cluster, self.topology.partitions);
        }
    }

    /// Whether claims are still being kept, or something is on its way to their server.
    pub(crate) fn unrest_of_claims(&self) -> Option<String> {
        let inner = self.inner();
        let shared = inner.shared.as_ref()?;
        let is_done = |process: &KeeperProcess| process.is_done(&self.cluster, self.topology.partitions);
        if !shared.keepers.iter().all(|keeper| keeper.process.as_ref().is_some_and(is_done)) {
            return Some("claims are being made good".to_owned());
        }
        shared.server.is_waited_for().then(|| "something is on its way to the claims' server".to_owned())
    }

    /// Holds claims, what edges were told and the log against each other, once nothing moves any more.
    pub(crate) fn check_claims(&self) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let Some(shared) = &inner.shared else { return };
        let told = shared.told.all();
        let wrong = shared.logged.check(&shared.server, &told);
        for Told { event_id, .. } in told.iter().filter(|told| told.what == What::First) {
            inner.facts.first(event_id);
        }
        let (made, not_made) = Logged::unknown(&shared.server);
        inner.sometimes.saw_if(Rare::ClaimUnknownMade, made > 0);
        inner.sometimes.saw_if(Rare::ClaimUnknownNotMade, not_made > 0);
        inner.sometimes.saw_if(Rare::ClaimEnded, shared.server.ended() > 0);
        inner.sometimes.saw_if(Rare::ClaimOverlooked, shared.server.overlooks() > 0);
        count(&told, &mut inner.sometimes);
        drop(guard);
        for what in wrong {
            self.fail("claims", what);
        }
    }
}

fn count(told: &[Told], sometimes: &mut Sometimes) {
    let is_unknown = |told: &Told| matches!(told.what, What::Unknown { .. });
    sometimes.saw_if(Rare::Unclaimed, told.iter().any(is_unknown));
    for first in told.iter().filter(|told| told.what == What::First && matches!(told.place, Place::Conversion(_))) {
        let is_other = |it: &Told| it.place == first.place && it.edge != first.edge && it.what == What::Taken;
        sometimes.saw_if(Rare::OneEdgeFirst, told.iter().any(is_other));
    }
}
