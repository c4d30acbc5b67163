//! `conversions ingest`: the HTTP edge on Kafka.
//!
//! Claims and read model are those that all edges share, or this process's own, in a folder, fed from the topics. It
//! listens once the registry is there and its own have caught up: until it can answer, nobody is let in to wait. The shared
//! ones it does not wait for.

mod data;
mod metrics;
mod shared;
mod stores;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use ingest::{Edge, Metrics, Parts, Readiness};
use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::registry::Registry;
use store::embedded::{FeedError, Feeder, Loss};
use streams::SystemClock;
use streams::kafka::{Compression, Connection, KafkaPublisher, PublisherOptions};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use self::data::Data;
use self::shared::Shared;
use self::stores::Stores;
use crate::admins;
use crate::error::CliError;
use crate::registry::follower::{DemoKeys, Follows, RegistryFollower, RegistryView};
use crate::registry::master_keys;
use crate::service_token;
use crate::serving::{self, End, Signals};
use crate::settings::{ConfigArg, Settings};
use crate::threads::Threads;
use crate::topics;
use crate::up::files;

/// The setting of the address.
const LISTEN: &str = "ingest.listen";
/// How long a shutdown waits for messages that the log has not acknowledged, after the requests that they are of.
const PUBLISHER_CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether the publisher still works.
const PUBLISHER_CHECK_EVERY: Duration = Duration::from_millis(200);

type KafkaEdge<S> = Edge<Arc<KafkaPublisher>, <S as Stores>::Claims, <S as Stores>::ReadModel>;

/// Run the HTTP edge on Kafka.
#[derive(Args, Debug)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Go on without what the edge's own read model lost: for when it says that it ends before the topics begin.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs until a signal or a failure; the code is success exactly if everything was ended in order.
pub(crate) fn run(args: &IngestArgs, runtime: &Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let address: SocketAddr = settings.get(LISTEN);
    let socket = {
        let _runtime = runtime.enter();
        serving::bind(address, LISTEN)?
    };
    let demo_keys = if address.ip().is_loopback() { DemoKeys::Accept } else { DemoKeys::Refuse };
    let follows = Follows::Edge { demo_keys, master_keys: master_keys::load(&settings)? };
    let identity = topics::reach(&connection, &settings)?;
    let mut process = Process::new(follows, &connection, runtime)?;
    let mut view = process.follower.view();
    let registry = match process.until(runtime, view.first()) {
        Ok(registry) => registry?,
        Err(end) => return process.ended(end),
    };
    let edge = Opening { settings: &settings, connection: &connection, socket, address, registry, view };
    if let Some(options) = settings.shared_store() {
        let shared = Shared::open(options, &connection, runtime)?;
        shared.watch(identity, &process.readiness, &mut process.threads, runtime)?;
        return edge.serve(process, shared, runtime);
    }
    let loss = if args.accept_loss { Loss::Accept } else { Loss::Refuse };
    let (data, feeder) = Data::open(&settings.get::<PathBuf>("ingest.data"), &connection, identity, loss)?;
    let caught_up = feed(&mut process.threads, feeder)?;
    if let Err(end) = process.until(runtime, caught_up) {
        process.threads.stop_for_good();
        data.close()?;
        return ended(end);
    }
    edge.serve(process, data, runtime)
}

/// An edge that can begin as soon as it has its stores.
struct Opening<'a> {
    settings: &'a Settings,
    connection: &'a Connection,
    socket: TcpSocket,
    address: SocketAddr,
    registry: Arc<Registry>,
    view: RegistryView,
}

impl Opening<'_> {
    /// Serves until the process is to end.
    fn serve<S: Stores>(self, mut process: Process, stores: S, runtime: &Runtime) -> Result<ExitCode, CliError> {
        let Opening { settings, connection, socket, address, registry, mut view } = self;
        let publisher = process.publisher(settings, connection)?;
        let edge = process.edge(settings, registry, &publisher, &stores)?;
        let (listener, address) = {
            let _runtime = runtime.enter();
            serving::listen(socket, address, LISTEN)?
        };
        process.readiness.caught_up();
        announce(address, &stores.place());
        let following = runtime.spawn({
            let edge = edge.clone();
            async move {
                while let Some(registry) = view.changed().await {
                    edge.set_registry(registry);
                }
            }
        });
        let Process { signals, threads, readiness, .. } = &mut process;
        let end = runtime.block_on(serving::serve(listener, edge, signals, threads, readiness));
        following.abort();
        // What still holds the edge's parts ends with the task.
        let _ = runtime.block_on(following);
        publisher.close(PUBLISHER_CLOSE_WAIT);
        let ended = process.ended(end);
        stores.close().and(ended)
    }
}

