//! The worker as a member of its consumer group: which partitions it has, and what comes of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::options::SessionOptions;
use super::stats::SessionStats;
use crate::kafka::client::{Clients, Event, Identity, MemberClient, Place, Time};
use crate::kafka::errors::{answer, consuming_goes_on, failed};
use crate::log::LogError;

/// The length of the random part of a member's id, a UUID.
const RANDOM_ID_LENGTH: usize = 36;

/// How a consumer ends.
pub(super) enum End {
    /// Another member of its name has joined: another process, or itself, if the answer to its joining was lost.
    Fenced,
    /// The client has lost sight of all brokers for good.
    Stranded,
    /// The client gave up.
    Failed(LogError),
}

/// What a poll of the group found.
pub(super) enum Seen<R> {
    Record(R),
    Event(Event),
    Nothing,
}

/// A record of a member's client.
pub(super) type Fetched<'a, C> = <<C as Clients>::Member as MemberClient>::Record<'a>;

/// A static member of the consumer group.
pub(super) struct Member<C: Clients> {
    consumer: C::Member,
    time: C::Time,
    stats: Arc<SessionStats>,
}

impl<C: Clients> Member<C> {
    /// Joins the group of the processor.
    pub(super) fn join(
        clients: &C,
        identity: &Identity,
        topics: &[&str],
        options: &SessionOptions,
        stats: Arc<SessionStats>,
    ) -> Result<Member<C>, LogError> {
        Ok(Member { consumer: clients.member(identity, topics, options)?, time: clients.time(), stats })
    }

    /// Now, as this member's clients have it.
    pub(super) fn now(&self) -> Instant {
        self.time.now()
    }

    /// Takes what is next, waiting no longer than `wait`.
    pub(super) fn poll(&self, wait: Duration) -> Result<Seen<Fetched<'_, C>>, LogError> {
        if let Some(event) = self.consumer.next_event() {
            return Ok(Seen::Event(event));
        }
        let polled = self.consumer.poll(wait);
        if let Some(event) = self.consumer.next_event() {
            // An error or a record that came with it is of the generation before.
            return Ok(Seen::Event(event));
        }
        match polled {
            None => Ok(Seen::Nothing),
            Some(Ok(record)) => Ok(Seen::Record(record)),
            Some(Err(error)) => self.tolerate(error).map(|()| Seen::Nothing),
        }
    }

    /// Whether the group has told something that [`Member::poll`] has yet to hand out.
    pub(super) fn has_events(&self) -> bool {
        self.consumer.has_events()
    }

    /// Listens to the group while nothing is read, for no longer than `wait`; whether it has something to tell.
    pub(super) fn listen(&self, wait: Duration) -> Result<bool, LogError> {
        if !self.consumer.has_events()
            && let Some(Err(error)) = self.consumer.poll(wait)
        {
            self.tolerate(error)?;
        }
        Ok(self.consumer.has_events())
    }

    /// Errors that are known to pass are logged. Any other ends the worker.
    fn tolerate(&self, error: KafkaError) -> Result<(), LogError> {
        if !consuming_goes_on(&error) {
            return Err(failed("consuming")(error));
        }
        SessionStats::count(&self.stats.transient_errors);
        tracing::debug!(%error, "consuming goes on by itself");
        Ok(())
    }

    /// Why this consumer can do nothing more, if that is so.
    pub(super) fn end(&self) -> Option<End> {
        let Some(code) = self.consumer.fatal() else { return self.consumer.is_stranded().then_some(End::Stranded) };
        if code == RDKafkaErrorCode::FencedInstanceId {
            return Some(End::Fenced);
        }
        Some(End::Failed(failed("being a member of the group")(KafkaError::MessageConsumptionFatal(code))))
    }

    /// The id of a group's member of this name, if it has one; `Err` if the brokers do not say.
    pub(super) fn namesake(&self, group: &str, worker: &str, wait: Duration) -> Result<Option<String>, KafkaError> {
        let ids = self.consumer.members(group, wait)?;
        // The id that a static member is given is its name and something random.
        let prefix = format!("{worker}-");
        let is_ours = |id: &str| id.strip_prefix(&prefix).is_some_and(|rest| rest.len() == RANDOM_ID_LENGTH);
        Ok(ids.into_iter().find(|id| is_ours(id)))
    }

    /// Reads these partitions from these offsets, and no others.
    pub(super) fn assign(&self, from: &[Place<'_>]) -> Result<(), LogError> {
        self.consumer.assign(from).map_err(failed("assigning partitions"))
    }

    /// How far each of these partitions was read.
    pub(super) fn positions(&self, of: &[Place<'_>]) -> Result<Vec<Option<u64>>, LogError> {
        self.consumer.positions(of).map_err(failed("asking the client for its positions"))
    }

    /// The generation that partitions were assigned in.
    pub(super) fn group(&self) -> Option<C::Group> {
        self.consumer.group()
    }

    /// The committed offsets of these partitions, once no transaction over them is undecided; `None` if that takes
    /// longer than `wait`.
    pub(super) fn committed(&self, of: &[Place<'_>], wait: Duration) -> Result<Option<Vec<Option<u64>>>, LogError> {
        answer("asking for committed offsets", self.consumer.committed(of, wait))
    }

    /// The first offset that a partition still has; `None` if the brokers do not say.
    pub(super) fn first(&self, topic: &str, partition: u32, wait: Duration) -> Result<Option<u64>, LogError> {
        let marks = answer("asking where an input begins", self.consumer.watermarks(topic, partition, wait))?;
        Ok(marks.and_then(|(low, _)| u64::try_from(low).ok()))
    }

    /// Leaves the group, so that others take the partitions at once instead of waiting for a restart.
    pub(super) fn leave(&self, wait: Duration) {
        self.consumer.unsubscribe();
        let until = self.now() + wait;
        while self.now() < until {
            let _ = self.poll(Duration::from_millis(50));
            if self.consumer.is_unassigned() {
                // The request is on its way once the assignment is gone; one heartbeat lets it arrive.
                let _ = self.poll(Duration::from_millis(200));
                return;
            }
        }
    }
}
