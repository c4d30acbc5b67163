//! What the publisher and the read model show in the metrics, read when they are asked for.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::EmbeddedStore;
use streams::kafka::{BrokerStats, KafkaPublisher};

/// Registers what is between the edge and the log.
pub(super) fn register_publisher(registry: &mut Registry, publisher: &Arc<KafkaPublisher>) {
    registry.register_collector(Box::new(Behind { publisher: Arc::clone(publisher) }));
}

/// Registers what an edge's own claims and read model do.
pub(super) fn register_store(registry: &mut Registry, store: &EmbeddedStore) {
    registry.register_collector(Box::new(Own(store.clone())));
}

#[derive(Debug)]
struct Behind {
    publisher: Arc<KafkaPublisher>,
}

#[derive(Debug)]
struct Own(EmbeddedStore);

#[derive(Clone, Debug, EncodeLabelSet)]
struct BrokerLabels {
    broker: String,
}

impl Collector for Behind {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (messages, bytes) = self.publisher.queued();
        gauge(&mut encoder, "log_queue_messages", "Messages not acknowledged yet", messages as u64)?;
        gauge(&mut encoder, "log_queue_bytes", "Their bytes", bytes as u64)?;
        let help = "Clients replaced as a partition stayed silent";
        counter(&mut encoder, "log_publisher_renewals", help, self.publisher.renewals())?;
        self.brokers(&mut encoder)
    }
}

impl Collector for Own {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let store = self.0.stats();
        gauge(&mut encoder, "read_model_lag_records", "Records that the read model is behind", store.lag)?;
        counter(&mut encoder, "read_model_records", "Records applied to the read model", store.records)?;
        counter(&mut encoder, "read_model_skipped", "Records that the read model could not apply", store.skipped)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None::<&Unit>, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), std::fmt::Error> {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None::<&Unit>, counter.metric_type())?)
}

impl Behind {
    fn brokers(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        type Field = (&'static str, &'static str, MetricType, fn(&BrokerStats) -> u64);
        let stats = self.publisher.watch().stats();
        let fields: [Field; 6] = [
            ("broker_up", "Whether the publisher is connected", MetricType::Gauge, |broker| u64::from(broker.up)),
            ("broker_rtt_microseconds", "Mean round trip of late", MetricType::Gauge, |broker| broker.rtt_avg_us),
            ("broker_outbuf_requests", "Requests waiting", MetricType::Gauge, |broker| broker.outbuf_requests),
            ("broker_errors", "Requests that could not be sent", MetricType::Counter, |broker| broker.tx_errors),
            ("broker_retries", "Requests sent again", MetricType::Counter, |broker| broker.tx_retries),
            ("broker_timeouts", "Requests not answered in time", MetricType::Counter, |broker| broker.request_timeouts),
        ];
        for (name, help, kind, field) in fields {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, kind)?;
            for (broker, stats) in &stats.brokers {
                let labels = BrokerLabels { broker: broker.clone() };
                let metric = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(field(stats)).encode(metric)?,
                    _ => ConstGauge::new(field(stats)).encode(metric)?,
                }
            }
        }
        Ok(())
    }
}
