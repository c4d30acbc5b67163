//! The way to the server: one session, replaced when it is of no use any more, and a breaker before it.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::breaker::Breaker;
use super::error::CqlError;
use super::health::Health;
use super::migrations::{self, Unfit};
use super::options::Options;
use super::session::{Connected, connect, in_time};
use super::stats::{LinkStats, count, read};
use super::tend::{Found, Probed, Tended, tend};

/// A question whose caller left counts as a failure of the server if it had been under way for this long.
const ABANDONED_AFTER: Duration = Duration::from_millis(100);

/// A CQL server. Clones are handles of the same session, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Cql {
    owner: Arc<Owner>,
}

/// Ends the task that looks for the server.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is asked, by which it is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Conditional writes and serial reads.
    Claims,
    /// Plain reads.
    Reads,
    /// Upserts.
    Writes,
}

/// What the handles, the calls and the task share.
pub(crate) struct Shared {
    options: Options,
    connected: ArcSwapOption<Connected>,
    breaker: Breaker,
    /// Why there is no session, or none that is any good.
    unready: Mutex<Option<Unready>>,
    claims: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    breaker_opened: AtomicU64,
    sessions: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Unready {
    /// Nothing was reached yet; what the last try ended with.
    Unreached(Option<String>),
    /// The tables are not those that this program knows.
    Unfit(Unfit),
}

impl Cql {
    /// Begins to look for the server, in the runtime that this is called in, and returns without waiting for it: until it
    /// is found everything is answered with [`CqlError::Away`].
    ///
    /// # Errors
    /// [`CqlError::Permanent`] if the options make no sense.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime.
    pub fn open(options: Options) -> Result<Cql, CqlError> {
        options.check()?;
        let places = |bound| Arc::new(Semaphore::new(bound));
        let shared = Arc::new(Shared {
            connected: ArcSwapOption::empty(),
            breaker: Breaker::open("not reached yet"),
            unready: Mutex::new(Some(Unready::Unreached(None))),
            claims: places(options.claims_in_flight_max),
            reads: places(options.reads_in_flight_max),
            writes: places(options.writes_in_flight_max),
            breaker_opened: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            options,
        });
        let tended = shared.clone();
        let task = tokio::spawn(async move { tend(&*tended).await }).abort_handle();
        Ok(Cql { owner: Arc::new(Owner { shared, task }) })
    }

    /// Whether the server answers.
    #[must_use]
    pub fn health(&self) -> Health {
        self.owner.shared.health()
    }

    /// Waits until the server answers.
    pub async fn wait_up(&self) {
        self.owner.shared.breaker.wait(true).await;
    }

    /// What was done since it was opened, for metrics.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let shared = &self.owner.shared;
        let taken = |places: &Semaphore, bound: usize| bound.saturating_sub(places.available_permits()) as u64;
        LinkStats {
            sessions: read(&shared.sessions),
            breaker_opened: read(&shared.breaker_opened),
            claims_in_flight: taken(&shared.claims, shared.options.claims_in_flight_max),
            reads_in_flight: taken(&shared.reads, shared.options.reads_in_flight_max),
            writes_in_flight: taken(&shared.writes, shared.options.writes_in_flight_max),
        }
    }

    /// How it was opened.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.owner.shared.options
    }

    /// Begins a question. It has a place in its lane until it is done, and waits for one no longer than a request may take.
    ///
    /// # Errors
    /// [`CqlError::Away`] at once if the server is; [`CqlError::Transient`] if no place got free in time.
    pub(crate) async fn call(&self, lane: Lane) -> Result<Call, CqlError> {
        let shared = &self.owner.shared;
        shared.admit()?;
        let (places, bound) = match lane {
            Lane::Claims => (&shared.claims, shared.options.claims_in_flight_max),
            Lane::Reads => (&shared.reads, shared.options.reads_in_flight_max),
            Lane::Writes => (&shared.writes, shared.options.writes_in_flight_max),
        };
        let wait = shared.options.request_timeout;
        let place = match timeout(wait, places.clone().acquire_owned()).await {
            Ok(place) => place.expect("the places are never closed"),
            Err(_) => return Err(CqlError::Transient(format!("none of {bound} places was free for {wait:?}"))),
        };
        let (connected, epoch) = shared.admit()?;
        Ok(Call { shared: shared.clone(), connected, epoch, began: Instant::now(), done: false, _place: place })
    }
}

