//! `conversions up`: everything in one process, on the embedded log.
//!
//! The order of opening is that of what depends on what: the address is taken, the folder locked, the log opened, the
//! state opened, the read model and the processors caught up with the log, and only then does the edge listen: until it
//! can answer, nobody is let in to wait. Closing goes the other way round, so that what the edge has accepted is
//! processed as far as it goes and synced.

pub(crate) mod args;

mod data;
mod files;
mod gauges;
mod registry;
mod workers;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ingest::{Config, Drained, Edge, Metrics, Parts, Readiness};
use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::records::ClickRecorded;
use schemas::registry::Registry;
use schemas::topics::CLICKS;
use store::embedded::Loss;
use streams::{Message, Publisher, SystemClock};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use self::args::UpArgs;
use self::data::DataFolder;
use self::workers::Workers;
use crate::error::CliError;

/// Connections that the system holds for the edge to accept.
const BACKLOG: u32 = 1_024;
/// Clicks of the registry recorded with one sync.
const CLICKS_PER_SYNC: usize = 1_000;

type LocalEdge = Edge<streams::embedded::EmbeddedLog, store::EmbeddedStore, store::EmbeddedStore>;

/// Runs until a signal or a failure; the code is success exactly if everything was closed in order.
pub(crate) fn run(args: &UpArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    let registry = Arc::new(registry::load(args)?);
    let connections_max = files::connections_max(Config::default().connections_max)?;
    let socket = {
        let _runtime = runtime.enter();
        bind(args.listen)?
    };
    let loss = if args.accept_loss { Loss::Accept } else { Loss::Refuse };
    let mut data = DataFolder::open(&args.data, loss)?;
    let readiness = Readiness::new();
    let mut metrics = MetricsRegistry::default();
    let mut feeder = data.feeder.take().expect("a folder just opened has its feeder");
    feeder.catch_up(&AtomicBool::new(false)).map_err(|error| data.failed(&error))?;
    record_clicks(&data, &registry, runtime)?;
    let workers = Workers::start(&data, feeder, &registry, args.log_retention)?;
    let edge_metrics = Metrics::register(&mut metrics);
    gauges::register(&mut metrics, &data, &workers);
    let parts = Parts {
        registry,
        publisher: data.log.clone(),
        claims: data.store.clone(),
        read_model: data.store.clone(),
        clock: Arc::new(SystemClock),
        readiness: readiness.clone(),
        metrics: edge_metrics,
        exposition: Arc::new(metrics),
        config: Config { connections_max, ..Config::default() },
    };
    let edge: LocalEdge = Edge::new(parts).map_err(|error| CliError::Usage(error.to_string()))?;
    runtime.block_on(workers.ready()).map_err(|reason| data.failed(&reason))?;
    let listener = {
        let _runtime = runtime.enter();
        socket.listen(BACKLOG).map_err(|error| cannot_listen(args.listen, &error))?
    };
    let address = listener.local_addr().map_err(|error| cannot_listen(args.listen, &error))?;
    readiness.caught_up();
    announce(args, address);
    let failure = runtime.block_on(serve(listener, edge, &workers, readiness))?;
    close(data, workers, failure)
}

/// Takes the address without letting anybody in yet.
fn bind(address: SocketAddr) -> Result<TcpSocket, CliError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // The address may be taken again while connections of the process before are still being closed.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    });
    bound.map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> CliError {
    CliError::Failed(format!(
        "cannot listen on {address} ({error}): stop what listens there, or choose another address with --listen"
    ))
}

/// Records the registry's clicks; those that are known already change nothing.
fn record_clicks(data: &DataFolder, registry: &Registry, runtime: &tokio::runtime::Runtime) -> Result<(), CliError> {
    for clicks in registry.clicks().chunks(CLICKS_PER_SYNC) {
        let message = |click: &ClickRecorded| Message {
            topic: processors::topic(&CLICKS),
            key: click.click_id.clone().into_bytes(),
            value: schemas::encode(click),
        };
        let written = data.log.publish(clicks.iter().map(message).collect()).map(|pending| runtime.block_on(pending));
        written
            .and_then(|ack| ack)
            .map_err(|error| CliError::Failed(format!("cannot record the registry's clicks: {error}")))?;
    }
    Ok(())
}

fn announce(args: &UpArgs, address: SocketAddr) {
    let data = args.data.display();
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "listening on http://{address}\ndata is in {data}");
    tracing::info!(%address, %data, "up");
}

/// Serves until a signal comes or a worker stops; the latter's reason is returned.
async fn serve(
    listener: TcpListener,
    edge: LocalEdge,
    workers: &Workers,
    readiness: Readiness,
) -> Result<Option<String>, CliError> {
    let cannot = |error: io::Error| CliError::Failed(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut failure = None;
    let shutdown = async {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("interrupted: shutting down"),
            _ = terminate.recv() => tracing::info!("terminated: shutting down"),
            reason = workers.failed() => {
                tracing::error!(reason, "a worker stopped: shutting down");
                readiness.failed(reason.as_str());
                failure = Some(reason);
            }
        }
    };
    match ingest::serve(listener, edge, shutdown).await {
        Drained::Completely => {}
        Drained::Cut { connections, requests } => {
            tracing::warn!(connections, requests, "the shutdown deadline passed: the senders will retry");
        }
    }
    Ok(failure)
}

fn close(data: DataFolder, workers: Workers, failure: Option<String>) -> Result<ExitCode, CliError> {
    workers.stop();
    let closed = data.close();
    match failure {
        Some(reason) => Err(CliError::Failed(format!("{reason}; start again to go on from what the log holds"))),
        None => closed.map(|()| ExitCode::SUCCESS),
    }
}
