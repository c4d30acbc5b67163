//! `conversions reencrypt`: the secrets of the registry on Kafka under the first of the master keys.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use schemas::registry::{EncryptionError, Entries, Keep};

use super::change::{Plan, not_encrypted};
use super::master_keys;
use crate::error::CliError;
use crate::settings::{ConfigArg, Settings};
use crate::topics;

/// Encrypt the secrets of the registry on Kafka anew, under the first of the master keys; those that are under it already stay.
/// The others of the master keys decrypt what stands. Nothing else changes.
#[derive(Args, Debug)]
pub(crate) struct ReencryptArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print which keys' secrets would be encrypted anew, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Works out which are under another master key, writes them in one transaction, and prints a summary that holds no secret.
pub(crate) fn run(args: &ReencryptArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let keys = master_keys::needed(&settings)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    let wanted = |standing: &Entries| {
        let decrypted = standing.decrypted(&keys).map_err(EncryptionError::from);
        let encrypted = decrypted.and_then(|it| it.encrypted(&keys, standing, Keep::Current, master_keys::nonce));
        encrypted.map_err(|error| not_encrypted(&error))
    };
    let plan = Plan::make(&connection, &wanted)?;
    // Sealed by this command, what is no registry would be taken for one that somebody meant.
    if let Some(reason) = &plan.unsound {
        return Err(CliError::Failed(format!("there is no registry to encrypt ({reason}): apply a registry file")));
    }
    let summary = match (plan.is_empty(), args.dry_run) {
        (true, _) => plan.nothing(),
        (false, true) => plan.preview(),
        (false, false) => Plan::write(&connection, &wanted, &[])?,
    };
    // Whoever reads it has gone: the exit code still tells.
    let _ = writeln!(io::stdout().lock(), "{summary}");
    Ok(ExitCode::SUCCESS)
}
