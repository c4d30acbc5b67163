//! What the edge counts. No label names a merchant: labels have few values, known beforehand.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the duration histogram in seconds: from what a repeat takes to what a deadline allows.
const DURATION_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The edge's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    auth_failures: Family<CodeLabels, Counter>,
    publish_failures: Family<ReasonLabels, Counter>,
    requests_shed: Family<ReasonLabels, Counter>,
    claims_failures: Family<OperationLabels, Counter>,
    batch_items_rejected: Family<CodeLabels, Counter>,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) conversions: Outcomes,
    pub(crate) order_statuses: Outcomes,
    pub(crate) test_clocks: Outcomes,
    pub(crate) clicks_recorded: Counter,
    pub(crate) clicks_lost: Counter,
}

/// How reports of one kind ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    /// Durable and new.
    pub(crate) accepted: Counter,
    /// Known before.
    pub(crate) duplicate: Counter,
    /// Known before with other content.
    pub(crate) conflict: Counter,
    /// Accepted without a claim, since the claims failed.
    pub(crate) unclaimed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

impl Metrics {
    /// Registers the edge's metrics in `registry`, into which others may register theirs too.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            auth_failures: Family::default(),
            publish_failures: Family::default(),
            requests_shed: Family::default(),
            claims_failures: Family::default(),
            batch_items_rejected: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            conversions: Outcomes::default(),
            order_statuses: Outcomes::default(),
            test_clocks: Outcomes::default(),
            clicks_recorded: Counter::default(),
            clicks_lost: Counter::default(),
        };
        registry.register("http_requests", "Requests answered, by route, status and code", metrics.requests.clone());
        registry.register("http_request_duration_seconds", "From head to answer", metrics.durations.clone());
        registry.register(
            "http_requests_in_flight",
            "API requests being worked on, and items of batches",
            metrics.in_flight.clone(),
        );
        registry.register("http_connections", "Open connections", metrics.connections.clone());
        registry.register("auth_failures", "Requests not let in, by error code", metrics.auth_failures.clone());
        registry.register("publish_failures", "Failed publishes, by reason", metrics.publish_failures.clone());
        registry.register("requests_shed", "Requests that met a bound, by which", metrics.requests_shed.clone());
        registry.register("claims_failures", "Failed questions to the claims", metrics.claims_failures.clone());
        registry.register(
            "batch_items_rejected",
            "Items of batches that were not accepted, by error code",
            metrics.batch_items_rejected.clone(),
        );
        registry.register("clicks_recorded", "Clicks handed to the log", metrics.clicks_recorded.clone());
        registry.register(
            "clicks_lost",
            "Clicks that the log did not keep, or that met the bound on clicks in flight",
            metrics.clicks_lost.clone(),
        );
        metrics.conversions.register(registry.sub_registry_with_prefix("conversions"));
        metrics.order_statuses.register(registry.sub_registry_with_prefix("order_statuses"));
        metrics.test_clocks.register(registry.sub_registry_with_prefix("test_clocks"));
        metrics
    }

    /// A request was answered with `status`, and `code` if that is an error's; 499 if its sender went away first.
    pub(crate) fn answered(&self, route: &'static str, status: u16, code: &'static str, after: Duration) {
        self.requests.get_or_create(&RequestLabels { route, status, code }).inc();
        self.durations.get_or_create(&RouteLabels { route }).observe(after.as_secs_f64());
    }

    /// A request was not let in.
    pub(crate) fn not_let_in(&self, code: &'static str) {
        self.auth_failures.get_or_create(&CodeLabels { code }).inc();
    }

    /// An item of a batch was not accepted.
    pub(crate) fn item_rejected(&self, code: &'static str) {
        self.batch_items_rejected.get_or_create(&CodeLabels { code }).inc();
    }

    /// A publish failed.
    pub(crate) fn publish_failed(&self, reason: &'static str) {
        self.publish_failures.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A request met a bound.
    pub(crate) fn shed(&self, reason: &'static str) {
        self.requests_shed.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// The claims did not answer.
    pub(crate) fn claims_failed(&self, operation: &'static str) {
        self.claims_failures.get_or_create(&OperationLabels { operation }).inc();
    }
}

impl Outcomes {
    fn register(&self, registry: &mut Registry) {
        registry.register("accepted", "Reports that were new and are durable", self.accepted.clone());
        registry.register("duplicate", "Reports that were known before", self.duplicate.clone());
        registry.register("conflict", "Reports that were known before with other content", self.conflict.clone());
        registry.register("unclaimed", "Reports accepted though the claims failed", self.unclaimed.clone());
    }
}
