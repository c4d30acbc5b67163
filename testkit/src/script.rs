//! The scripts of `docker/local/`, run with their output kept for the message of a panic.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
