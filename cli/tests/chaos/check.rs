//! Runs the checker, which is Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::say;
use crate::stack::Stack;

/// Longer than the registry's windows one after another: in that time every hold that was begun has ended.
const STILL: Duration = Duration::from_secs(9);

/// Waits until nothing more is written, and checks every topic; `run` says which run it is. Returns what was read.
pub(crate) fn check(stack: &Stack, run: &str) -> PathBuf {
    let dump = stack.folder().join("records.jsonl");
    let mut command = command(stack.facts.file());
    command.args(["--bootstrap", stack.kafka.bootstrap(), "--prefix", stack.prefix()]);
    command.arg("--still").arg(STILL.as_secs().to_string()).arg("--dump").arg(&dump);
    let output = command.output().expect("Python runs");
    assert!(output.status.success(), "{run}: {}", said(&output));
    say(&format!("{run}: {}", said(&output).trim_end()));
    dump
}

/// Checks a dump; everything that the checker said, and whether it was content.
pub(crate) fn check_dump(facts: &Path, dump: &Path) -> (bool, String) {
    let output = command(facts).arg("--records").arg(dump).output().expect("Python runs");
    (output.status.success(), said(&output))
}

fn command(facts: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/check.py");
    let mut command = Command::new(testkit::python());
    // No compiled files beside the sources.
    command.arg("-B").arg(script).arg("--facts").arg(facts);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
