//! Open files: connections must not take those that the log and the stores need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::CliError;

/// Files that the log and the state stores may have open at once, with room to spare.
const RESERVED: u64 = 1_024;
/// Fewer connections than this are no service.
const CONNECTIONS_MIN: u64 = 64;

/// How many connections may be open, of the `wanted`: the process's limit is raised as far as the system lets it.
///
/// Out of files, a store could not write and the process would have to end, so that anybody who opens connections
/// could end it.
pub(crate) fn connections_max(wanted: usize) -> Result<usize, CliError> {
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised is used as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(RESERVED);
    if connections < CONNECTIONS_MIN {
        return Err(CliError::Failed(format!(
            "the process may open only {files} files, and needs {}: raise the limit with `ulimit -n 65536`",
            RESERVED + CONNECTIONS_MIN
        )));
    }
    Ok(usize::try_from(connections).unwrap_or(usize::MAX).min(wanted))
}
