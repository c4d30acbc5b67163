//! What the sender counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use schemas::records::WebhookResult;

/// Upper bounds of the histogram, in seconds.
const DURATIONS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Why an attempt was left to come again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// It was written too long ago.
    Late,
    /// Too many wait.
    Full,
    /// There is no such endpoint, or none that may be sent to, in the registry of this process.
    NoEndpoint,
    /// It is no attempt.
    Undecodable,
    /// Its outcome was not written.
    OutcomeLost,
}

impl Left {
    fn label(self) -> &'static str {
        match self {
            Left::Late => "late",
            Left::Full => "full",
            Left::NoEndpoint => "no_endpoint",
            Left::Undecodable => "undecodable",
            Left::OutcomeLost => "outcome_lost",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeftLabels {
    reason: &'static str,
}

/// What the sender counts. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: Family<ResultLabels, Counter>,
    left: Family<LeftLabels, Counter>,
    duration: Histogram,
    pub(crate) waiting: Gauge,
    pub(crate) in_flight: Gauge,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            attempts: Family::default(),
            left: Family::default(),
            duration: Histogram::new(DURATIONS),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
        };
        for result in [WebhookResult::Delivered, WebhookResult::Gone, WebhookResult::Failed] {
            // There from the beginning, so that a rate has something to begin with.
            drop(metrics.attempts.get_or_create(&labels(result)));
        }
        let (attempts, left) = (metrics.attempts.clone(), metrics.left.clone());
        registry.register("webhook_attempts", "Attempts to deliver a webhook, by their result", attempts);
        registry.register("webhook_attempts_left", "Attempts that were left to come again, by the reason", left);
        let help = "From the beginning of an attempt to the head of its answer";
        registry.register_with_unit("webhook_attempt_duration", help, Unit::Seconds, metrics.duration.clone());
        registry.register("webhook_waiting", "Attempts that wait to be sent", metrics.waiting.clone());
        registry.register("webhook_in_flight", "Attempts under way", metrics.in_flight.clone());
        metrics
    }

    #[allow(clippy::float_arithmetic, reason = "the format has seconds")]
    pub(crate) fn ended(&self, result: WebhookResult, duration_ms: i64) {
        self.attempts.get_or_create(&labels(result)).inc();
        self.duration.observe(duration_ms as f64 / 1_000.0);
    }

    pub(crate) fn left(&self, why: Left) {
        self.left.get_or_create(&LeftLabels { reason: why.label() }).inc();
    }
}

fn labels(result: WebhookResult) -> ResultLabels {
    let result = match result {
        WebhookResult::Delivered => "delivered",
        WebhookResult::Gone => "gone",
        WebhookResult::Failed => "failed",
    };
    ResultLabels { result }
}
