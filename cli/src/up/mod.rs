//! `conversions up`: everything in one process, on the embedded log.
//!
//! The order of opening is that of what depends on what: the address is taken, the folder locked, the log opened, the
//! state opened, the read model and the processors caught up with the log, and only then does the edge listen: until it
//! can answer, nobody is let in to wait. Closing goes the other way round, so that what the edge has accepted is
//! processed as far as it goes and synced.

pub(crate) mod args;

mod data;
pub(crate) mod files;
mod gauges;
pub(crate) mod registry;
mod webhooks;
mod workers;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ingest::{Config, Edge, Metrics, Parts, Readiness};
use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::registry::Registry;
use store::embedded::Loss;
use streams::{Message, Publisher, SystemClock};

use self::args::UpArgs;
use self::data::DataFolder;
use self::webhooks::Webhooks;
use self::workers::Workers;
use crate::admins;
use crate::error::CliError;
use crate::registry::file;
use crate::service_token;
use crate::serving::{self, End, Signals};
use crate::webhooks::endpoints::Named;

/// Clicks of the registry recorded with one sync.
const CLICKS_PER_SYNC: usize = 1_000;

type LocalEdge = Edge<streams::embedded::EmbeddedLog, store::EmbeddedStore, store::EmbeddedStore>;

/// Runs until a signal or a failure; the code is success exactly if everything was closed in order.
pub(crate) fn run(args: &UpArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    let registry = Arc::new(registry::load(args)?);
    let service_token = service_token::of_file_or_variable(args.service_token_file.as_deref())?;
    let admins = args.admin_tokens_file.as_deref().map(admins::of_file).transpose()?;
    let connections_max = files::connections_max(Config::default().connections_max)?;
    let socket = {
        let _runtime = runtime.enter();
        serving::bind(args.listen, "--listen")?
    };
    let loss = if args.accept_loss { Loss::Accept } else { Loss::Refuse };
    let mut data = DataFolder::open(&args.data, loss)?;
    let readiness = Readiness::new();
    let mut metrics = MetricsRegistry::default();
    let mut feeder = data.feeder.take().expect("a folder just opened has its feeder");
    feeder.catch_up(&AtomicBool::new(false)).map_err(|error| data.failed(&error))?;
    record_clicks(&data, &registry, runtime)?;
    // Before the state machine that says what is to be sent: nothing of that is missed.
    let webhooks = Webhooks::open(args, &data, &registry, (&mut metrics, runtime))?;
    let mut workers = Workers::start(&data, feeder, &registry, args.log_retention)?;
    if let Some(webhooks) = &webhooks {
        webhooks.start(&mut workers.threads)?;
    }
    workers.endpoints.register(&mut metrics, Named::Nobody);
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
        service_token,
        admins,
        config: Config { connections_max, trusted_proxies: args.trusted_proxies, ..Config::default() },
    };
    let edge: LocalEdge = Edge::new(parts).map_err(|error| CliError::Usage(error.to_string()))?;
    runtime.block_on(workers.ready()).map_err(|reason| data.failed(&reason))?;
    let (listener, address) = {
        let _runtime = runtime.enter();
        serving::listen(socket, args.listen, "--listen")?
    };
    let mut signals = Signals::listen(runtime)?;
    readiness.caught_up();
    announce(args, address);
    let end = runtime.block_on(serving::serve(listener, edge, &mut signals, &workers.threads, &readiness));
    close(data, workers, webhooks, end)
}

/// Records the registry's clicks; those that are known already change nothing.
fn record_clicks(data: &DataFolder, registry: &Registry, runtime: &tokio::runtime::Runtime) -> Result<(), CliError> {
    let clicks: Vec<Message> = file::clicks(registry).collect();
    for clicks in clicks.chunks(CLICKS_PER_SYNC) {
        let written = data.log.publish(clicks.to_vec()).map(|pending| runtime.block_on(pending));
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

fn close(data: DataFolder, workers: Workers, webhooks: Option<Webhooks>, end: End) -> Result<ExitCode, CliError> {
    workers.threads.stop_for_good();
    if let Some(webhooks) = webhooks {
        webhooks.stop();
    }
    let closed = data.close();
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on from what the log holds"))),
        End::Signalled | End::Retired => closed.map(|()| ExitCode::SUCCESS),
    }
}
