//! Places among the requests in flight: taken once the sender is known, so that nobody else can use them up.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::registry::Registry;
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Caller;
use crate::config::Config;
use crate::edge::Inner;
use crate::error::{Error, Shed};
use crate::metrics::Metrics;

/// The places there are.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    max: u32,
    /// The share of each merchant, so that one alone does not keep the others out.
    by_merchant: HashMap<String, Arc<Semaphore>>,
}

/// One request's place, and its trace in the gauge; its flow holds it to the end, even when its sender has gone.
#[derive(Debug)]
pub(crate) struct Place {
    metrics: Metrics,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl Places {
    /// As many as a checked configuration says, for the merchants of a registry.
    pub(crate) fn new(config: &Config, registry: &Registry) -> Places {
        let max = u32::try_from(config.in_flight_max).expect("the configuration was checked");
        let share = (config.in_flight_max * config.merchant_share_percent).div_ceil(100);
        let mut by_merchant = HashMap::new();
        for key in registry.keys() {
            by_merchant.entry(key.merchant_id.clone()).or_insert_with(|| Arc::new(Semaphore::new(share)));
        }
        Places { all: Arc::new(Semaphore::new(config.in_flight_max)), max, by_merchant }
    }

    /// Waits until nobody has one.
    pub(crate) async fn all_free(&self) {
        let _all = self.all.acquire_many(self.max).await;
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.max as usize - self.all.available_permits()
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// A place for a request whose sender is known.
    pub(crate) fn place(&self, caller: &Caller) -> Result<Place, Error> {
        let permit = Arc::clone(&self.places.all).try_acquire_owned().map_err(|_| self.shed(Shed::InFlight))?;
        let share = self.places.by_merchant.get(&caller.merchant_id).expect("every caller's key is in the registry");
        let share = Arc::clone(share).try_acquire_owned().map_err(|_| self.shed(Shed::MerchantShare))?;
        self.metrics.in_flight.inc();
        Ok(Place { metrics: self.metrics.clone(), _permits: [share, permit] })
    }
}

impl<P, C, R> Inner<P, C, R> {
    /// A request meets a bound: counted, and refused.
    pub(crate) fn shed(&self, bound: Shed) -> Error {
        self.metrics.shed(bound.label());
        Error::Shed { bound, retry_after: self.config.retry_after }
    }
}
