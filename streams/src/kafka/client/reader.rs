//! The consumers of a changelog.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ReaderClient, number, watermarks};
use crate::kafka::errors::failed;
use crate::kafka::watch::Watched;
use crate::kafka::{Connection, Watch};
use crate::log::LogError;

/// Two consumers, since the watermarks that one is told go by what it is allowed to see.
#[allow(missing_debug_implementations, reason = "clients have no Debug")]
pub struct ChangelogConsumers {
    changelog: String,
    /// Sees what is committed, and tells the last stable offset.
    stable: BaseConsumer<Watched>,
    /// Tells the high watermark.
    high: BaseConsumer<Watched>,
}

impl ChangelogConsumers {
    pub(super) fn new(connection: &Connection, worker: &str, changelog: &str) -> Result<ChangelogConsumers, LogError> {
        let consumer = |isolation: &str| -> Result<BaseConsumer<Watched>, LogError> {
            let mut config = connection.client(worker);
            config
                // Never joined: the client wants one for reading at all.
                .set("group.id", worker)
                .set("isolation.level", isolation)
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("max.partition.fetch.bytes", "8388608")
                .set("queued.max.messages.kbytes", "32768")
                // A changelog that is not there is told of after this.
                .set("topic.metadata.propagation.max.ms", "5000")
                .set("fetch.wait.max.ms", "20")
                // After its queue was full the client fetches nothing for a second, which is longer than it lasts.
                .set("fetch.queue.backoff.ms", "10");
            let context = Watched(Watch::new(worker, &mut config));
            BaseConsumer::from_config_and_context(&config, context)
                .map_err(failed("making the consumer of the changelog"))
        };
        let (stable, high) = (consumer("read_committed")?, consumer("read_uncommitted")?);
        Ok(ChangelogConsumers { changelog: changelog.to_owned(), stable, high })
    }
}

/// Lets a client say what it has to, which it keeps until it is polled.
fn hear(consumer: &BaseConsumer<Watched>) {
    drop(consumer.poll(Duration::ZERO));
}

impl ReaderClient for ChangelogConsumers {
    type Record<'a> = BorrowedMessage<'a>;

    fn high(&self, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        hear(&self.high);
        watermarks(&self.high, &self.changelog, partition, wait)
    }

    fn stable(&self, partition: u32, wait: Duration) -> KafkaResult<(i64, i64)> {
        // Whatever it was at, `read_from` comes next.
        hear(&self.stable);
        watermarks(&self.stable, &self.changelog, partition, wait)
    }

    fn read_from(&self, partition: u32, offset: Option<u64>) -> KafkaResult<()> {
        let offset =
            offset.map_or(Offset::Beginning, |offset| Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX)));
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.changelog, number(partition), offset)?;
        self.stable.assign(&from)
    }

    fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.stable.poll(wait)
    }

    fn position(&self, partition: u32) -> KafkaResult<Option<u64>> {
        let positions = self.stable.position()?;
        let position = positions.find_partition(&self.changelog, number(partition)).map(|found| found.offset());
        Ok(match position {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            _ => None,
        })
    }

    fn is_stranded(&self) -> bool {
        [&self.stable, &self.high].iter().any(|consumer| consumer.context().0.is_stranded())
    }

    fn stop(&self) -> KafkaResult<()> {
        self.stable.unassign()
    }
}
