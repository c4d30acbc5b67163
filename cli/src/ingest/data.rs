//! The folder of an edge: its claims and its read model, fed from the topics.

use std::fmt::Display;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::registry::Registry;
use store::EmbeddedStore;
use store::embedded::{Feeder, KafkaFeed, Loss};
use streams::SystemClock;
use streams::kafka::{Connection, RecordReader};
use streams::store::StateFolder;

use super::metrics;
use super::stores::Stores;
use crate::error::CliError;
use crate::folder;

/// Memory for blocks of the claims and the read model.
const STATE_CACHE_BYTES: u64 = 64 << 20;

/// The claims and the read model, in a folder that no other process uses.
pub(super) struct Data {
    folder: PathBuf,
    store: EmbeddedStore,
    state: StateFolder,
    _lock: File,
}

impl Data {
    /// Opens it, or begins one, and the feeder that keeps it up with the log.
    pub(super) fn open(
        path: &Path,
        connection: &Connection,
        identity: String,
        loss: Loss,
    ) -> Result<(Data, Feeder), CliError> {
        fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
        let lock = folder::lock(path, "ingest.data")?;
        let state = StateFolder::open(&path.join("state"), STATE_CACHE_BYTES).map_err(|error| failed(path, &error))?;
        let reports = RecordReader::open(connection, "reports").map_err(|error| failed(path, &error))?;
        let feed = KafkaFeed::new(connection, identity);
        let opened = EmbeddedStore::open_with(&state, &feed, Arc::new(reports), Arc::new(SystemClock), loss);
        let (store, feeder) = opened.map_err(|error| failed(path, &error))?;
        Ok((Data { folder: path.to_owned(), store, state, _lock: lock }, feeder))
    }
}

impl Stores for Data {
    type Claims = EmbeddedStore;
    type ReadModel = EmbeddedStore;

    fn both(&self) -> (EmbeddedStore, EmbeddedStore) {
        (self.store.clone(), self.store.clone())
    }

    fn register(&self, metrics: &mut Registry) {
        metrics::register_store(metrics, &self.store);
    }

    fn place(&self) -> String {
        format!("data is in {}", self.folder.display())
    }

    fn close(self) -> Result<(), CliError> {
        drop(self.store);
        self.state.close().map_err(|error| failed(&self.folder, &error))
    }
}

fn failed(data: &Path, error: &dyn Display) -> CliError {
    CliError::Failed(format!("the data in {}: {error}", data.display()))
}
