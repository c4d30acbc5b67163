//! `conversions settings`: every setting in force and where it comes from.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use streams::kafka::is_secret;

use super::faults::HIDDEN;
use super::table::{CLIENT, TABLE};
use super::value::Value;
use super::{ConfigArg, Settings, reference};
use crate::error::CliError;

/// Print every setting of the commands that run on Kafka: its value and where it comes from.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print the reference page instead, as Markdown: every setting with its variable, range, default and meaning.
    #[arg(long)]
    reference: bool,
}

/// Prints the settings; values that may be secrets are hidden.
pub(crate) fn run(args: &SettingsArgs) -> Result<ExitCode, CliError> {
    let mut out = io::stdout().lock();
    let printed = match args.reference {
        true => out.write_all(reference::page().as_bytes()),
        false => print(&Settings::load(&args.config)?, &mut out),
    };
    // Whoever read it has gone: as with any pipe, that is how it ends.
    let _ = printed;
    Ok(ExitCode::SUCCESS)
}

/// Writes a line a setting, in the order of the reference page: name, value and origin.
pub(super) fn print(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for setting in TABLE {
        let found = &settings.values[setting.name];
        let value = match &found.value {
            Some(Value::Secret(_)) => HIDDEN.to_owned(),
            Some(value) => format!("{value:?}"),
            None => "(not given)".to_owned(),
        };
        rows.push((setting.name.to_owned(), value, found.origin.to_string()));
        if setting.name == "kafka.prefix" {
            rows.extend(settings.client.iter().map(|(name, found)| {
                let value = if is_secret(name) { HIDDEN.to_owned() } else { format!("{:?}", found.value) };
                (format!("{CLIENT}{name}"), value, found.origin.to_string())
            }));
        }
    }
    let width = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
    };
    let (names, values) = (width(|row| &row.0), width(|row| &row.1));
    for (name, value, origin) in &rows {
        writeln!(out, "{name:names$}  {value:values$}  {origin}")?;
    }
    Ok(())
}
