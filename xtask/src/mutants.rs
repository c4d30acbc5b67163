//! Breaks the production code in many small ways, and has the simulator find each of them.
//!
//! A mutation is a file `simulator/mutations/NAME.patch`: a sentence that says what is broken, and a diff. The sources are
//! copied to `target/mutants`, broken there, built and simulated; while one is simulated, the next is built. What they depend
//! on is what the simulator has been built with already. One that no seed finds is a hole in the simulator or in the oracle.
//!
//! Some places are guarded twice, and are broken only together with the other guard:
//! - `take-over-after-restore`, `offsets-after-restore`: a step's changes are acknowledged before its offsets are sent, these bear
//!   the generation, and a restore waits for all that is undecided before its end. So both also take that wait away.
//! - `stale-fetch-taken`: the client forgets what it has fetched once it is assigned anew, so that is what is left out.
//!
//! None is of a store that is ahead of its changelog: the brokers of the model keep what they have acknowledged, so there is none.
//! A test of the sessions has one, on a real broker.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{BUILD_SIMULATOR, Failure, SIMULATOR, cargo_path, say, tidy};

/// Seeds that a mutation may survive at most.
const SEEDS_MAX: u64 = 500;
/// How long the seeds of one mutation may take; one that takes longer hangs.
const CAMPAIGN_MAX: Duration = Duration::from_secs(1_200);
/// How often it is looked whether they are done.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MUTATIONS: &str = "simulator/mutations";
const TREE: &str = "target/mutants";
/// Where their simulators and what these say are kept.
const OUTPUT: &str = "target/mutations";
/// Those that every change has to find again: one of the sessions, one of what is derived, one of the shared claims.
const FEW: [&str; 3] = ["ambiguous-claim-is-made", "reversal-not-booked", "unknown-is-committed"];

/// What became of a mutation.
enum Found {
    /// A seed found it: the line that says so.
    By(String),
    /// No seed did.
    Survived,
}

/// Runs the mutations with these names, or all: `[NAME…] [--seeds N]`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let (names, seeds) = parse(args)?;
    find(root, &names, seeds)
}

/// Runs a few, which show that the simulator still finds something.
pub(crate) fn few(root: &Path) -> Result<(), Failure> {
    find(root, &FEW.map(str::to_owned).into(), SEEDS_MAX)
}

fn find(root: &Path, names: &BTreeSet<String>, seeds: u64) -> Result<(), Failure> {
    let known = patches(root)?;
    if let Some(name) = names.iter().find(|name| !known.iter().any(|patch| name_of(patch) == **name)) {
        return Err(format!("there is no mutation {name}: {MUTATIONS}/ has no {name}.patch"));
    }
    let (mut survivors, mut running) = (Vec::new(), None);
    let mut end = |campaign: Option<Campaign>| -> Result<(), Failure> {
        let Some(campaign) = campaign else { return Ok(()) };
        match campaign.end()? {
            (name, Found::By(line)) => say(&format!("{name}: found: {line}")),
            (name, Found::Survived) => {
                say(&format!("{name}: SURVIVED {seeds} seeds"));
                survivors.push(name);
            }
        }
        Ok(())
    };
    for patch in known.iter().filter(|patch| names.is_empty() || names.contains(&name_of(patch))) {
        let name = name_of(patch);
        copy_sources(root).map_err(|error| format!("the sources cannot be copied to {TREE}: {error}"))?;
        apply(root, patch, &["--directory", TREE])?;
        let simulator = build(root, &name)?;
        end(running.take())?;
        running = Some(Campaign::start(root, name, &simulator, seeds)?);
    }
    end(running)?;
    if survivors.is_empty() { Ok(()) } else { Err(format!("no seed found {}", survivors.join(", "))) }
}

/// Whether every mutation still fits the sources; one that does not is a fault.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Failure> {
    Ok(patches(root)?.iter().filter_map(|patch| apply(root, patch, &["--check"]).err()).collect())
}

fn parse(args: &[String]) -> Result<(BTreeSet<String>, u64), Failure> {
    let (mut names, mut seeds) = (BTreeSet::new(), SEEDS_MAX);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seeds" {
            let number = args.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
            seeds = number.ok_or("--seeds must be followed by a number of at least 1")?;
        } else {
            names.insert(arg.clone());
        }
    }
    Ok((names, seeds))
}

