//! The repository's chores: `cargo xtask lint`, `cargo xtask test`, `cargo xtask simulate`, `cargo xtask ci`.
//!
//! **Architecture Invariant:** depends on std alone, so that the chores build in a second and before anything else does.

mod fuzz;
mod lanes;
mod mutants;
mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const USAGE: &str = "\
cargo xtask <command>

  lint         formatting, clippy, documentation, and dependencies where cargo-deny is installed; warnings are errors
  test [ARGS]  all tests, those that wait beside those that work; with ARGS, what `cargo test` makes of them
  tls          what only a build with TLS does, against real servers; needs OpenSSL's headers (libssl-dev)
  peers        runs the product against its peers in small: each row of benches/README.md; not in ci
  simulate [ARGS]
               simulates whole installations: --seeds N, --seed S, --steps N; --help says more
  prepare      installs what the tests need and the machine lacks: packages with apt, Kafka, Cassandra, Python clients
  mutants [NAME…] [--seeds N]
               breaks the sources in a copy, by simulator/mutations/, and expects the simulator to find each of them
  fuzz [TARGET…] [--seconds N]
               runs the fuzz targets of fuzz/, each for ten minutes; needs cargo-fuzz and a nightly compiler
  ci           what a change must pass: tidy checks, prepare, lint, test, a few mutants, simulate
";

/// Seeds that a change must pass: enough for everything that has to happen sometimes.
const SEEDS_OF_CI: u32 = 2_000;

/// A chore that did not pass, as one sentence.
type Failure = String;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match (command.as_deref(), rest.as_slice()) {
        (Some("lint"), []) => lint(),
        (Some("test"), rest) => test(rest),
        (Some("tls"), []) => tls(),
        (Some("peers"), []) => peers(),
        (Some("simulate"), rest) => simulate(rest),
        (Some("prepare"), []) => prepare(),
        (Some("mutants"), rest) => mutants::run(&root(), rest),
        (Some("fuzz"), rest) => fuzz::run(&root(), rest),
        (Some("ci"), []) => ci(),
        (Some("help" | "--help" | "-h"), _) => {
            say(USAGE.trim_end());
            Ok(())
        }
        (None | Some(_), _) => {
            let _ = io::stderr().lock().write_all(USAGE.as_bytes());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr().lock(), "xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<(), Failure> {
    say("xtask: tidy");
    let mut faults = tidy::check(&root()).map_err(|error| format!("cannot read the sources: {error}"))?;
    faults.extend(mutants::check(&root())?);
    if !faults.is_empty() {
        return Err(format!("not tidy:\n  {}", faults.join("\n  ")));
    }
    prepare()?;
    lint()?;
    test(&[])?;
    mutants::few(&root())?;
    // Last, so that what it has come to closes the output.
    simulate(&["--seeds".to_owned(), SEEDS_OF_CI.to_string()])
}

/// Builds the simulator as the tests of the whole workspace have it. For a package by itself cargo takes its own features alone, of
/// which most dependencies would be built a second time.
const BUILD_SIMULATOR: [&str; 6] = ["test", "--quiet", "--workspace", "--no-run", "--test", "regressions"];
/// Where that has put it, below the folder of what is built.
const SIMULATOR: &str = "debug/simulator";

fn simulate(args: &[String]) -> Result<(), Failure> {
    let target = root().join("target");
    cargo(&BUILD_SIMULATOR, &[("CARGO_TARGET_DIR", &target.to_string_lossy())])?;
    let simulator = target.join(SIMULATOR);
    run(Command::new(simulator).args(args).current_dir(root()), &format!("simulator {}", args.join(" ")))
}

fn lint() -> Result<(), Failure> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    if !has_deny() {
        say("xtask: cargo-deny is not installed, so dependencies are NOT checked: cargo install --locked cargo-deny");
        return Ok(());
    }
    cargo(&["deny", "check"], &[])
}

fn test(args: &[String]) -> Result<(), Failure> {
    if args.is_empty() {
        return lanes::run(&root());
    }
    let args = args.iter().map(String::as_str);
    cargo(&["test", "--workspace"].into_iter().chain(args).collect::<Vec<_>>(), &[])
}

/// Apart from the other tests, since another librdkafka and another CQL driver have to be built for it.
fn tls() -> Result<(), Failure> {
    cargo(&["test", "--workspace", "--features", "cli/tls", "--test", "secured", "--bin", "conversions"], &[])
}

/// Apart from ci, which is not to wait for a JDK, PostgreSQL, or seven runs that tell nothing but that they run.
fn peers() -> Result<(), Failure> {
    cargo(&["build", "-p", "cli", "-p", "benches", "--bins"], &[])?;
    let mut targets = Command::new(root().join("target/debug/targets"));
    run(targets.args(["all", "--smoke"]).current_dir(root()), "targets all --smoke")
}

/// Before the tests, which would wait for downloads and fail one by one for want of a program.
fn prepare() -> Result<(), Failure> {
    run(&mut Command::new(root().join(".ci/prepare")), ".ci/prepare")
}

/// Runs cargo at the root of the repository.
fn cargo(args: &[&str], environment: &[(&str, &str)]) -> Result<(), Failure> {
    let mut command = Command::new(cargo_path());
    run(command.args(args).envs(environment.iter().copied()).current_dir(root()), &format!("cargo {}", args.join(" ")))
}

/// Runs a command, with its output going where ours goes.
fn run(command: &mut Command, line: &str) -> Result<(), Failure> {
    say(&format!("xtask: {line}"));
    let begun = Instant::now();
    match command.status() {
        Ok(status) if status.success() => {
            say(&format!("xtask: {line}: passed in {} s", begun.elapsed().as_secs()));
            Ok(())
        }
        Ok(status) => Err(format!("`{line}` did not pass ({status})")),
        Err(error) => Err(format!("`{line}` cannot be run: {error}")),
    }
}

fn has_deny() -> bool {
    let mut command = Command::new(cargo_path());
    let asked = command.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn cargo_path() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    // A closed stdout has nobody to tell; the exit code still tells the outcome.
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}
