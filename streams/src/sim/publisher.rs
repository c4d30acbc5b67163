//! Publishing: an idempotent producer whose queue is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::broker::{Action, Batch, Code, ProducerId, State};
use super::clients::passes;
use super::cluster::Cluster;
use super::process::Process;
use super::requests::{InitProducerId, Produce};
use crate::kafka::publisher::group::Group;
use crate::kafka::{PublisherOptions, partition};
use crate::log::{Ack, Message, Pending, PublishError, Publisher};

/// Between two attempts at what a broker could not do yet.
const BACKOFF: Duration = Duration::from_millis(100);
/// Records that go to a broker at once.
const BATCH_RECORDS_MAX: usize = 10_000;

/// A [`Publisher`] of a process: what is acknowledged is in the log once, what failed may be there or not.
///
/// Messages are sent when time passes. When the process dies, whoever waits is told that it is closed, though what was
/// sent may be in the log.
#[derive(Debug)]
pub struct SimPublisher {
    process: Process,
    id: u64,
}

/// What a publisher's client has to send.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) process: u64,
    options: PublisherOptions,
    producer: Option<ProducerId>,
    /// What cannot be told to be written or not was given up: nothing new is sent until there is another number.
    is_broken: bool,
    outgoing: BTreeMap<(String, u32), Outbox>,
    held: usize,
    held_bytes: usize,
    due: Option<Duration>,
    /// Whether it is sending: what happens meanwhile may let time pass.
    is_busy: bool,
}

#[derive(Debug, Default)]
struct Outbox {
    sequence: u32,
    queue: VecDeque<Queued>,
    /// How many of these were sent, and must be sent again as they were.
    sent: usize,
    /// When they are sent again.
    not_before: Duration,
}

/// A message that waits for its acknowledgement.
#[derive(Debug)]
struct Queued {
    key: Bytes,
    value: Bytes,
    group: Arc<Group>,
    is_first: bool,
    deadline: Duration,
}

impl SimPublisher {
    pub(super) fn open(process: &Process, options: PublisherOptions) -> SimPublisher {
        let mut state = process.cluster().state();
        let id = state.number();
        let sender = Sender {
            process: process.id(),
            options,
            producer: None,
            is_broken: false,
            outgoing: BTreeMap::new(),
            held: 0,
            held_bytes: 0,
            due: None,
            is_busy: false,
        };
        state.senders.insert(id, sender);
        drop(state);
        SimPublisher { process: process.clone(), id }
    }

    /// Messages that are enqueued and not yet reported as delivered or failed.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.process.cluster().state().senders.get(&self.id).map_or(0, |sender| sender.held)
    }
}

impl Publisher for SimPublisher {
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        let mut state = self.process.cluster().state();
        let (now, id) = (state.now, self.id);
        let sizes: BTreeMap<&str, u32> = messages
            .iter()
            .map(|message| {
                (message.topic.name, state.topic(message.topic.name).map_or(0, |topic| topic.options.partitions))
            })
            .collect();
        let Some(sender) = state.senders.get_mut(&id) else { return Err(PublishError::Closed) };
        let bytes = sender.admit(&messages)?;
        if let Some((unknown, _)) = sizes.iter().find(|(_, partitions)| **partitions == 0) {
            return Err(PublishError::Failed(format!("there is no topic {unknown}")));
        }
        let (waiter, pending) = Pending::new();
        if messages.is_empty() {
            let _ = waiter.send(Ok(Ack { partition: 0, offset: 0 }));
            return Ok(pending);
        }
        sender.held += messages.len();
        sender.held_bytes += bytes;
        let group = Arc::new(Group::new(waiter, messages.len()));
        let deadline = now + sender.options.delivery_timeout;
        for (index, Message { topic, key, value }) in messages.into_iter().enumerate() {
            let number = partition(&key, sizes[topic.name]);
            let outbox = sender.outgoing.entry((topic.name.to_owned(), number)).or_default();
            let (key, value, group) = (key.into(), value.into(), Arc::clone(&group));
            outbox.queue.push_back(Queued { key, value, group, is_first: index == 0, deadline });
        }
        let at = now + sender.options.linger;
        state.wake_sender(id, at);
        Ok(pending)
    }
}

impl Drop for SimPublisher {
    fn drop(&mut self) {
        self.process.cluster().state().senders.remove(&self.id);
    }
}

impl Sender {
    /// The size of a group, if it is let in.
    fn admit(&self, messages: &[Message]) -> Result<usize, PublishError> {
        let mut sum = 0;
        for message in messages {
            let (bytes, bytes_max) = (message.key.len() + message.value.len(), self.options.message_bytes_max);
            if bytes > bytes_max {
                return Err(PublishError::TooLarge { bytes, bytes_max });
            }
            sum += bytes;
        }
        if sum > self.options.queue_bytes_max {
            return Err(PublishError::TooLarge { bytes: sum, bytes_max: self.options.queue_bytes_max });
        }
        let over = self.held + messages.len() > self.options.queue_messages_max
            || self.held_bytes + sum > self.options.queue_bytes_max;
        if over && self.held > 0 { Err(PublishError::Full) } else { Ok(sum) }
    }

    fn release(&mut self, message: &Queued) {
        self.held -= 1;
        self.held_bytes -= message.key.len() + message.value.len();
    }

