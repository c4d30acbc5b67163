//! What a run consists of: partitions, machines, edges, limits and time-outs.

use std::time::Duration;

use streams::kafka::{PublisherOptions, SessionOptions};
use streams::log::Limits;
use streams::sim::{ClusterOptions, TopicOptions};

use schemas::topics::{CATALOGUE, Cleanup, DEAD_LETTERS, TOMBSTONES_KEPT_DAYS, TopicSpec};

use crate::random::Random;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A store that was away for longer is made again, as in production.
pub(crate) const UNSEEN_MAX: Duration = Duration::from_secs(TOMBSTONES_KEPT_DAYS as u64 * 24 * 60 * 60 / 2);

/// The lay-out of a run.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    /// Partitions of every topic that is read by key.
    pub(crate) partitions: u32,
    /// Machines with a process of workers each.
    pub(crate) machines: usize,
    /// Workers of each processor in such a process.
    pub(crate) workers_each: usize,
    /// Processes of the edge.
    pub(crate) edges: usize,
    /// Processes that keep the claims which all edges share; none if each edge has claims of its own.
    pub(crate) keepers: usize,
    pub(crate) cluster: ClusterOptions,
    pub(crate) session: SessionOptions,
    pub(crate) publisher: PublisherOptions,
    pub(crate) limits: Limits,
    pub(crate) edge: ingest::Config,
    /// The end of a partition that is never cleaned, in records.
    active_records: u64,
}

impl Topology {
    pub(crate) fn draw(seed: u64) -> Topology {
        let mut random = Random::new(seed, "topology");
        let ms = Duration::from_millis;
        let (machines, workers_each) = random.pick(&[(1, 1), (1, 2), (2, 1), (2, 1), (3, 1), (3, 1)]);
        let ack_deadline = ms(random.pick(&[200, 1_000, 5_000]));
        Topology {
            partitions: u32::try_from(random.between(1, 4)).expect("it is 4 at the most"),
            machines,
            workers_each,
            edges: random.pick(&[1, 2, 2, 3]),
            // Of its own, so that the rest is drawn as before.
            keepers: Random::new(seed, "keepers").pick(&[0, 0, 0, 1, 1, 2]),
            cluster: ClusterOptions {
                latency: Duration::from_micros(random.pick(&[100, 500, 2_000, 10_000])),
                transaction_check_every: ms(random.pick(&[1_000, 10_000])),
                changelog_fetch_records_max: random.pick(&[3, 30, 2_000]),
                history_lines_max: usize::MAX,
                ..ClusterOptions::default()
            },
            session: SessionOptions {
                commit_interval: ms(random.pick(&[0, 10, 25, 100])),
                session_timeout: ms(random.pick(&[6_000, 10_000, 30_000])),
                transaction_timeout: ms(random.pick(&[2_000, 5_000, 10_000])),
                pass_interval: ms(Random::new(seed, "passing").pick(&[0, 1_000, 10_000])),
                ..SessionOptions::default()
            },
            publisher: PublisherOptions {
                linger: ms(random.pick(&[0, 2, 20])),
                queue_messages_max: random.pick(&[4, 100, 65_536]),
                delivery_timeout: ms(random.pick(&[2_000, 10_000, 30_000])),
                ..PublisherOptions::default()
            },
            limits: Limits { records_max: random.pick(&[1, 3, 20, 2_000]), ..Limits::default() },
            edge: ingest::Config {
                ack_deadline,
                request_deadline: ack_deadline.max(ms(random.pick(&[1_000, 10_000]))),
                store_deadline: ms(random.pick(&[50, 1_000])),
                lane_seats_max: random.pick(&[1, 2, 128]),
                ..ingest::Config::default()
            },
            active_records: random.pick(&[0, 1, 10, 50]),
        }
    }

    /// The topics, and how each is made.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&'static TopicSpec, TopicOptions)> {
        CATALOGUE.iter().map(|spec| {
            let partitions = if spec.partitions == DEAD_LETTERS.partitions { 1 } else { self.partitions };
            let cleanup = match spec.cleanup {
                Cleanup::Retain { days } => streams::sim::Cleanup::Delete { retention: DAY * days },
                Cleanup::Compact => streams::sim::Cleanup::Compact { delete_retention: DAY * TOMBSTONES_KEPT_DAYS },
            };
            (spec, TopicOptions { partitions, cleanup, active_records: self.active_records })
        })
    }

    /// How long it may take at the most until everything is done, once nothing goes wrong any more.
    pub(crate) fn quiet_within(&self) -> Duration {
        // A rebalance waits for a member for two minutes, and a fenced one for its ghost; the rest takes less together.
        Duration::from_secs(20 * 60)
    }
}
