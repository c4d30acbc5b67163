//! A worker's session with Kafka: a member of a consumer group and a transactional producer in one.
//!
//! # Constraints
//!
//! 1. Outputs, state changes and offsets of a step are one transaction; nobody who reads committed sees half of it.
//! 2. Whoever was given up by the group, or has been replaced, commits nothing: every transaction carries offsets with
//!    the generation in which the partitions were assigned (KIP-447), also if it consumed nothing.
//! 3. A partition's records come only when its store is at the end of what is committed.
//! 4. A restore never keeps other partitions waiting for longer than a part of it takes.
//! 5. No transaction has an outcome that is guessed: what is not known is looked up.
//!
//! # What is where
//!
//! Input partition `n` of every topic, changelog partition `n` and store `n` belong together. Offsets are the group's;
//! state is in the compacted changelog, a record a row, a tombstone for a deleted one.
//!
//! # Order of operations
//!
//! *A partition comes.* (1) The transactional id is taken over, which decides whatever its last holder left open;
//! (2) the committed offsets are asked for, which waits for undecided transactions over them; (3) the end of the
//! changelog is asked for, undecided transactions included; (4) these are waited for; (5) the changelog is read
//! up to that end; (6) reading the inputs begins. In any other order a transaction could be decided between two
//! questions, and state and offsets be of different times.
//!
//! *A step.* Begin, write outputs and changes, wait for the acknowledgements, add the offsets, commit. What a crash
//! leaves: before the commit is asked for, a transaction that the next holder of the id or the time-out aborts; after
//! it, a committed one. The store is behind in both cases, and catches up by the above.
//!
//! *What is no record.* Behind the last record of a transaction is its marker, which nobody is handed. The client passes it
//! all the same, and so do the committed offsets: with the next step, or with one of their own once nothing else comes.
//! Otherwise retention, once it has taken all of a quiet topic, would seem to have taken something that was not consumed.
//! Such a step is a transaction too, with the epoch and the generation, since a plain commit that arrives late would take
//! the place of a later one. It writes to no topic, so that it makes no marker that would have to be passed in turn.
//!
//! *A rebalance.* It is heard of between two steps: the partitions are given up, which lets the group go on, and records
//! that were taken and not committed are forgotten. Whoever gets the partition next begins at what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::fenced::{Fenced, Verdict};
use self::member::{End, Member, Seen};
use self::partitions::{Committed, Partitions};
use self::restore::Restorer;
use self::transaction::{Ended, Names, Transactor};
use self::waiting::{REMEDY, Waiting};
use super::client::{Clients, Event, Identity, Librdkafka, Time};
use super::{Connection, Watch};
use crate::log::{ApplyChanges, Commit, Limits, LogError, Polled, Restored, Session, Step, Topic};

mod fenced;
mod member;
mod options;
mod partitions;
mod passing;
mod restore;
mod stats;
mod transaction;
mod waiting;

pub use self::options::SessionOptions;
pub use self::stats::{COMMIT_BUCKETS_MS, SessionStats};
pub(crate) use self::transaction::MESSAGE_BYTES_MAX;

/// How long one question that a restore waits for may take, before others have their turn.
const ASK_WAIT: Duration = Duration::from_millis(500);
/// Between two such questions.
const ASK_PAUSE: Duration = Duration::from_millis(10);
/// How long a poll waits at least. One that waits for nothing takes no more than one of the client's own events, such as a
/// line of its log: during an outage there are more of them than polls, and a rebalance behind them would not be heard of.
const LISTEN_MIN: Duration = Duration::from_millis(2);
/// The first pause after a step that was not committed; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a pause looks whether it is to stop.
const STOP_CHECK_EVERY: Duration = Duration::from_millis(50);
/// What a client that is [stranded](Watch::is_stranded) is told of by.
const STRANDED: &str = "the client has lost sight of all brokers for good: another is made";
/// How long leaving a group may take.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// What a worker works on, and as whom.
#[derive(Clone, Debug)]
pub struct Work {
    /// The processor: its group, and its changelog `NAME-changelog`.
    pub processor: &'static str,
    /// What it reads.
    pub inputs: Vec<Topic>,
    /// The worker, by a name that no other running worker of the processor has and that a restart keeps.
    pub worker: String,
}

/// One worker's session, over the clients of librdkafka unless something else is said.
#[allow(missing_debug_implementations, reason = "clients have no Debug")]
pub struct KafkaSession<C: Clients = Librdkafka> {
    clients: C,
    time: C::Time,
    options: SessionOptions,
    identity: Identity,
    partitions: Partitions,
    changelog: String,
    /// Names of topics in the cluster, by those in the catalogue.
    names: BTreeMap<&'static str, String>,
    member: Member<C>,
    transactor: Option<Transactor<C>>,
    restorer: Option<Restorer<C>>,
    /// There while another member has this one's name.
    fenced: Option<Fenced>,
    /// The generation of the partitions assigned.
    group: Option<C::Group>,
    /// There while it is asked where a partition goes on.
    waiting: Option<Waiting>,
    last_commit: Instant,
    /// When it was last looked whether the client has passed what is no record.
    last_pass: Instant,
    /// Steps that failed, one after the other.
    failures: u32,
    stop: Arc<AtomicBool>,
    stats: Arc<SessionStats>,
}

