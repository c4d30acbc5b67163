//! Places among the requests in flight: taken once the sender is known, so that nobody else can use them up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use schemas::registry::Registry;
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Caller;
use crate::edge::Inner;
use crate::error::{Error, Shed};
use crate::live::Live;
use crate::metrics::Metrics;

/// The places there are: for requests in flight, or for the large bodies of batches.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    max: u32,
    /// How many of them one merchant may have, so that one alone does not keep the others out.
    share: usize,
    /// The share of each merchant that a registry in use names, or a request in flight is of.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// One request's place, or that of one item of a batch, and its trace in the gauge; its flow holds it to the end, even
/// when its sender has gone.
#[derive(Debug)]
pub(crate) struct Place {
    metrics: Metrics,
    permits: Permits,
}

/// One or more of the places: of the merchant's share, and of all.
#[derive(Debug)]
pub(crate) struct Permits {
    share: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl Places {
    /// As many as a checked configuration says, of which one merchant may have so many percent.
    pub(crate) fn new(max: usize, share_percent: usize) -> Places {
        let share = (max * share_percent).div_ceil(100);
        let all = Arc::new(Semaphore::new(max));
        let max = u32::try_from(max).expect("the configuration was checked");
        Places { all, max, share, shares: Mutex::default() }
    }

    /// How many one merchant may have.
    pub(crate) fn share(&self) -> usize {
        self.share
    }

    /// Takes one, if all of them and this share have one.
    pub(crate) fn take(&self, share: &Arc<Semaphore>) -> Result<Permits, Shed> {
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Shed::InFlight)?;
        let share = Arc::clone(share).try_acquire_owned().map_err(|_| Shed::MerchantShare)?;
        Ok(Permits { share, all })
    }

    /// The shares of the merchants of a registry. A merchant's is the same one in every registry for as long as one of
    /// these, or a request, holds it: nobody gains places by being removed and registered again.
    pub(crate) fn shares(&self, registry: &Registry) -> HashMap<String, Arc<Semaphore>> {
        let mut known = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares: HashMap<String, Arc<Semaphore>> = HashMap::new();
        for key in registry.keys() {
            shares.entry(key.merchant_id.clone()).or_insert_with_key(|merchant_id| {
                let share = known.get(merchant_id).and_then(Weak::upgrade);
                share.unwrap_or_else(|| Arc::new(Semaphore::new(self.share)))
            });
        }
        known.extend(shares.iter().map(|(merchant_id, share)| (merchant_id.clone(), Arc::downgrade(share))));
        known.retain(|_, share| share.strong_count() > 0);
        shares
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

impl Place {
    /// So many more of the same merchant's, one for each item of a batch: all of them or none.
    pub(crate) fn more(&self, count: usize) -> Result<Vec<Place>, Shed> {
        let many = u32::try_from(count).map_err(|_| Shed::InFlight)?;
        let take = |permit: &OwnedSemaphorePermit| Arc::clone(permit.semaphore()).try_acquire_many_owned(many);
        let mut all = take(&self.permits.all).map_err(|_| Shed::InFlight)?;
        let mut share = take(&self.permits.share).map_err(|_| Shed::MerchantShare)?;
        let mut places = Vec::with_capacity(count);
        while let (Some(share), Some(all)) = (share.split(1), all.split(1)) {
            places.push(Place::new(self.metrics.clone(), Permits { share, all }));
        }
        Ok(places)
    }

    fn new(metrics: Metrics, permits: Permits) -> Place {
        metrics.in_flight.inc();
        Place { metrics, permits }
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// A place for a request whose sender `live` knows.
    pub(crate) fn place(&self, live: &Live, caller: &Caller) -> Result<Place, Error> {
        let share = live.shares.get(&caller.merchant_id).expect("every caller's key is in the registry");
        let permits = self.places.take(share).map_err(|bound| self.shed(bound))?;
        Ok(Place::new(self.metrics.clone(), permits))
    }
}

impl<P, C, R> Inner<P, C, R> {
    /// A request meets a bound: counted, and refused.
    pub(crate) fn shed(&self, bound: Shed) -> Error {
        self.metrics.shed(bound.label());
        Error::Shed { bound, retry_after: self.config.retry_after }
    }
}
