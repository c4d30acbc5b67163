//! `conversions apply`: makes a registry file the registry on Kafka.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use schemas::Timestamp;
use schemas::registry::{Difference, Entries, EntryChange, Registry};
use schemas::topics::REGISTRY;
use streams::kafka::{AtomicWriter, Connection, Upsert};
use streams::{Clock, LogError, SystemClock};

use super::file;
use super::reading::Reading;
use crate::error::CliError;
use crate::patience::{Patience, STEP};
use crate::settings::{ConfigArg, Settings};
use crate::topics;

/// What the transactional id is made of: two at once must have the same.
const NAME: &str = "apply";

/// Make a registry file the registry on Kafka, for every edge and processor that runs on it: what the file has is added
/// or changed, what it has not is removed, all of it at once. Applying the same file again changes nothing.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["registry", "demo"]))]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Merchants, keys, affiliates, links, campaigns and rules, as one file.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Apply the built-in registry whose keys are public: edges take it on a loopback address only.
    #[arg(long)]
    demo: bool,
    /// Print what would change, entry by entry, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What there is to do.
struct Plan {
    difference: Difference,
    /// The version that the change makes.
    version: i64,
    /// Why what stands is no registry, although nothing is to be changed.
    unsound: Option<String>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.difference.is_empty() && self.unsound.is_none()
    }
}

/// Works out what changes, writes it in one transaction, and prints a summary that holds no secret.
pub(crate) fn run(args: &ApplyArgs) -> Result<ExitCode, CliError> {
    // The file first: its faults are told whether Kafka is there or not.
    let (registry, wanted) = match &args.registry {
        Some(path) => file::read(path, |text| Ok((Registry::parse(text)?, Entries::parse(text)?)))?,
        None => (Registry::demo(), Entries::demo()),
    };
    if wanted.is_empty() {
        return Err(CliError::Failed(
            "the registry has no entry, and to apply it would remove all that stand: if that is meant, leave [policies] \
             in it"
                .to_owned(),
        ));
    }
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    let plan = plan(&connection, &wanted)?;
    if registry.has_demo_key() {
        tracing::warn!(
            "the registry has the demo's keys, which everybody knows: edges take it on a loopback address only"
        );
    }
    let summary = match (plan.is_empty(), args.dry_run) {
        (true, _) => format!("nothing changes: version {} of the registry stands", plan.version - 1),
        (false, true) => preview(&plan),
        (false, false) => write(&connection, &registry, &wanted)?,
    };
    // Whoever reads it has gone: the exit code still tells.
    let _ = writeln!(io::stdout().lock(), "{summary}");
    Ok(ExitCode::SUCCESS)
}

/// What the entries that stand on the topic differ in from those wanted.
fn plan(connection: &Connection, wanted: &Entries) -> Result<Plan, CliError> {
    let reading = read_to_end(connection).map_err(failed)?;
    let difference = Difference::between(reading.entries(), wanted);
    let unsound = match reading.registry() {
        _ if !reading.is_sealed() => Some("its last change was not sealed".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    let version = reading.seal().map_or(0, |seal| seal.version.max(0)).saturating_add(1);
    Ok(Plan { difference, version, unsound })
}

fn read_to_end(connection: &Connection) -> Result<Reading, LogError> {
    let (mut reading, mut patience) = (Reading::open(connection)?, Patience::new());
    while !reading.caught_up() {
        let records = reading.next(STEP)?;
        for refused in reading.apply(&records).refused {
            tracing::warn!("a record of the registry is refused, and counts for nothing: {refused}");
        }
        patience.heard(records.len(), REGISTRY.name)?;
    }
    Ok(reading)
}

/// Every change, a line each.
fn preview(plan: &Plan) -> String {
    let changes = plan.difference.iter().map(|(key, change)| {
        let sign = match change {
            EntryChange::Added(_) => '+',
            EntryChange::Changed(_) => '~',
            EntryChange::Removed => '-',
        };
        format!("{sign} {}\n", key.shown())
    });
    let changes: String = changes.collect();
    format!("{changes}{}: would be version {}; nothing was written", told(plan), plan.version)
}

/// What changes, in one line.
fn told(plan: &Plan) -> String {
    match &plan.unsound {
        Some(reason) if plan.difference.is_empty() => format!("sealed again ({reason})"),
        _ => plan.difference.to_string(),
    }
}

/// Writes the change and the registry's clicks together.
fn write(connection: &Connection, registry: &Registry, wanted: &Entries) -> Result<String, CliError> {
    let writer = AtomicWriter::open(connection, NAME).map_err(failed)?;
    // Another may have changed it before the name was taken over; nobody does from now on.
    let plan = plan(connection, wanted)?;
    if plan.is_empty() {
        return Ok(format!("nothing changes: version {} of the registry stands", plan.version - 1));
    }
    let seal = wanted.seal(plan.version, Timestamp(SystemClock.now_ms()));
    let entries = plan.difference.records(&seal).map(|(key, value)| (processors::topic(&REGISTRY), key, value));
    let clicks = file::clicks(registry).map(|message| (message.topic, message.key, Some(message.value)));
    let records: Vec<Upsert> = entries.chain(clicks).collect();
    writer.write(&records).map_err(failed)?;
    let (entries, clicks) = (wanted.len(), registry.clicks().len());
    Ok(format!("{}: version {} (entries: {entries}, clicks recorded: {clicks})", told(&plan), plan.version))
}

fn failed(error: LogError) -> CliError {
    CliError::Failed(match error {
        LogError::Replaced { .. } => {
            "another conversions apply took over: nothing of this one was written; look at what stands now, and run it \
             again if it is still wanted"
                .to_owned()
        }
        other => format!("Kafka: {other}"),
    })
}
