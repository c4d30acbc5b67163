//! `conversions materializer`: writes the shared read model and mends claims, as many threads of each as the settings say.
//!
//! Every thread is a member of its task's group, with a Kafka client of its own. All share one session with the store.

mod metrics;
mod status;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use ingest::Readiness;
use prometheus_client::registry::Registry as MetricsRegistry;
use store::cql::{ClaimKeeper, Cql, Materializer, MaterializerOptions, Task, Writer};
use streams::SystemClock;
use streams::kafka::{Connection, GroupOptions, Overtaken};
use streams::log::Limits;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use self::status::{View, Views};
use crate::error::CliError;
use crate::serving::{self, End, Signals};
use crate::settings::{ConfigArg, Settings};
use crate::shared_store;
use crate::threads::Threads;
use crate::topics;

/// The setting of the address.
const LISTEN: &str = "materializer.metrics_listen";

/// Write the shared read model from the topics, and make claims good that their edge could not make.
///
/// Several share the partitions, and another one beside them does no harm. What was written stays written: it goes on
/// from there whenever it is started, and waits for a store that is away. SIGTERM ends it after what it is at.
#[derive(Args, Debug)]
pub(crate) struct MaterializerArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Go on without what the topics have dropped: for when it says that they begin after what is written.
    #[arg(long)]
    pub(crate) accept_loss: bool,
}

/// What to do about topics that have dropped what was not written.
pub(crate) fn overtaken(accept_loss: bool) -> Overtaken {
    if accept_loss { Overtaken::GoOn } else { Overtaken::Refuse }
}

/// Runs until a signal or a failure; the code is success exactly if everything was ended in order.
pub(crate) fn run(args: &MaterializerArgs, runtime: &Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let options = settings.needed_shared_store()?;
    let workers = Workers::new(&settings, args)?;
    let address: SocketAddr = settings.get(LISTEN);
    let (listener, address) = {
        let _runtime = runtime.enter();
        serving::listen(serving::bind(address, LISTEN)?, address, LISTEN)?
    };
    let identity = topics::reach(&connection, &settings)?;
    let cql = shared_store::open(options, runtime)?;
    let (writer, keeper) = (Writer::new(&cql), ClaimKeeper::new(&cql, Arc::new(SystemClock)));

    let mut signals = Signals::listen(runtime)?;
    let mut threads = Threads::default();
    let views = workers.start(&mut threads, (&cql, &writer, &keeper), (&connection, &identity), runtime)?;
    let readiness = Readiness::new();
    readiness.waiting_for(views.reasons(&cql));
    readiness.caught_up();
    let mut exposition = MetricsRegistry::default();
    metrics::register(&mut exposition, &views, &writer, &keeper);
    shared_store::metrics::register_link(&mut exposition, &cql);
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(ingest::serve_status(listener, readiness.clone(), Arc::new(exposition), async {
        let _ = stopped.await;
    }));
    // Nothing is lost if nobody reads it.
    let _ = writeln!(io::stdout().lock(), "metrics on http://{address}");
    tracing::info!(%address, "materializer");

    let end = runtime.block_on(async {
        tokio::spawn(status::keep(readiness.clone(), views, cql.clone()));
        signals.end(&threads, &readiness).await
    });
    readiness.draining();
    threads.stop_for_good();
    drop(stop_serving);
    let _ = runtime.block_on(serving);
    match end {
        End::Failed(reason) => Err(CliError::Failed(format!("{reason}; start again to go on from what is written"))),
        End::Signalled | End::Retired => Ok(ExitCode::SUCCESS),
    }
}

/// How the threads work.
struct Workers {
    each: usize,
    options: MaterializerOptions,
}

impl Workers {
    fn new(settings: &Settings, args: &MaterializerArgs) -> Result<Workers, CliError> {
        let group = GroupOptions {
            session_timeout: settings.get("materializer.session_timeout"),
            overtaken: overtaken(args.accept_loss),
            ..GroupOptions::default()
        };
        group.check().map_err(|error| CliError::Usage(format!("materializer.{error}")))?;
        let limits = Limits {
            records_max: settings.get("materializer.records_max"),
            bytes_max: settings.get("materializer.bytes_max"),
        };
        Ok(Workers { each: settings.get("materializer.workers"), options: MaterializerOptions { group, limits } })
    }

    /// Starts all of them.
    fn start(
        &self,
        threads: &mut Threads,
        (cql, writer, keeper): (&Cql, &Writer, &ClaimKeeper),
        log: (&Connection, &str),
        runtime: &Runtime,
    ) -> Result<Views, CliError> {
        let mut views = Vec::new();
        for task in [Task::ReadModel, Task::Claims(keeper.clone())] {
            for number in 0..self.each {
                let name = task.name();
                let worker =
                    Materializer::new((cql, writer), task.clone(), log, self.options.clone(), runtime.handle());
                views.push(View { task: name, number, progress: worker.progress() });
                threads.start(&format!("{name}-{number}"), move |stop| worker.run(stop))?;
            }
        }
        Ok(Views(views.into()))
    }
}
