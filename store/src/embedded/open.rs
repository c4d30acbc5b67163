//! Opening: whether the rows that are there are of this log, and what is done if they are not.

use std::path::Path;
use std::sync::{Arc, Mutex};

use schemas::Timestamp;
use streams::driver::Stores;
use streams::embedded::EmbeddedLog;
use streams::snapshot::FolderStores;
use streams::store::{FjallStore, StateFolder};
use streams::{Clock, StateStore, StoreError};

use super::feed::Feeder;
use super::locks::{Locks, Unanswered};
use super::stats::{Applied, Counters};
use super::{EmbeddedStore, ROWS_VERSION, STORE_NAME, Shared};

/// What to do if neither the store nor its snapshot reaches back to where the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Refuse to open, saying what is lost.
    Refuse,
    /// Go on with what the log still has: an operator has decided so.
    Accept,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state folder or the snapshot cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows of a part of the log that is gone are nowhere else.
    #[error(
        "{problem}, and the log begins at {first}: what the log said before is lost to reads and claims. Conversions \
         that ended before then are not found, and orders reported before then are answered RECEIVED once more, though \
         they are not counted again. Put the file {STORE_NAME}-0.snapshot of a backup in place, or accept the loss with --accept-loss"
    )]
    Lost {
        /// What is the matter with the snapshot.
        problem: String,
        /// The first position that the log still has.
        first: u64,
    },
}

impl EmbeddedStore {
    /// Opens the store in `folder`, with its snapshot in the folder `snapshots`, and the feeder that keeps it up with
    /// `log`. A store that is not of this log is emptied and made again, with a log line that says why.
    ///
    /// No request may be answered before [`Feeder::catch_up`] has returned: until then claims may be missing.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(
        folder: StateFolder,
        snapshots: &Path,
        log: EmbeddedLog,
        clock: Arc<dyn Clock>,
        loss: Loss,
    ) -> Result<(EmbeddedStore, Feeder), OpenError> {
        let mut stores = FolderStores::new(folder, snapshots, STORE_NAME, ROWS_VERSION);
        let mut rows = stores.store(0)?;
        let from = begin(&mut stores, &mut rows, &log, loss)?;
        // Stamped at once, so that what the edge writes before the first batch is not taken for the rest of a wipe.
        rows.apply(&[], from)?;
        let shared = Arc::new(Shared {
            rows: rows.clone(),
            snapshot: stores.snapshot(0),
            locks: Locks::new(),
            unanswered: Unanswered::default(),
            swept: Mutex::new(Timestamp::MIN),
            applied: Applied::new(from),
            counters: Counters::default(),
            log,
        });
        let feeder = Feeder::new(Arc::clone(&shared), rows, clock, from);
        Ok((EmbeddedStore { shared }, feeder))
    }
}

/// Brings the rows to a position of the log, and returns it.
fn begin(stores: &mut FolderStores, rows: &mut FjallStore, log: &EmbeddedLog, loss: Loss) -> Result<u64, OpenError> {
    if rows.position().is_some() {
        match check(rows.position(), log) {
            Ok(position) => return Ok(position),
            Err(problem) => tracing::warn!(problem, "the read model is not of this log: it is emptied and made again"),
        }
        rows.wipe()?;
    }
    let loaded = stores.load_snapshot(0, rows);
    let found = loaded.map_err(|error| error.to_string()).and_then(|()| check(rows.position(), log));
    let problem = match found {
        Ok(position) => {
            if rows.position().is_some() {
                tracing::info!(position, "the read model was filled from its snapshot");
            }
            return Ok(position);
        }
        Err(problem) => format!("the read model cannot be filled from its snapshot: {problem}"),
    };
    rows.wipe()?;
    let first = log.first();
    if first == 0 {
        tracing::warn!(problem, "the read model is made again from the whole log");
    } else if loss == Loss::Accept {
        tracing::error!(problem, first, "the read model goes on without what the log no longer has");
    } else {
        return Err(OpenError::Lost { problem, first });
    }
    Ok(first)
}

/// Where feeding goes on for rows with this stamp; the error says why the log does not have that position.
fn check(stamp: Option<u64>, log: &EmbeddedLog) -> Result<u64, String> {
    let (first, end) = (log.first(), log.durable());
    match stamp {
        None if first == 0 => Ok(0),
        None => Err("there is none".to_owned()),
        Some(stamp) if stamp < first => Err(format!("it ends at {stamp}, before the log's first position {first}")),
        Some(stamp) if stamp > end => {
            Err(format!("it is of another log: it ends at {stamp}, past this one's end {end}"))
        }
        Some(stamp) => Ok(stamp),
    }
}
