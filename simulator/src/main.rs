//! `simulator`: runs seeds, and says what is wrong.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use simulator::campaign::{Campaign, SEEDS_FOR_ALL, command};
use simulator::{Kind, Outcome, Params, shrink};

/// Lines of a history that are printed.
const LINES: usize = 60;
/// The stack of the thread that runs: one worker's step is within another's.
const STACK_BYTES: usize = 64 << 20;

/// Simulates whole installations, each from one number.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Args {
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This seed alone, with its history.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Steps in which things go wrong.
    #[arg(long)]
    steps: Option<u32>,
    /// Orders that are reported; drawn from the seed if it is not said.
    #[arg(long)]
    orders: Option<usize>,
    /// A kind of fault that there is not to be; as often as one likes.
    #[arg(long, value_parser = kind)]
    without: Vec<Kind>,
    /// Prints the SHA-256 of each history and nothing else.
    #[arg(long)]
    hash: bool,
    /// Ends at the first failure, without looking for a shorter one.
    #[arg(long)]
    until_failure: bool,
    /// Where histories are written.
    #[arg(long, default_value = "target/simulation")]
    output: PathBuf,
}

fn kind(name: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.to_string() == name);
    found.ok_or_else(|| format!("is none of {}", Kind::ALL.map(|kind| kind.to_string()).join(", ")))
}

impl Args {
    fn params(&self, seed: u64) -> Params {
        let params = Params::of(seed);
        let steps = self.steps.unwrap_or(params.steps);
        Params { steps, orders: self.orders, without: self.without.clone(), ..params }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runner = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || campaign(&args));
    let ended = runner.map(std::thread::JoinHandle::join);
    match ended {
        Ok(Ok(Ok(true))) => ExitCode::SUCCESS,
        Ok(Ok(Ok(false)) | Err(_)) => ExitCode::FAILURE,
        Ok(Ok(Err(error))) | Err(error) => {
            let _ = writeln!(io::stderr(), "simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the seeds; whether nothing was wrong.
fn campaign(args: &Args) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut campaign = Campaign::default();
    let mut failed = 0;
    let seeds = args.seed.map_or(args.first..args.first.saturating_add(args.seeds), |seed| seed..seed + 1);
    for seed in seeds {
        let params = args.params(seed);
        let outcome = campaign.one(&params);
        if args.hash {
            writeln!(out, "{seed} {}", outcome.hash())?;
        }
        if let Some(failure) = &outcome.failure {
            failed += 1;
            writeln!(out, "seed {seed} fails: {failure}")?;
            if args.until_failure {
                return Ok(false);
            }
            let (params, outcome) = shrink(&params, outcome);
            tell(args, &params, &outcome, &mut out)?;
        } else if args.seed.is_some() && !args.hash {
            writeln!(out, "the history is in {}", write(args, &params, &outcome)?.display())?;
        }
    }
    if args.hash {
        return Ok(failed == 0);
    }
    write!(out, "{campaign}")?;
    let missing = campaign.missing();
    if campaign.seeds >= SEEDS_FOR_ALL && !missing.is_empty() {
        writeln!(out, "never happened, so that nothing is known of it: {missing:?}")?;
        return Ok(false);
    }
    Ok(failed == 0)
}

fn tell(args: &Args, params: &Params, outcome: &Outcome, out: &mut impl io::Write) -> io::Result<()> {
    let from = outcome.history.len().saturating_sub(LINES);
    for line in &outcome.history[from..] {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "the whole history is in {}", write(args, params, outcome)?.display())?;
    writeln!(out, "again: {}", command(params))
}

fn write(args: &Args, params: &Params, outcome: &Outcome) -> io::Result<PathBuf> {
    fs::create_dir_all(&args.output)?;
    let path = args.output.join(format!("{}.txt", params.seed));
    fs::write(&path, outcome.history.join("\n"))?;
    Ok(path)
}
