//! The handle of a simulated cluster, and how a request goes through it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::broker::{Action, Background, Code, Entry, EntryKind, RecordFate, State};
use super::faults::{Api, Call, Fate, Faults};
use super::options::{ClusterOptions, TopicOptions};
use super::process::{Process, unwind};

/// A simulated cluster. Clones are the same one.
///
/// It is for one thread: what happens is decided by the order of calls alone.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// What the instants that clients are given are counted from.
    base: Instant,
}

/// A request that a client makes, and what brokers do about it.
pub(super) trait Request: Clone + Send + 'static {
    /// What is answered.
    type Answer;
    /// What kind it is.
    fn api(&self) -> Api;
    /// What it is about.
    fn subject(&self) -> &str;
    /// Does it.
    fn execute(&self, state: &mut State) -> Result<Self::Answer, Code>;
}

/// What a client has of a request.
#[derive(Debug)]
pub(super) enum Answered<T> {
    /// An answer.
    With(Result<T, Code>),
    /// None, noticed by now.
    Not,
}

/// What became of a request before the time that is spent on noticing it.
enum Sent<T> {
    Answered(Result<T, Code>),
    Lost(Duration),
}

impl Cluster {
    /// A cluster without topics.
    #[must_use]
    pub fn new(options: ClusterOptions, faults: Arc<dyn Faults>) -> Cluster {
        let state = Mutex::new(State::new(options, faults));
        Cluster(Arc::new(Shared { state, base: Instant::now() }))
    }

    /// Has something else decide what goes wrong from now on.
    pub fn set_faults(&self, faults: Arc<dyn Faults>) {
        self.state().faults = faults;
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// If there is one of that name.
    pub fn create_topic(&self, name: &str, options: TopicOptions) {
        self.state().create_topic(name, options);
    }

    /// Deletes a topic and all that is in it.
    pub fn delete_topic(&self, name: &str) {
        self.state().delete_topic(name);
    }

    /// Starts a process. Its name is that of the machine, so to say: a restart is another process of the same name.
    #[must_use]
    pub fn process(&self, name: &str) -> Process {
        Process::start(self, name)
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// The wall clock, in milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let state = self.state();
        state.options.epoch_ms + i64::try_from(state.now.as_millis()).unwrap_or(i64::MAX)
    }

    /// Lets time pass until `until`, and everything happen that is due by then.
    pub fn advance_to(&self, until: Duration) {
        loop {
            let mut state = self.state();
            let Some(background) = state.step(until) else {
                state.now = state.now.max(until);
                return;
            };
            drop(state);
            match background {
                None => {}
                Some(Background::Member(id)) => self.run_member(id),
                Some(Background::Publisher(id)) => self.run_sender(id),
            }
        }
    }

    /// Lets time pass, by so much.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.now().saturating_add(by));
    }

    /// Lets a long time pass in which no process does anything but to be there: members that run keep their places,
    /// without a heartbeat for each half second of it.
    pub fn leap_to(&self, until: Duration) {
        self.state().postpone_members(until);
        self.advance_to(until);
    }