fn patches(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| format!("{MUTATIONS} cannot be read: {error}");
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(MUTATIONS)).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(patch: &Path) -> String {
    patch.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// `git apply`, whose complaint is the error.
fn apply(root: &Path, patch: &Path, options: &[&str]) -> Result<(), Failure> {
    let output = Command::new("git").arg("apply").args(options).arg(patch).current_dir(root).output();
    let output = output.map_err(|error| format!("git cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().next().unwrap_or("git apply failed");
    Err(format!("{MUTATIONS}/{}.patch: {first}: make it anew for the sources as they are", name_of(patch)))
}

/// Makes the copy what the sources are, committed or not. What is the same is not touched, so that it is not built again.
fn copy_sources(root: &Path) -> io::Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    let tree = root.join(TREE);
    let names = String::from_utf8_lossy(&listed.stdout);
    let mut wanted = BTreeSet::new();
    for name in names.split_terminator('\0').filter(|name| root.join(name).is_file()) {
        let (from, to) = (root.join(name), tree.join(name));
        let content = fs::read(from)?;
        if fs::read(&to).ok().as_ref() != Some(&content) {
            fs::create_dir_all(to.parent().unwrap_or(&tree))?;
            fs::write(&to, content)?;
        }
        wanted.insert(to);
    }
    remove_others(&tree, &wanted)
}

/// Removes files that are sources no more.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Builds the broken simulator; where it is.
fn build(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let crates = tidy::crates(root).map_err(|error| format!("the crates cannot be listed: {error}"))?;
    let mut build = Command::new(cargo_path());
    build.args(BUILD_SIMULATOR).env("CARGO_TARGET_DIR", root.join("target"));
    // Nobody debugs a mutation, and a build takes longer than its seeds. Our own crates alone: what they depend on is built.
    build.env("CARGO_PROFILE_DEV_DEBUG", "0");
    for package in crates {
        build.arg("--config").arg(format!("profile.dev.package.{package}.opt-level=0"));
        // No other build has this number. Cargo tells the crates of two folders apart by such settings alone, and would take one of
        // the copy for the same of the sources.
        build.arg("--config").arg(format!("profile.dev.package.{package}.codegen-units=255"));
    }
    // Without what it says of a build that passes: that a mutation leaves a variable unused is to be expected.
    let built = build.current_dir(root.join(TREE)).output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(format!("{MUTATIONS}/{name}.patch does not compile:\n{said}"));
    }
    let (made, kept) = (root.join("target").join(SIMULATOR), root.join(OUTPUT).join("simulator").join(name));
    let moved = fs::create_dir_all(kept.parent().unwrap_or(&kept))
        .and_then(|()| fs::copy(&made, &kept))
        // What is called the simulator is not to be a broken one.
        .and_then(|_| fs::remove_file(&made));
    moved.map_err(|error| format!("{} cannot be kept as {}: {error}", made.display(), kept.display()))?;
    Ok(kept)
}

/// The seeds of a mutation, under way.
struct Campaign {
    name: String,
    child: Child,
    simulator: PathBuf,
    output: PathBuf,
    until: Instant,
}

impl Campaign {
    fn start(root: &Path, name: String, simulator: &Path, seeds: u64) -> Result<Campaign, Failure> {
        let output = root.join(OUTPUT).join(format!("{name}.txt"));
        let file = fs::File::create(&output).map_err(|error| format!("{}: {error}", output.display()))?;
        let mut simulate = Command::new(simulator);
        simulate.args(["--seeds", &seeds.to_string(), "--until-failure"]).current_dir(root.join(TREE));
        let started = simulate.stdout(file).stderr(Stdio::null()).spawn();
        let child = started.map_err(|error| format!("{}: {error}", simulator.display()))?;
        let (simulator, until) = (simulator.to_owned(), Instant::now() + CAMPAIGN_MAX);
        Ok(Campaign { name, child, simulator, output, until })
    }

    /// Waits for what becomes of it.
    fn end(mut self) -> Result<(String, Found), Failure> {
        let code = self.wait();
        let (name, output) = (self.name.clone(), &self.output);
        match code {
            Some(0) => Ok((name, Found::Survived)),
            Some(1) => Ok((name, Found::By(last_line(output)))),
            Some(code) => Err(format!("{name}: the simulator ended with {code}, see {}", output.display())),
            None => Err(format!("{name}: the simulator hangs or was killed, see {}", output.display())),
        }
    }

    /// The exit code; nothing if it was ended by a signal, ours when it takes too long included.
    fn wait(&mut self) -> Option<i32> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) if Instant::now() < self.until => thread::sleep(LOOK_EVERY),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        // Ended or not: either way nothing is left of it but what it said.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.simulator);
    }
}

/// The line that tells of the fault: the first that begins with the seed, or else the last.
fn last_line(output: &Path) -> String {
    let text = fs::read_to_string(output).unwrap_or_default();
    let told = text.lines().find(|line| line.starts_with("seed ")).or_else(|| text.lines().last());
    told.unwrap_or("without a word").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_names_and_a_number_of_seeds() {
        let parse = |line: &str| parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse(""), Ok((BTreeSet::new(), SEEDS_MAX)));
        let names = BTreeSet::from(["half-up".to_owned(), "no-rewind".to_owned()]);
        assert_eq!(parse("half-up --seeds 20 no-rewind"), Ok((names, 20)));
        for wrong in ["--seeds", "--seeds 0", "--seeds many"] {
            assert!(parse(wrong).is_err_and(|error| error.contains("--seeds")), "{wrong}");
        }
    }

    #[test]
    fn the_few_are_there() {
        let known: Vec<String> = patches(&crate::root()).unwrap().iter().map(|patch| name_of(patch)).collect();
        for name in FEW {
            assert!(known.contains(&name.to_owned()), "{name}");
        }
    }

    #[test]
    fn every_mutation_says_what_it_breaks_and_fits_the_sources() {
        let root = crate::root();
        assert_eq!(check(&root), Ok(Vec::new()));
        for patch in patches(&root).unwrap() {
            let text = fs::read_to_string(&patch).unwrap();
            let (why, _) = text.split_once("\n\ndiff --git ").expect("a sentence, an empty line and a diff");
            assert!(why.ends_with('.') && !why.contains('\n'), "{}: {why}", patch.display());
        }
    }
}
