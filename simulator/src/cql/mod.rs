//! Claims that all edges share: production's claims and keepers, over a model of the CQL server.
//!
//! The model is [`store::cql::ClaimTable`], which is as far as a claim knows of the server: rows on three replicas that agree by
//! Paxos, and questions that are lost, late, done half-way or done without an answer. What it claims of the real server is asserted
//! of both in `tests.rs`. A server of one node does none of its rounds half-way and has nobody behind: of those the model
//! is what Cassandra and ScyllaDB document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use store::cql::CqlClaims;
use store::{Claim, ClaimError, Claims, ConversionClaim, IdempotencyScope};

mod keeper;
mod keys;
mod logged;
mod paxos;
mod server;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::keeper::{KeeperPlace, KeeperProcess};
pub(crate) use self::logged::Logged;
pub(crate) use self::server::{Place, Server};
use self::table::SimTable;

/// What an edge was told about an event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) edge: usize,
    pub(crate) place: Place,
    pub(crate) event_id: String,
    pub(crate) what: What,
}

/// What a claim ended as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It is the first.
    First,
    /// Another was before it.
    Taken,
    /// It is not known.
    Unknown {
        /// Though it was looked for when it was decided already.
        is_overlooked: bool,
    },
}

/// Everything that claims said, in the order in which they did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tellings(Arc<Mutex<Vec<Told>>>);

impl Tellings {
    fn add(&self, told: Told) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The shared claims, as one edge asks them. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct SharedClaims {
    claims: CqlClaims<SimTable>,
    table: SimTable,
    told: Tellings,
}

impl SharedClaims {
    pub(crate) fn new(server: &Server, edge: usize, store_deadline: Duration, told: &Tellings) -> SharedClaims {
        // In production, 900 ms of a second.
        let timeout = store_deadline / 10 * 9;
        let table = SimTable::new(server, edge, timeout);
        SharedClaims { claims: CqlClaims::over(table.clone(), timeout), table, told: told.clone() }
    }

    fn begin(&self, place: Place) {
        self.table.server.state().overlooked.remove(&(self.table.client, place));
    }

    fn told<T>(&self, place: Place, event_id: &str, answer: &Result<Claim<T>, ClaimError>) {
        let edge = self.table.client;
        let what = match answer {
            Ok(Claim::Claimed) => What::First,
            Ok(Claim::Taken(_)) => What::Taken,
            Err(_) => {
                let is_overlooked = self.table.server.state().overlooked.contains(&(edge, place));
                What::Unknown { is_overlooked }
            }
        };
        self.table.server.note(format_args!("edge {edge} is told that {event_id} is {what:?}"));
        self.told.add(Told { edge, place, event_id: event_id.to_owned(), what });
    }
}

impl Claims for SharedClaims {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        self.claims.conversion(id).await
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        let place = Place::Conversion(id);
        self.begin(place);
        let answer = self.claims.claim_conversion(id, claim).await;
        self.told(place, &claim.event_id, &answer);
        answer
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        self.claims.status(digest).await
    }

    async fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, ClaimError> {
        let place = Place::Status(digest);
        self.begin(place);
        let answer = self.claims.claim_status(digest, event_id).await;
        self.told(place, event_id, &answer);
        answer
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        self.claims.idempotency(scope, key, now).await
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        self.claims.remember_idempotency(scope, key, body_digest, now).await
    }
}

/// Everything about shared claims in a run.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) told: Tellings,
    pub(crate) logged: Logged,
    /// How far the keepers are, by partition, as they have written it down.
    pub(crate) kept: BTreeMap<u32, u64>,
    pub(crate) keepers: Vec<KeeperPlace>,
}
