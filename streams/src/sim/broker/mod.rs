//! The brokers, all of them as one: what a client can tell of them, and what is going on in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::faults::{Api, Faults};
use super::history::History;
use super::options::{ClusterOptions, TopicOptions};
use super::publisher::Sender;
use super::rejoin::Joiner;

mod cleaner;
mod groups;
mod partition;
mod transactions;

pub use self::groups::Generation;
pub(super) use self::groups::{Joined, Joining};
pub(super) use self::partition::{Batch, Partition, ProducerId};
pub use self::partition::{Entry, EntryKind, RecordFate};
pub(super) use self::transactions::Target;

/// What a broker answers that does not do what it is asked.
pub(super) type Code = RDKafkaErrorCode;

/// A request that is executed later than it was sent.
pub(super) type Late = Box<dyn FnOnce(&mut State) + Send>;

/// What is going to happen.
pub(super) enum Action {
    /// A request of a process arrives that was on its way for long, or a second time.
    Request {
        process: u64,
        api: Api,
        run: Late,
    },
    Marker {
        name: String,
        producer: ProducerId,
        committed: bool,
        target: Target,
    },
    TransactionTimeout {
        name: String,
        number: u64,
    },
    Session {
        group: String,
        member: String,
    },
    Rebalance {
        group: String,
        number: u64,
    },
    /// The background of a member, unless another time was set for it since.
    Member(u64),
    /// The background of a publisher, likewise.
    Publisher(u64),
    /// A new leader of a partition knows all that the old one did.
    CatchUp {
        topic: String,
        partition: u32,
    },
}

/// What is to be done in the background of a process, by its own requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Background {
    Member(u64),
    Publisher(u64),
}

/// A process that runs, by its number.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) is_suspended: bool,
    pub(super) skew_ms: i64,
}

/// A topic.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) options: TopicOptions,
    pub(super) partitions: Vec<Partition>,
}

/// Everything that there is.
pub(super) struct State {
    /// Since the start.
    pub(super) now: Duration,
    pub(super) options: ClusterOptions,
    pub(super) faults: Arc<dyn Faults>,
    pub(super) history: History,
    topics: BTreeMap<String, TopicState>,
    transactions: transactions::Transactions,
    groups: groups::Groups,
    producers_made: u64,
    members_made: u64,
    scheduled: BTreeMap<(Duration, u64), Action>,
    actions_made: u64,
    /// The processes that live.
    pub(super) processes: BTreeMap<u64, Running>,
    pub(super) joiners: BTreeMap<u64, Joiner>,
    pub(super) senders: BTreeMap<u64, Sender>,
    /// Numbers for processes, members and publishers.
    numbers: u64,
}

