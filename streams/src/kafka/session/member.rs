//! The worker as a member of its consumer group: which partitions it has, and what comes of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::Identity;
use super::options::SessionOptions;
use super::partitions::number;
use super::stats::SessionStats;
use crate::kafka::errors::{answer, failed, transient};
use crate::kafka::watch::watched_by;
use crate::kafka::{Connection, Watch};
use crate::log::LogError;

/// A heartbeat at least this often, so that a rebalance is heard of at once.
const HEARTBEAT_MS_MAX: u128 = 500;

/// A worker that does not ask for records for as long has hung: its partitions go to others. It is at least so many
/// times the transaction's time-out, since a step may take two and a half of them.
const POLL_INTERVAL_MS_MIN: u128 = 120_000;
const POLL_INTERVAL_TRANSACTIONS: u128 = 4;

/// The length of the random part of a member's id, a UUID.
const RANDOM_ID_LENGTH: usize = 36;

/// What the group did.
#[derive(Debug)]
pub(super) enum Event {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// Notes rebalances; the session acts on them between polls.
#[derive(Debug)]
pub(super) struct MemberContext {
    watch: Arc<Watch>,
    events: Mutex<VecDeque<Event>>,
}

impl MemberContext {
    fn events(&self) -> std::sync::MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

watched_by!(MemberContext, watch);

impl ConsumerContext for MemberContext {
    /// Acknowledges the rebalance at once, also the last one, while the consumer is being dropped.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let (event, done) = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let partitions = partitions.elements();
            let event =
                Event::Assigned(partitions.iter().map(|one| (one.topic().to_owned(), one.partition())).collect());
            // Nothing is read before it is restored.
            (event, consumer.assign(&TopicPartitionList::new()))
        } else {
            (Event::Revoked, consumer.unassign())
        };
        if let Err(error) = done {
            tracing::error!(%error, "a rebalance was not acknowledged: the group will do without this member");
        }
        self.events().push_back(event);
    }
}

/// How a consumer ends.
pub(super) enum End {
    /// Another member of its name has joined: another process, or itself, if the answer to its joining was lost.
    Fenced,
    /// The client gave up.
    Failed(LogError),
}

/// What a poll of the group found.
pub(super) enum Seen<'a> {
    Record(BorrowedMessage<'a>),
    Event(Event),
    Nothing,
}

/// A static member of the consumer group.
pub(super) struct Member {
    consumer: BaseConsumer<MemberContext>,
    stats: Arc<SessionStats>,
}

impl Member {
    /// Joins the group of the processor.
    pub(super) fn join(
        connection: &Connection,
        identity: &Identity,
        topics: &[&str],
        options: &SessionOptions,
        watch: &Arc<Watch>,
        stats: Arc<SessionStats>,
    ) -> Result<Member, LogError> {
        let session_ms = options.session_timeout.as_millis();
        let step_ms = options.transaction_timeout.as_millis() * POLL_INTERVAL_TRANSACTIONS;
        let mut config = connection.client(&identity.worker);
        config
            .set("group.id", &identity.group)
            .set("group.instance.id", &identity.worker)
            // The one assignor that gives equal partition numbers of all topics to the same member.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", session_ms.to_string())
            .set("heartbeat.interval.ms", (session_ms / 4).min(HEARTBEAT_MS_MAX).to_string())
            .set("max.poll.interval.ms", session_ms.max(step_ms).max(POLL_INTERVAL_MS_MIN).to_string())
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Positions are always given: what is no longer there is a loss, and no reason to begin elsewhere.
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", (options.fetch_bytes_max >> 10).to_string())
            .set("fetch.wait.max.ms", "100")
            // After its queue was full the client fetches nothing for a second, which is longer than it lasts.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "50");
        watch.listen(&mut config);
        let context = MemberContext { watch: Arc::clone(watch), events: Mutex::default() };
        let consumer = BaseConsumer::from_config_and_context(&config, context);
        let consumer = consumer.map_err(failed("making the consumer"))?;
        consumer.subscribe(topics).map_err(failed("subscribing"))?;
        Ok(Member { consumer, stats })
    }

