//! `conversions rebuild`: fills an empty keyspace from the topics.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ingest::Readiness;
use store::cql::{ClaimKeeper, Cql, Rebuild, RebuildError, Writer};
use streams::SystemClock;
use streams::kafka::Share;
use streams::log::Limits;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::CliError;
use crate::materializer::overtaken;
use crate::serving::{End, Signals};
use crate::settings::{ConfigArg, Settings};
use crate::shared_store;
use crate::threads::Threads;
use crate::topics;

/// How long the store may take to answer for the first time.
const STORE_WAIT: Duration = Duration::from_secs(30);
/// Between two lines about how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Fill an empty keyspace of the shared store with what the topics have by now.
///
/// `conversions migrate` makes the keyspace. Edges may run meanwhile, and answer from the keyspace as it fills; the
/// materializer goes on from where this ends, also if it is cut short.
#[derive(Args, Debug)]
pub(crate) struct RebuildArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Partitions that are written side by side; by default as many as the machine has cores.
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
    /// Leave out what the topics have dropped: for when it says that they do not begin at their beginning.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs until everything is written; the code is success exactly if it was.
pub(crate) fn run(args: &RebuildArgs, runtime: &Runtime) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let options = settings.needed_shared_store()?;
    let identity = topics::reach(&connection, &settings)?;
    let cql = shared_store::open(options, runtime)?;
    let (writer, keeper) = (Writer::new(&cql), ClaimKeeper::new(&cql, Arc::new(SystemClock)));
    let limits = Limits {
        records_max: settings.get("materializer.records_max"),
        bytes_max: settings.get("materializer.bytes_max"),
    };
    let written = (&cql, &writer, keeper);
    let rebuild = Rebuild::new(written, &connection, overtaken(args.accept_loss), limits, runtime.handle());
    let mut signals = Signals::listen(runtime)?;
    rebuild.check_log().map_err(|error| failed(&error))?;
    runtime.block_on(begin(&rebuild, &cql, &identity))?;
    let began = Instant::now();
    let end = runtime.block_on(fill(&rebuild, parallel(args), &mut signals))?;
    let (records, rows) = (rebuild.progress().records.load(Ordering::Relaxed), writer.stats().rows);
    match end {
        None => {
            let took = began.elapsed().as_secs();
            // Nothing is lost if nobody reads it.
            let _ = writeln!(
                io::stdout().lock(),
                "{records} records and {rows} rows in {took} s: conversions materializer goes on from here"
            );
            Ok(ExitCode::SUCCESS)
        }
        Some(End::Failed(reason)) => Err(CliError::Failed(format!("rebuild: {reason}; {GO_ON}"))),
        Some(End::Signalled | End::Retired) => Err(CliError::Failed(format!("cut short; {GO_ON}"))),
    }
}

/// What to do about a rebuild that has begun and not ended.
const GO_ON: &str = "conversions materializer goes on from what is written, or drop the keyspace and begin anew";

fn parallel(args: &RebuildArgs) -> u32 {
    let cores = args.parallel.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// Waits for the store, and makes its keyspace this log's.
async fn begin(rebuild: &Rebuild, cql: &Cql, identity: &str) -> Result<(), CliError> {
    if timeout(STORE_WAIT, cql.wait_up()).await.is_err() {
        let why = shared_store::away(&cql.health()).unwrap_or_default();
        return Err(CliError::Failed(format!("{why}: check cql.contact_points, and that it can be reached from here")));
    }
    rebuild.begin(identity).await.map_err(|error| failed(&error))
}

/// Writes all shares, each in a thread; what it returns cut it short.
async fn fill(rebuild: &Rebuild, parallel: u32, signals: &mut Signals) -> Result<Option<End>, CliError> {
    let mut threads = Threads::default();
    let (left, mut written) = watch::channel(parallel);
    let left = Arc::new(left);
    for number in 0..parallel {
        let (rebuild, left) = (rebuild.clone(), Arc::clone(&left));
        threads.start(&format!("rebuild-{number}"), move |stop| {
            if rebuild.fill(Share { number, of: parallel }, stop)? {
                left.send_modify(|left| *left -= 1);
                // The others are still at it, and whoever waits for all of them ends this thread.
                while !stop.load(Ordering::Acquire) {
                    thread::park_timeout(Duration::from_millis(100));
                }
            }
            Ok::<(), RebuildError>(())
        })?;
    }
    let readiness = Readiness::new();
    let end = loop {
        tokio::select! {
            _ = written.wait_for(|left| *left == 0) => break None,
            end = signals.end(&threads, &readiness) => break Some(end),
            () = tokio::time::sleep(TELL_EVERY) => tell(rebuild),
        }
    };
    tokio::task::block_in_place(|| threads.stop());
    Ok(end)
}

fn tell(rebuild: &Rebuild) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let progress = rebuild.progress();
    let (done, total) = (read(&progress.done), read(&progress.total));
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    tracing::info!(percent, records = read(&progress.records), "rebuilding");
}

fn failed(error: &RebuildError) -> CliError {
    CliError::Failed(format!("rebuild: {error}"))
}
