//! `conversions ingest`: the HTTP edge on Kafka.
//!
//! Claims and read model are this process's own, in a folder, fed from the topics. It listens once the registry is there
//! and both have caught up: until it can answer, nobody is let in to wait.

mod metrics;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use ingest::{Edge, Metrics, Parts, Readiness};
use prometheus_client::registry::Registry as MetricsRegistry;
use store::EmbeddedStore;
use store::embedded::{Feeder, KafkaFeed, Loss};
use streams::SystemClock;
use streams::kafka::{Compression, Connection, KafkaPublisher, PublisherOptions, RecordReader};
use streams::store::StateFolder;

use crate::error::CliError;
use crate::registry::follower::{DemoKeys, RegistryFollower};
use crate::serving::{self, End};
use crate::settings::{ConfigArg, Settings};
use crate::threads::Threads;
use crate::up::files;
use crate::{folder, topics};

/// How long a shutdown waits for messages that the log has not acknowledged, after the requests that they are of.
const PUBLISHER_CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether the publisher still works.
const PUBLISHER_CHECK_EVERY: Duration = Duration::from_millis(200);
/// Memory for blocks of the claims and the read model.
const STATE_CACHE_BYTES: u64 = 64 << 20;

/// Run the HTTP edge on Kafka.
#[derive(Args, Debug)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Go on without what the read model lost: for when it says that it ends before the topics begin.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs until a signal or a failure; the code is success exactly if everything was ended in order.
pub(crate) fn run(args: &IngestArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let mut config = settings.ingest();
    config.connections_max = files::connections_max(config.connections_max)?;
    let wanted = settings.get("ingest.listen");
    let socket = {
        let _runtime = runtime.enter();
        serving::bind(wanted)?
    };
    let (admin, identity) = topics::open(&connection)?;
    topics::check(&topics::survey(&admin, &settings)?)?;
    drop(admin);

    let mut threads = Threads::default();
    let readiness = Readiness::new();
    let mut exposition = MetricsRegistry::default();
    let demo_keys = if wanted.ip().is_loopback() { DemoKeys::Accept } else { DemoKeys::Refuse };
    let follower = RegistryFollower::start(&connection, demo_keys)?;
    follower.register(&mut exposition);
    let mut view = follower.view();
    let early = runtime.block_on(async {
        tokio::select! {
            end = serving::end(&threads, &readiness) => end.map(Err),
            registry = view.first() => registry.map(Ok),
        }
    })?;
    let registry = match early {
        Ok(registry) => registry,
        Err(end) => return ended(end),
    };

    let data = Data::open(&settings.get::<PathBuf>("ingest.data"), &connection, identity, args.accept_loss)?;
    let Data { store, mut feeder, state, folder: path, lock } = data;
    let stop = threads.stop_flag();
    feeder.catch_up(&stop).map_err(|error| failed(&path, &error))?;
    threads.start("read-model", move |stop| feeder.run(stop))?;
    let publisher = Arc::new(publisher(&settings, &connection)?);
    threads.start("publisher", {
        let publisher = Arc::clone(&publisher);
        move |stop| watch(&publisher, stop)
    })?;
    let edge_metrics = Metrics::register(&mut exposition);
    metrics::register(&mut exposition, &publisher, &store);
    let parts = Parts {
        registry,
        publisher: Arc::clone(&publisher),
        claims: store.clone(),
        read_model: store.clone(),
        clock: Arc::new(SystemClock),
        readiness: readiness.clone(),
        metrics: edge_metrics,
        exposition: Arc::new(exposition),
        config,
    };
    let edge = Edge::new(parts).map_err(|error| CliError::Usage(error.to_string()))?;
    let (listener, address) = {
        let _runtime = runtime.enter();
        serving::listen(socket, wanted)?
    };
    readiness.caught_up();
    announce(address, &path);
    let following = runtime.spawn({
        let edge = edge.clone();
        async move {
            while let Some(registry) = view.changed().await {
                edge.set_registry(registry);
            }
        }
    });
    let end = runtime.block_on(serving::serve(listener, edge, &threads, &readiness))?;
    following.abort();
    publisher.close(PUBLISHER_CLOSE_WAIT);
    threads.stop();
    drop(follower);
    drop(store);
    let closed = state.close().map_err(|error| failed(&path, &error));
    drop(lock);
    let code = ended(end)?;
    closed.map(|()| code)
}

/// The claims and the read model, in a folder that no other process uses.
struct Data {
    store: EmbeddedStore,
    feeder: Feeder,
    state: StateFolder,
    folder: PathBuf,
    lock: File,
}

impl Data {
    fn open(path: &Path, connection: &Connection, identity: String, accept_loss: bool) -> Result<Data, CliError> {
        std::fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
        let lock = folder::lock(path, "ingest.data")?;
        let state = StateFolder::open(&path.join("state"), STATE_CACHE_BYTES).map_err(|error| failed(path, &error))?;
        let reports = RecordReader::open(connection, "reports").map_err(|error| failed(path, &error))?;
        let feed = KafkaFeed::new(connection, identity);
        let loss = if accept_loss { Loss::Accept } else { Loss::Refuse };
        let opened = EmbeddedStore::open_with(&state, &feed, Arc::new(reports), Arc::new(SystemClock), loss);
        let (store, feeder) = opened.map_err(|error| failed(path, &error))?;
        Ok(Data { store, feeder, state, folder: path.to_owned(), lock })
    }
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
fn watch(publisher: &KafkaPublisher, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Ordering::Acquire) {
        if let Some(reason) = publisher.failure() {
            return Err(reason);
        }
        thread::sleep(PUBLISHER_CHECK_EVERY);
    }
    Ok(())
}

fn announce(address: SocketAddr, data: &Path) {
    let data = data.display();
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "listening on http://{address}\ndata is in {data}");
    tracing::info!(%address, %data, "ingest");
}

fn ended(end: End) -> Result<ExitCode, CliError> {
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on"))),
        End::Signalled | End::Retired => Ok(ExitCode::SUCCESS),
    }
}

fn failed(data: &Path, error: &dyn Display) -> CliError {
    CliError::Failed(format!("the data in {}: {error}", data.display()))
}
