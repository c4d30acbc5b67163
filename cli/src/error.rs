//! What ends a command before its work is done: one sentence for the user, with what to do about it.

use std::process::ExitCode;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line or its environment is wrong: exit code 2, as for every fault that clap finds.
    #[error("{0}")]
    Usage(String),
    /// The command was right and something else was not: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What a command was to judge could not be read: exit code 2, since 1 is its judgement.
    #[error("{0}")]
    Unread(String),
}

impl CliError {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Usage(_) | CliError::Unread(_) => ExitCode::from(2),
            CliError::Failed(_) => ExitCode::FAILURE,
        }
    }
}
