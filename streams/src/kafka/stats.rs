//! What a client's statistics come down to.

use std::collections::BTreeMap;

use rdkafka::Statistics;
use rdkafka::statistics::{Broker, Partition};

/// What one client last said of itself and of the brokers; a second old at most while the client is polled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaStats {
    /// Messages that a producer holds: neither acknowledged nor failed.
    pub queue_messages: u64,
    /// Their bytes, values only.
    pub queue_bytes: u64,
    /// The brokers, by `host:port/number`.
    pub brokers: BTreeMap<String, BrokerStats>,
    /// The partitions that a consumer reads, by the topic's name in the cluster and the number.
    pub partitions: BTreeMap<(String, u32), PartitionStats>,
}

/// One broker, as a client sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Whether the client is connected to it.
    pub up: bool,
    /// Mean round trip of the last interval, in microseconds; 0 if there was none.
    pub rtt_avg_us: u64,
    /// Requests that wait to be sent.
    pub outbuf_requests: u64,
    /// Requests that could not be sent, since the client began.
    pub tx_errors: u64,
    /// Requests that were sent again, since the client began.
    pub tx_retries: u64,
    /// Requests that were not answered in time, since the client began.
    pub request_timeouts: u64,
}

/// One partition, as its consumer sees it. `None` is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStats {
    /// Offset after the last record handed out.
    pub position: Option<u64>,
    /// Last stable offset: records before it are committed or aborted.
    pub stable: Option<u64>,
    /// High watermark: the offset after the last record that is replicated.
    pub end: Option<u64>,
    /// The end up to which everything has been handed out, if it has been up to some end.
    pub drained: Option<u64>,
}

impl PartitionStats {
    /// Offsets that could be read and have not been; control records count.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        Some(self.stable?.saturating_sub(self.position?.max(self.drained.unwrap_or(0))))
    }

    /// Offsets that cannot be read yet, since a transaction among them is open. One that stays up is a producer that
    /// vanished or hangs.
    #[must_use]
    pub fn unstable(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.stable?))
    }
}

/// A number that librdkafka makes negative for "none".
fn some(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

impl From<&Statistics> for KafkaStats {
    fn from(statistics: &Statistics) -> KafkaStats {
        let mut stats = KafkaStats {
            queue_messages: statistics.msg_cnt,
            queue_bytes: statistics.msg_size,
            ..KafkaStats::default()
        };
        // The others are coordinators, which are brokers once more.
        let brokers = statistics.brokers.values().filter(|b| b.source == "learned" || b.source == "configured");
        stats.brokers = brokers.map(|broker| (broker.name.clone(), BrokerStats::from(broker))).collect();
        for (topic, partition) in statistics.topics.values().flat_map(|t| t.partitions.values().map(move |p| (t, p))) {
            let Ok(number) = u32::try_from(partition.partition) else { continue };
            let seen = PartitionStats::from(partition);
            if seen != PartitionStats::default() {
                stats.partitions.insert((topic.topic.clone(), number), seen);
            }
        }
        stats
    }
}

impl From<&Broker> for BrokerStats {
    fn from(broker: &Broker) -> BrokerStats {
        BrokerStats {
            up: broker.state == "UP" || broker.state == "UPDATE",
            rtt_avg_us: broker.rtt.as_ref().and_then(|rtt| some(rtt.avg)).unwrap_or(0),
            outbuf_requests: some(broker.outbuf_cnt).unwrap_or(0),
            tx_errors: broker.txerrs,
            tx_retries: broker.txretries,
            request_timeouts: broker.req_timeouts,
        }
    }
}

impl From<&Partition> for PartitionStats {
    fn from(partition: &Partition) -> PartitionStats {
        PartitionStats {
            position: some(partition.app_offset),
            stable: some(partition.ls_offset),
            end: some(partition.hi_offset),
            // Statistics overtake the records that are fetched and not polled, so they prove it only where there are none.
            drained: some(partition.eof_offset).filter(|_| partition.fetchq_cnt == 0),
        }
    }
}