    /// Gives up what took too long.
    fn expire(&mut self, now: Duration) {
        let mut expired = Vec::new();
        for outbox in self.outgoing.values_mut() {
            let late = outbox.queue.iter().take_while(|message| message.deadline <= now).count();
            // A batch that was sent is given up as a whole.
            let late = if late > 0 { late.max(outbox.sent) } else { 0 };
            if late > 0 {
                self.is_broken |= outbox.sent > 0;
                (outbox.sent, outbox.not_before) = (0, now);
            }
            expired.extend(outbox.queue.drain(..late));
        }
        for message in expired {
            self.release(&message);
            message.group.failed("the brokers did not acknowledge it in time");
        }
        if self.is_broken && self.outgoing.values().all(|outbox| outbox.sent == 0) {
            (self.is_broken, self.producer) = (false, None);
            self.outgoing.values_mut().for_each(|outbox| outbox.sequence = 0);
        }
    }

    /// The next batch of a partition, as it was sent before if it was.
    fn batch(&mut self, place: &(String, u32), now: Duration) -> Option<Produce> {
        let producer = self.producer?;
        let has_work = |outbox: &&mut Outbox| !outbox.queue.is_empty() && outbox.not_before <= now;
        let outbox = self.outgoing.get_mut(place).filter(has_work)?;
        if outbox.sent == 0 {
            if self.is_broken {
                return None;
            }
            outbox.sent = outbox.queue.len().min(BATCH_RECORDS_MAX);
        }
        let records = outbox.queue.iter().take(outbox.sent);
        let records = records.map(|message| (message.key.clone(), Some(message.value.clone()))).collect();
        let batch = Batch { producer, sequence: outbox.sequence, is_transactional: false, records };
        Some(Produce { topic: place.0.clone(), partition: place.1, batch })
    }

    /// A batch was answered, or it will be noticed that it was not.
    fn answered(&mut self, place: &(String, u32), answer: Result<Result<u64, Code>, Duration>, now: Duration) {
        let Some(outbox) = self.outgoing.get_mut(place) else { return };
        let (offset, again) = match answer {
            Ok(Ok(offset)) => (Ok(offset), None),
            Ok(Err(code)) => (Err(code), passes(code).then_some(BACKOFF)),
            Err(noticed) => (Ok(0), Some(noticed)),
        };
        if let Some(wait) = again {
            outbox.not_before = now.saturating_add(wait);
            return;
        }
        let sent = std::mem::take(&mut outbox.sent);
        let done: Vec<Queued> = outbox.queue.drain(..sent).collect();
        match offset {
            Ok(_) => outbox.sequence += u32::try_from(sent).expect("a batch has a bound"),
            Err(_) => self.is_broken = true,
        }
        for (index, message) in done.iter().enumerate() {
            self.release(message);
            match offset {
                Ok(offset) => {
                    let ack = Ack { partition: place.1, offset: offset + index as u64 };
                    message.group.delivered(message.is_first.then_some(ack));
                }
                Err(code) => message.group.failed(&code.to_string()),
            }
        }
    }

    /// When there is something to do next, if anything waits: to send, to send again, or to give up.
    fn next(&self, now: Duration) -> Option<Duration> {
        let waiting = self.outgoing.values().filter_map(|outbox| Some((outbox, outbox.queue.front()?)));
        let times = waiting.map(|(outbox, oldest)| {
            let send = if outbox.not_before > now { outbox.not_before } else { now + BACKOFF };
            send.min(oldest.deadline)
        });
        times.min()
    }
}

impl State {
    /// Has the background of a publisher do something at a time, if nothing is to be done earlier.
    pub(super) fn wake_sender(&mut self, id: u64, at: Duration) {
        let at = at.max(self.now);
        let Some(sender) = self.senders.get_mut(&id) else { return };
        if sender.due.is_none_or(|due| due > at) {
            sender.due = Some(at);
            self.schedule(at, Action::Publisher(id));
        }
    }

    pub(super) fn is_sender_due(&mut self, id: u64, at: Duration) -> bool {
        let Some(sender) = self.senders.get_mut(&id).filter(|sender| sender.due == Some(at)) else { return false };
        sender.due = None;
        let (process, is_busy) = (sender.process, sender.is_busy);
        !is_busy && self.is_running(process)
    }
}

impl Cluster {
    /// Sends what a publisher has to send.
    pub(super) fn run_sender(&self, id: u64) {
        let Some((process, has_producer, places)) = self.with_sender(id, |sender, now| {
            sender.is_busy = true;
            sender.expire(now);
            (sender.process, sender.producer.is_some(), sender.outgoing.keys().cloned().collect::<Vec<_>>())
        }) else {
            return;
        };
        let mut wait = None;
        if !has_producer {
            match self.ask_aside(process, &InitProducerId { transactional: None, known: None }) {
                Ok(Ok(producer)) => drop(self.with_sender(id, |sender, _| sender.producer = Some(producer))),
                Ok(Err(_)) => wait = Some(BACKOFF),
                Err(noticed) => wait = Some(noticed),
            }
        }
        for place in &places {
            let Some(request) = self.with_sender(id, |sender, now| sender.batch(place, now)).flatten() else {
                continue;
            };
            let answer = self.ask_aside(process, &request);
            self.with_sender(id, |sender, now| sender.answered(place, answer, now));
        }
        let Some(next) = self.with_sender(id, |sender, now| {
            sender.is_busy = false;
            sender.expire(now);
            sender.next(now)
        }) else {
            return;
        };
        if let Some(next) = next {
            let mut state = self.state();
            let at = wait.map_or(next, |wait| next.min(state.now.saturating_add(wait)));
            let soonest = state.now + state.options.latency.max(Duration::from_micros(1));
            state.wake_sender(id, at.max(soonest));
        }
    }

    fn with_sender<T>(&self, id: u64, work: impl FnOnce(&mut Sender, Duration) -> T) -> Option<T> {
        let mut state = self.state();
        let now = state.now;
        state.senders.get_mut(&id).map(|sender| work(sender, now))
    }
}
