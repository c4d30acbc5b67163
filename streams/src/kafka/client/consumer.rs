//! The member of a consumer group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::{Event, Identity, MemberClient, Place, number, watermarks};
use crate::kafka::errors::failed;
use crate::kafka::watch::watched_by;
use crate::kafka::{Connection, SessionOptions, Watch};
use crate::log::LogError;

/// A heartbeat at least this often, so that a rebalance is heard of at once.
const HEARTBEAT_MS_MAX: u128 = 500;

/// A member that does not ask for records for as long has hung: its partitions go to others. Of a worker it is at least
/// so many times the transaction's time-out, since a step may take two and a half of them.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(120);
const POLL_INTERVAL_TRANSACTIONS: u32 = 4;

/// What a member is in its group.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct Membership<'a> {
    /// The group.
    pub(in crate::kafka) group: &'a str,
    /// What the client is called.
    pub(in crate::kafka) client_id: &'a str,
    /// The name of a static member, which its next process has too.
    pub(in crate::kafka) instance: Option<&'a str>,
    /// How long it may be silent.
    pub(in crate::kafka) session_timeout: Duration,
    /// How long it may go without asking for records, and two minutes at least.
    pub(in crate::kafka) poll_interval: Duration,
    /// Bytes of records that its client holds.
    pub(in crate::kafka) fetch_bytes_max: usize,
}

/// Notes rebalances, which whoever polls acts on between polls.
#[derive(Debug)]
pub(in crate::kafka) struct MemberContext {
    watch: Arc<Watch>,
    events: Mutex<VecDeque<Event>>,
}

impl MemberContext {
    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
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

/// A member's consumer.
#[allow(missing_debug_implementations, reason = "clients have no Debug")]
pub struct GroupConsumer(BaseConsumer<MemberContext>);

impl GroupConsumer {
    /// Joins as a worker, whose place in the group its next process keeps.
    pub(super) fn join(
        connection: &Connection,
        identity: &Identity,
        topics: &[&str],
        options: &SessionOptions,
        watch: &Arc<Watch>,
    ) -> Result<GroupConsumer, LogError> {
        let membership = Membership {
            group: &identity.group,
            client_id: &identity.worker,
            instance: Some(&identity.worker),
            session_timeout: options.session_timeout,
            poll_interval: options.transaction_timeout * POLL_INTERVAL_TRANSACTIONS,
            fetch_bytes_max: options.fetch_bytes_max,
        };
        GroupConsumer::member(connection, &membership, topics, watch)
    }

    /// Joins a group.
    pub(in crate::kafka) fn member(
        connection: &Connection,
        membership: &Membership<'_>,
        topics: &[&str],
        watch: &Arc<Watch>,
    ) -> Result<GroupConsumer, LogError> {
        let session_ms = membership.session_timeout.as_millis();
        let poll_interval = membership.poll_interval.max(membership.session_timeout).max(POLL_INTERVAL_MIN);
        let mut config = connection.client(membership.client_id);
        config
            .set("group.id", membership.group)
            // The one assignor that gives equal partition numbers of all topics to the same member.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", session_ms.to_string())
            .set("heartbeat.interval.ms", (session_ms / 4).min(HEARTBEAT_MS_MAX).to_string())
            .set("max.poll.interval.ms", poll_interval.as_millis().to_string())
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Positions are always given: what is no longer there is a loss, and no reason to begin elsewhere.
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", (membership.fetch_bytes_max >> 10).to_string())
            .set("fetch.wait.max.ms", "100")
            // After its queue was full the client fetches nothing for a second, which is longer than it lasts.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "50");
        if let Some(instance) = membership.instance {
            config.set("group.instance.id", instance);
        }
        watch.listen(&mut config);
        let context = MemberContext { watch: Arc::clone(watch), events: Mutex::default() };
        let consumer = BaseConsumer::from_config_and_context(&config, context);
        let consumer = consumer.map_err(failed("making the consumer"))?;
        consumer.subscribe(topics).map_err(failed("subscribing"))?;
        Ok(GroupConsumer(consumer))
    }

    /// The client itself.
    pub(in crate::kafka) fn client(&self) -> &BaseConsumer<MemberContext> {
        &self.0
    }
}

impl MemberClient for GroupConsumer {
    type Record<'a> = BorrowedMessage<'a>;
    type Group = ConsumerGroupMetadata;

    fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.0.poll(wait)
    }

    fn next_event(&self) -> Option<Event> {
        self.0.context().events().pop_front()
    }

    fn has_events(&self) -> bool {
        !self.0.context().events().is_empty()
    }

    fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.0.client().fatal_error().map(|(code, _)| code)
    }

    fn is_stranded(&self) -> bool {
        self.0.context().watch.is_stranded()
    }

    fn members(&self, group: &str, wait: Duration) -> KafkaResult<Vec<String>> {
        let groups = self.0.client().fetch_group_list(Some(group), wait)?;
        Ok(groups.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned()).collect())
    }

    fn assign(&self, from: &[Place<'_>]) -> KafkaResult<()> {
        self.0.assign(&with_offsets(from)?)
    }

    fn is_unassigned(&self) -> bool {
        self.0.assignment().is_ok_and(|left| left.count() == 0)
    }

    fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.0.group_metadata()
    }

    fn committed(&self, of: &[Place<'_>], wait: Duration) -> KafkaResult<Vec<Option<u64>>> {
        let mut asked = TopicPartitionList::new();
        for place in of {
            asked.add_partition(place.topic, number(place.partition));
        }
        let answer = self.0.committed_offsets(asked, wait)?;
        if let Some(error) = answer.elements().iter().find_map(|one| one.error().err()) {
            return Err(error);
        }
        // An answer that leaves one out, or says a negative offset, is none.
        let useless = || KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable);
        let committed = of.iter().map(|place| {
            let found = answer.find_partition(place.topic, number(place.partition)).ok_or_else(useless)?;
            Ok(match found.offset() {
                Offset::Offset(offset) => Some(u64::try_from(offset).map_err(|_| useless())?),
                Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
            })
        });
        committed.collect()
    }

    fn watermarks(&self, topic: &str, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        watermarks(&self.0, topic, partition, wait)
    }

    fn positions(&self, of: &[Place<'_>]) -> KafkaResult<Vec<Option<u64>>> {
        let told = self.0.position()?;
        let position = |place: &Place<'_>| match told.find_partition(place.topic, number(place.partition))?.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
        };
        Ok(of.iter().map(position).collect())
    }

    fn unsubscribe(&self) {
        self.0.unsubscribe();
    }
}

/// These places as the client wants them.
pub(super) fn with_offsets(places: &[Place<'_>]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for place in places {
        let offset = Offset::Offset(i64::try_from(place.offset).unwrap_or(i64::MAX));
        list.add_partition_offset(place.topic, number(place.partition), offset)?;
    }
    Ok(list)
}
