//! The registry that requests are let in under, which may become another while they come.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::registry::Registry;
use tokio::sync::Semaphore;

use crate::auth::AuthTable;
use crate::places::Places;

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
