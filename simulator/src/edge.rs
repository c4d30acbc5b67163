//! A process of the edge: what production runs, from the router down, over the model's publisher.
//!
//! There are no sockets: a request goes to the router, and its answer is taken from it. Everything that the edge spawns
//! runs on a runtime of its own, whose clock is the simulation's, and ends with it: a crash is the end of that runtime,
//! between any two waits of any task.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use http_body_util::BodyExt as _;
use ingest::{Edge, Ids, Metrics, Parts, Readiness};
use schemas::Timestamp;
use schemas::registry::Registry;
use streams::kafka::PublisherOptions;
use streams::sim::{Cluster, Process, SimPublisher};
use tower::ServiceExt as _;

use crate::edge_store::EdgeStore;
use crate::http::{Call, Reply};
use crate::random::Random;
use crate::tasks::{TURNS_MAX, Tasks};

/// A process of the edge.
pub(crate) struct EdgeProcess {
    pub(crate) process: Process,
    edge: Edge<SimPublisher, EdgeStore, EdgeStore>,
    router: Router,
    tasks: Tasks,
    replies: Arc<Mutex<Vec<Reply>>>,
    open: Arc<AtomicUsize>,
}

impl EdgeProcess {
    pub(crate) fn start(
        cluster: &Cluster,
        name: &str,
        registry: &Arc<Registry>,
        claims: &EdgeStore,
        (publisher, config): (&PublisherOptions, &ingest::Config),
        ids: Random,
    ) -> EdgeProcess {
        let process = cluster.process(name);
        let mut exposition = prometheus_client::registry::Registry::default();
        let metrics = Metrics::register(&mut exposition);
        let parts = Parts {
            registry: Arc::clone(registry),
            publisher: process.publisher(publisher.clone()),
            claims: claims.clone(),
            read_model: claims.clone(),
            clock: Arc::new(process.clock()),
            readiness: Readiness::new(),
            metrics,
            exposition: Arc::new(exposition),
            service_token: None,
            admins: None,
            config: config.clone(),
        };
        let edge = Edge::with_ids(parts, ids_of(ids)).expect("the topology keeps to the edge's ranges");
        let (router, tasks) = (edge.router(), Tasks::new(cluster));
        EdgeProcess { process, edge, router, tasks, replies: Arc::default(), open: Arc::default() }
    }

    pub(crate) fn set_registry(&self, registry: &Arc<Registry>) {
        self.edge.set_registry(Arc::clone(registry));
    }

    /// Whether a request is under way, or something that was begun for one.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0 || self.tasks.alive() > 0
    }

    /// Lets a request come in.
    pub(crate) fn take(&self, call: &Call, edge: usize, sent_ms: i64) {
        let (router, request, ticket) = (self.router.clone(), call.request(), call.ticket);
        let (replies, open) = (Arc::clone(&self.replies), Arc::clone(&self.open));
        open.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let status = response.status().as_u16();
            let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let text = String::from_utf8_lossy(&body).into_owned();
            let reply = Reply { ticket, edge, sent_ms, status, location, text };
            replies.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Lets its tasks go on, at this time, so many turns each at the most; what was answered.
    pub(crate) fn go_on(&mut self, now: Duration, turns: u64) -> Vec<Reply> {
        self.tasks.go_on(now, turns);
        std::mem::take(&mut *self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets its tasks go on until each waits for something.
    pub(crate) fn settle(&mut self, now: Duration) -> Vec<Reply> {
        self.go_on(now, TURNS_MAX)
    }
}

/// Ids that follow from the seed.
fn ids_of(random: Random) -> Ids {
    let random = Mutex::new(random);
    Ids::new(move |now: Timestamp| {
        let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bits, high, low) = ([0; 10], random.next().to_be_bytes(), random.next().to_be_bytes());
        bits[..8].copy_from_slice(&high);
        bits[8..].copy_from_slice(&low[..2]);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.0).unwrap_or(0), &bits).into_uuid()
    })
}

impl fmt::Debug for EdgeProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeProcess")
            .field("process", &self.process)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
