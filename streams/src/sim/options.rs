//! How a simulated cluster is set up.

use std::time::Duration;

/// The settings of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How long a request and its answer are under way, together. Default 200 µs.
    pub latency: Duration,
    /// How often the coordinator looks for transactions that are open for too long
    /// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`). Default 10 s.
    pub transaction_check_every: Duration,
    /// Records that a fetch of a changelog brings at the most, at least 1. Default 2,000.
    pub changelog_fetch_records_max: usize,
    /// The wall clock at the start, in milliseconds since the epoch. Default 1 January 2026.
    pub epoch_ms: i64,
    /// Lines of the history that are kept; its hash is of all. Default 10,000.
    pub history_lines_max: usize,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions {
            latency: Duration::from_micros(200),
            transaction_check_every: Duration::from_secs(10),
            changelog_fetch_records_max: 2_000,
            epoch_ms: 1_767_225_600_000,
            history_lines_max: 10_000,
        }
    }
}

/// The settings of a topic.
#[derive(Clone, Copy, Debug)]
pub struct TopicOptions {
    /// How many partitions it has, at least 1.
    pub partitions: u32,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// So many records at the end of a partition stand for the segment being written, which is never cleaned.
    pub active_records: u64,
}

/// What becomes of old records, whenever the cleaner comes.
#[derive(Clone, Copy, Debug)]
pub enum Cleanup {
    /// They stay.
    Keep,
    /// They go after this long.
    Delete {
        /// `retention.ms`.
        retention: Duration,
    },
    /// The last of each key stays.
    Compact {
        /// How long tombstones stay after the cleaner has first passed them (`delete.retention.ms`).
        delete_retention: Duration,
    },
}

impl TopicOptions {
    /// A topic of this many partitions whose records stay.
    #[must_use]
    pub fn of(partitions: u32) -> TopicOptions {
        TopicOptions { partitions, cleanup: Cleanup::Keep, active_records: 0 }
    }

    /// A compacted topic of this many partitions, such as a changelog; tombstones stay for a day.
    #[must_use]
    pub fn compacted(partitions: u32) -> TopicOptions {
        let cleanup = Cleanup::Compact { delete_retention: Duration::from_secs(24 * 60 * 60) };
        TopicOptions { cleanup, ..TopicOptions::of(partitions) }
    }
}