/// What the edge runs beside.
struct Process {
    signals: Signals,
    threads: Threads,
    readiness: Readiness,
    exposition: MetricsRegistry,
    follower: RegistryFollower,
}

impl Process {
    fn new(follows: Follows, connection: &Connection, runtime: &Runtime) -> Result<Process, CliError> {
        let mut exposition = MetricsRegistry::default();
        let follower = RegistryFollower::start(connection, follows)?;
        follower.register(&mut exposition);
        Ok(Process {
            signals: Signals::listen(runtime)?,
            threads: Threads::default(),
            readiness: Readiness::new(),
            exposition,
            follower,
        })
    }

    /// Waits for something, or for the end of the process.
    fn until<T>(&mut self, runtime: &Runtime, what: impl Future<Output = T>) -> Result<T, End> {
        runtime.block_on(async {
            tokio::select! {
                end = self.signals.end(&self.threads, &self.readiness) => Err(end),
                done = what => Ok(done),
            }
        })
    }

    fn publisher(&mut self, settings: &Settings, connection: &Connection) -> Result<Arc<KafkaPublisher>, CliError> {
        let publisher = Arc::new(publisher(settings, connection)?);
        let watched = Arc::clone(&publisher);
        self.threads.start("publisher", move |stop| watch_publisher(&watched, stop))?;
        Ok(publisher)
    }

    fn edge<S: Stores>(
        &mut self,
        settings: &Settings,
        registry: Arc<Registry>,
        publisher: &Arc<KafkaPublisher>,
        stores: &S,
    ) -> Result<KafkaEdge<S>, CliError> {
        let metrics = Metrics::register(&mut self.exposition);
        metrics::register_publisher(&mut self.exposition, publisher);
        stores.register(&mut self.exposition);
        let (claims, read_model) = stores.both();
        let mut config = settings.ingest();
        config.connections_max = files::connections_max(config.connections_max)?;
        let parts = Parts {
            registry,
            publisher: Arc::clone(publisher),
            claims,
            read_model,
            clock: Arc::new(SystemClock),
            readiness: self.readiness.clone(),
            metrics,
            exposition: Arc::new(std::mem::take(&mut self.exposition)),
            service_token: service_token::of_settings(settings)?,
            admins: admins::of_settings(settings)?,
            config,
        };
        Edge::new(parts).map_err(|error| CliError::Usage(error.to_string()))
    }

    /// Stops what is running, and says how it ended.
    fn ended(self, end: End) -> Result<ExitCode, CliError> {
        self.threads.stop_for_good();
        drop(self.follower);
        ended(end)
    }
}

/// Keeps the read model up with the log, in a thread; what is returned resolves once it has caught up.
fn feed(threads: &mut Threads, mut feeder: Feeder) -> Result<impl Future<Output = ()> + use<>, CliError> {
    let (sender, caught_up) = oneshot::channel();
    threads.start("read-model", move |stop| {
        if feeder.catch_up(stop)? {
            let _ = sender.send(());
            feeder.run(stop)?;
        }
        Ok::<(), FeedError>(())
    })?;
    Ok(async {
        // Without an answer the thread has failed, which is heard of otherwise.
        if caught_up.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn publisher(settings: &Settings, connection: &Connection) -> Result<KafkaPublisher, CliError> {
    let options = PublisherOptions {
        linger: settings.get("ingest.linger"),
        compression: compression(&settings.get::<String>("ingest.compression")),
        queue_messages_max: settings.get("ingest.queue_messages_max"),
        queue_bytes_max: settings.get("ingest.queue_bytes_max"),
        delivery_timeout: settings.get("ingest.delivery_timeout"),
        ..PublisherOptions::default()
    };
    KafkaPublisher::open(connection, "ingest", options).map_err(|error| CliError::Usage(format!("ingest: {error}")))
}

fn compression(name: &str) -> Compression {
    match name {
        "none" => Compression::None,
        "lz4" => Compression::Lz4,
        "snappy" => Compression::Snappy,
        "gzip" => Compression::Gzip,
        other => unreachable!("the settings do not allow the compression {other}"),
    }
}

/// Ends once the producer can do nothing more: the process is to begin anew with another.
pub(crate) fn watch_publisher(publisher: &KafkaPublisher, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Ordering::Acquire) {
        if let Some(reason) = publisher.failure() {
            return Err(reason);
        }
        publisher.renew_if_silent().map_err(|error| error.to_string())?;
        thread::sleep(PUBLISHER_CHECK_EVERY);
    }
    Ok(())
}

fn announce(address: SocketAddr, place: &str) {
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "listening on http://{address}\n{place}");
    tracing::info!(%address, "ingest: {place}");
}

fn ended(end: End) -> Result<ExitCode, CliError> {
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on"))),
        End::Signalled | End::Retired => Ok(ExitCode::SUCCESS),
    }
}
