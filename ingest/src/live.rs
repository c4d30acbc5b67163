//! The registry that requests are let in under, which may become another while they come.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use schemas::Timestamp;
use schemas::registry::Registry;
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::sync::Semaphore;

use crate::auth::{AuthTable, Caller};
use crate::edge::Inner;
use crate::error::Error;
use crate::places::{Place, Places};

/// A registry, and what a request needs of it made ready: never changed, only replaced as a whole.
pub(crate) struct Live {
    pub(crate) registry: Arc<Registry>,
    pub(crate) auth: AuthTable,
    /// The share of each merchant in the places.
    pub(crate) shares: HashMap<String, Arc<Semaphore>>,
    /// The share of each merchant in the large bodies.
    pub(crate) large_body_shares: HashMap<String, Arc<Semaphore>>,
}

impl Live {
    pub(crate) fn new(registry: Arc<Registry>, places: &Places, large_bodies: &Places) -> Live {
        Live {
            auth: AuthTable::new(&registry),
            shares: places.shares(&registry),
            large_body_shares: large_bodies.shares(&registry),
            registry,
        }
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Checks who sent a request, and takes its place among those in flight. Key, merchant and share are of one
    /// registry, and nothing after this asks for another.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(Arc<Caller>, Place), Error> {
        let live = self.live.load();
        let caller = live.auth.verify(headers, body, now);
        let caller = caller.inspect_err(|error| self.metrics.not_let_in(error.code()))?;
        let place = self.place(&live, &caller)?;
        Ok((caller, place))
    }
}
