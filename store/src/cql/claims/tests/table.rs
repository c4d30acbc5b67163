//! Tables in memory whose answers get lost as they are told to.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use schemas::ids::ConversionId;
use tokio::time::sleep;

use super::super::{Attempt, ClaimTable, ConversionRow, Reading};
use crate::claims::{ConversionClaim, IdempotencyScope, KeyUse};
use crate::cql::CqlError;

/// What becomes of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is done, and answered.
    Works,
    /// It is done, and the answer is lost.
    Unanswered,
    /// It does not get there, and nobody says so.
    Lost,
    /// It gets there after so long, and nobody waits for its answer.
    Late(Duration),
    /// It is not let in.
    Refused,
    /// It never answers, and is done.
    Hangs,
}

/// What becomes of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Works,
    Fails,
    Away,
    Hangs,
}

/// What somebody else does just before the next write or read of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Quiet,
    /// Claims it for itself.
    Competitor,
    /// Makes the claim of the caller's own event.
    Keeper,
}

/// Tables, of which clones are the same ones. What is not said works.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripted(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) conversions: BTreeMap<ConversionId, ConversionRow>,
    pub(super) statuses: BTreeMap<[u8; 16], String>,
    pub(super) keys: BTreeMap<(IdempotencyScope, String), (KeyUse, Duration)>,
    pub(super) writes: VecDeque<Write>,
    pub(super) reads: VecDeque<Read>,
    pub(super) before: VecDeque<Before>,
    /// Conditional writes that were asked for.
    pub(super) written: usize,
    /// Serial reads that were asked for.
    pub(super) looked: usize,
}

impl Rows {
    fn insert(&mut self, id: ConversionId, row: &ConversionRow) -> Attempt<ConversionRow> {
        match self.conversions.get(&id) {
            Some(present) => Attempt::Present(present.clone()),
            None => {
                self.conversions.insert(id, row.clone());
                Attempt::Applied
            }
        }
    }

    fn insert_status(&mut self, digest: [u8; 16], event_id: &str) -> Attempt<String> {
        match self.statuses.get(&digest) {
            Some(present) => Attempt::Present(present.clone()),
            None => {
                self.statuses.insert(digest, event_id.to_owned());
                Attempt::Applied
            }
        }
    }

    fn shift(&mut self, id: ConversionId, from: (u32, u64), to: &ConversionClaim) -> Attempt<()> {
        match self.conversions.get_mut(&id) {
            Some(row) if (row.claim.partition, row.claim.offset) == from => {
                row.claim = to.clone();
                Attempt::Applied
            }
            Some(_) | None => Attempt::Present(()),
        }
    }
}

impl Scripted {
    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().expect("no test panics with the rows in its hand")
    }

    async fn write<R>(&self, apply: impl Fn(&mut Rows) -> Attempt<R> + Send + 'static) -> Attempt<R> {
        let lost = || Attempt::Ambiguous("lost".to_owned());
        let fate = {
            let mut rows = self.rows();
            rows.written += 1;
            rows.writes.pop_front().unwrap_or(Write::Works)
        };
        match fate {
            Write::Works => apply(&mut self.rows()),
            Write::Unanswered => {
                let _ = apply(&mut self.rows());
                lost()
            }
            Write::Lost => lost(),
            Write::Late(after) => {
                let table = self.clone();
                tokio::spawn(async move {
                    sleep(after).await;
                    let _ = apply(&mut table.rows());
                });
                lost()
            }
            Write::Refused => Attempt::Refused("refused".to_owned()),
            Write::Hangs => {
                let _ = apply(&mut self.rows());
                pending().await
            }
        }
    }

    async fn read<R>(&self, reading: Reading, look: impl Fn(&Rows) -> R) -> Result<R, CqlError> {
        let fate = match reading {
            Reading::Plain => Read::Works,
            Reading::Serial => {
                let mut rows = self.rows();
                rows.looked += 1;
                rows.reads.pop_front().unwrap_or(Read::Works)
            }
        };
        match fate {
            Read::Works => Ok(look(&self.rows())),
            Read::Fails => Err(CqlError::Transient("failed".to_owned())),
            Read::Away => Err(CqlError::Away("away".to_owned())),
            Read::Hangs => pending().await,
        }
    }

    /// Somebody else's turn.
    fn before(&self, mine: &str, claim: impl FnOnce(&mut Rows, String)) {
        let mut rows = self.rows();
        match rows.before.pop_front().unwrap_or(Before::Quiet) {
            Before::Quiet => {}
            Before::Competitor => claim(&mut rows, "competitor".to_owned()),
            Before::Keeper => claim(&mut rows, mine.to_owned()),
        }
    }
}

/// The events of the tests are the caller's.
pub(super) const MINE: &str = "mine";

fn claim_for(id: ConversionId) -> impl FnOnce(&mut Rows, String) {
    move |rows, event_id| {
        let claim = super::claim(&event_id, 1);
        let _ = rows.insert(id, &ConversionRow { claimed_by: event_id, claim });
    }
}

impl ClaimTable for Scripted {
    async fn insert_conversion(&self, id: ConversionId, row: &ConversionRow) -> Attempt<ConversionRow> {
        self.before(MINE, claim_for(id));
        let row = row.clone();
        self.write(move |rows| rows.insert(id, &row)).await
    }

    async fn conversion(&self, id: ConversionId, reading: Reading) -> Result<Option<ConversionRow>, CqlError> {
        self.before(MINE, claim_for(id));
        self.read(reading, |rows| rows.conversions.get(&id).cloned()).await
    }

    async fn move_conversion(&self, id: ConversionId, from: (u32, u64), to: &ConversionClaim) -> Attempt<()> {
        let to = to.clone();
        self.write(move |rows| rows.shift(id, from, &to)).await
    }

    async fn insert_status(&self, digest: [u8; 16], event_id: &str) -> Attempt<String> {
        self.before(MINE, |rows, event_id| drop(rows.insert_status(digest, &event_id)));
        let event_id = event_id.to_owned();
        self.write(move |rows| rows.insert_status(digest, &event_id)).await
    }

    async fn status(&self, digest: [u8; 16], reading: Reading) -> Result<Option<String>, CqlError> {
        self.before(MINE, |rows, event_id| drop(rows.insert_status(digest, &event_id)));
        self.read(reading, |rows| rows.statuses.get(&digest).cloned()).await
    }

    async fn key(&self, scope: &IdempotencyScope, key: &str) -> Result<Option<KeyUse>, CqlError> {
        let key = (scope.clone(), key.to_owned());
        self.read(Reading::Plain, |rows| rows.keys.get(&key).map(|(used, _)| *used)).await
    }

    async fn put_key(&self, scope: &IdempotencyScope, key: &str, used: KeyUse, age: Duration) -> Result<(), CqlError> {
        let key = (scope.clone(), key.to_owned());
        let mut rows = self.rows();
        let kept = rows.keys.entry(key).or_insert((used, age));
        if kept.0 <= used {
            *kept = (used, age);
        }
        Ok(())
    }
}