impl Shared {
    /// The session, unless the server is away.
    fn admit(&self) -> Result<(Arc<Connected>, u64), CqlError> {
        let epoch = self.breaker.admit().map_err(|opened| match self.unready() {
            Some(Unready::Unfit(unfit)) => CqlError::Away(unfit.to_string()),
            Some(Unready::Unreached(Some(reason))) => CqlError::Away(reason),
            Some(Unready::Unreached(None)) | None => CqlError::Away(opened.reason),
        })?;
        let connected = self.connected.load_full().expect("the breaker is first closed when there is a session");
        Ok((connected, epoch))
    }

    fn unready(&self) -> Option<Unready> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_unready(&self, unready: Option<Unready>) {
        *self.unready.lock().unwrap_or_else(PoisonError::into_inner) = unready;
    }

    fn health(&self) -> Health {
        let opened = self.breaker.opened();
        match (opened, self.unready()) {
            (None, _) => Health::Up,
            (Some(_), Some(Unready::Unreached(reason))) => Health::Connecting { reason },
            (Some(_), Some(Unready::Unfit(unfit))) => unfit.into(),
            (Some(opened), None) => Health::Away { lasted: opened.lasted, reason: opened.reason },
        }
    }

    fn failed(&self, epoch: u64, reason: impl FnOnce() -> String) {
        if let Some(opened) = self.breaker.failed(epoch, reason) {
            count(&self.breaker_opened, 1);
            tracing::warn!(reason = opened.reason, "the CQL server is away");
        }
    }

    /// Makes another session.
    async fn connect(&self) -> Result<Result<Connected, Unfit>, CqlError> {
        let session = connect(&self.options).await?;
        if let Err(unfit) = migrations::check(&session, &self.options).await? {
            return Ok(Err(unfit));
        }
        Connected::prepare(session, &self.options).await.map(Ok)
    }
}

impl Tended for Shared {
    async fn wait_down(&self) {
        self.breaker.wait(false).await;
    }

    async fn probe(&self) -> Probed {
        let Some(connected) = self.connected.load_full() else { return Probed::Useless };
        match in_time(self.options.request_timeout, "a probe", connected.claims.probe(&connected.session)).await {
            Ok(()) => Probed::Up,
            Err(CqlError::Away(_) | CqlError::Transient(_)) => Probed::Away,
            Err(CqlError::Permanent(_)) => Probed::Useless,
        }
    }

    async fn renew(&self) -> Found {
        let unready = match self.connect().await {
            Ok(Ok(connected)) => {
                self.connected.store(Some(Arc::new(connected)));
                count(&self.sessions, 1);
                return Found::Up;
            }
            Ok(Err(unfit)) => {
                tracing::warn!(%unfit, "the CQL server cannot be used");
                self.set_unready(Some(Unready::Unfit(unfit)));
                return Found::Unfit;
            }
            Err(error) => error,
        };
        if self.connected.load().is_none() {
            self.set_unready(Some(Unready::Unreached(Some(unready.to_string()))));
        }
        Found::Away
    }

    fn found(&self, lasted: Duration) {
        self.set_unready(None);
        self.breaker.close();
        tracing::info!(after_ms = lasted.as_millis() as u64, "the CQL server answers");
    }
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Call {
    shared: Arc<Shared>,
    connected: Arc<Connected>,
    epoch: u64,
    began: Instant,
    done: bool,
    _place: OwnedSemaphorePermit,
}

impl Call {
    /// The session and the statements to ask it with.
    pub(crate) fn connected(&self) -> &Connected {
        &self.connected
    }

    /// Ends the question with its answer, which says whether the server is there.
    ///
    /// # Errors
    /// The answer's, by what can be done about it.
    pub(crate) fn done<T, E: Into<CqlError>>(mut self, answer: Result<T, E>) -> Result<T, CqlError> {
        self.done = true;
        let answer = answer.map_err(Into::into);
        match &answer {
            Ok(_) => self.shared.breaker.succeeded(self.epoch),
            Err(error) => self.shared.failed(self.epoch, || error.to_string()),
        }
        answer
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let waited = self.began.elapsed();
        if !self.done && waited >= ABANDONED_AFTER {
            self.shared.failed(self.epoch, || format!("no answer within {waited:?}"));
        }
    }
}
