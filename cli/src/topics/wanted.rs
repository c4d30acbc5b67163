//! The catalogue's topics as they are on Kafka.

use std::collections::BTreeMap;

use schemas::topics::{Cleanup, PARTITIONS, TOMBSTONES_KEPT_DAYS, TopicSpec};
use streams::kafka::TopicWanted;

use crate::settings::Settings;

const DAY_MS: u64 = 86_400_000;

/// The topic as the catalogue and the settings want it.
pub(super) fn wanted(spec: &TopicSpec, settings: &Settings) -> TopicWanted {
    let mut configs = BTreeMap::from([
        ("max.message.bytes", spec.message_bytes_max.to_string()),
        ("min.insync.replicas", settings.get::<u32>("topics.min_insync_replicas").to_string()),
        // A broker that was behind must not become the leader and take back what was acknowledged.
        ("unclean.leader.election.enable", "false".to_owned()),
    ]);
    match spec.cleanup {
        Cleanup::Retain { days } => configs.extend([
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", (u64::from(days) * DAY_MS).to_string()),
            // The cluster's default may delete by size what is not old enough.
            ("retention.bytes", "-1".to_owned()),
        ]),
        Cleanup::Compact => configs.extend([
            ("cleanup.policy", "compact".to_owned()),
            ("delete.retention.ms", (u64::from(TOMBSTONES_KEPT_DAYS) * DAY_MS).to_string()),
        ]),
    }
    TopicWanted {
        name: spec.name.to_owned(),
        // Topics that are not read by key have the catalogue's own number.
        partitions: if spec.partitions == PARTITIONS { settings.get("topics.partitions") } else { spec.partitions },
        replication: Some(settings.get("topics.replication_factor")),
        configs: configs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
