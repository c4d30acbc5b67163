//! Connections: accepted up to a bound, cut when they idle, and finished before the process ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Config;
use crate::edge::Edge;
use crate::progress::Progress;
use crate::readiness::Readiness;
use crate::routes::health::Status;

/// How long to wait after the system refused to accept a connection, as it does when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a shutdown leaves a connection for the rest of a head that is half there.
const HEAD_GRACE: Duration = Duration::from_millis(500);
/// Connections that a process without an edge keeps open: those of probes and of what collects metrics.
const STATUS_CONNECTIONS_MAX: usize = 64;
/// Largest head of a request in bytes; the crate's documentation and that of [`crate::Config`] name it.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// Every accepted request was answered and every report published and claimed.
    Completely,
    /// The shutdown deadline passed first.
    Cut {
        /// Connections that were closed with a request under way.
        connections: usize,
        /// Reports that were still under way, whose senders got no answer and will retry.
        requests: usize,
    },
}

/// Serves an edge until `shutdown` resolves; then tells through readiness that no more should come, stops accepting,
/// and finishes what was accepted within the configured deadline. The log is to be closed after this returns.
///
/// # Panics
/// Never: the semaphores it waits on are not closed.
pub async fn serve<P: Publisher, C: Claims, R: ReadModel>(
    listener: TcpListener,
    edge: Edge<P, C, R>,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let config = edge.config().clone();
    let service = Service::new(edge.router(), config.idle_deadline, edge.0.metrics.connections.clone());
    let readiness = edge.0.readiness.clone();
    let connections = accept(listener, config.connections_max, service, readiness, shutdown).await;
    drain(&edge, connections, Instant::now() + config.shutdown_deadline).await
}

/// Serves health and metrics alone, with the bounds of an edge, until `shutdown` resolves.
///
/// # Panics
/// As [`serve`].
pub async fn serve_status(
    listener: TcpListener,
    readiness: Readiness,
    exposition: Arc<Registry>,
    shutdown: impl Future<Output = ()>,
) {
    let config = Config::default();
    let router = Status { readiness: readiness.clone(), exposition }.router();
    let service = Service::new(router, config.idle_deadline, Gauge::default());
    let mut connections = accept(listener, STATUS_CONNECTIONS_MAX, service, readiness, shutdown).await;
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_at(Instant::now() + HEAD_GRACE, all_ended).await;
    connections.shutdown().await;
}

/// Accepts connections until `shutdown` resolves, tells through readiness that no more should come, and asks those that
/// are open to end.
async fn accept(
    listener: TcpListener,
    connections_max: usize,
    service: Service,
    readiness: Readiness,
    shutdown: impl Future<Output = ()>,
) -> JoinSet<()> {
    let slots = Arc::new(Semaphore::new(connections_max));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            listener.accept().await.map(|(stream, address)| (stream, address, slot))
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address, slot)) => {
                connections.spawn(service.clone().run(stream, address, slot, stopped.clone()));
            }
            Err(error) => pause_after(&error).await,
        }
        // Ended connections are forgotten here, so that the set holds only those open.
        while connections.try_join_next().is_some() {}
    }
    readiness.draining();
    drop(stop);
    connections
}

async fn pause_after(error: &io::Error) {
    // The first three are the fault of one client that went away while it was being accepted.
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {}
        _ => {
            tracing::error!(%error, "accepting a connection failed");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn drain<P, C, R>(edge: &Edge<P, C, R>, mut connections: JoinSet<()>, deadline: Instant) -> Drained {
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_at(deadline, all_ended).await;
    let cut = connections.len();
    connections.shutdown().await;
    // A report whose sender went away is on no connection, yet in flight.
    let edge = &edge.0;
    let in_flight_ended = timeout_at(deadline, edge.places.all_free()).await.is_ok();
    let requests = if in_flight_ended { 0 } else { edge.places.taken() };
    if cut == 0 && requests == 0 { Drained::Completely } else { Drained::Cut { connections: cut, requests } }
}

/// What every connection runs.
#[derive(Clone)]
struct Service {
    router: TowerToHyperService<Router>,
    http: http1::Builder,
    /// Those open.
    connections: Gauge,
    idle_deadline: Duration,
}

impl Service {
    fn new(router: Router, idle_deadline: Duration, connections: Gauge) -> Service {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(idle_deadline);
        // The first bounds a head, and the second what is read ahead of it.
        http.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
        Service { router: TowerToHyperService::new(router), http, connections, idle_deadline }
    }

    async fn run(
        self,
        stream: TcpStream,
        address: SocketAddr,
        slot: OwnedSemaphorePermit,
        mut stopped: watch::Receiver<()>,
    ) {
        let _slot = slot;
        let _open = Open::new(self.connections);
        // An answer is one small write: waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Progress::new(stream, self.idle_deadline));
        let (turns, router) = (Turns::default(), self.router);
        let service = service_fn(|mut request: Request<Incoming>| {
            let turn = turns.begin();
            request.extensions_mut().insert(ConnectInfo(address));
            let answer = router.call(request);
            async move {
                let _turn = turn;
                answer.await
            }
        });
        let mut connection = pin!(self.http.serve_connection(stream, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = turns.at_rest(HEAD_GRACE) => return tracing::debug!("connection cut without a request"),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// How often a connection went from rest to a request and back: odd while a request is under way.
#[derive(Debug, Default)]
struct Turns(AtomicU64);

/// A request under way.
struct Turn<'a>(&'a AtomicU64);

impl Turns {
    fn begin(&self) -> Turn<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Turn(&self.0)
    }

    /// Waits until there was no request, not even one that ended, for as long as `grace`.
    async fn at_rest(&self, grace: Duration) {
        loop {
            let before = self.0.load(Ordering::Relaxed);
            sleep(grace).await;
            if before.is_multiple_of(2) && before == self.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a connection while it is open.
struct Open(Gauge);

impl Open {
    fn new(connections: Gauge) -> Open {
        connections.inc();
        Open(connections)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
