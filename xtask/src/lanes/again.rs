//! Tests that failed, once more, with the machine to themselves.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cargo_path, run, say};

/// More tests than this that fail are no accident of the machine's.
const FAILED_MAX: usize = 4;
/// What cargo says after the output of a test program that failed: followed by what selects the program, and a backtick.
const TO_RERUN: &str = "error: test failed, to rerun pass `";

/// A test program that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed<'a> {
    /// What selects it: `-p streams --test sessions`.
    program: &'a str,
    /// Its tests that failed; none if it ended otherwise.
    tests: Vec<&'a str>,
}

/// Tries the tests that failed by this output of `cargo test --no-fail-fast` once more, and says which passed only then.
pub(super) fn try_failed(root: &Path, said: &str) -> Result<(), Failure> {
    let failed = failed(said);
    let names = failed.iter().flat_map(|it| &it.tests).copied().collect::<Vec<_>>().join(", ");
    let count: usize = failed.iter().map(|it| it.tests.len()).sum();
    if let Some(whole) = failed.iter().find(|it| it.tests.is_empty()) {
        return Err(format!("a test program did not come to its end: cargo test {}", whole.program));
    }
    if count == 0 || count > FAILED_MAX {
        return Err(format!("{count} tests did not pass: {names}"));
    }
    say(&format!("xtask: did not pass, and tried once more by themselves: {names}"));
    for Failed { program, tests } in &failed {
        // Of the whole workspace again: of a package by itself, it would first be built anew with that one's features.
        let target = program.split_whitespace().skip_while(|part| !part.starts_with("--"));
        let mut command = Command::new(cargo_path());
        command.args(["test", "--workspace"]).args(target).args(["--", "--exact"]).args(tests).current_dir(root);
        run(&mut command, &format!("cargo test {program} -- --exact {}", tests.join(" ")))?;
    }
    say(&format!("xtask: FLAKY, passed only by themselves: {names}"));
    Ok(())
}

/// What failed, program by program: cargo names each after its output.
fn failed(said: &str) -> Vec<Failed<'_>> {
    let mut failed = Vec::new();
    let mut tests = Vec::new();
    for line in said.lines() {
        if let Some(test) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            tests.push(test);
        } else if let Some(program) = line.strip_prefix(TO_RERUN).and_then(|line| line.strip_suffix('`')) {
            failed.push(Failed { program, tests: std::mem::take(&mut tests) });
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::{Failed, failed};

    #[test]
    fn each_program_has_its_own_tests() {
        let said = "\
test write::fenced ... ok
test doubt::unheard ... FAILED
test zombies::replaced ... FAILED
test result: FAILED. 19 passed; 2 failed
error: test failed, to rerun pass `-p streams --test sessions`
test model::pages ... ok
error: test failed, to rerun pass `-p store --test model`
error: 2 targets failed:
    `-p streams --test sessions`
    `-p store --test model`
";
        let sessions =
            Failed { program: "-p streams --test sessions", tests: vec!["doubt::unheard", "zombies::replaced"] };
        let model = Failed { program: "-p store --test model", tests: Vec::new() };
        assert_eq!(failed(said), [sessions, model]);
        assert_eq!(failed("test model::pages ... ok\n"), []);
    }
}
