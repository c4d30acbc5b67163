//! Making claims good from the log: those of edges that died between publish and claim, or that could not reach the server.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use streams::{Clock, Record};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::super::error::CqlError;
use super::super::link::Cql;
use super::super::stats::{KeptCounters, KeptStats, count};
use super::table::{Attempt, ClaimTable, ConversionRow, Reading};
use super::tables::CqlTables;
use crate::claims::{ConversionClaim, IDEMPOTENCY_AGE, IdempotencyScope, KeyUse};
use crate::facts::{Fact, Used};

/// A claim is its edge's to make for this long.
pub const GRACE: Duration = Duration::from_secs(2);

/// Most rows that are looked at once.
const IN_FLIGHT_MAX: usize = 32;
/// Most times that a row is looked at before the batch is given back.
const TRIES_MAX: usize = 5;

/// Makes claims good from the records of `conversions`. Clones count together.
#[derive(Clone)]
pub struct ClaimKeeper<T = CqlTables> {
    table: T,
    clock: Arc<dyn Clock>,
    counters: Arc<KeptCounters>,
}

impl<T: fmt::Debug> fmt::Debug for ClaimKeeper<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimKeeper").field("table", &self.table).finish_non_exhaustive()
    }
}

/// What a batch says about claims: of each row, only what will stand.
#[derive(Debug, Default)]
struct Wanted {
    conversions: BTreeMap<ConversionId, ConversionClaim>,
    statuses: BTreeMap<[u8; 16], String>,
    keys: BTreeMap<(IdempotencyScope, String), KeyUse>,
    youngest: Option<Timestamp>,
}

impl ClaimKeeper {
    /// A keeper of the claims on a server.
    #[must_use]
    pub fn new(cql: &Cql, clock: Arc<dyn Clock>) -> ClaimKeeper {
        ClaimKeeper::over(CqlTables::new(cql.clone()), clock)
    }
}

impl<T: ClaimTable + Clone> ClaimKeeper<T> {
    /// A keeper of the claims in some tables.
    #[must_use]
    pub fn over(table: T, clock: Arc<dyn Clock>) -> ClaimKeeper<T> {
        ClaimKeeper { table, clock, counters: Arc::default() }
    }

    /// What was done, for metrics.
    #[must_use]
    pub fn stats(&self) -> KeptStats {
        self.counters.snapshot()
    }

    /// Makes the claims of a batch of records of `conversions` good, and returns when all of them are. It waits until the
    /// youngest is [`GRACE`] old, so it is for a task of its own. Doing it again changes nothing.
    ///
    /// # Errors
    /// The server is away, or did not answer: the batch is to be given again, after a while.
    pub async fn keep(&self, records: &[Record]) -> Result<(), CqlError> {
        let wanted = self.read(records);
        if let Some(youngest) = wanted.youngest {
            let age = Timestamp(self.clock.now_ms()).since(youngest);
            sleep(GRACE.saturating_sub(age)).await;
        }
        let mut work = JoinSet::new();
        for want in wanted.each() {
            if work.len() >= IN_FLIGHT_MAX {
                finish(work.join_next().await)?;
            }
            let keeper = self.clone();
            work.spawn(async move { keeper.make_good(want).await });
        }
        while let Some(done) = work.join_next().await {
            finish(Some(done))?;
        }
        count(&self.counters.records, records.len());
        Ok(())
    }

