//! Claims in CQL: what the edges agree on, whichever of them was asked.

use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use tokio::time::{Instant, timeout};

use super::error::CqlError;
use super::link::Cql;
use super::stats::{ClaimCounters, ClaimStats, count};
use crate::claims::{Claim, ClaimError, Claims, ConversionClaim, IDEMPOTENCY_AGE, IdempotencyScope, KeyUse};

mod keeper;
mod settle;
mod table;
mod tables;
#[cfg(test)]
mod tests;

pub use self::keeper::{ClaimKeeper, GRACE};
use self::settle::{Settled, settle};
pub use self::table::{Attempt, ClaimTable, ConversionRow, Reading};
pub use self::tables::CqlTables;
pub(crate) use self::tables::Statements;

/// The claims of all edges that share a keyspace. Clones count together.
#[derive(Clone, Debug)]
pub struct CqlClaims<T = CqlTables> {
    table: T,
    timeout: Duration,
    counters: Arc<ClaimCounters>,
}

impl CqlClaims {
    /// The claims on a server.
    #[must_use]
    pub fn new(cql: &Cql) -> CqlClaims {
        CqlClaims::over(CqlTables::new(cql.clone()), cql.options().claim_timeout)
    }
}

impl<T: ClaimTable> CqlClaims<T> {
    /// The claims in some tables, each question to which ends after `timeout` at the latest.
    #[must_use]
    pub fn over(table: T, timeout: Duration) -> CqlClaims<T> {
        CqlClaims { table, timeout, counters: Arc::default() }
    }

    /// What was done, for metrics.
    #[must_use]
    pub fn stats(&self) -> ClaimStats {
        self.counters.snapshot()
    }

    fn count<R>(&self, began: Instant, settled: Settled<R>) -> Result<Claim<R>, ClaimError> {
        let Settled { claim, ambiguous } = settled;
        let counters = &*self.counters;
        counters.took(began.elapsed());
        count(&counters.ambiguous, ambiguous);
        count(&counters.resolved, usize::from(ambiguous > 0 && claim.is_ok()));
        let outcome = match &claim {
            Ok(Claim::Claimed) => &counters.made,
            Ok(Claim::Taken(_)) => &counters.taken,
            Err(_) => &counters.failed,
        };
        count(outcome, 1);
        claim
    }

    async fn in_time<R>(&self, question: impl Future<Output = Result<R, CqlError>>) -> Result<R, ClaimError> {
        match timeout(self.timeout, question).await {
            Ok(answer) => answer.map_err(|error| ClaimError(error.to_string())),
            Err(_) => Err(ClaimError(format!("no answer within {:?}", self.timeout))),
        }
    }
}

impl<T: ClaimTable> Claims for CqlClaims<T> {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        let row = self.in_time(self.table.conversion(id, Reading::Plain)).await?;
        Ok(row.map(|row| row.claim))
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        let began = Instant::now();
        let row = ConversionRow { claimed_by: claim.event_id.clone(), claim: claim.clone() };
        let settled = settle(
            &row.claimed_by,
            |row: &ConversionRow| &row.claimed_by,
            began + self.timeout,
            || self.table.insert_conversion(id, &row),
            || self.table.conversion(id, Reading::Serial),
        )
        .await;
        let claim = self.count(began, settled)?;
        Ok(match claim {
            Claim::Claimed => Claim::Claimed,
            Claim::Taken(row) => Claim::Taken(row.claim),
        })
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        let row = self.in_time(self.table.status(digest, Reading::Plain)).await?;
        Ok(row.is_some())
    }

    async fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, ClaimError> {
        let began = Instant::now();
        let settled = settle(
            event_id,
            |claimed_by: &String| claimed_by,
            began + self.timeout,
            || self.table.insert_status(digest, event_id),
            || self.table.status(digest, Reading::Serial),
        )
        .await;
        Ok(match self.count(began, settled)? {
            Claim::Claimed => Claim::Claimed,
            Claim::Taken(_) => Claim::Taken(()),
        })
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        let used = self.in_time(self.table.key(scope, key)).await?;
        Ok(used.filter(|used| used.is_remembered(now)).map(|used| used.body_digest))
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        self.in_time(self.table.put_key(scope, key, KeyUse { at: now, body_digest }, IDEMPOTENCY_AGE)).await
    }
}
