//! `targets`: the runs of the table in `README.md`, each as interleaved pairs of the product and what it is measured against.
//!
//! Each process that is measured has cores of its own, the generator and the broker the others. Whoever is first in one pair is
//! second in the next, a pair before the first warms everything up, and a median is of at least five pairs. Every run checks
//! what came of its orders, and fails if it is not what it must be.

mod edge;
mod growth;
mod hot;
mod lag;
mod pipeline;
mod processors;
mod producer;
mod result;
mod rig;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::result::RowResult;
use crate::peers::{Outcome, process};

/// Measure the product against its peers.
#[derive(Debug, Parser)]
#[command(name = "targets", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    row: Row,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Row {
    /// The edge on Kafka against a bare handler that produces: throughput, p99, and processor time of everything else.
    Edge,
    /// `conversions processors` against a Kafka Streams application on the same topics: orders a second, memory.
    Processors,
    /// `conversions up` against a service on PostgreSQL: orders a second until each has its commission.
    Pipeline,
    /// From 202 to commission, at half the maximum, on Kafka and embedded.
    Lag,
    /// Orders a second with much state against little, and the memory it takes.
    Growth,
    /// One merchant with nine tenths of the traffic: the others' p99 with it and without.
    Hot,
    /// Kafka's own kafka-producer-perf-test against the bare handler.
    Producer,
    /// One after the other; a row that fails does not keep the others from being run.
    All,
}

impl Row {
    const EACH: [Row; 7] = [Row::Edge, Row::Processors, Row::Pipeline, Row::Lag, Row::Growth, Row::Hot, Row::Producer];
}

/// What all runs are told.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// Pairs, after one that warms up.
    #[arg(long, global = true, default_value_t = 5)]
    pairs: u32,
    /// Seconds of a load.
    #[arg(long, global = true, default_value_t = 10)]
    seconds: u64,
    /// Orders of a run that has a number of them; of the state, in `growth`, a hundred times as many.
    #[arg(long, global = true, default_value_t = 100_000)]
    orders: u64,
    /// Connections of the generator, each with one request at a time.
    #[arg(long, global = true, default_value_t = 64)]
    connections: u64,
    /// Merchants.
    #[arg(long, global = true, default_value_t = 16)]
    merchants: u64,
    /// Cores of what is measured, as taskset takes them.
    #[arg(long, global = true, default_value = "0")]
    cores: String,
    /// Cores of everything else.
    #[arg(long, global = true, default_value = "1")]
    other_cores: String,
    /// `conversions`; by default the one beside this program.
    #[arg(long, global = true)]
    conversions: Option<PathBuf>,
    /// Where data is while it is needed and results are left: a folder on the disk that is to be measured, which others may
    /// look into.
    #[arg(long, global = true, default_value = "target/targets")]
    folder: PathBuf,
    /// The folder of an earlier run's results, for the column "before".
    #[arg(long, global = true)]
    before: Option<PathBuf>,
    /// In small, to see that it works: one pair of a second, whose figures say nothing.
    #[arg(long, global = true)]
    smoke: bool,
}

impl Common {
    /// As it is meant, if it is to be small.
    fn small(mut self) -> Common {
        if self.smoke {
            (self.pairs, self.seconds, self.orders, self.merchants, self.connections) = (1, 1, 500, 4, 8);
        }
        self
    }
}

/// The command line. The code is 1 if a target is missed, and 2 if a run failed or an outcome was wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.row, cli.common.small()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to tell it to when stderr is closed.
            let _ = writeln!(io::stderr().lock(), "targets: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(row: Row, common: Common) -> Outcome<bool> {
    std::fs::create_dir_all(&common.folder).map_err(|error| format!("{}: {error}", common.folder.display()))?;
    let folder = common.folder.canonicalize().map_err(|error| format!("{}: {error}", common.folder.display()))?;
    let common = Common { folder, ..common };
    // The generator is this process; before it has any other thread.
    process::pin(std::process::id(), &common.other_cores)?;
    let rows = match row {
        Row::All => &Row::EACH[..],
        Row::Edge | Row::Processors | Row::Pipeline | Row::Lag | Row::Growth | Row::Hot | Row::Producer => &[row],
    };
    let (mut lines, mut met, mut failed) = (Vec::new(), true, Vec::new());
    for row in rows {
        match measure(*row, &common).and_then(|result| result.save(&common)) {
            Ok((of_row, met_it)) => (lines, met) = ([lines, of_row].concat(), met && met_it),
            Err(error) => failed.push(format!("{row:?}: {error}")),
        }
    }
    say("\n| | target | before | after | limit or peer | ratio |\n|---|---|---|---|---|---|");
    lines.iter().for_each(|line| say(line));
    if common.smoke || cfg!(debug_assertions) {
        say("\nA run in small, or of a build that is not for speed: these figures say nothing.");
        met = true;
    }
    if failed.is_empty() { Ok(met) } else { Err(failed.join("\n")) }
}

fn measure(row: Row, common: &Common) -> Outcome<RowResult> {
    say(&format!("{row:?}"));
    match row {
        Row::Edge => edge::run(common),
        Row::Processors => processors::run(common),
        Row::Pipeline => pipeline::run(common),
        Row::Lag => lag::run(common),
        Row::Growth => growth::run(common),
        Row::Hot => hot::run(common),
        Row::Producer => producer::run(common),
        Row::All => Err("all rows are several".to_owned()),
    }
}

/// Tells how far it is.
fn say(line: &str) {
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
