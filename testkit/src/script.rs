//! The scripts of `docker/local/`, run with their output kept for the message of a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Lines of a server's log that a failed test shows.
const LOG_LINES: usize = 15;

/// The repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The command that runs the script `name`.
pub(crate) fn command(name: &str) -> Command {
    let path: PathBuf = root().join("docker/local").join(name);
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Runs `command` to its end: what it printed, or all its output as one message.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown} cannot be run: {error}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    Err(format!("{shown} did not pass ({}):\n{stdout}{stderr}", output.status))
}

/// The last lines of a server's log, if it has one.
pub(crate) fn log_end(of: &str, path: &Path) -> Option<String> {
    let log = fs::read(path).ok()?;
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
    Some(format!("testkit: {of}'s log ends:\n{}\n", end.join("\n")))
}
