//! `conversions apply`: makes a registry file the registry on Kafka.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use schemas::registry::{Entries, Keep, Registry};
use streams::kafka::Upsert;

use super::change::{Plan, not_encrypted};
use super::{file, master_keys};
use crate::error::CliError;
use crate::settings::{ConfigArg, Settings};
use crate::topics;

/// Make a registry file the registry on Kafka, for every edge and processor that runs on it: what the file has is added
/// or changed, what it has not is removed, all of it at once. Applying the same file again changes nothing. Secrets are
/// encrypted under the first master key of the settings.
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
    /// Encrypt every secret of the file anew, without looking at what stands: for when the master key is lost that it is
    /// encrypted under.
    #[arg(long)]
    reencrypt: bool,
}

/// Works out what changes, writes it in one transaction, and prints a summary that holds no secret.
pub(crate) fn run(args: &ApplyArgs) -> Result<ExitCode, CliError> {
    // The file first: its faults are told whether Kafka is there or not.
    let (registry, entries) = match &args.registry {
        Some(path) => file::read(path, |text| Ok((Registry::parse(text)?, Entries::parse(text)?)))?,
        None => (Registry::demo(), Entries::demo()),
    };
    if entries.is_empty() {
        return Err(CliError::Failed(
            "the registry has no entry, and to apply it would remove all that stand: if that is meant, leave [policies] \
             in it"
                .to_owned(),
        ));
    }
    let settings = Settings::load(&args.config)?;
    let keys = master_keys::needed(&settings)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    let keep = if args.reencrypt { Keep::Nothing } else { Keep::Readable };
    let wanted = |standing: &Entries| {
        let encrypted = entries.encrypted(&keys, standing, keep, master_keys::nonce);
        encrypted.map_err(|error| not_encrypted(&error))
    };
    let plan = Plan::make(&connection, &wanted)?;
    if registry.has_demo_key() {
        tracing::warn!(
            "the registry has the demo's keys, which everybody knows: edges take it on a loopback address only"
        );
    }
    let summary = match (plan.is_empty(), args.dry_run) {
        (true, _) => plan.nothing(),
        (false, true) => plan.preview(),
        (false, false) => {
            // The registry's clicks are in the same transaction.
            let clicks = file::clicks(&registry).map(|message| (message.topic, message.key, Some(message.value)));
            Plan::write(&connection, &wanted, &clicks.collect::<Vec<Upsert>>())?
        }
    };
    // Whoever reads it has gone: the exit code still tells.
    let _ = writeln!(io::stdout().lock(), "{summary}");
    Ok(ExitCode::SUCCESS)
}
