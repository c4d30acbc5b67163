//! Tests that failed, once more, one after the other, each with the machine to itself.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cargo_path, run, say};

/// More tests than this that fail are no accident of the machine's.
const FAILED_MAX: usize = 4;
/// What cargo says after the output of a test program that failed: followed by what selects the program, and a backtick.
const TO_RERUN: &str = "error: test failed, to rerun pass `";

/// A test program that came to its end and failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed<'a> {
    /// What selects it: `-p streams --test sessions`.
    program: &'a str,
    /// Its tests that failed, which are one at least.
    tests: Vec<&'a str>,
}

/// Tries the tests that failed by these outputs of `cargo test --no-fail-fast` once more, and says which passed only then. What
/// failed otherwise, or may have left tests unrun, is not tried.
pub(super) fn try_failed(root: &Path, outputs: &[&str]) -> Result<(), Failure> {
    let mut programs = Vec::new();
    for said in outputs {
        programs.extend(failed(said)?);
    }
    let tests: Vec<&str> = programs.iter().flat_map(|it| &it.tests).copied().collect();
    let names = tests.join(", ");
    if tests.len() > FAILED_MAX {
        return Err(format!("{} tests did not pass: {names}", tests.len()));
    }
    say(&format!("xtask: did not pass, and tried once more by themselves: {names}"));
    for Failed { program, tests } in &programs {
        // Of the whole workspace again: of a package by itself, it would first be built anew with that one's features.
        let target = program.split_whitespace().skip_while(|part| !part.starts_with("--"));
        let mut command = Command::new(cargo_path());
        command.args(["test", "--workspace"]).args(target).args(["--", "--exact", "--test-threads=1"]);
        command.args(tests).current_dir(root);
        run(&mut command, &format!("cargo test {program} -- --exact {}", tests.join(" ")))?;
    }
    say(&format!("xtask: FLAKY, passed only by themselves: {names}"));
    Ok(())
}

/// What failed by an output that tells of failures, program by program: cargo names each after its output. Its tests are those
/// of the list at its end, and must be as many as it counts.
fn failed(said: &str) -> Result<Vec<Failed<'_>>, Failure> {
    let (mut failed, mut tests, mut counted) = (Vec::new(), Vec::new(), None);
    for line in said.lines() {
        if line == "failures:" {
            tests.clear();
        } else if let Some(test) = line.strip_prefix("    ") {
            tests.push(test);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let count = result.split("; ").find_map(|part| part.strip_suffix(" failed")?.parse::<usize>().ok());
            counted = count.map(|count| (count, std::mem::take(&mut tests)));
        } else if let Some(program) = line.strip_prefix(TO_RERUN).and_then(|line| line.strip_suffix('`')) {
            match counted.take() {
                Some((count, tests)) if count > 0 && count == tests.len() => failed.push(Failed { program, tests }),
                Some(_) | None => {
                    return Err(format!(
                        "a test program did not end as one does whose tests fail: cargo test {program}"
                    ));
                }
            }
        }
    }
    if failed.is_empty() { Err("tests were not run: the output says why".to_owned()) } else { Ok(failed) }
}

#[cfg(test)]
mod tests {
    use super::{Failed, failed};

    const PASSED: &str = "\
test model::pages ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.31s
";
    const FAILED: &str = "\
test write::fenced ... ok
test doubt::unheard - should panic ... FAILED
test zombies::replaced ... FAILED

failures:

---- zombies::replaced stdout ----
thread 'zombies::replaced' panicked at streams/tests/sessions/zombies.rs:1:1:
    it says so

failures:
    doubt::unheard
    zombies::replaced

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.07s
";
    const SESSIONS: &str = "error: test failed, to rerun pass `-p streams --test sessions`\n";
    const MODEL: &str = "error: test failed, to rerun pass `-p store --test model`\n";

    #[track_caller]
    fn check(said: &[&str], programs: &[&str]) {
        let tests = vec!["doubt::unheard", "zombies::replaced"];
        let expected = programs.iter().map(|program| Failed { program, tests: tests.clone() });
        assert_eq!(failed(&said.concat()), Ok(expected.collect()));
    }

    #[test]
    fn each_program_has_its_own_tests() {
        let (sessions, model) = ("-p streams --test sessions", "-p store --test model");
        check(&[PASSED, FAILED, SESSIONS, PASSED], &[sessions]);
        let end = "error: 2 targets failed:\n    `-p streams --test sessions`\n    `-p store --test model`\n";
        check(&[FAILED, SESSIONS, PASSED, FAILED, MODEL, end], &[sessions, model]);
    }

    /// Of what ends otherwise it is not known what else would have failed.
    #[test]
    fn what_ends_otherwise_is_not_tried_again() {
        let cut_off = &FAILED[..FAILED.find("\nfailures:").expect("a list")];
        let short = FAILED.replacen("    doubt::unheard\n", "", 1);
        for said in [
            &["error: could not compile `streams`\n"][..],
            &[PASSED],
            &[PASSED, SESSIONS],
            &[cut_off, SESSIONS],
            &[FAILED, SESSIONS, cut_off, MODEL],
            &[&short, SESSIONS],
        ] {
            assert!(failed(&said.concat()).is_err(), "{said:?}");
        }
    }
}
