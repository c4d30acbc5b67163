//! A real broker, behind a proxy.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams::kafka::Connection;
use streams::kafka::client::Librdkafka;
use testkit::{Api, Fault, Kafka, Proxy};
use tokio::runtime::Runtime;

use crate::world::World;

/// A broker that all claims share, and names of its own for each.
pub(crate) struct Real {
    prefix: String,
    connection: Connection,
}

fn behind_proxy() -> &'static (Kafka, Proxy) {
    static BEHIND_PROXY: OnceLock<(Kafka, Proxy)> = OnceLock::new();
    BEHIND_PROXY.get_or_init(Kafka::start_behind_proxy)
}

impl Real {
    pub(crate) fn new() -> Real {
        let prefix = Kafka::unique_prefix();
        Real { connection: Connection::new(behind_proxy().0.bootstrap(), &prefix), prefix }
    }

    fn admin(&self) -> (AdminClient<DefaultClientContext>, AdminOptions, Runtime) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", behind_proxy().0.bootstrap()).set("broker.address.family", "v4");
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        (config.create().expect("a client"), options, runtime)
    }

    fn make(&self, topic: &str, partitions: u32, settings: &[(&str, &str)]) {
        let (admin, options, runtime) = self.admin();
        let name = format!("{}{topic}", self.prefix);
        let mut wanted = NewTopic::new(&name, partitions.cast_signed(), TopicReplication::Fixed(1));
        for (setting, value) in settings {
            wanted = wanted.set(setting, value);
        }
        let made = runtime.block_on(admin.create_topics(&[wanted], &options)).expect("the broker answers");
        made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    }
}

impl World for Real {
    type Clients = Librdkafka;

    fn clients(&self) -> Librdkafka {
        Librdkafka::new(&self.connection, "claims")
    }

    fn create(&self, topic: &str, partitions: u32) {
        self.make(topic, partitions, &[]);
    }

    fn create_compacted(&self, topic: &str) {
        // A segment ends with the first record that comes later than this.
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "1"),
            ("min.cleanable.dirty.ratio", "0.001"),
            ("min.compaction.lag.ms", "0"),
        ];
        self.make(topic, 1, &settings);
    }

    fn clean(&self) {
        // It comes every 15 s.
    }

    fn delete_before(&self, topic: &str, offset: u64) {
        let (admin, options, runtime) = self.admin();
        let mut before = TopicPartitionList::new();
        let offset = Offset::Offset(offset.cast_signed());
        before.add_partition_offset(&format!("{}{topic}", self.prefix), 0, offset).expect("an offset");
        let deleted = runtime.block_on(admin.delete_records(&before, &options)).expect("the broker answers");
        deleted.elements().iter().for_each(|one| one.error().expect("deleted"));
    }

    fn inject(&self, api: Api, fault: Fault) {
        let _ = behind_proxy().1.inject(api, &self.prefix, fault, Duration::ZERO);
    }
}
