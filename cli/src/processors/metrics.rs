//! The workers' metrics, read when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use streams::Progress;
use streams::kafka::{COMMIT_BUCKETS_MS, SessionStats};

use super::status::{View, Views};

/// Registers everything that the workers count.
pub(super) fn register(registry: &mut Registry, views: &Views) {
    registry.register_collector(Box::new(Workers(views.clone())));
}

#[derive(Debug)]
struct Workers(Views);

#[derive(Clone, Debug, EncodeLabelSet)]
struct WorkerLabels {
    processor: &'static str,
    worker: u64,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct PartitionLabels {
    processor: &'static str,
    topic: String,
    partition: u64,
}

type Field = (&'static str, &'static str, fn(&View) -> &AtomicU64);

fn progress(view: &View) -> &Progress {
    &view.progress
}

fn stats(view: &View) -> &SessionStats {
    &view.stats
}

const GAUGES: [Field; 4] = [
    ("processor_partitions_assigned", "Partitions of the worker", |view| &progress(view).partitions_assigned),
    ("processor_partitions_ready", "Those of them that are processed", |view| &progress(view).partitions_ready),
    ("processor_restore_done", "Changelog positions passed by restores under way", |view| &progress(view).restore_done),
    ("processor_restore_total", "Changelog positions that restores under way have to pass", |view| {
        &progress(view).restore_total
    }),
];

const COUNTERS: [Field; 12] = [
    ("processor_restored", "Changelog positions passed by restores", |view| &progress(view).restored),
    ("processor_steps", "Steps committed", |view| &progress(view).steps),
    ("processor_records", "Records processed in them", |view| &progress(view).records),
    ("processor_timers", "Timers fired in them", |view| &progress(view).timers),
    ("processor_dead_letters", "Records and timers sent to the dead letters", |view| &progress(view).dead_letters),
    ("processor_retries", "Steps done again", |view| &progress(view).retries),
    ("processor_transactions_committed", "Transactions committed", |view| &stats(view).commits),
    ("processor_transactions_aborted", "Transactions aborted", |view| &stats(view).aborts),
    ("processor_transactions_unknown", "Transactions whose outcome was looked up", |view| &stats(view).unknown),
    ("processor_fencings", "Times that another took this worker's place or the brokers gave it up", |view| {
        &stats(view).fencings
    }),
    ("processor_rebalances", "Partitions assigned or given up", |view| &stats(view).rebalances),
    ("processor_transient_errors", "Errors that the consumer waited out", |view| &stats(view).transient_errors),
];

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let views = self.0.all();
        for (name, help, field) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
            for view in &views {
                let gauge = ConstGauge::new(field(view).load(Ordering::Relaxed));
                gauge.encode(family.encode_family(&labels(view))?)?;
            }
        }
        for (name, help, field) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Counter)?;
            for view in &views {
                let counter = ConstCounter::new(field(view).load(Ordering::Relaxed));
                counter.encode(family.encode_family(&labels(view))?)?;
            }
        }
        commits(&views, &mut encoder)?;
        lags(&views, &mut encoder)
    }
}

fn labels(view: &View) -> WorkerLabels {
    WorkerLabels { processor: view.processor, worker: view.number as u64 }
}

/// How long transactions took.
#[allow(clippy::float_arithmetic, reason = "the format has seconds")]
fn commits(views: &[View], encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let help = "From the first record of a transaction to the end of its commit";
    let name = "processor_commit_duration";
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let bounds = COMMIT_BUCKETS_MS.iter().map(|bound_ms| *bound_ms as f64 / 1_000.0).chain([f64::INFINITY]);
    for view in views {
        let counts = view.stats.commit_buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.clone().zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = view.stats.commit_us_sum.load(Ordering::Relaxed) as f64 / 1_000_000.0;
        let labels = labels(view);
        let mut metric = family.encode_family(&labels)?;
        metric.encode_histogram::<WorkerLabels>(sum, count, &buckets, None)?;
    }
    Ok(())
}

/// How far behind each partition is, and how far its last stable offset is behind its end: by an open transaction.
fn lags(views: &[View], encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    type Lag = fn(&streams::kafka::PartitionStats) -> Option<u64>;
    let fields: [(&str, &str, Lag); 2] = [
        ("processor_lag_records", "Offsets from where the worker is to the last stable one", |stats| stats.lag()),
        ("processor_unstable_records", "Offsets from the last stable one to the end", |stats| stats.unstable()),
    ];
    let stats: Vec<_> = views.iter().map(|view| (view.processor, view.watch.stats())).collect();
    for (name, help, field) in fields {
        let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
        for (processor, stats) in &stats {
            for ((topic, partition), of) in &stats.partitions {
                let Some(lag) = field(of) else { continue };
                let labels = PartitionLabels { processor, topic: topic.clone(), partition: u64::from(*partition) };
                ConstGauge::new(lag).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
