//! What the shared store shows in the metrics, read when they are asked for.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::cql::{Cql, CqlClaims, LATENCY_BOUNDS_MS};

/// Registers what there is of the way to the store.
pub(crate) fn register_link(registry: &mut Registry, cql: &Cql) {
    registry.register_collector(Box::new(Link(cql.clone())));
}

/// Registers what was claimed.
pub(crate) fn register_claims(registry: &mut Registry, claims: &CqlClaims) {
    registry.register_collector(Box::new(Made(claims.clone())));
}

#[derive(Debug)]
struct Link(Cql);

#[derive(Debug)]
struct Made(CqlClaims);

#[derive(Clone, Debug, EncodeLabelSet)]
struct LaneLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Collector for Link {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let up = ConstGauge::new(u64::from(self.0.health().is_up()));
        up.encode(encoder.encode_descriptor(
            "cql_up",
            "Whether the store answers",
            None::<&Unit>,
            up.metric_type(),
        )?)?;
        for (name, help, value) in [
            ("cql_sessions", "Sessions made, of which all but the first are reconnects", stats.sessions),
            ("cql_breaker_opened", "Times that the store was given up until it is found again", stats.breaker_opened),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None::<&Unit>, counter.metric_type())?)?;
        }
        let help = "Requests under way, by kind";
        let mut family = encoder.encode_descriptor("cql_in_flight", help, None::<&Unit>, MetricType::Gauge)?;
        for (kind, value) in
            [("claims", stats.claims_in_flight), ("reads", stats.reads_in_flight), ("writes", stats.writes_in_flight)]
        {
            ConstGauge::new(value).encode(family.encode_family(&LaneLabels { kind })?)?;
        }
        Ok(())
    }
}

impl Collector for Made {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let mut family =
            encoder.encode_descriptor("cql_claims", "Claims, by outcome", None::<&Unit>, MetricType::Counter)?;
        for (outcome, value) in [("made", stats.made), ("taken", stats.taken), ("failed", stats.failed)] {
            ConstCounter::new(value).encode(family.encode_family(&OutcomeLabels { outcome })?)?;
        }
        for (name, help, value) in [
            ("cql_claims_ambiguous", "Conditional writes whose answer did not tell", stats.ambiguous),
            ("cql_claims_resolved", "Claims with such a write whose outcome was found out", stats.resolved),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None::<&Unit>, counter.metric_type())?)?;
        }
        latencies(&stats.latencies, &mut encoder)
    }
}

/// How long claims took.
#[allow(clippy::float_arithmetic, reason = "the format has seconds")]
fn latencies(latencies: &store::cql::Latencies, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let help = "From a claim to its outcome";
    let mut metric =
        encoder.encode_descriptor("cql_claim_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let bounds = LATENCY_BOUNDS_MS.iter().map(|bound_ms| *bound_ms as f64 / 1_000.0).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(latencies.buckets).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(latencies.total.as_secs_f64(), count, &buckets, None)
}
