//! The tables of claims as production's claims and keepers ask them.

use std::time::Duration;

use schemas::ids::ConversionId;
use store::cql::{Attempt, ClaimTable, ConversionRow, CqlError, Reading};
use store::{ConversionClaim, IdempotencyScope, KeyUse};
use tokio::time::{sleep, timeout};

use super::paxos::{Asked, Reach, Row, Wrote};
use super::server::{Arrived, Fate, Made, Place, Server, State, Way};

/// How long production's driver waits for what is no question of claims.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a question has no answer.
enum Unanswered {
    /// It was not let in.
    Refused,
    /// Whether it was done is not known.
    Unknown(&'static str),
}

/// The tables, as one client asks them.
#[derive(Clone, Debug)]
pub(crate) struct SimTable {
    pub(super) server: Server,
    /// Who asks.
    pub(super) client: usize,
    /// How long its driver waits for a conditional write, and for a serial read: production's shares of a claim's time.
    write_timeout: Duration,
    serial_timeout: Duration,
}

impl SimTable {
    pub(crate) fn new(server: &Server, client: usize, claim_timeout: Duration) -> SimTable {
        let (write_timeout, serial_timeout) = (claim_timeout / 2, claim_timeout / 4);
        SimTable { server: server.clone(), client, write_timeout, serial_timeout }
    }

    fn read_timeout(&self, reading: Reading) -> Duration {
        match reading {
            Reading::Plain => REQUEST_TIMEOUT,
            Reading::Serial => self.serial_timeout,
        }
    }

    /// The answer to a write told nothing; of one that is to make a row, where.
    fn is_unknown(&self, makes: Option<Place>, number: u64) {
        self.server.state().unknown.extend(makes.map(|place| (place, number)));
    }

    /// Asks; of a write that is to make a row, where.
    async fn question<R: Send + 'static>(
        &self,
        makes: Option<Place>,
        limit: Duration,
        work: impl FnOnce(&mut State, Arrived) -> R + Send + 'static,
    ) -> Result<R, Unanswered> {
        // A server is asked over a network: others get their turn meanwhile.
        tokio::task::yield_now().await;
        let (fate, number) = (self.server.fate(self.client), self.server.number());
        let work = move |state: &mut State, at: Duration, reach: Reach| {
            let asked = Asked::draw(&mut state.chances.random);
            work(state, Arrived { number, asked, reach, at })
        };
        let (way, noticed) = match fate {
            Fate::Answered(time) => {
                let answer = self.server.answered(time, move |state, at| work(state, at, Reach::Whole));
                return timeout(limit, answer).await.map_err(|_| {
                    self.is_unknown(makes, number);
                    Unanswered::Unknown("no answer in time")
                });
            }
            Fate::Refused => return Err(Unanswered::Refused),
            Fate::Lost { way, noticed } => (way, noticed),
        };
        self.is_unknown(makes, number);
        match way {
            Way::Never => {}
            Way::Late(time) => self.server.after(time, move |state, at| drop(work(state, at, Reach::Whole))),
            Way::Now(reach) => self.server.after(Duration::ZERO, move |state, at| drop(work(state, at, reach))),
        }
        sleep(noticed.map_or(limit, |time| time.min(limit))).await;
        Err(Unanswered::Unknown("no answer, as the simulation has it"))
    }

    /// A conditional write; of one that is to make a row, where.
    async fn write<R: Send + 'static>(
        &self,
        makes: Option<Place>,
        apply: impl FnOnce(&mut State, Arrived) -> Attempt<R> + Send + 'static,
    ) -> Attempt<R> {
        self.question(makes, self.write_timeout, apply).await.unwrap_or_else(|unanswered| match unanswered {
            Unanswered::Refused => Attempt::Refused("away, as the simulation has it".to_owned()),
            Unanswered::Unknown(why) => Attempt::Ambiguous(why.to_owned()),
        })
    }

    /// A read, or a write that may be repeated.
    async fn ask<R: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut State, Arrived) -> R + Send + 'static,
    ) -> Result<R, CqlError> {
        self.question(None, limit, work).await.map_err(|unanswered| match unanswered {
            Unanswered::Refused => CqlError::Away("as the simulation has it".to_owned()),
            Unanswered::Unknown(why) => CqlError::Transient(why.to_owned()),
        })
    }

    /// Reads a place; takes note if it seems to be empty and is not.
    async fn look<R: Send + 'static>(
        &self,
        place: Place,
        reading: Reading,
        look: impl FnOnce(&mut State, Asked) -> (Option<R>, bool) + Send + 'static,
    ) -> Result<Option<R>, CqlError> {
        let (found, is_decided) =
            self.ask(self.read_timeout(reading), move |state, arrived| look(state, arrived.asked)).await?;
        if found.is_none() && is_decided {
            let mut state = self.server.state();
            state.overlooked.insert((self.client, place));
            state.overlooks += 1;
        }
        Ok(found)
    }
}

