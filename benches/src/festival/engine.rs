//! The load of one process: a pacer, connections that take what it sends off, and what they note.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

use super::book::{Book, Part};
use super::client::{Auth, Connection};
use super::clock::Clock;
use super::dice::Dice;
use super::expect::Shown;
use super::job::{self, Action, Job, Judged, Verdict, judge};
use super::pacer::{Due, Pacer};
use super::plan::{Click, Plan};
use super::registry::Key;
use super::tally::{Kind, Recorder};

/// Orders that are followed to their commission at once.
const FOLLOWED_MAX: usize = 16;
/// Longest that a commission is waited for.
const LAG_MAX: Duration = Duration::from_secs(30);
const LAG_POLL: Duration = Duration::from_millis(2);
const READ_DEADLINE: Duration = Duration::from_secs(10);
const BACKOFF: u64 = 4;

/// What all of a process's tasks know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) book: Book,
    pub(super) clock: Clock,
    pub(super) recorder: Recorder,
    pub(super) process: u64,
    pub(super) processes: u64,
    pub(super) address: SocketAddr,
    pub(super) keys: Vec<Key>,
    /// What records clicks, if there is one.
    pub(super) service: Option<HeaderValue>,
    /// Requests that were sent off and are not settled.
    pub(super) under_way: AtomicU64,
    /// Connections of those who follow an order, while they have none to follow.
    pub(super) idle: Mutex<Vec<Connection>>,
}

impl Shared {
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// There is no room for a job.
    pub(super) fn shed(&self, job: Job) {
        self.recorder.count(|counts| counts.shed += 1);
        self.lost(job.action);
    }

    /// A request will not be sent again: nothing more is sent of orders that were not accepted.
    fn lost(&self, action: Action) {
        if let Action::Report { .. } = action {
            let accepted = |order: &u64| self.book.read(*order).accepted(Part::Report);
            action.orders(&self.plan).filter(|order| !accepted(order)).for_each(|order| self.book.set_gone(order));
        }
    }

    pub(super) fn connection(&self) -> Connection {
        Connection::new(self.address, Duration::from_millis(self.plan.scenario().client.timeout_ms))
    }

    /// A connection of who asks for orders, and is as patient as a person.
    pub(super) fn reader(&self) -> Connection {
        Connection::new(self.address, READ_DEADLINE)
    }

    pub(super) fn merchant(&self, order: u64, forged: bool) -> Auth<'_> {
        let merchant = self.plan.group(order / u64::from(self.plan.scenario().batch)).merchant;
        let key = &self.keys[usize::try_from(merchant.0).expect("bounded")];
        Auth::Merchant { key, now: self.clock.unix_seconds(), forged }
    }

    fn skips(&self, action: Action) -> bool {
        let line = |order: u64| self.book.read(order);
        match action {
            Action::Report { .. } => false,
            Action::Duplicate { order } | Action::Update { order, .. } | Action::Click { order } => line(order).gone(),
            // Ahead of the first report it would be the first.
            Action::Conflict { order } => !line(order).accepted(Part::Report),
        }
    }
}

/// Sends the whole load, and returns once all of it is settled.
pub(super) async fn run(shared: &Arc<Shared>) {
    let client = &shared.plan.scenario().client;
    let queue = usize::try_from(client.queue).expect("bounded");
    let (jobs, taken) = channel(queue);
    let (again, repeats) = sync_channel(queue);
    let taken = Arc::new(tokio::sync::Mutex::new(taken));
    let mut senders = JoinSet::new();
    for _ in 0..client.connections {
        let sender = Sender { shared: Arc::clone(shared), connection: shared.connection(), again: again.clone() };
        senders.spawn(sender.run(Arc::clone(&taken)));
    }
    *idle(shared) = (0..FOLLOWED_MAX).map(|_| shared.reader()).collect();
    let pacer = Pacer::new(Arc::clone(shared), jobs, repeats);
    let paced = tokio::task::spawn_blocking(move || pacer.run());
    paced.await.expect("the pacer does not panic");
    while senders.join_next().await.is_some() {}
    while idle(shared).len() < FOLLOWED_MAX {
        tokio::time::sleep(LAG_POLL).await;
    }
}

fn idle(shared: &Shared) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
#[derive(Debug)]
struct Sender {
    shared: Arc<Shared>,
    connection: Connection,
    again: SyncSender<Due>,
}

impl Sender {
    async fn run(mut self, queue: Arc<tokio::sync::Mutex<Receiver<Job>>>) {
        loop {
            let job = queue.lock().await.recv().await;
            let Some(job) = job else { return };
            self.take(job).await;
            self.shared.end();
        }
    }

