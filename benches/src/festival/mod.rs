//! `festival`: rehearses a sale festival. An open-loop load of signed requests, by a scenario, and a check of what became of
//! every order.
//!
//! - **Open loop:** when each request is meant to be sent follows from the scenario alone (`schedule`, `pacer`), and
//!   latencies count from then: a server that stalls is not spared the requests that would have come meanwhile.
//! - **Nothing is remembered that can be worked out:** each order follows from the seed and its number (`plan`), so
//!   that four bytes an order (`book`) are enough to know what must have become of it (`expect`).
//! - **Bounded:** connections, the queue before them and what waits for its time. What does not fit is shed, and counted.
//! - **Several processes** send the load (`generator`); one starts them and puts together what they measure (`run`).

mod ask;
mod book;
mod client;
mod clock;
mod compare;
mod dice;
mod engine;
mod expect;
mod faults;
mod generator;
mod html;
mod installation;
mod job;
mod pacer;
mod plan;
mod processes;
mod registry;
mod report;
mod run;
mod scenario;
mod schedule;
mod svg;
mod tally;
mod terms;
mod timeline;
mod verify;
mod watch;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rehearse a sale festival: an open-loop load by a scenario, and a check of what became of every order.
#[derive(Debug, Parser)]
#[command(name = "festival", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    /// Write a registry for a scenario, with new secrets, for a server that is started elsewhere.
    Registry {
        /// A scenario that is shipped, or a file.
        scenario: String,
        /// A file that is not there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show two reports side by side.
    Compare {
        /// A folder with festival.json, or the file.
        a: PathBuf,
        /// Another.
        b: PathBuf,
    },
    /// One process of the load, started by `run`.
    #[command(hide = true)]
    Generate,
}

/// The command line. The code is 1 if something is not as it must be, and 2 if the rehearsal itself failed.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Registry { scenario, out } => write_registry(&scenario, &out).map(|()| true),
        Command::Compare { a, b } => compare(&a, &b).map(|()| true),
        Command::Generate => generator::run().map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "festival: {error}");
            ExitCode::from(2)
        }
    }
}

fn write_registry(scenario: &str, out: &std::path::Path) -> Result<(), String> {
    registry::write(&scenario::Scenario::load(scenario)?, out, crate::sign::now())
}

fn compare(a: &std::path::Path, b: &std::path::Path) -> Result<(), String> {
    let table = compare::compare(&report::Report::read(a)?, &report::Report::read(b)?);
    writeln!(io::stdout(), "{table}").map_err(|error| format!("nobody reads it: {error}"))
}
