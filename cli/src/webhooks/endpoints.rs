//! How endpoints do, from the rows of the state machine: which are disabled, and how many deliveries are under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use processors::Webhooks;
use processors::webhooks::{ENDPOINT_ROWS, endpoint_of_row, is_disabled};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry as MetricsRegistry, Unit};
use schemas::Timestamp;
use schemas::registry::Registry;
use streams::{Clock, Driver, Session, StoreError, SystemClock};

/// How often a worker looks at its rows.
const EVERY: Duration = Duration::from_secs(5);

/// One endpoint, over all partitions that were looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    pending: i64,
    disabled_in: i64,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        (self.pending, self.disabled_in) = (self.pending + other.pending, self.disabled_in + other.disabled_in);
    }
}

/// Whom the gauges name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Every endpoint: for an address that only operators reach.
    Endpoints,
    /// None, only sums over all: the edge's address answers everybody, and an endpoint's id may tell whose it is.
    Nobody,
}

/// What each worker saw last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints(Arc<Mutex<BTreeMap<usize, BTreeMap<String, Seen>>>>);

/// One worker's part in it.
#[derive(Debug)]
pub(crate) struct Look {
    endpoints: Endpoints,
    worker: usize,
    registry: Arc<Registry>,
    last: Option<Instant>,
}

impl Endpoints {
    /// Registers the gauges.
    pub(crate) fn register(&self, registry: &mut MetricsRegistry, named: Named) {
        registry.register_collector(Box::new(Gauges { endpoints: self.clone(), named }));
    }

    /// The part of a worker, told by its number from all others of the process, under a registry.
    pub(crate) fn look(&self, worker: usize, registry: Arc<Registry>) -> Look {
        Look { endpoints: self.clone(), worker, registry, last: None }
    }
}

impl Look {
    /// Goes on under another registry.
    pub(crate) fn set_registry(&mut self, registry: Arc<Registry>) {
        self.registry = registry;
    }

    /// Looks at the rows, if it is time to.
    pub(crate) fn turn<S: Session>(&mut self, driver: &Driver<Webhooks, S>) -> Result<(), StoreError> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let now = Timestamp(SystemClock.now_ms());
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        driver.scan(ENDPOINT_ROWS, &mut |key, value| {
            let Some((id, state)) = endpoint_of_row(key, value) else { return };
            let disabled_in = i64::from(is_disabled(&self.registry, id, &state, now));
            if state.pending > 0 || disabled_in > 0 {
                seen.entry(id.to_owned()).or_default().add(Seen { pending: state.pending, disabled_in });
            }
        })?;
        self.endpoints.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.worker, seen);
        Ok(())
    }
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct Labels {
    endpoint: String,
}

/// The gauges as they are told.
#[derive(Debug)]
struct Gauges {
    endpoints: Endpoints,
    named: Named,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut each: BTreeMap<String, Seen> = BTreeMap::new();
        let mut all = Seen::default();
        for (id, seen) in self.endpoints.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten() {
            each.entry(id.clone()).or_default().add(*seen);
            all.add(*seen);
        }
        type Field = fn(&Seen) -> i64;
        let gauges: [(&str, &str, Field); 2] = [
            ("webhook_pending", "Deliveries under way to an endpoint", |seen| seen.pending),
            ("webhook_endpoint_disabled", "Partitions in which an endpoint is disabled for its failures", |seen| {
                seen.disabled_in
            }),
        ];
        for (name, help, field) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
            match self.named {
                Named::Endpoints => {
                    for (endpoint, seen) in &each {
                        let labels = Labels { endpoint: endpoint.clone() };
                        ConstGauge::new(field(seen)).encode(family.encode_family(&labels)?)?;
                    }
                }
                Named::Nobody => ConstGauge::new(field(&all)).encode(family)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: Named, expected: &[&str]) {
        let endpoints = Endpoints::default();
        let seen = |pending, disabled_in| Seen { pending, disabled_in };
        let of = |rows: &[(&str, Seen)]| rows.iter().map(|(id, seen)| ((*id).to_owned(), *seen)).collect();
        for (worker, rows) in
            [(0, of(&[("shop-a", seen(3, 1)), ("shop-b", seen(4, 0))])), (1, of(&[("shop-a", seen(2, 1))]))]
        {
            endpoints.0.lock().expect("no test panics with the lock").insert(worker, rows);
        }
        let mut registry = MetricsRegistry::default();
        endpoints.register(&mut registry, named);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes it");
        let found: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn operators_are_told_of_every_endpoint() {
        check(
            Named::Endpoints,
            &[
                "webhook_pending{endpoint=\"shop-a\"} 5",
                "webhook_pending{endpoint=\"shop-b\"} 4",
                "webhook_endpoint_disabled{endpoint=\"shop-a\"} 2",
                "webhook_endpoint_disabled{endpoint=\"shop-b\"} 0",
            ],
        );
    }

    #[test]
    fn everybody_is_told_sums_that_name_no_endpoint() {
        check(Named::Nobody, &["webhook_pending 9", "webhook_endpoint_disabled 2"]);
    }
}