    /// Takes what is next, waiting no longer than `wait`.
    pub(super) fn poll(&self, wait: Duration) -> Result<Seen<'_>, LogError> {
        if let Some(event) = self.consumer.context().events().pop_front() {
            return Ok(Seen::Event(event));
        }
        let polled = self.consumer.poll(wait);
        if let Some(event) = self.consumer.context().events().pop_front() {
            // An error or a record that came with it is of the generation before.
            return Ok(Seen::Event(event));
        }
        match polled {
            None => Ok(Seen::Nothing),
            Some(Ok(record)) => Ok(Seen::Record(record)),
            Some(Err(error)) => self.tolerate(error).map(|()| Seen::Nothing),
        }
    }

    /// Listens to the group while nothing is read, for no longer than `wait`; whether it has something to tell.
    pub(super) fn listen(&self, wait: Duration) -> Result<bool, LogError> {
        if self.consumer.context().events().is_empty()
            && let Some(Err(error)) = self.consumer.poll(wait)
        {
            self.tolerate(error)?;
        }
        Ok(!self.consumer.context().events().is_empty())
    }

    /// Errors that are known to pass are logged. Any other ends the worker: after a batch that it cannot read, the client
    /// goes on behind the batch, and its records would be lost.
    fn tolerate(&self, error: KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        let passes = match &error {
            // What it means is for `end` to say.
            KafkaError::MessageConsumptionFatal(_) => true,
            KafkaError::MessageConsumption(code) => {
                // Out of the group, the client joins again by itself.
                let rejoins = matches!(
                    code,
                    Code::IllegalGeneration
                        | Code::MemberIdRequired
                        | Code::PollExceeded
                        | Code::RebalanceInProgress
                        | Code::UnknownMemberId
                );
                // A broker may not have heard yet of a topic that was just made. The watch tells of one that is missing.
                rejoins || *code == Code::UnknownTopicOrPartition || transient(*code)
            }
            _ => false,
        };
        if !passes {
            return Err(failed("consuming")(error));
        }
        SessionStats::count(&self.stats.transient_errors);
        tracing::debug!(%error, "consuming goes on by itself");
        Ok(())
    }

    /// Why this consumer can do nothing more, if that is so.
    pub(super) fn end(&self) -> Option<End> {
        let (code, _) = self.consumer.client().fatal_error()?;
        if code == RDKafkaErrorCode::FencedInstanceId {
            return Some(End::Fenced);
        }
        Some(End::Failed(failed("being a member of the group")(KafkaError::MessageConsumptionFatal(code))))
    }

    /// The id of a group's member of this name, if it has one; `Err` if the brokers do not say.
    pub(super) fn namesake(&self, group: &str, worker: &str, wait: Duration) -> Result<Option<String>, KafkaError> {
        let groups = self.consumer.client().fetch_group_list(Some(group), wait)?;
        // The id that a static member is given is its name and something random.
        let prefix = format!("{worker}-");
        let is_ours = |id: &str| id.strip_prefix(&prefix).is_some_and(|rest| rest.len() == RANDOM_ID_LENGTH);
        let mut ids = groups.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned());
        Ok(ids.find(|id| is_ours(id)))
    }

    /// Reads these partitions from these offsets, and no others.
    pub(super) fn assign(&self, from: &TopicPartitionList) -> Result<(), LogError> {
        self.consumer.assign(from).map_err(failed("assigning partitions"))
    }

    /// The generation that partitions were assigned in.
    pub(super) fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The committed offsets of these partitions, once no transaction over them is undecided; `None` if that takes
    /// longer than `wait`.
    pub(super) fn committed(
        &self,
        partitions: TopicPartitionList,
        wait: Duration,
    ) -> Result<Option<TopicPartitionList>, LogError> {
        let asked = self.consumer.committed_offsets(partitions, wait);
        let asked = asked.and_then(|offsets| match offsets.elements().iter().find_map(|one| one.error().err()) {
            Some(error) => Err(error),
            None => Ok(offsets),
        });
        answer("asking for committed offsets", asked)
    }

    /// The first offset that a partition still has; `None` if the brokers do not say.
    pub(super) fn first(&self, topic: &str, partition: u32, wait: Duration) -> Result<Option<u64>, LogError> {
        let marks =
            answer("asking where an input begins", self.consumer.fetch_watermarks(topic, number(partition), wait))?;
        Ok(marks.and_then(|(low, _)| u64::try_from(low).ok()))
    }

    /// Leaves the group, so that others take the partitions at once instead of waiting for a restart.
    pub(super) fn leave(&self, wait: Duration) {
        self.consumer.unsubscribe();
        let until = std::time::Instant::now() + wait;
        while std::time::Instant::now() < until {
            let _ = self.poll(Duration::from_millis(50));
            if self.consumer.assignment().is_ok_and(|left| left.count() == 0) {
                // The request is on its way once the assignment is gone; one heartbeat lets it arrive.
                let _ = self.poll(Duration::from_millis(200));
                return;
            }
        }
    }
}