    /// When something happens next by itself, since the start.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.state().next_due()
    }

    /// Cleans all topics as their settings say, as of now.
    pub fn clean(&self) {
        self.state().clean();
    }

    /// Gives a partition a new leader, which for a time knows its high watermark to be lower by `offsets` than it is.
    pub fn change_leader(&self, topic: &str, partition: u32, offsets: u64, lasts: Duration) {
        let mut state = self.state();
        if let Ok(known) = state.partition_mut(topic, partition) {
            known.set_lag(Some(offsets));
            let at = state.now + lasts;
            state.schedule(at, Action::CatchUp { topic: topic.to_owned(), partition });
            state.note(format_args!("leader of {topic}/{partition} knows {offsets} less"));
        }
    }

    /// Gives a group a new coordinator: every member's session begins anew.
    pub fn change_coordinator(&self, group: &str) {
        let mut state = self.state();
        let now = state.now;
        state.renew_sessions(group, now);
        state.note(format_args!("coordinator of {group} is another"));
    }

    /// Forgets the offsets of a group, as brokers do some days after its last member is gone; `false` if it has members.
    pub fn forget_offsets(&self, group: &str) -> bool {
        self.state().forget_offsets(group)
    }

    /// The offsets that a group has committed.
    #[must_use]
    pub fn offsets(&self, group: &str) -> BTreeMap<(String, u32), u64> {
        self.state().offsets(group)
    }

    /// Transactional ids of which something is undecided, or decided and not marked everywhere.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        self.state().unfinished().map(str::to_owned).collect()
    }

    /// How many partitions a topic has; none if there is no such topic.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> u32 {
        self.state().topic(topic).map_or(0, |topic| topic.options.partitions)
    }

    /// Where a partition begins, its last stable offset, and its end.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn marks(&self, topic: &str, partition: u32) -> (u64, u64, u64) {
        let state = self.state();
        let partition = state.partition(topic, partition).expect("there is such a partition");
        (partition.first(), partition.last_stable(), partition.end())
    }

    /// Hands every place of a partition's log from an offset on to `see`, markers, open and aborted records included.
    ///
    /// # Panics
    /// If there is no such partition, or `see` uses the cluster.
    pub fn log(&self, topic: &str, partition: u32, from: u64, see: &mut dyn FnMut(&Entry)) {
        let state = self.state();
        state.partition(topic, partition).expect("there is such a partition").entries_from(from).for_each(see);
    }

    /// Hands the records of a partition from an offset on to `see` that one who reads committed sees, each with its
    /// offset, key and value; where reading goes on.
    ///
    /// # Panics
    /// As for [`Cluster::log`].
    pub fn read(&self, topic: &str, partition: u32, from: u64, see: &mut dyn FnMut(u64, &[u8], Option<&[u8]>)) -> u64 {
        let state = self.state();
        let partition = state.partition(topic, partition).expect("there is such a partition");
        let end = partition.last_stable();
        for entry in partition.entries_from(from).take_while(|entry| entry.offset < end) {
            if let EntryKind::Record { key, value, fate: RecordFate::Committed } = &entry.kind {
                see(entry.offset, key, value.as_deref());
            }
        }
        end.max(from)
    }

    /// Writes a line into the history, for whoever simulates.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        self.state().note(line);
    }

    /// A hash of everything that happened: equal for two runs of one build in which the same was decided.
    #[must_use]
    pub fn history_hash(&self) -> u64 {
        self.state().history.hash()
    }

    /// The last lines of the history.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        self.state().history.lines()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time since the start as an instant.
    pub(super) fn instant(&self) -> Instant {
        self.0.base + self.now()
    }

    pub(super) fn faults(&self) -> Arc<dyn Faults> {
        Arc::clone(&self.state().faults)
    }

    /// Has a process do nothing until a time.
    pub(super) fn idle(&self, process: &Process, until: Duration) {
        self.faults().idle(self, process.id(), until);
        self.advance_to(until);
        process.check();
    }

    /// Sends a request of a process that waits for the answer, until `deadline` at the longest.
    pub(super) fn ask<R: Request>(
        &self,
        process: &Process,
        request: &R,
        attempt: u32,
        deadline: Duration,
    ) -> Answered<R::Answer> {
        process.check();
        let call = Call {
            process: process.id(),
            name: process.name(),
            api: request.api(),
            subject: request.subject(),
            attempt,
        };
        let (faults, half) = {
            let state = self.state();
            (Arc::clone(&state.faults), state.options.latency / 2)
        };
        let fate = faults.before(self, &call);
        process.check();
        self.advance(half);
        let sent = self.send(&call, request, fate);
        if let Fate::Crash = fate {
            process.crash();
            unwind(process.id());
        }
        faults.after(self, &call);
        process.check();
        match sent {
            Sent::Answered(answer) => {
                self.advance(half);
                process.check();
                Answered::With(answer)
            }
            Sent::Lost(noticed) => {
                self.idle(process, self.now().saturating_add(noticed).min(deadline));
                Answered::Not
            }
        }
    }

    /// Sends a request from the background of a process: what is under way is not waited for, and nothing else happens.
    /// `Err` says how long it takes until it is noticed that there is no answer.
    pub(super) fn ask_aside<R: Request>(&self, process: u64, request: &R) -> Result<Result<R::Answer, Code>, Duration> {
        let (faults, name) = {
            let state = self.state();
            let Some(running) = state.processes.get(&process) else { return Err(Duration::ZERO) };
            (Arc::clone(&state.faults), running.name.clone())
        };
        let call = Call { process, name: &name, api: request.api(), subject: request.subject(), attempt: 0 };
        let fate = faults.before(self, &call);
        if !self.state().processes.contains_key(&process) {
            return Err(Duration::ZERO);
        }
        let sent = self.send(&call, request, fate);
        if let Fate::Crash = fate {
            self.state().end_process(process);
            return Err(Duration::ZERO);
        }
        faults.after(self, &call);
        match sent {
            Sent::Answered(answer) => Ok(answer),
            Sent::Lost(noticed) => Err(noticed),
        }
    }

    fn send<R: Request>(&self, call: &Call<'_>, request: &R, fate: Fate) -> Sent<R::Answer> {
        let mut state = self.state();
        let execute = |state: &mut State| {
            let answer = request.execute(state);
            let (name, api, subject) = (call.name, call.api, call.subject);
            match &answer {
                Ok(_) if api == Api::Heartbeat => {}
                Ok(_) => state.note(format_args!("{name} {api:?} {subject}")),
                Err(code) => state.note(format_args!("{name} {api:?} {subject}: {code:?}")),
            }
            answer
        };
        let later = |state: &mut State, after: Duration| {
            let (late, at) = (request.clone(), state.now.saturating_add(after));
            let run = move |state: &mut State| {
                let (api, answer) = (late.api(), late.execute(state).err());
                state.note(format_args!("late {api:?} {}: {answer:?}", late.subject()));
            };
            state.schedule(at, Action::Request(Box::new(run)));
        };
        if fate != Fate::Arrives {
            state.note(format_args!("{} {:?} {} meets {fate:?}", call.name, call.api, call.subject));
        }
        match fate {
            Fate::Arrives => Sent::Answered(execute(&mut state)),
            Fate::Lost { noticed } => Sent::Lost(noticed),
            Fate::Unanswered { noticed } => {
                let _ = execute(&mut state);
                Sent::Lost(noticed)
            }
            Fate::Late { noticed, arrives } => {
                later(&mut state, arrives);
                Sent::Lost(noticed)
            }
            Fate::Repeated { again } => {
                later(&mut state, again);
                Sent::Answered(execute(&mut state))
            }
            Fate::Refused(code) => Sent::Answered(Err(code)),
            Fate::Crash => Sent::Lost(Duration::ZERO),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&*self.state()).finish()
    }
}
