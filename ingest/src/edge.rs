//! The edge: what its routes share.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use quick_cache::sync::Cache;
use schemas::Timestamp;
use schemas::registry::Registry;
use store::IdempotencyScope;
use store::{Claims, Fingerprint, ReadModel};
use streams::{Clock, Publisher, Topic};
use tokio::sync::Semaphore;

use crate::admin::Admins;
use crate::clock::Ids;
use crate::config::{Config, ConfigError};
use crate::flight::Flights;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::rates::Rates;
use crate::readiness::Readiness;
use crate::replays::Replays;
use crate::routes;
use crate::service_token::ServiceToken;

/// Most acts of administrators at once: people make them, and each asks the read model again and again for its outcome.
const ACTS_IN_FLIGHT_MAX: usize = 64;

/// What an edge is made of.
#[allow(missing_debug_implementations, reason = "a clock has no useful Debug")]
pub struct Parts<P, C, R> {
    /// Merchants, keys and links, until [`Edge::set_registry`].
    pub registry: Arc<Registry>,
    /// The log.
    pub publisher: P,
    /// Who was first.
    pub claims: C,
    /// What became of a conversion.
    pub read_model: R,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether requests should come; the process sets it.
    pub readiness: Readiness,
    /// Where the edge counts.
    pub metrics: Metrics,
    /// What `GET /metrics` shows: the registry that `metrics` was registered in.
    pub exposition: Arc<prometheus_client::registry::Registry>,
    /// What a service shows to record clicks; without it there is no route for them.
    pub service_token: Option<ServiceToken>,
    /// Who may use the admin API; without them it has no routes.
    pub admins: Option<Admins>,
    /// Limits and deadlines.
    pub config: Config,
}

/// The HTTP edge. Every clone is the same one.
pub struct Edge<P, C, R>(pub(crate) Arc<Inner<P, C, R>>);

pub(crate) struct Inner<P, C, R> {
    pub(crate) live: ArcSwap<Live>,
    pub(crate) publisher: P,
    pub(crate) claims: C,
    pub(crate) read_model: R,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) exposition: Arc<prometheus_client::registry::Registry>,
    pub(crate) service_token: Option<ServiceToken>,
    pub(crate) admins: Option<Admins>,
    pub(crate) config: Config,
    /// One for each API request in flight.
    pub(crate) places: Places,
    /// One for each large body of a batch.
    pub(crate) large_bodies: Places,
    /// One permit for each click on its way into the log.
    pub(crate) clicks_in_flight: Arc<Semaphore>,
    /// One permit for each act of an administrator that waits for its outcome.
    pub(crate) acts_in_flight: Semaphore,
    /// How many requests the keys made.
    pub(crate) rates: Rates,
    /// The signatures taken of keys that want each to be taken once.
    pub(crate) replays: Arc<Replays>,
    /// Reports under way, by what makes them the same.
    pub(crate) flights: Arc<Flights<[u8; 16], ()>>,
    /// Idempotency keys under way, told apart by the digest of their body.
    pub(crate) keys_in_flight: Arc<Flights<(IdempotencyScope, String), [u8; 16]>>,
    /// Claims that this process made or saw lately.
    pub(crate) recent_claims: Cache<[u8; 16], Known>,
}

/// What is known of a claimed report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A conversion, and what its report said.
    Conversion(Fingerprint),
    /// A status update.
    OrderStatus,
}

impl<P: Publisher, C: Claims, R: ReadModel> Edge<P, C, R> {
    /// Puts an edge together.
    ///
    /// # Errors
    /// The configuration is out of range.
    pub fn new(parts: Parts<P, C, R>) -> Result<Edge<P, C, R>, ConfigError> {
        Edge::with_ids(parts, Ids::default())
    }

    /// As [`Edge::new`], with ids from elsewhere.
    ///
    /// # Errors
    /// As for [`Edge::new`].
    pub fn with_ids(parts: Parts<P, C, R>, ids: Ids) -> Result<Edge<P, C, R>, ConfigError> {
        parts.config.check()?;
        let percent = parts.config.merchant_share_percent;
        let places = Places::new(parts.config.in_flight_max, percent);
        let large_bodies = Places::new(parts.config.batch_bodies_max, percent);
        Ok(Edge(Arc::new(Inner {
            live: ArcSwap::from_pointee(Live::new(parts.registry, &places, &large_bodies)),
            places,
            large_bodies,
            rates: Rates::default(),
            replays: Replays::new(parts.config.replays_max, percent),
            clicks_in_flight: Arc::new(Semaphore::new(parts.config.clicks_in_flight_max)),
            flights: Flights::new(parts.config.lane_seats_max),
            keys_in_flight: Flights::new(parts.config.lane_seats_max),
            recent_claims: Cache::new(parts.config.recent_claims_max),
            publisher: parts.publisher,
            claims: parts.claims,
            read_model: parts.read_model,
            clock: parts.clock,
            ids,
            readiness: parts.readiness,
            metrics: parts.metrics,
            exposition: parts.exposition,
            service_token: parts.service_token,
            admins: parts.admins,
            acts_in_flight: Semaphore::new(ACTS_IN_FLIGHT_MAX),
            config: parts.config,
        })))
    }

    /// Puts another registry in the place of the present one: at once and as a whole for every request whose body is
    /// read from now on, on connections that are open too. Requests that were let in before end under the one they were
    /// let in under, and keep their places.
    ///
    /// Takes as long as preparing the MACs of all keys does: for many thousands of them, not a thread that answers.
    pub fn set_registry(&self, registry: Arc<Registry>) {
        self.0.rates.retain(&registry);
        self.0.live.store(Arc::new(Live::new(registry, &self.0.places, &self.0.large_bodies)));
    }

    /// The routes, for [`crate::serve`] or for a test.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// The limits and deadlines it runs under.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

impl<P, C, R> Inner<P, C, R> {
    /// The present instant.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }
}

/// A topic of the catalogue as the logs know it.
pub(crate) const fn topic(spec: &schemas::topics::TopicSpec) -> Topic {
    Topic { id: spec.number, name: spec.name }
}

impl<P, C, R> Clone for Edge<P, C, R> {
    fn clone(&self) -> Self {
        Edge(Arc::clone(&self.0))
    }
}

impl<P, C, R> fmt::Debug for Edge<P, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("auth", &self.0.live.load().auth)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
