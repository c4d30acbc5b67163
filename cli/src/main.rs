//! The binary `conversions`.
//!
//! **Architecture Invariant:** thin. What a command does for an order is decided in the crates below; here are
//! arguments, messages and exit codes.

mod admins;
mod args;
mod client;
mod dead_letters;
mod error;
mod folder;
mod ingest;
mod materializer;
mod migrate;
mod patience;
mod processors;
mod rebuild;
mod registry;
mod secret_file;
mod send;
mod service_token;
mod serving;
mod settings;
mod shared_store;
mod threads;
mod topics;
mod up;
mod verify;
mod watch;
mod webhooks;
mod what_if;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, LogFormat, Logging};
use crate::error::CliError;

/// How long threads that block may take to end, when all else has.
const BLOCKED_WAIT: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to tell it to when stderr is closed.
            let _ = writeln!(io::stderr().lock(), "conversions: {error}");
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    start_logging(&cli.logging)?;
    match cli.command {
        Command::Apply(args) => registry::apply::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args, &runtime()?),
        Command::Up(args) => until_ended(|runtime| up::run(&args, runtime)),
        Command::Send(args) => runtime()?.block_on(send::run(args)),
        Command::Ingest(args) => ingest::run(&args, &runtime()?),
        Command::Materializer(args) => materializer::run(&args, &runtime()?),
        Command::Migrate(args) => migrate::run(&args, &runtime()?),
        Command::Processors(args) => processors::run(&args, &runtime()?),
        Command::Rebuild(args) => rebuild::run(&args, &runtime()?),
        Command::Reencrypt(args) => registry::reencrypt::run(&args),
        Command::Settings(args) => settings::command::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Webhooks(args) => until_ended(|runtime| webhooks::run(&args, runtime)),
        Command::Watch(args) => runtime()?.block_on(watch::run(args)),
        Command::WhatIf(args) => what_if::run(&args),
    }
}

/// Runs what sends webhooks: the lookup of a name that nobody waits for any more must not hold the end.
fn until_ended(run: impl FnOnce(&Runtime) -> Result<ExitCode, CliError>) -> Result<ExitCode, CliError> {
    let runtime = runtime()?;
    let ended = run(&runtime);
    runtime.shutdown_timeout(BLOCKED_WAIT);
    ended
}

fn runtime() -> Result<Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| {
        CliError::Failed(format!("cannot start threads ({error}): raise the limits on processes and open files"))
    })
}

fn start_logging(logging: &Logging) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&logging.log).map_err(|error| {
        CliError::Usage(format!("the log filter is not understood ({error}): try `info` or `warn,ingest=debug`"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match logging.log_format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
