//! The data folder: one process at a time, the log, what is derived from it, and snapshots of that.
//!
//! ```text
//! LOCK         held while a process uses the folder; holds its process id
//! log/         the embedded log: the truth
//! state/       state stores and read model: caches of the log, may be deleted
//! snapshots/   what stands for segments of the log that were dropped
//! ```

use std::fmt::Display;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::EmbeddedStore;
use store::embedded::{Feeder, Loss};
use streams::embedded::{EmbeddedLog, Options};
use streams::store::StateFolder;
use streams::{LogError, SystemClock};

use crate::error::CliError;
use crate::folder;

/// Memory for blocks of all state stores together.
const STATE_CACHE_BYTES: u64 = 64 << 20;

/// An open data folder.
pub(super) struct DataFolder {
    pub(super) folder: PathBuf,
    pub(super) log: EmbeddedLog,
    pub(super) state: StateFolder,
    pub(super) store: EmbeddedStore,
    /// Taken by whoever runs it.
    pub(super) feeder: Option<Feeder>,
    _lock: File,
}

impl DataFolder {
    /// Opens a data folder, or begins one.
    pub(super) fn open(folder: &Path, loss: Loss) -> Result<DataFolder, CliError> {
        let cannot =
            |error: &dyn Display| CliError::Failed(format!("cannot open the data in {}: {error}", folder.display()));
        let snapshots = folder.join("snapshots");
        fs::create_dir_all(&snapshots).map_err(|error| cannot(&error))?;
        let lock = folder::lock(folder, "--data")?;
        let log =
            EmbeddedLog::open(folder.join("log"), Options::default()).map_err(|error| cannot(&explained(error)))?;
        let state = StateFolder::open(&folder.join("state"), STATE_CACHE_BYTES).map_err(|error| cannot(&error))?;
        let opened = EmbeddedStore::open(&state, &snapshots, log.clone(), Arc::new(SystemClock), loss);
        let (store, feeder) = opened.map_err(|error| cannot(&error))?;
        Ok(DataFolder { folder: folder.to_owned(), log, state, store, feeder: Some(feeder), _lock: lock })
    }

    /// Where snapshots are.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    /// An error of something in this folder.
    pub(super) fn failed(&self, error: &dyn Display) -> CliError {
        CliError::Failed(format!("the data in {}: {error}", self.folder.display()))
    }

    /// Closes the log and the state in order. Everything that uses them has stopped.
    pub(super) fn close(self) -> Result<(), CliError> {
        let shown = self.folder.display();
        let cannot = |error: &dyn Display| {
            CliError::Failed(format!("cannot close the data in {shown} in order: {error}. Nothing accepted is lost"))
        };
        self.log.close().map_err(|error| cannot(&error))?;
        drop(self.store);
        self.state.close().map_err(|error| cannot(&error))
    }
}

fn explained(error: LogError) -> String {
    match error {
        LogError::Io { context, source } => format!("{context}: {source}"),
        other => other.to_string(),
    }
}
