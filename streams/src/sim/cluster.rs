//! The handle of a simulated cluster, and how a request goes through it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::broker::{Action, Background, Entry, EntryKind, RecordFate, State};
use super::faults::{Api, Faults};
use super::options::{ClusterOptions, TopicOptions};
use super::process::Process;

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

/// Takes a record: its offset, its key, and its value unless it is a tombstone.
pub type SeeRecord<'a> = &'a mut dyn FnMut(u64, &[u8], Option<&[u8]>);

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

    /// Stops a process where it is, as a machine that does not get to run: its clients are not heard of either. That
    /// its steps are not run meanwhile is the simulator's to see to.
    pub fn suspend(&self, process: u64) {
        if let Some(running) = self.state().processes.get_mut(&process) {
            running.is_suspended = true;
        }
    }

    /// Lets a stopped process go on.
    pub fn resume(&self, process: u64) {
        self.state().resume(process);
    }

    /// Ends a process, wherever it is: no client of it does anything any more, and if it is within a call, that never
    /// returns.
    pub fn crash(&self, process: u64) {
        self.state().end_process(process);
    }

    /// Whether a request of a process is on its way still, which [arrives late](super::Fate::Late) or a second time.
    #[must_use]
    pub fn is_late(&self, process: u64, api: Api) -> bool {
        self.state().is_late(process, api)
    }

    /// Has such requests arrive now.
    pub fn hasten(&self, process: u64, api: Api) {
        self.state().hasten(process, api);
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

    /// Has a partition begin at an offset, or at its end if that comes first, whatever the cleaner would do.
    pub fn delete_before(&self, topic: &str, partition: u32, offset: u64) {
        let mut state = self.state();
        if let Ok(known) = state.partition_mut(topic, partition) {
            known.drop_before(offset.min(known.end()));
            state.note(format_args!("{topic}/{partition} has nothing before {offset} any more"));
        }
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

    /// Forgets the offsets of a group, as brokers do some days after its last member is gone; `false` if it has
    /// members.
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

    /// Where a partition begins, its last stable offset, and its end; also what its leader does not know yet.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn marks(&self, topic: &str, partition: u32) -> (u64, u64, u64) {
        let state = self.state();
        let partition = state.partition(topic, partition).expect("there is such a partition");
        (partition.first(), partition.decided(), partition.end())
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
    /// offset, key and value; where reading goes on. It does not wait for a leader that does not know them yet.
    ///
    /// # Panics
    /// As for [`Cluster::log`].
    pub fn read(&self, topic: &str, partition: u32, from: u64, see: SeeRecord<'_>) -> u64 {
        let state = self.state();
        let partition = state.partition(topic, partition).expect("there is such a partition");
        let end = partition.decided();
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
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&*self.state()).finish()
    }
}