impl KafkaSession {
    /// Joins the group of a processor. Waits are cut off once `stop` is set.
    ///
    /// # Errors
    /// The client cannot be made of these settings.
    pub fn open(
        connection: &Connection,
        work: &Work,
        options: SessionOptions,
        stop: Arc<AtomicBool>,
    ) -> Result<KafkaSession, LogError> {
        let name = connection.name(&format!("{}-{}", work.processor, work.worker));
        KafkaSession::open_with(Librdkafka::new(connection, &name), work, options, stop)
    }

    /// What its consumer says while it works: the lag of each partition for one.
    #[must_use]
    pub fn watch(&self) -> Arc<Watch> {
        self.clients.watch()
    }
}

impl<C: Clients> KafkaSession<C> {
    /// As [`KafkaSession::open`], over these clients.
    ///
    /// # Errors
    /// The member's client cannot be made.
    pub fn open_with(
        clients: C,
        work: &Work,
        options: SessionOptions,
        stop: Arc<AtomicBool>,
    ) -> Result<KafkaSession<C>, LogError> {
        let identity = Identity {
            group: clients.name(work.processor),
            worker: clients.name(&format!("{}-{}", work.processor, work.worker)),
        };
        let inputs = work.inputs.iter().map(|topic| (*topic, clients.name(topic.name)));
        let partitions = Partitions::new(inputs.collect());
        let stats = Arc::new(SessionStats::default());
        let time = clients.time();
        Ok(KafkaSession {
            member: Member::join(&clients, &identity, &partitions.topics(), &options, Arc::clone(&stats))?,
            changelog: clients.name(&format!("{}-changelog", work.processor)),
            last_commit: time.now(),
            last_pass: time.now(),
            time,
            clients,
            options,
            identity,
            partitions,
            names: BTreeMap::new(),
            transactor: None,
            restorer: None,
            fenced: None,
            group: None,
            waiting: None,
            failures: 0,
            stop,
            stats,
        })
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Arc<SessionStats> {
        Arc::clone(&self.stats)
    }

    /// Leaves the group for good. A session that is only dropped stays a member for its session time-out, so that a
    /// restart within it is no rebalance.
    pub fn leave(self) {
        self.member.leave(LEAVE_WAIT);
    }

    fn on_event(&mut self, event: Event) -> Result<Polled, LogError> {
        SessionStats::count(&self.stats.rebalances);
        match event {
            Event::Assigned(partitions) => {
                let numbers = self.partitions.assign(&partitions);
                self.group = self.member.group();
                tracing::info!(worker = self.identity.worker, partitions = ?numbers, "partitions assigned");
                Ok(Polled::Assigned(numbers))
            }
            Event::Revoked => {
                let numbers = self.partitions.revoke();
                self.group = None;
                self.restorer = None;
                tracing::info!(worker = self.identity.worker, partitions = ?numbers, "partitions given up");
                Ok(Polled::Revoked(numbers))
            }
        }
    }

    /// Another member has joined by this one's name.
    fn fenced(&mut self) -> Polled {
        let numbers = self.partitions.revoke();
        tracing::warn!(worker = self.identity.worker, partitions = ?numbers, "another member has joined by this name");
        SessionStats::count(&self.stats.fencings);
        self.fenced = Some(Fenced::new(self.time.now()));
        (self.group, self.restorer) = (None, None);
        Polled::Revoked(numbers)
    }

    /// The member's client will never hear of its group again: another one takes its name, as after a restart.
    fn stranded(&mut self) -> Result<Polled, LogError> {
        let numbers = self.partitions.revoke();
        tracing::warn!(worker = self.identity.worker, partitions = ?numbers, "{STRANDED}");
        (self.group, self.restorer) = (None, None);
        self.join()?;
        Ok(Polled::Revoked(numbers))
    }

    fn join(&mut self) -> Result<(), LogError> {
        let (topics, stats) = (self.partitions.topics(), Arc::clone(&self.stats));
        self.member = Member::join(&self.clients, &self.identity, &topics, &self.options, stats)?;
        Ok(())
    }

    /// Joins again once its name is free.
    fn rejoin(&mut self, mut fenced: Fenced, wait: Duration) -> Result<Polled, LogError> {
        self.time.sleep(wait.min(STOP_CHECK_EVERY));
        let name = (self.identity.group.as_str(), self.identity.worker.as_str());
        match fenced.ask(&self.member, name, self.options.session_timeout) {
            Verdict::Wait => self.fenced = Some(fenced),
            Verdict::Join => self.join()?,
            Verdict::Replaced => return Err(LogError::Replaced { worker: self.identity.worker.clone() }),
        }
        Ok(Polled::Nothing)
    }

    /// Asks once where a partition's reading goes on; `false` if the brokers have not answered yet.
    fn locate(&mut self, partition: u32) -> Result<bool, LogError> {
        let Some(mut committed) = self.committed(partition)? else { return Ok(false) };
        if committed.values().all(Option::is_none) {
            match self.restorer()?.has_changes(partition)? {
                None => return Ok(false),
                Some(false) => {}
                Some(true) => {
                    // Whoever has the partition by now may have committed its first step between the two questions.
                    let Some(again) = self.committed(partition)? else { return Ok(false) };
                    if again.values().all(Option::is_none) {
                        return Err(self.forgotten(partition));
                    }
                    committed = again;
                }
            }
        }
        let mut positions = BTreeMap::new();
        for (topic, offset) in committed {
            let name = self.partitions.name(topic).expect("only inputs were asked for");
            // A topic that was never consumed is read from its first record, whichever that is by now.
            let position = match offset {
                Some(offset) => Some(offset),
                None => self.member.first(name, partition, ASK_WAIT)?,
            };
            let Some(position) = position else { return Ok(false) };
            positions.insert(topic, position);
        }
        self.partitions.locate(partition, positions);
        Ok(true)
    }

    /// The committed offsets of a partition; `None` if the brokers have not answered yet.
    fn committed(&self, partition: u32) -> Result<Option<Committed>, LogError> {
        let answer = self.member.committed(&self.partitions.to_ask(partition), ASK_WAIT)?;
        Ok(answer.map(|answer| self.partitions.read_answer(&answer)))
    }

    /// The error of a group that has state and no offsets.
    fn forgotten(&self, partition: u32) -> LogError {
        LogError::Damaged(format!(
            "the group {} has no committed offsets for partition {partition}, though {} has state of it: the brokers \
             have forgotten them (offsets.retention.minutes), or somebody has deleted them. Reset them to where \
             processing is to go on, with kafka-consumer-groups.sh --reset-offsets, while no processor runs",
            self.identity.group, self.changelog
        ))
    }

    fn restorer(&mut self) -> Result<&mut Restorer<C>, LogError> {
        if self.restorer.as_ref().is_some_and(Restorer::is_stranded) {
            tracing::warn!(worker = self.identity.worker, "{STRANDED}");
            self.restorer = None;
        }
        if self.restorer.is_none() {
            self.restorer = Some(Restorer::new(&self.clients, &self.identity.worker, &self.changelog)?);
        }
        Ok(self.restorer.as_mut().expect("just made"))
    }

    /// Lets a moment pass, since an answer that says nothing may come at once; says so if nothing comes for long.
    fn wait_on(&mut self, partition: u32) {
        let now = self.time.now();
        if let Some(seconds) = self.waiting.get_or_insert(Waiting::new(now)).is_to_be_said(now) {
            let worker = &self.identity.worker;
            tracing::warn!(worker, partition, seconds, "the brokers do not say where a partition goes on: {REMEDY}");
        }
        self.time.sleep(ASK_PAUSE);
    }

    /// Takes the transactional id over; `false` if the brokers have not agreed yet.
    fn take_over(&mut self) -> Result<bool, LogError> {
        if self.transactor.as_ref().is_some_and(Transactor::is_stranded) {
            tracing::warn!(worker = self.identity.worker, "{STRANDED}");
            self.transactor = None;
        }
        if self.transactor.is_none() {
            self.transactor = Some(Transactor::new(&self.clients, &self.identity.worker, &self.options)?);
        }
        let transactor = self.transactor.as_mut().expect("just made");
        let taken = transactor.init(ASK_WAIT);
        if taken.is_err() {
            // A producer that could not take over is of no further use; the next attempt makes another.
            self.transactor = None;
        }
        taken
    }

    /// Waits, longer after each failure, and not at all once it is to stop. The group is listened to meanwhile: a step may
    /// have failed because it has given this member up, and then every further one fails until that is heard.
    fn pause(&self) -> Result<(), LogError> {
        let most = PAUSE_FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(PAUSE_MAX);
        let until = self.time.now() + most;
        while !self.stop.load(Ordering::Acquire) {
            let left = until.saturating_duration_since(self.time.now());
            if left.is_zero() || self.member.listen(left.min(STOP_CHECK_EVERY))? {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self, ended: Ended, began: Instant) -> Commit {
        match ended {
            Ended::Committed(ends) => {
                let took = self.time.now().saturating_duration_since(began);
                self.stats.committed(took, self.partitions.commit());
                self.failures = 0;
                Commit::Committed(ends.into_iter().collect())
            }
            Ended::Aborted(error) => {
                SessionStats::count(&self.stats.aborts);
                // A smaller step helps against one that is too large, and waiting does not.
                self.failures = if matches!(error, LogError::TooLarge { .. }) { 0 } else { self.failures + 1 };
                Commit::Aborted(error)
            }
            Ended::Unknown(error) => {
                SessionStats::count(&self.stats.unknown);
                self.failures += 1;
                Commit::Unknown(error)
            }
        }
    }
}

impl<C: Clients> Session for KafkaSession<C> {
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Polled, LogError> {
        if let Some(fenced) = self.fenced.take() {
            return self.rejoin(fenced, wait);
        }
        // What it says would pile up while there is nothing to commit.
        self.transactor.iter().for_each(Transactor::listen);
        match self.member.end() {
            None => {}
            Some(End::Fenced) => return Ok(self.fenced()),
            Some(End::Stranded) => return self.stranded(),
            Some(End::Failed(error)) => return Err(error),
        }
        let now = self.time.now();
        let (until, commit_due) = (now + wait.max(LISTEN_MIN), self.last_commit + self.options.commit_interval);
        let mut records = Vec::new();
        let (mut bytes, mut event) = (0, None);
        while records.len() < limits.records_max && bytes < limits.bytes_max {
            let until = if records.is_empty() { until } else { commit_due };
            let polled = self.member.poll(until.saturating_duration_since(self.time.now()));
            match polled.map_err(|error| self.overtaken(error))? {
                Seen::Event(happened) => {
                    event = Some(happened);
                    break;
                }
                Seen::Record(record) => {
                    if let Some((record, size)) = self.partitions.take(&record) {
                        bytes += size;
                        records.push(record);
                    }
                }
                Seen::Nothing if self.time.now() >= until => break,
                Seen::Nothing => {}
            }
        }
        // Whatever was taken for this step is not committed, and comes again to whoever has it now.
        if let Some(event) = event {
            return self.on_event(event);
        }
        Ok(if records.is_empty() { Polled::Nothing } else { Polled::Records(records) })
    }

    /// Blocks until the transaction has ended. [`Commit::Aborted`] is [`LogError::TooLarge`] for a record that the brokers
    /// do not take; anything else that was aborted may be tried again.
    fn commit(&mut self, step: &Step) -> Commit {
        let began = self.time.now();
        self.pass_if_due();
        let offsets = self.partitions.offsets(step);
        if offsets.is_empty() && step.outputs.is_empty() {
            return Commit::Committed(Vec::new());
        }
        let (Some(transactor), Some(group)) = (&self.transactor, &self.group) else {
            // Partitions are ready only once both are there, and without partitions there is nothing to commit.
            return Commit::Aborted(LogError::Closed);
        };
        self.last_commit = began;
        for message in &step.outputs {
            let topic = message.topic;
            self.names.entry(topic.name).or_insert_with(|| self.clients.name(topic.name));
        }
        let names = Names { topics: &self.names, changelog: &self.changelog };
        let ended = transactor.run(step, &names, &offsets, group);
        if transactor.is_fenced() {
            SessionStats::count(&self.stats.fencings);
        }
        self.end(ended, began)
    }

    fn has_passed(&mut self, is_last: bool) -> bool {
        if is_last {
            self.pass();
        } else {
            self.pass_if_due();
        }
        self.partitions.has_passed()
    }

    fn reset(&mut self) -> Result<(), LogError> {
        if self.transactor.as_ref().is_some_and(Transactor::is_spent) {
            self.transactor = None;
        }
        self.partitions.forget();
        self.restorer = None;
        self.member.assign(&[])?;
        self.pause()
    }

    fn restore(&mut self, partition: u32, after: Option<u64>, apply: ApplyChanges<'_>) -> Result<Restored, LogError> {
        // The next poll tells of it: until then the partition may be another's, to whom the group has given it.
        if self.member.has_events() {
            return Ok(Restored::Partly(after.unwrap_or(0)));
        }
        let is_known = self.partitions.is_assigned(partition)
            && self.take_over()?
            && (self.partitions.is_located(partition) || self.locate(partition)?);
        let restored = if is_known { self.restorer()?.part(partition, after, apply)? } else { None };
        let Some(restored) = restored else {
            self.wait_on(partition);
            return Ok(Restored::Partly(after.unwrap_or(0)));
        };
        self.waiting = None;
        if let Restored::Complete(_) = restored {
            self.read_on(partition)?;
            if self.partitions.all_ready() {
                self.restorer = None;
            }
        }
        Ok(restored)
    }
}
