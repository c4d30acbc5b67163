//! All tests, in two lanes side by side: test programs that mostly wait for servers, beside those that mostly work.
//!
//! One after the other they take the sum of their times, though the waiting ones leave the processors to themselves for most of
//! theirs. A lane is one `cargo test` of some test programs, which it runs one after the other; both go to their end, so that one
//! run tells everything that fails.
//!
//! A few tests that fail are tried once more with the machine to themselves. They kill servers and count seconds, and a virtual
//! machine may stand still for longer than they wait. One that passes then is told as flaky after all others, by name.

mod again;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Failure, cargo, cargo_path, say, tidy};

/// Test programs that wait for brokers, sessions and time-outs for more than nine tenths of their time.
const WAITING: [&str; 5] = ["claims", "kafka", "materializer", "model", "sessions"];
/// What the lane that waits says, until it is at its end.
const WAITING_OUTPUT: &str = "target/waiting-tests.log";
/// What the lane that works says, which is shown as it comes.
const WORKING_OUTPUT: &str = "target/working-tests.log";
/// How often is looked for what a lane has said.
const POLL: Duration = Duration::from_millis(200);

/// Builds all tests and runs them, then those of the documentation.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let names = programs(root).map_err(|error| format!("the tests cannot be listed: {error}"))?;
    if let Some(gone) = WAITING.iter().find(|name| !names.contains(**name)) {
        return Err(format!("there is no test program {gone}: mend the list in {}", file!()));
    }
    cargo(&["test", "--workspace", "--no-run"], &[])?;

    let (waiting, working): (Vec<&str>, Vec<&str>) =
        names.iter().map(String::as_str).partition(|it| WAITING.contains(it));
    say(&format!("xtask: beside the others, and told after them: {}", waiting.join(", ")));
    let begun = Instant::now();
    let beside = Lane::start(root, &[], &waiting, WAITING_OUTPUT)?;
    let others = Lane::start(root, &["--lib", "--bins"], &working, WORKING_OUTPUT)?;
    let worked = others.end(root)?;
    let worked_s = begun.elapsed().as_secs();
    let waited = beside.end(root)?;
    say(&format!("xtask: those that work took {worked_s} s, all {} s", begun.elapsed().as_secs()));
    let failed: Vec<&str> =
        [&worked, &waited].into_iter().filter(|lane| !lane.status.success()).map(|lane| lane.said.as_str()).collect();
    if !failed.is_empty() {
        again::try_failed(root, &failed)?;
    }
    cargo(&["test", "--workspace", "--doc"], &[])
}

/// Some test programs under way.
struct Lane {
    cargo: Child,
    /// Where its output goes, from the root.
    output: &'static str,
}

/// A lane at its end.
struct Ended {
    status: ExitStatus,
    said: String,
}

impl Lane {
    fn start(root: &Path, kinds: &[&str], programs: &[&str], output: &'static str) -> Result<Lane, Failure> {
        let kept = File::create(root.join(output)).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = kept.map_err(|error| format!("{output} cannot be written: {error}"))?;
        let mut command = Command::new(cargo_path());
        command.args(["test", "--workspace", "--no-fail-fast"]).args(kinds).current_dir(root);
        command.args(programs.iter().flat_map(|program| ["--test", *program]));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let cargo = command.spawn().map_err(|error| format!("cargo cannot be run: {error}"))?;
        Ok(Lane { cargo, output })
    }

    /// Shows what it has said so far and what it says until its end.
    fn end(mut self, root: &Path) -> Result<Ended, Failure> {
        let unreadable = |error: io::Error| format!("{} cannot be read: {error}", self.output);
        let mut file = File::open(root.join(self.output)).map_err(unreadable)?;
        let mut said = Vec::new();
        let status = loop {
            let ended = self.cargo.try_wait().map_err(|error| format!("cargo is lost: {error}"))?;
            // After the question whether it has ended, so that its last words are among what is read.
            let from = said.len();
            file.read_to_end(&mut said).map_err(unreadable)?;
            let mut stdout = io::stdout().lock();
            // A reader of ours that is gone is no reason to leave tests unrun.
            let _ = stdout.write_all(&said[from..]).and_then(|()| stdout.flush());
            match ended {
                Some(status) => break status,
                None => thread::sleep(POLL),
            }
        };
        Ok(Ended { status, said: String::from_utf8_lossy(&said).into_owned() })
    }
}

/// The names of the test programs of all crates, which are those that cargo finds by itself.
fn programs(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in tidy::crates(root)? {
        let tests = root.join(folder).join("tests");
        let entries = if tests.is_dir() { fs::read_dir(tests)?.collect::<io::Result<Vec<_>>>()? } else { Vec::new() };
        for path in entries.iter().map(fs::DirEntry::path) {
            let is_program = path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").is_file();
            names.extend(path.file_stem().filter(|_| is_program).and_then(|it| it.to_str()).map(str::to_owned));
        }
    }
    Ok(names)
}
