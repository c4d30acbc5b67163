//! Runs the checkers, which are Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::say;
use crate::stack::{KEYSPACES, Stack};

/// Longer than the registry's windows one after another: in that time every hold that was begun has ended.
const STILL: Duration = Duration::from_secs(9);

/// After a fault of which nobody knows yet. A worker that was away is given up after its session of 10 s, and the transaction
/// that it left open ends after 10 s at the earliest and 10 s later at the latest, when its broker looks.
const STILL_AFTER_FAULTS: Duration = Duration::from_secs(32);

/// Waits until nothing more is written, and checks every topic; `run` says which run it is. Returns what was read.
pub(crate) fn check(stack: &Stack, run: &str) -> PathBuf {
    check_once_still(stack, run, STILL)
}

/// As [`check`], right after faults of all kinds: for as long as nobody knows of them, nothing is written either.
pub(crate) fn check_after_faults(stack: &Stack, run: &str) -> PathBuf {
    check_once_still(stack, run, STILL_AFTER_FAULTS)
}

fn check_once_still(stack: &Stack, run: &str, still: Duration) -> PathBuf {
    let dump = stack.folder().join("records.jsonl");
    let mut command = command(stack.facts.file());
    command.args(["--bootstrap", stack.kafka.bootstrap(), "--prefix", stack.prefix()]);
    command.arg("--still").arg(still.as_secs().to_string()).arg("--dump").arg(&dump);
    let output = command.output().expect("Python runs");
    assert!(output.status.success(), "{run}: {}", said(&output));
    say(&format!("{run}: {}", said(&output).trim_end()));
    verify(stack, run);
    dump
}

/// Has the product check itself; it fails if there is a difference.
pub(crate) fn verify(stack: &Stack, run: &str) {
    say(&format!("{run}: {}", stack.run(&["verify", "--strict"], &[]).trim_end()));
}

/// Checks a dump; everything that the checker said, and whether it was content.
pub(crate) fn check_dump(facts: &Path, dump: &Path) -> (bool, String) {
    let output = command(facts).arg("--records").arg(dump).output().expect("Python runs");
    (output.status.success(), said(&output))
}

/// Waits until the rows of the read model are what the topics say, and of the claims too.
pub(crate) fn check_read_model(stack: &Stack, run: &str, deadline: Duration) {
    let mut command = rows_command(stack, KEYSPACES);
    command.args(["--bootstrap", stack.kafka.bootstrap(), "--prefix", stack.prefix()]);
    command.arg("--deadline").arg(deadline.as_secs().to_string());
    let output = command.output().expect("Python runs");
    assert!(output.status.success(), "{run}: {}", said(&output));
    say(&format!("{run}: {}", said(&output).trim_end()));
}

/// Checks the rows of these keyspaces, of the read model and of the claims, against a dump; everything that the checker
/// said, and whether it was content.
pub(crate) fn check_rows(stack: &Stack, dump: &Path, keyspaces: [&str; 2]) -> (bool, String) {
    let output = rows_command(stack, keyspaces).arg("--records").arg(dump).output().expect("Python runs");
    (output.status.success(), said(&output))
}

fn rows_command(stack: &Stack, [keyspace, claims_keyspace]: [&str; 2]) -> Command {
    let mut command = python("read_model.py");
    command.args(["--contact-point", stack.cql().contact_point(), "--keyspace", keyspace]);
    command.args(["--claims-keyspace", claims_keyspace]);
    command
}

fn command(facts: &Path) -> Command {
    let mut command = python("check.py");
    command.arg("--facts").arg(facts);
    command
}

fn python(script: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check").join(script);
    let mut command = Command::new(testkit::python());
    // No compiled files beside the sources.
    command.arg("-B").arg(script);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
