//! `conversions processors`: the state machines on Kafka, as many threads of each as the settings say.
//!
//! Every thread is a worker with a consumer, a transactional producer and the stores of its partitions. A registry that
//! changes makes new processors, which a worker takes between two steps.

mod metrics;
mod status;
mod workers;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use ingest::Readiness;
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::sync::oneshot;

use self::status::Views;
use self::workers::Workers;
use crate::error::CliError;
use crate::registry::follower::{Follows, RegistryFollower};
use crate::serving::{self, End, Signals};
use crate::settings::{ConfigArg, Settings};
use crate::threads::Threads;
use crate::webhooks::endpoints::{Endpoints, Named};
use crate::{folder, topics};

/// The setting of the address.
const LISTEN: &str = "processors.metrics_listen";

/// Run the state machines on Kafka: orders, clicks, the ledger and webhooks.
///
/// SIGTERM ends it and keeps its partitions for a restart within the session time-out; SIGUSR1 ends it for good, and
/// others take them at once.
#[derive(Args, Debug)]
pub(crate) struct ProcessorsArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Runs until a signal or a failure; the code is success exactly if everything was ended in order.
pub(crate) fn run(args: &ProcessorsArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let address = settings.get(LISTEN);
    let (listener, address) = {
        let _runtime = runtime.enter();
        serving::listen(serving::bind(address, LISTEN)?, address, LISTEN)?
    };
    let identity = topics::reach(&connection, &settings)?;
    let data: PathBuf = settings.get("processors.data");
    std::fs::create_dir_all(&data)
        .map_err(|error| CliError::Failed(format!("cannot make the folder {}: {error}", data.display())))?;
    let lock = folder::lock(&data, "processors.data")?;

    let mut signals = Signals::listen(runtime)?;
    let mut threads = Threads::default();
    let views = Views::default();
    let readiness = Readiness::new();
    // Before anybody can ask: what is waited for is known only once the workers are there.
    readiness.waiting_for(vec!["starting".to_owned()]);
    readiness.caught_up();
    let mut exposition = MetricsRegistry::default();
    metrics::register(&mut exposition, &views);
    let endpoints = Endpoints::default();
    endpoints.register(&mut exposition, Named::Endpoints);
    let follower = RegistryFollower::start(&connection, Follows::Processors)?;
    follower.register(&mut exposition);
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(ingest::serve_status(listener, readiness.clone(), Arc::new(exposition), async {
        let _ = stopped.await;
    }));
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "metrics on http://{address}");
    tracing::info!(%address, data = %data.display(), "processors");

    let workers = Workers::open(&settings, connection, identity, &data)?;
    let mut view = follower.view();
    let end = runtime.block_on(async {
        tokio::spawn(status::keep(readiness.clone(), views.clone()));
        tokio::select! {
            end = signals.end(&threads, &readiness) => return Ok(end),
            registry = view.first() => workers.start(&mut threads, &registry?, &view, (&views, &endpoints))?,
        }
        Ok::<End, CliError>(signals.end(&threads, &readiness).await)
    })?;
    readiness.draining();
    if matches!(end, End::Retired) {
        workers.retire();
    }
    threads.stop_for_good();
    drop(follower);
    drop(stop_serving);
    let _ = runtime.block_on(serving);
    let closed = workers.close();
    drop(lock);
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on from what is committed"))),
        End::Signalled | End::Retired => closed.map(|()| ExitCode::SUCCESS),
    }
}