    async fn take(&mut self, job: Job) {
        let shared = Arc::clone(&self.shared);
        if shared.skips(job.action) {
            shared.recorder.count(|counts| counts.skipped += 1);
            return;
        }
        let first = job.action.orders(&shared.plan).start;
        let group = shared.plan.group(first / u64::from(shared.plan.scenario().batch));
        let auth = match (job.action, &shared.service) {
            (Action::Click { .. }, Some(token)) => Auth::Service(token),
            _ => shared.merchant(first, group.forged),
        };
        let call = job.action.call(&shared.plan);
        shared.recorder.count(|counts| {
            counts.requests += 1;
            counts.retries += u64::from(job.attempt > 0);
        });
        let answer = self.connection.call(&call, auth).await;
        let judged = judge(&answer);
        shared.recorder.tally().code(&judged.code, 1);
        if group.forged && judged.code == "401 INVALID_SIGNATURE" {
            shared.lost(job.action);
            return self.settled(job);
        }
        if self.note(job, &judged) {
            self.repeat(job);
        } else {
            self.settled(job);
        }
    }

    fn settled(&self, job: Job) {
        let took = self.shared.clock.micros().saturating_sub(job.intended);
        self.shared.recorder.tally().record(job.action.kind(), took);
    }

    /// Notes an answer; whether the request has to be sent again.
    fn note(&self, job: Job, judged: &Judged) -> bool {
        let shared = &self.shared;
        let part = job.action.part();
        let mut again = false;
        for (place, order) in job.action.orders(&shared.plan).enumerate() {
            // What is common to all stands for each; an answer with too few items leaves the others unclear.
            let common = (judged.verdicts.len() == 1).then(|| judged.verdicts[0]);
            let verdict = judged.verdicts.get(place).copied().or(common).unwrap_or(Verdict::Unclear);
            match verdict {
                Verdict::Received | Verdict::Accepted => self.accepted(order, part, verdict == Verdict::Received),
                Verdict::Refused => {
                    shared.recorder.count(|counts| counts.refused += 1);
                    if part == Part::Report && !shared.book.read(order).accepted(part) {
                        shared.book.set_gone(order);
                    }
                }
                Verdict::Unclear => {
                    shared.book.set_unclear(order, part);
                    again = true;
                }
                Verdict::Again => again = true,
            }
        }
        again
    }

    fn accepted(&self, order: u64, part: Part, received: bool) {
        let shared = &self.shared;
        let is_first = part == Part::Report && !shared.book.read(order).accepted(part);
        shared.book.set_accepted(order, part);
        // A conflict is RECEIVED if the report before it was not, which is as wrong.
        if received && shared.book.set_received(order) {
            shared.recorder.count(|counts| counts.received_twice += 1);
        }
        if is_first {
            shared.recorder.count(|counts| counts.accepted += 1);
            self.follow(order);
        }
    }

    /// Sends a job again after a while, unless it was sent often enough.
    fn repeat(&self, job: Job) {
        let shared = &self.shared;
        let client = &shared.plan.scenario().client;
        if job.attempt >= client.retries {
            shared.recorder.count(|counts| counts.given_up += 1);
            shared.lost(job.action);
            return self.settled(job);
        }
        let whole = (client.backoff_ms[0].saturating_mul(1 << job.attempt.min(20))).min(client.backoff_ms[1]);
        let now = shared.clock.micros();
        let mut dice = Dice::of(job.intended, BACKOFF, now);
        let wait = 1_000 * (whole / 2) + dice.below(1_000 * (whole - whole / 2) + 1);
        let due = Due { at: now + wait, job: Job { attempt: job.attempt + 1, ..job } };
        if self.again.try_send(due).is_err() {
            shared.shed(job);
        }
    }

    /// Measures how long one of some orders takes from its 202 to its commission.
    fn follow(&self, order: u64) {
        let shared = &self.shared;
        if !order.is_multiple_of(shared.plan.scenario().check.lag_one_in) {
            return;
        }
        if !matches!(shared.plan.order(order).click, Click::Known(_)) {
            return;
        }
        let since = shared.clock.micros();
        let Some(connection) = idle(shared).pop() else {
            return shared.recorder.count(|counts| counts.lag_skipped += 1);
        };
        tokio::spawn(follow(Arc::clone(shared), connection, order, since));
    }
}

async fn follow(shared: Arc<Shared>, mut connection: Connection, order: u64, since: u64) {
    let call = job::read(&shared.plan, order);
    let longest = u64::try_from(LAG_MAX.as_micros()).unwrap_or(u64::MAX);
    loop {
        let answer = connection.call(&call, shared.merchant(order, false)).await;
        let shown = answer.ok().and_then(|answer| serde_json::from_slice::<Shown>(&answer.body).ok());
        let lag = shared.clock.micros().saturating_sub(since);
        let is_there = shown.is_some_and(|shown| shown.commission.is_some());
        if is_there || lag >= longest {
            let mut tally = shared.recorder.tally();
            tally.record(Kind::Lag, lag);
            tally.counts.lag_late += u64::from(!is_there);
            break;
        }
        tokio::time::sleep(LAG_POLL).await;
    }
    idle(&shared).push(connection);
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
