//! `conversions webhooks`: sends merchants' webhooks from Kafka.
//!
//! Its own process, since it has the secrets and talks to the world: the state machines of `conversions processors`, which
//! say what is to be sent, need neither.

pub(crate) mod endpoints;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::webhooks::{Client, ClientOptions, Metrics, Parts, Sender, SenderOptions};
use clap::Args;
use ingest::Readiness;
use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::registry::Registry;
use streams::kafka::{Connection, KafkaPublisher, PublisherOptions};
use streams::{Publisher, SystemClock};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use crate::error::CliError;
use crate::ingest::watch_publisher;
use crate::registry::follower::{Follows, RegistryFollower, RegistryView};
use crate::registry::master_keys;
use crate::serving::{self, End, Signals};
use crate::settings::{ConfigArg, Settings};
use crate::threads::Threads;
use crate::topics;

/// The setting of the address.
const LISTEN: &str = "webhooks.metrics_listen";
/// How long a shutdown waits for attempts under way; what is cut off is attempted again.
pub(crate) const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);
/// How often readiness is brought up to date.
const READINESS_EVERY: Duration = Duration::from_millis(100);
/// How long it then waits for their outcomes to be written.
const PUBLISHER_CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Send merchants' webhooks, as the processors say when.
///
/// Several share the partitions. It needs the master key of the registry, and keeps nothing: what one leaves when it ends, or
/// is ended, another sends within a minute.
#[derive(Args, Debug)]
pub(crate) struct WebhooksArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Makes a sender.
///
/// # Errors
/// The system's certificates cannot be used.
pub(crate) fn sender(
    registry: Arc<Registry>,
    publisher: Arc<dyn Publisher>,
    exposition: &mut MetricsRegistry,
    runtime: &Handle,
    (client, options): (ClientOptions, SenderOptions),
) -> Result<Sender, CliError> {
    let clock = Arc::new(SystemClock);
    let client =
        Client::new(client, Arc::<SystemClock>::clone(&clock)).map_err(|error| CliError::Failed(error.to_string()))?;
    let (metrics, runtime) = (Metrics::register(exposition), runtime.clone());
    Ok(Sender::new(Parts { registry, publisher, client, clock, metrics, runtime, options }))
}

/// Runs until a signal or a failure; the code is success exactly if everything was ended in order.
pub(crate) fn run(args: &WebhooksArgs, runtime: &Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let address: SocketAddr = settings.get(LISTEN);
    let (listener, address) = {
        let _runtime = runtime.enter();
        serving::listen(serving::bind(address, LISTEN)?, address, LISTEN)?
    };
    let follows = Follows::Sender { master_keys: master_keys::load(&settings)? };
    topics::reach(&connection, &settings)?;
    let mut signals = Signals::listen(runtime)?;
    let mut threads = Threads::default();
    let readiness = Readiness::new();
    readiness.waiting_for(vec!["no registry yet: write one with conversions apply".to_owned()]);
    readiness.caught_up();
    let mut exposition = MetricsRegistry::default();
    let follower = RegistryFollower::start(&connection, follows)?;
    follower.register(&mut exposition);
    let mut view = follower.view();
    let first = runtime.block_on(async {
        tokio::select! {
            end = signals.end(&threads, &readiness) => Err(end),
            registry = view.first() => Ok(registry),
        }
    });
    let registry = match first {
        Ok(registry) => registry?,
        Err(end) => return ended(end),
    };
    let publisher = publisher(&connection)?;
    let watched = Arc::clone(&publisher);
    threads.start("publisher", move |stop| watch_publisher(&watched, stop))?;
    let sender = sender(
        registry,
        Arc::<KafkaPublisher>::clone(&publisher),
        &mut exposition,
        runtime.handle(),
        (settings.webhooks_client(), settings.webhooks_sender()),
    )?;
    let reads = Arc::new(AtomicBool::new(false));
    let (reading, told) = (sender.clone(), Arc::clone(&reads));
    threads.start("webhooks", move |stop| ::webhooks::run_kafka(&connection, &reading, &told, stop))?;
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(ingest::serve_status(listener, readiness.clone(), Arc::new(exposition), async {
        let _ = stopped.await;
    }));
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "metrics on http://{address}");
    tracing::info!(%address, "webhooks");
    let tasks = [runtime.spawn(follow(view, sender.clone())), runtime.spawn(keep_readiness(readiness.clone(), reads))];
    let end = runtime.block_on(signals.end(&threads, &readiness));
    readiness.draining();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    threads.stop_for_good();
    stop(&sender);
    publisher.close(PUBLISHER_CLOSE_WAIT);
    drop(follower);
    drop(stop_serving);
    let _ = runtime.block_on(serving);
    ended(end)
}

/// Has every registry that takes the place of another be the sender's.
async fn follow(mut view: RegistryView, sender: Sender) {
    while let Some(registry) = view.changed().await {
        sender.set_registry(registry);
    }
}

/// Ends a sender: attempts under way are waited for.
pub(crate) fn stop(sender: &Sender) {
    if !sender.stop(SHUTDOWN_WAIT) {
        tracing::warn!("webhooks under way were cut off: they are sent again");
    }
}

/// Keeps readiness up to date for as long as the process runs.
async fn keep_readiness(readiness: Readiness, reads: Arc<AtomicBool>) {
    loop {
        let waiting = if reads.load(Ordering::Acquire) { None } else { Some("waiting for partitions".to_owned()) };
        readiness.waiting_for(waiting.into_iter().collect());
        tokio::time::sleep(READINESS_EVERY).await;
    }
}

fn publisher(connection: &Connection) -> Result<Arc<KafkaPublisher>, CliError> {
    let opened = KafkaPublisher::open(connection, "webhooks", PublisherOptions::default());
    opened.map(Arc::new).map_err(|error| CliError::Usage(format!("webhooks: {error}")))
}

fn ended(end: End) -> Result<ExitCode, CliError> {
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on"))),
        End::Signalled | End::Retired => Ok(ExitCode::SUCCESS),
    }
}
