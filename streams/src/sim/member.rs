//! The member of a group, as the application has it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedMessage};

use super::broker::{Generation, Joining, State};
use super::call::Answered;
use super::clients::{ask, passes};
use super::process::Process;
use super::rejoin::Joiner;
use super::requests::{DescribeGroups, Fetch, ListOffsets, OffsetFetch};
use crate::kafka::SessionOptions;
use crate::kafka::client::{Event, Identity, MemberClient, Place};

/// A heartbeat at least this often.
const HEARTBEAT_MAX: Duration = Duration::from_millis(500);
/// How long a rebalance waits for a member that does not join (`max.poll.interval.ms`).
const REBALANCE_TIMEOUT_MIN: Duration = Duration::from_secs(120);
/// Records of a partition that a fetch brings at the most.
const FETCH_RECORDS_MAX: usize = 500;

/// A static member of a group.
#[derive(Debug)]
pub struct SimMember {
    process: Process,
    id: u64,
    reading: Mutex<Reading>,
}

/// What it reads.
#[derive(Debug, Default)]
struct Reading {
    positions: BTreeMap<(String, u32), u64>,
    queue: VecDeque<Item>,
    told: VecDeque<Event>,
    /// What the application is told that it has read.
    read: BTreeMap<(String, u32), u64>,
    /// Whether that is of an assignment before, which the client forgets while it does something else.
    is_stale: bool,
}

/// What a fetch has brought.
#[derive(Debug)]
enum Item {
    Record(OwnedMessage),
    /// A partition is read up to here, with what is not handed over.
    Passed((String, u32), u64),
}

impl Reading {
    /// Reads these partitions, and nothing that was fetched before.
    fn assign(&mut self, positions: BTreeMap<(String, u32), u64>) {
        self.positions = positions;
        self.queue.clear();
        self.is_stale = true;
    }

    fn forget_stale(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.read.clear();
        }
    }

    /// The next record.
    fn next(&mut self) -> Option<OwnedMessage> {
        loop {
            match self.queue.pop_front()? {
                Item::Record(record) => {
                    let place = (record.topic().to_owned(), u32::try_from(record.partition()).unwrap_or(u32::MAX));
                    self.read.insert(place, u64::try_from(record.offset()).map_or(0, |offset| offset + 1));
                    return Some(record);
                }
                Item::Passed(place, offset) => drop(self.read.insert(place, offset)),
            }
        }
    }
}

impl SimMember {
    pub(super) fn join(process: &Process, identity: &Identity, topics: &[&str], options: &SessionOptions) -> SimMember {
        let session_timeout = options.session_timeout;
        let joining = Joining {
            group: identity.group.clone(),
            instance: identity.worker.clone(),
            member: None,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            session_timeout,
            rebalance_timeout: REBALANCE_TIMEOUT_MIN.max(options.transaction_timeout * 4).max(session_timeout),
        };
        let joiner = Joiner::new(process.id(), joining, (session_timeout / 4).min(HEARTBEAT_MAX));
        let id = process.cluster().state().add_member(joiner);
        SimMember { process: process.clone(), id, reading: Mutex::default() }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acknowledges what the group did; whether there was something.
    fn serve(&self) -> bool {
        let Some(event) = self.process.cluster().state().tell(self.id) else { return false };
        let mut reading = self.reading();
        reading.assign(BTreeMap::new());
        reading.told.push_back(event);
        true
    }

    /// Fetches from every partition that has something.
    fn fetch(&self, deadline: Duration) -> KafkaResult<()> {
        let cluster = self.process.cluster();
        let wanted: Vec<_> = {
            let (state, reading) = (cluster.state(), self.reading());
            reading
                .positions
                .iter()
                .filter(|(place, at)| has_more(&state, place, **at))
                .map(|(p, at)| (p.clone(), *at))
                .collect()
        };
        for ((topic, partition), offset) in wanted {
            let request = Fetch { topic, partition, offset, records_max: FETCH_RECORDS_MAX };
            let answer = cluster.ask(&self.process, &request, 0, deadline);
            let mut reading = self.reading();
            // The assignment may be another by now.
            let place = (request.topic, partition);
            let Some(position) = reading.positions.get_mut(&place) else { continue };
            match answer {
                Answered::With(Ok(fetched)) if *position == offset => {
                    *position = fetched.next;
                    reading.queue.extend(fetched.records.into_iter().map(Item::Record));
                    reading.queue.extend(fetched.passed.map(|offset| Item::Passed(place, offset)));
                }
                Answered::With(Err(RDKafkaErrorCode::OffsetOutOfRange)) => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset));
                }
                Answered::With(Err(code)) if !passes(code) => return Err(KafkaError::MessageConsumption(code)),
                Answered::With(_) | Answered::Not => {}
            }
        }
        Ok(())
    }
}