impl ClaimTable for SimTable {
    async fn insert_conversion(&self, id: ConversionId, row: &ConversionRow) -> Attempt<ConversionRow> {
        let row = row.clone();
        self.write(Some(Place::Conversion(id)), move |state, arrived| {
            inserted(state.conversions.entry(id).or_default(), arrived, row)
        })
        .await
        .map(|present| present.row)
    }

    async fn conversion(&self, id: ConversionId, reading: Reading) -> Result<Option<ConversionRow>, CqlError> {
        let found = self.look(Place::Conversion(id), reading, move |state, asked| {
            seen(state.conversions.entry(id).or_default(), reading, asked)
        });
        Ok(found.await?.map(|made| made.row))
    }

    async fn move_conversion(&self, id: ConversionId, from: (u32, u64), to: &ConversionClaim) -> Attempt<()> {
        let to = to.clone();
        self.write(None, move |state, Arrived { asked, reach, .. }| {
            let moved = state.conversions.entry(id).or_default().write(asked, reach, |present| {
                let mut made = present.filter(|it| (it.row.claim.partition, it.row.claim.offset) == from)?.clone();
                made.row.claim = to;
                Some(made)
            });
            match moved {
                Wrote::Applied => Attempt::Applied,
                Wrote::Present(_) => Attempt::Present(()),
            }
        })
        .await
    }

    async fn insert_status(&self, digest: [u8; 16], event_id: &str) -> Attempt<String> {
        let row = event_id.to_owned();
        self.write(Some(Place::Status(digest)), move |state, arrived| {
            inserted(state.statuses.entry(digest).or_default(), arrived, row)
        })
        .await
        .map(|present| present.row)
    }

    async fn status(&self, digest: [u8; 16], reading: Reading) -> Result<Option<String>, CqlError> {
        let found = self.look(Place::Status(digest), reading, move |state, asked| {
            seen(state.statuses.entry(digest).or_default(), reading, asked)
        });
        Ok(found.await?.map(|made| made.row))
    }

    async fn key(&self, scope: &IdempotencyScope, key: &str) -> Result<Option<KeyUse>, CqlError> {
        let key = (scope.clone(), key.to_owned());
        self.ask(REQUEST_TIMEOUT, move |state, Arrived { asked, at, .. }| {
            state.keys.get(&key).and_then(|uses| uses.get(asked, at))
        })
        .await
    }

    async fn put_key(&self, scope: &IdempotencyScope, key: &str, used: KeyUse, age: Duration) -> Result<(), CqlError> {
        let key = (scope.clone(), key.to_owned());
        self.ask(REQUEST_TIMEOUT, move |state, Arrived { asked, reach, at, .. }| {
            // Nobody decides about an upsert: whoever hears of it has it.
            let reached = match reach {
                Reach::Whole => asked.replicas().len(),
                Reach::Proposed(replicas) | Reach::Decided(replicas) => replicas,
            };
            state.keys.entry(key).or_default().put(asked, reached, used, at.saturating_add(age));
        })
        .await
    }
}

/// Makes a row where there is none.
fn inserted<R: Clone>(
    rows: &mut Row<Made<R>>,
    Arrived { number, asked, reach, .. }: Arrived,
    row: R,
) -> Attempt<Made<R>> {
    let made = Made { by: number, row };
    match rows.write(asked, reach, |present| present.is_none().then_some(made)) {
        Wrote::Applied => Attempt::Applied,
        Wrote::Present(present) => Attempt::Present(present.expect("where there is no row one is made")),
    }
}

/// What a read finds, and whether a row was decided before it.
fn seen<R: Clone>(row: &mut Row<R>, reading: Reading, asked: Asked) -> (Option<R>, bool) {
    let is_decided = row.is_decided();
    let found = match reading {
        Reading::Plain => row.read_plain(asked),
        Reading::Serial => row.read_serial(asked),
    };
    (found, is_decided)
}