    fn read(&self, records: &[Record]) -> Wanted {
        let mut wanted = Wanted::default();
        for record in records {
            match Fact::read(record) {
                Ok(fact) => wanted.add(fact),
                Err(reason) => {
                    count(&self.counters.skipped, 1);
                    let (topic, partition, offset) = (record.topic, record.partition, record.offset);
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        reason,
                        "a record is passed over by the keeper of claims"
                    );
                }
            }
        }
        wanted
    }

    async fn make_good(&self, want: Want) -> Result<(), CqlError> {
        match want {
            Want::Conversion(id, claim) => self.conversion(id, claim).await,
            Want::Status(digest, event_id) => self.status(digest, &event_id).await,
            Want::Key(scope, key, used) => {
                let now = Timestamp(self.clock.now_ms());
                let left = IDEMPOTENCY_AGE.saturating_sub(now.since(used.at));
                if left.is_zero() { Ok(()) } else { self.table.put_key(&scope, &key, used, left).await }
            }
        }
    }

    async fn conversion(&self, id: ConversionId, claim: ConversionClaim) -> Result<(), CqlError> {
        let place = |claim: &ConversionClaim| (claim.partition, claim.offset);
        let mut unknown = String::new();
        for attempt in 0..TRIES_MAX {
            let reading = if attempt == 0 { Reading::Plain } else { Reading::Serial };
            let (outcome, counter) = match self.table.conversion(id, reading).await? {
                // The first in the log stands, whoever was first to claim.
                Some(row) if place(&row.claim) <= place(&claim) => return Ok(()),
                Some(row) => (self.table.move_conversion(id, place(&row.claim), &claim).await, &self.counters.moved),
                None => {
                    let row = ConversionRow { claimed_by: claim.event_id.clone(), claim: claim.clone() };
                    (self.table.insert_conversion(id, &row).await.map(drop), &self.counters.made)
                }
            };
            match outcome {
                Attempt::Applied => {
                    count(counter, 1);
                    return Ok(());
                }
                Attempt::Present(()) => "somebody else is at it".clone_into(&mut unknown),
                Attempt::Ambiguous(reason) => unknown = reason,
                Attempt::Refused(reason) => return Err(CqlError::Transient(reason)),
            }
        }
        Err(CqlError::Transient(format!("the claim of {id} after {TRIES_MAX} looks: {unknown}")))
    }

    async fn status(&self, digest: [u8; 16], event_id: &str) -> Result<(), CqlError> {
        let mut unknown = String::new();
        for attempt in 0..TRIES_MAX {
            let reading = if attempt == 0 { Reading::Plain } else { Reading::Serial };
            if self.table.status(digest, reading).await?.is_some() {
                return Ok(());
            }
            match self.table.insert_status(digest, event_id).await {
                Attempt::Applied => {
                    count(&self.counters.made, 1);
                    return Ok(());
                }
                Attempt::Present(_) => return Ok(()),
                Attempt::Ambiguous(reason) => unknown = reason,
                Attempt::Refused(reason) => return Err(CqlError::Transient(reason)),
            }
        }
        Err(CqlError::Transient(format!("a status update's claim after {TRIES_MAX} looks: {unknown}")))
    }
}

/// A row that a batch wants.
#[derive(Debug)]
enum Want {
    Conversion(ConversionId, ConversionClaim),
    Status([u8; 16], String),
    Key(IdempotencyScope, String, KeyUse),
}

impl Wanted {
    fn add(&mut self, fact: Fact) {
        match fact {
            Fact::Reported(reported) => {
                self.saw(reported.report.received_at);
                let first = self.conversions.entry(reported.id).or_insert_with(|| reported.claim());
                if (reported.partition, reported.offset) < (first.partition, first.offset) {
                    *first = reported.claim();
                }
                self.used(reported.used);
            }
            Fact::Status { digest, event_id, received_at, used } => {
                self.saw(received_at);
                self.statuses.entry(digest).or_insert(event_id);
                self.used(used);
            }
            // The last two are no records of `conversions`.
            Fact::Reviewed | Fact::Transitioned(_) | Fact::Payout(_) => {}
        }
    }

    fn used(&mut self, used: Option<Used>) {
        if let Some(Used { scope, key, at }) = used {
            let latest = self.keys.entry((scope, key)).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    fn saw(&mut self, received_at: Timestamp) {
        self.youngest = self.youngest.max(Some(received_at));
    }

    fn each(self) -> impl Iterator<Item = Want> {
        let conversions = self.conversions.into_iter().map(|(id, claim)| Want::Conversion(id, claim));
        let statuses = self.statuses.into_iter().map(|(digest, event_id)| Want::Status(digest, event_id));
        let keys = self.keys.into_iter().map(|((scope, key), used)| Want::Key(scope, key, used));
        conversions.chain(statuses).chain(keys)
    }
}

fn finish(done: Option<Result<Result<(), CqlError>, JoinError>>) -> Result<(), CqlError> {
    match done {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(CqlError::Permanent(format!("a claim was not made good: {error}"))),
        None => Ok(()),
    }
}