impl State {
    pub(super) fn new(options: ClusterOptions, faults: Arc<dyn Faults>) -> State {
        let history = History::new(options.history_lines_max);
        State {
            now: Duration::ZERO,
            options,
            faults,
            history,
            topics: BTreeMap::new(),
            transactions: BTreeMap::new(),
            groups: BTreeMap::new(),
            producers_made: 0,
            members_made: 0,
            scheduled: BTreeMap::new(),
            actions_made: 0,
            processes: BTreeMap::new(),
            joiners: BTreeMap::new(),
            senders: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// A number that nothing else has.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Writes a line of the history.
    pub(super) fn note(&mut self, line: fmt::Arguments<'_>) {
        self.history.line(self.now, line);
    }

    pub(super) fn create_topic(&mut self, name: &str, options: TopicOptions) {
        let partitions = (0..options.partitions).map(|_| Partition::default()).collect();
        let before = self.topics.insert(name.to_owned(), TopicState { options, partitions });
        assert!(before.is_none(), "the topic {name} is there already");
    }

    pub(super) fn delete_topic(&mut self, name: &str) {
        self.topics.remove(name);
    }

    pub(super) fn topic(&self, name: &str) -> Result<&TopicState, Code> {
        self.topics.get(name).ok_or(Code::UnknownTopicOrPartition)
    }

    pub(super) fn partition(&self, topic: &str, number: u32) -> Result<&Partition, Code> {
        self.topic(topic)?.partitions.get(number as usize).ok_or(Code::UnknownTopicOrPartition)
    }

    pub(super) fn partition_mut(&mut self, topic: &str, number: u32) -> Result<&mut Partition, Code> {
        let topic = self.topics.get_mut(topic).ok_or(Code::UnknownTopicOrPartition)?;
        topic.partitions.get_mut(number as usize).ok_or(Code::UnknownTopicOrPartition)
    }

    /// Writes a batch; the offset of its first record.
    pub(super) fn produce(&mut self, topic: &str, partition: u32, batch: &Batch) -> Result<u64, Code> {
        let now = self.now;
        let known = self.partition(topic, partition)?;
        if batch.is_transactional && !known.has_open(batch.producer.id) {
            self.verify(batch.producer, &Target::Partition(topic.to_owned(), partition))?;
        }
        self.partition_mut(topic, partition)?.append(batch, now)
    }

    /// Has something happen at a time.
    pub(super) fn schedule(&mut self, at: Duration, action: Action) {
        self.actions_made += 1;
        self.scheduled.insert((at.max(self.now), self.actions_made), action);
    }

    /// Whether a request of a process is on its way still.
    pub(super) fn is_late(&self, process: u64, api: Api) -> bool {
        self.scheduled.values().any(|action| is_late(action, process, api))
    }

    /// Has the requests of a process arrive now that are on their way still.
    pub(super) fn hasten(&mut self, process: u64, api: Api) {
        let late = self.scheduled.iter().filter(|(_, action)| is_late(action, process, api));
        let late: Vec<_> = late.map(|(at, _)| *at).collect();
        for at in late {
            if let Some(Action::Request { run, .. }) = self.scheduled.remove(&at) {
                run(self);
            }
        }
    }

    /// When something happens next.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.scheduled.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does the next thing that is due by `until`: whether there was one, and what of it is for a process to do.
    pub(super) fn step(&mut self, until: Duration) -> Option<Option<Background>> {
        let entry = self.scheduled.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), action) = entry.remove_entry();
        self.now = self.now.max(at);
        Some(match action {
            Action::Request { run, .. } => {
                run(self);
                None
            }
            Action::Marker { name, producer, committed, target } => {
                self.mark(&name, producer, committed, &target);
                None
            }
            Action::TransactionTimeout { name, number } => {
                self.time_out_transaction(&name, number);
                None
            }
            Action::Session { group, member } => {
                self.check_session(&group, &member);
                None
            }
            Action::Rebalance { group, number } => {
                self.end_rebalance(&group, number);
                None
            }
            Action::CatchUp { topic, partition } => {
                if let Ok(partition) = self.partition_mut(&topic, partition) {
                    partition.set_lag(None);
                }
                None
            }
            Action::Member(id) => self.is_member_due(id, at).then_some(Background::Member(id)),
            Action::Publisher(id) => self.is_sender_due(id, at).then_some(Background::Publisher(id)),
        })
    }

    /// Whether a process can do anything now.
    pub(super) fn is_running(&self, process: u64) -> bool {
        self.processes.get(&process).is_some_and(|running| !running.is_suspended)
    }

    /// Ends a process: nothing of it acts from now on.
    pub(super) fn end_process(&mut self, process: u64) {
        if let Some(running) = self.processes.remove(&process) {
            self.note(format_args!("{} {process} is gone", running.name));
        }
        self.joiners.retain(|_, joiner| joiner.process != process);
        self.senders.retain(|_, sender| sender.process != process);
    }

    /// Lets a stopped process go on.
    pub(super) fn resume(&mut self, process: u64) {
        let Some(running) = self.processes.get_mut(&process) else { return };
        running.is_suspended = false;
        let now = self.now;
        let members: BTreeSet<u64> =
            self.joiners.iter().filter(|(_, one)| one.process == process).map(|(id, _)| *id).collect();
        members.into_iter().for_each(|id| self.wake_member(id, now));
        let senders: BTreeSet<u64> =
            self.senders.iter().filter(|(_, one)| one.process == process).map(|(id, _)| *id).collect();
        senders.into_iter().for_each(|id| self.wake_sender(id, now));
    }
}

fn is_late(action: &Action, process: u64, api: Api) -> bool {
    matches!(action, Action::Request { process: of, api: is, .. } if (*of, *is) == (process, api))
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("now", &self.now).field("topics", &self.topics.len()).finish_non_exhaustive()
    }
}
