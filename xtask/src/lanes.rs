//! All tests, in two lanes side by side: test programs that mostly wait for servers, beside those that mostly work.
//!
//! One after the other they take the sum of their times, though the waiting ones leave the processors to themselves for most of
//! theirs. A lane is one `cargo test` of some test programs, which it runs one after the other; both go to their end, so that one
//! run tells everything that fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Failure, cargo, cargo_path, say, tidy};

/// Test programs that wait for brokers, sessions and time-outs for more than nine tenths of their time.
const WAITING: [&str; 5] = ["claims", "kafka", "materializer", "model", "sessions"];
/// What the other lane says, until it is at its end.
const OUTPUT: &str = "target/waiting-tests.log";

/// Builds all tests and runs them, then those of the documentation.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let names = programs(root).map_err(|error| format!("the tests cannot be listed: {error}"))?;
    if let Some(gone) = WAITING.iter().find(|name| !names.contains(**name)) {
        return Err(format!("there is no test program {gone}: mend the list in {}", file!()));
    }
    cargo(&["test", "--workspace", "--no-run"], &[])?;

    let (waiting, working): (Vec<&str>, Vec<&str>) =
        names.iter().map(String::as_str).partition(|it| WAITING.contains(it));
    let output = root.join(OUTPUT);
    let kept = File::create(&output).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = kept.map_err(|error| format!("{OUTPUT} cannot be written: {error}"))?;
    say(&format!("xtask: beside the others, and told after them: {}", waiting.join(", ")));
    let mut beside = lane(root, &[], &waiting);
    let mut beside = beside
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    let begun = Instant::now();
    let others = lane(root, &["--lib", "--bins"], &working).status();
    let (worked, waited) = (begun.elapsed(), beside.wait().map_err(|error| format!("cargo is lost: {error}"))?);
    let (worked_s, waited_s) = (worked.as_secs(), begun.elapsed().as_secs());
    say(&format!("xtask: those that work took {worked_s} s, those that wait at most {waited_s} s"));
    say(&fs::read_to_string(&output).map_err(|error| format!("{OUTPUT} cannot be read: {error}"))?);
    match others {
        Ok(status) if status.success() && waited.success() => cargo(&["test", "--workspace", "--doc"], &[]),
        Ok(status) => Err(format!("tests did not pass ({status}; of those that wait, {waited})")),
        Err(error) => Err(format!("cargo cannot be run: {error}")),
    }
}

fn lane(root: &Path, kinds: &[&str], programs: &[&str]) -> Command {
    let mut command = Command::new(cargo_path());
    command.args(["test", "--workspace", "--no-fail-fast"]).args(kinds).current_dir(root);
    command.args(programs.iter().flat_map(|program| ["--test", *program]));
    command
}

/// The names of the test programs of all crates, which are those that cargo finds by itself.
fn programs(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in tidy::crates(&fs::read_to_string(root.join("Cargo.toml"))?) {
        let tests = root.join(folder).join("tests");
        let entries = if tests.is_dir() { fs::read_dir(tests)?.collect::<io::Result<Vec<_>>>()? } else { Vec::new() };
        for path in entries.iter().map(fs::DirEntry::path) {
            let is_program = path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").is_file();
            names.extend(path.file_stem().filter(|_| is_program).and_then(|it| it.to_str()).map(str::to_owned));
        }
    }
    Ok(names)
}
