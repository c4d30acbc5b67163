//! The workers' metrics, read when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::cql::{ClaimKeeper, MaterializerProgress, Writer};

use super::status::{View, Views};

/// Registers everything that the workers count.
pub(super) fn register(registry: &mut Registry, views: &Views, writer: &Writer, keeper: &ClaimKeeper) {
    registry.register_collector(Box::new(Workers {
        views: views.clone(),
        writer: writer.clone(),
        keeper: keeper.clone(),
    }));
}

#[derive(Debug)]
struct Workers {
    views: Views,
    writer: Writer,
    keeper: ClaimKeeper,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct WorkerLabels {
    task: &'static str,
    worker: u64,
}

type Field = (&'static str, &'static str, fn(&MaterializerProgress) -> &AtomicU64);

const GAUGES: [Field; 2] = [
    ("materializer_partitions", "Partitions of the worker", |progress| &progress.partitions),
    ("materializer_lag_records", "Offsets from where the worker is to the last stable one", |progress| &progress.lag),
];

const COUNTERS: [Field; 5] = [
    ("materializer_assignments", "Times that the worker was given partitions", |progress| &progress.assignments),
    ("materializer_batches", "Batches written", |progress| &progress.batches),
    ("materializer_records", "Records in them", |progress| &progress.records),
    ("materializer_batches_lost", "Batches dropped as their partitions were given up", |progress| &progress.lost),
    ("materializer_client_renewals", "Kafka clients replaced that had lost sight of all brokers", |progress| {
        &progress.renewals
    }),
];

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, field) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
            for view in &*self.views.0 {
                let gauge = ConstGauge::new(field(&view.progress).load(Ordering::Relaxed));
                gauge.encode(family.encode_family(&labels(view))?)?;
            }
        }
        for (name, help, field) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Counter)?;
            for view in &*self.views.0 {
                let counter = ConstCounter::new(field(&view.progress).load(Ordering::Relaxed));
                counter.encode(family.encode_family(&labels(view))?)?;
            }
        }
        let (written, kept) = (self.writer.stats(), self.keeper.stats());
        for (name, help, value) in [
            ("read_model_records", "Records written to the read model", written.records),
            ("read_model_skipped", "Records that the read model could not apply", written.skipped),
            ("read_model_rows", "Rows written", written.rows),
            ("read_model_requests", "Requests that it took", written.requests),
            ("read_model_retries", "Requests that had to be made again", written.retries),
            ("read_model_warnings", "Warnings of the server about what it wrote", written.warnings),
            ("claims_kept_records", "Records from which claims were made good", kept.records),
            ("claims_kept_made", "Claims made, because there was none", kept.made),
            ("claims_kept_moved", "Claims moved to an earlier report of their order", kept.moved),
            ("claims_kept_skipped", "Records that could not be read, and were passed over", kept.skipped),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None::<&Unit>, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn labels(view: &View) -> WorkerLabels {
    WorkerLabels { task: view.task, worker: view.number as u64 }
}