/// Whether a fetch would bring anything but silence.
fn has_more(state: &State, (topic, partition): &(String, u32), at: u64) -> bool {
    state
        .partition(topic, *partition)
        .map_or(true, |known| known.last_stable() > at || known.first() > at || known.end() < at)
}

impl MemberClient for SimMember {
    type Record<'a> = OwnedMessage;
    type Group = Generation;

    fn poll(&self, wait: Duration) -> Option<KafkaResult<OwnedMessage>> {
        self.process.check();
        let cluster = self.process.cluster();
        let deadline = cluster.now().saturating_add(wait);
        self.reading().forget_stale();
        loop {
            if self.serve() {
                return None;
            }
            if let Some(record) = self.reading().next() {
                return Some(Ok(record));
            }
            if let Err(error) = self.fetch(deadline) {
                return Some(Err(error));
            }
            if !self.reading().queue.is_empty() {
                continue;
            }
            if cluster.now() >= deadline {
                return None;
            }
            // Whatever comes, comes with something that happens.
            cluster.idle(&self.process, cluster.next_due().map_or(deadline, |due| due.min(deadline)));
        }
    }

    fn next_event(&self) -> Option<Event> {
        self.reading().told.pop_front()
    }

    fn has_events(&self) -> bool {
        !self.reading().told.is_empty()
    }

    fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.process.cluster().state().joiners.get(&self.id).and_then(Joiner::fatal)
    }

    fn is_stranded(&self) -> bool {
        false
    }

    fn members(&self, group: &str, wait: Duration) -> KafkaResult<Vec<String>> {
        ask(&self.process, &DescribeGroups(group.to_owned()), wait).map_err(KafkaError::GroupListFetch)
    }

    fn assign(&self, from: &[Place<'_>]) -> KafkaResult<()> {
        self.process.check();
        self.reading().assign(from.iter().map(|at| ((at.topic.to_owned(), at.partition), at.offset)).collect());
        Ok(())
    }

    fn is_unassigned(&self) -> bool {
        self.process.cluster().state().joiners.get(&self.id).is_none_or(|joiner| !joiner.has_partitions())
    }

    fn group(&self) -> Option<Generation> {
        self.process.cluster().state().joiners.get(&self.id).and_then(Joiner::of)
    }

    fn committed(&self, of: &[Place<'_>], wait: Duration) -> KafkaResult<Vec<Option<u64>>> {
        let group = self.process.cluster().state().joiners.get(&self.id).map(Joiner::group).unwrap_or_default();
        let of = of.iter().map(|place| (place.topic.to_owned(), place.partition)).collect();
        self.reading().forget_stale();
        ask(&self.process, &OffsetFetch { group, of }, wait).map_err(KafkaError::OffsetFetch)
    }

    fn watermarks(&self, topic: &str, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        watermarks(&self.process, topic, partition, true, wait)
    }

    fn positions(&self, of: &[Place<'_>]) -> KafkaResult<Vec<Option<u64>>> {
        let reading = self.reading();
        let read = |place: &Place<'_>| {
            let place = (place.topic.to_owned(), place.partition);
            reading.positions.get(&place).and_then(|_| reading.read.get(&place)).copied()
        };
        Ok(of.iter().map(read).collect())
    }

    fn unsubscribe(&self) {
        self.process.cluster().state().unsubscribe(self.id);
    }
}

impl Drop for SimMember {
    /// A static member that is only dropped keeps its place for its session's time.
    fn drop(&mut self) {
        self.process.cluster().state().joiners.remove(&self.id);
    }
}

/// Where a partition begins and ends, as the client has it.
pub(super) fn watermarks(
    process: &Process,
    topic: &str,
    partition: u32,
    is_stable: bool,
    wait: Duration,
) -> KafkaResult<(i64, i64)> {
    let request = ListOffsets { topic: topic.to_owned(), partition, is_stable };
    let (first, end) = ask(process, &request, wait).map_err(KafkaError::MetadataFetch)?;
    Ok((i64::try_from(first).unwrap_or(i64::MAX), i64::try_from(end).unwrap_or(i64::MAX)))
}
