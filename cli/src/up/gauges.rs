//! What the log, the processors and the read model show in the metrics, read when they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::EmbeddedStore;
use streams::Progress;
use streams::embedded::EmbeddedLog;

use super::data::DataFolder;
use super::workers::Workers;

/// Registers everything behind the edge.
pub(super) fn register(registry: &mut Registry, data: &DataFolder, workers: &Workers) {
    let collector = Gauges { log: data.log.clone(), store: data.store.clone(), progress: workers.progress.clone() };
    registry.register_collector(Box::new(collector));
}

#[derive(Debug)]
struct Gauges {
    log: EmbeddedLog,
    store: EmbeddedStore,
    progress: Vec<(&'static str, Arc<Progress>)>,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let log = self.log.stats();
        let store = self.store.stats();
        let log_end = self.log.durable();
        for (name, help, value) in [
            ("log_queue_messages", "Messages waiting to be written", log.queue_messages),
            ("log_queue_bytes", "Bytes waiting to be written", log.queue_bytes),
            ("log_sync_last_microseconds", "The last sync of the log", log.sync_last_us),
            ("log_sync_max_microseconds", "The longest sync of the log", log.sync_max_us),
            ("log_disk_bytes", "Size of the log on disk", self.log.bytes_on_disk()),
            ("log_end_bytes", "Position of the log's durable end", log_end),
            (
                "read_model_lag_bytes",
                "Bytes of the log that the read model is behind",
                log_end.saturating_sub(store.applied_position),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None::<&Unit>, gauge.metric_type())?)?;
        }
        for (name, help, value) in [
            ("log_frames", "Frames made durable", log.frames),
            ("log_messages", "Messages made durable", log.messages),
            ("log_written_bytes", "Bytes made durable", log.bytes_written),
            ("log_syncs", "Syncs of the log", log.syncs),
            ("log_sync_microseconds", "Time spent in syncs of the log", log.sync_sum_us),
            ("read_model_records", "Records applied to the read model", store.records),
            ("read_model_skipped", "Records that the read model could not apply", store.skipped),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None::<&Unit>, counter.metric_type())?)?;
        }
        type Field = fn(&Progress) -> &AtomicU64;
        let fields: [(&str, &str, Field); 5] = [
            ("processor_steps", "Steps committed", |progress| &progress.steps),
            ("processor_records", "Records processed", |progress| &progress.records),
            ("processor_timers", "Timers fired", |progress| &progress.timers),
            ("processor_dead_letters", "Records sent to the dead letters", |progress| &progress.dead_letters),
            ("processor_retries", "Steps done again", |progress| &progress.retries),
        ];
        for (name, help, field) in fields {
            for (processor, progress) in &self.progress {
                let counter = ConstCounter::new(field(progress).load(Ordering::Relaxed));
                let full = format!("{processor}_{name}");
                counter.encode(encoder.encode_descriptor(&full, help, None::<&Unit>, counter.metric_type())?)?;
            }
        }
        Ok(())
    }
}
