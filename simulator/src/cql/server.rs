//! The server: its rows, and what becomes of what is asked of it.
//!
//! A question arrives when it does, whether or not whoever asked still waits: what arrives late is in a queue of the
//! server's, by virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::ids::ConversionId;
use store::IdempotencyScope;
use store::cql::ConversionRow;
use streams::sim::Cluster;
use tokio::time::sleep;

use super::keys::Key;
use super::paxos::{Asked, Reach, Row};
use crate::chances::Chances;
use crate::claims::Mode;
use crate::swarm::{Kind, Swarm};

/// How long the server takes for a question, at the most, if nothing goes wrong.
const LATENCY_MAX: Duration = Duration::from_millis(8);
/// How late a question that is late arrives, at the most.
const LATE_MAX: Duration = Duration::from_secs(30);

/// What a claim is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An order.
    Conversion(ConversionId),
    /// A status update, by its digest.
    Status([u8; 16]),
}

/// A row, and the number of the write that made it.
#[derive(Clone, Debug)]
pub(super) struct Made<R> {
    pub(super) by: u64,
    pub(super) row: R,
}

/// A write as it arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Its number.
    pub(super) number: u64,
    pub(super) asked: Asked,
    pub(super) reach: Reach,
    /// When.
    pub(super) at: Duration,
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is answered after so long, half of which it is on its way.
    Answered(Duration),
    /// It is not let in, and nothing was done.
    Refused,
    /// Its answer is lost, of which one hears after so long, or not before one waits no more.
    Lost { way: Way, noticed: Option<Duration> },
}

/// What becomes of a question whose answer is lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// It does not arrive.
    Never,
    /// It arrives after so long.
    Late(Duration),
    /// It is done, as far as it gets.
    Now(Reach),
}

type Arrival = Box<dyn FnOnce(&mut State, Duration) + Send>;

pub(super) struct State {
    pub(super) chances: Chances,
    /// What the server does when one of its clients asks.
    pub(super) modes: BTreeMap<usize, Mode>,
    pub(super) conversions: BTreeMap<ConversionId, Row<Made<ConversionRow>>>,
    pub(super) statuses: BTreeMap<[u8; 16], Row<Made<String>>>,
    pub(super) keys: BTreeMap<(IdempotencyScope, String), Key>,
    on_their_way: BTreeMap<(Duration, u64), Arrival>,
    numbers: u64,
    /// Writes that were to make a row, and whose answer told nothing.
    pub(super) unknown: Vec<(Place, u64)>,
    /// Who looked for a row, and was told that there is none, when it was decided.
    pub(super) overlooked: BTreeSet<(usize, Place)>,
    /// How often that was, of everybody.
    pub(super) overlooks: u64,
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn fate(&mut self, client: usize) -> Fate {
        let latency = self.chances.random.time(Duration::ZERO, LATENCY_MAX);
        match self.modes.get(&client).copied().unwrap_or_default() {
            Mode::Down if self.chances.random.happens(6_000) => return Fate::Refused,
            Mode::Down => return self.lost(Way::Never),
            Mode::Silent => return self.lost(Way::Now(Reach::Whole)),
            Mode::Slow(time) => return Fate::Answered(time),
            Mode::Work => {}
        }
        if self.chances.happens(Kind::ClaimLost) {
            return self.lost(Way::Never);
        }
        if self.chances.happens(Kind::ClaimLate) {
            let after = self.chances.random.short(LATE_MAX);
            return self.lost(Way::Late(after));
        }
        if self.chances.happens(Kind::ClaimHalfDone) {
            let reach = Reach::draw(&mut self.chances.random);
            return self.lost(Way::Now(reach));
        }
        Fate::Answered(latency)
    }

    /// A coordinator says at once that it cannot tell, or after its own time-out; or nobody says anything.
    fn lost(&mut self, way: Way) -> Fate {
        let times = [Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(200)];
        let noticed = self.chances.random.happens(8_000).then(|| self.chances.random.pick(&times));
        Fate::Lost { way, noticed }
    }

    fn send(&mut self, at: Duration, arrival: Arrival) {
        let number = self.next_number();
        self.on_their_way.insert((at, number), arrival);
    }

    /// Lets everything arrive that is due.
    fn arrive(&mut self, now: Duration) {
        while let Some(next) = self.on_their_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let at = next.key().0;
            let arrival = next.remove();
            arrival(self, at);
        }
    }
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    cluster: Cluster,
}

impl Server {
    /// One without a row.
    pub(crate) fn new(seed: u64, swarm: Swarm, cluster: &Cluster) -> Server {
        let state = State {
            chances: Chances::new(seed, "claims", swarm),
            modes: BTreeMap::new(),
            conversions: BTreeMap::new(),
            statuses: BTreeMap::new(),
            keys: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
            numbers: 0,
            unknown: Vec::new(),
            overlooked: BTreeSet::new(),
            overlooks: 0,
        };
        Server { state: Arc::new(Mutex::new(state)), cluster: cluster.clone() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what it does when a client asks.
    pub(crate) fn set(&self, client: usize, mode: Mode) {
        self.state().modes.insert(client, mode);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        state.chances.calm = true;
        state.modes.clear();
    }

    /// How often each fault happened.
    pub(crate) fn counts(&self) -> BTreeMap<Kind, u64> {
        self.state().chances.counts.clone()
    }

    /// Lets everything arrive that is due; whether more is on its way.
    pub(crate) fn is_waited_for(&self) -> bool {
        let now = self.cluster.now();
        let mut state = self.state();
        state.arrive(now);
        !state.on_their_way.is_empty()
    }

    /// How often whoever came to a row ended what another had left half done.
    pub(crate) fn ended(&self) -> u64 {
        let state = self.state();
        let conversions = state.conversions.values().map(|row| row.ended);
        conversions.chain(state.statuses.values().map(|row| row.ended)).sum()
    }

    /// How often a plain read did not see a row that was decided.
    pub(crate) fn overlooks(&self) -> u64 {
        self.state().overlooks
    }

    /// What becomes of a client's question, now.
    pub(super) fn fate(&self, client: usize) -> Fate {
        let now = self.cluster.now();
        let mut state = self.state();
        state.arrive(now);
        let fate = state.fate(client);
        drop(state);
        if !matches!(fate, Fate::Answered(_)) {
            self.note(format_args!("claims' server, for {client}: {fate:?}"));
        }
        fate
    }

    /// Writes down what happened.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.cluster.note(what);
    }

    /// Has something done after a time.
    pub(super) fn after(&self, time: Duration, arrival: impl FnOnce(&mut State, Duration) + Send + 'static) {
        let at = self.cluster.now().saturating_add(time);
        self.state().send(at, Box::new(arrival));
    }

    /// Has something done when it arrives, and waits for its answer.
    pub(super) async fn answered<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&mut State, Duration) -> T + Send + 'static,
    ) -> T {
        let answer = Arc::new(Mutex::new(None));
        let (slot, arrives) = (Arc::clone(&answer), self.cluster.now().saturating_add(time / 2));
        self.after(time / 2, move |state, at| {
            let done = work(state, at);
            slot.lock().unwrap_or_else(PoisonError::into_inner).replace(done);
        });
        sleep(time).await;
        self.state().arrive(arrives);
        let done = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        done.expect("it has arrived")
    }

    /// A number for a write.
    pub(super) fn number(&self) -> u64 {
        self.state().next_number()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
