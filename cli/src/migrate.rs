//! `conversions migrate`: the tables of the shared store.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Runtime;

use crate::error::CliError;
use crate::settings::{ConfigArg, Settings};

/// Make the keyspaces and tables of the shared store, or bring them up to date.
///
/// It may be run again, and by several processes at once. A program refuses tables of another version than its own: run this
/// before the programs of a new version, and the old ones go on without the store until they are replaced. A keyspace that
/// is there keeps its replication.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Prints what was done; the code is success exactly if the tables are those that this program knows.
pub(crate) fn run(args: &MigrateArgs, runtime: &Runtime) -> Result<ExitCode, CliError> {
    let options = Settings::load(&args.config)?.needed_shared_store()?;
    let applied = runtime
        .block_on(store::cql::migrate(&options))
        .map_err(|error| CliError::Failed(format!("the shared store: {error}")))?;
    let mut out = io::stdout().lock();
    let printed = match applied.is_empty() {
        true => writeln!(out, "{} and {} are up to date", options.claims_keyspace, options.keyspace),
        false => applied
            .iter()
            .try_for_each(|done| writeln!(out, "{}: migrated to {} ({})", done.keyspace, done.version, done.name)),
    };
    // Whoever read it has gone: the exit code still tells.
    let _ = printed;
    Ok(ExitCode::SUCCESS)
}
