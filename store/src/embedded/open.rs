//! Opening: whether the rows that are there are of this log, and what is done if they are not.

use std::path::Path;
use std::sync::{Arc, Mutex};

use schemas::Timestamp;
use streams::embedded::EmbeddedLog;
use streams::snapshot::Snapshot;
use streams::store::{FjallStore, StateFolder};
use streams::{Change, Clock, LogError, StateStore, StoreError};
use tokio::sync::Semaphore;

use super::ahead::Ahead;
use super::feed::{Feeder, TOPICS};
use super::filter::Filter;
use super::locks::{Locks, Unanswered};
use super::places::PAGES_MAX;
use super::rows::{
    IDENTITY_KEY, decode_identity, decode_position, encode_identity, parse_position_key, position_bounds,
    position_change,
};
use super::source::{Feed, Positions, Reports, Source, stamp};
use super::stats::{Applied, Counters};
use super::{EmbeddedStore, ROWS_VERSION, STORE_NAME, Shared};
use crate::received::ReportReader;

/// What to do if neither the store nor its snapshot reaches back to where the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Refuse to open, saying what is lost.
    Refuse,
    /// Go on with what there is and what the log still has: an operator has decided so.
    Accept,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state folder or the snapshot cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("opening the read model: {0}")]
    Log(#[from] LogError),
    /// Rows of a part of the log that is gone are nowhere else.
    #[error(
        "the read model cannot be made whole: {problem}. What was in the log between is lost to reads and claims: \
         conversions that ended in that time are not found, and orders reported in it are answered RECEIVED once more, \
         though they are not counted again. {remedy}, or accept the loss with --accept-loss"
    )]
    Lost {
        /// How far the read model reaches and where the log begins.
        problem: String,
        /// What may still have it.
        remedy: String,
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
        folder: &StateFolder,
        snapshots: &Path,
        log: EmbeddedLog,
        clock: Arc<dyn Clock>,
        loss: Loss,
    ) -> Result<(EmbeddedStore, Feeder), OpenError> {
        let snapshot = Snapshot::new(snapshots, &store_name(), ROWS_VERSION);
        open(folder, Some(snapshot), &log.clone(), Arc::new(log), clock, loss)
    }

    /// Opens the store in `folder` over any log: as [`EmbeddedStore::open`], without a snapshot. Every process that
    /// does so has a store of its own, fed from all partitions. A log whose beginning was dropped before the store had
    /// it is a loss; if that is accepted, the rows that are there are kept, and feeding goes on where the log begins.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_with(
        folder: &StateFolder,
        feed: &dyn Feed,
        reports: Arc<dyn Reports>,
        clock: Arc<dyn Clock>,
        loss: Loss,
    ) -> Result<(EmbeddedStore, Feeder), OpenError> {
        open(folder, None, feed, reports, clock, loss)
    }
}

fn store_name() -> String {
    format!("{STORE_NAME}-0")
}

fn open(
    folder: &StateFolder,
    snapshot: Option<Snapshot>,
    feed: &dyn Feed,
    reports: Arc<dyn Reports>,
    clock: Arc<dyn Clock>,
    loss: Loss,
) -> Result<(EmbeddedStore, Feeder), OpenError> {
    let mut rows = folder.store(&store_name(), ROWS_VERSION)?;
    let source = begin(&mut rows, snapshot.as_ref(), feed, loss)?;
    let positions = source.positions();
    let mut changes = vec![Change { key: IDENTITY_KEY.into(), value: Some(encode_identity(feed.identity())) }];
    changes.extend(positions.iter().map(|(partition, position)| position_change(*partition, *position)));
    // Stamped at once, so that what the edge writes before the first batch is not taken for the rest of a wipe.
    rows.apply(&changes, stamp(&positions))?;
    let shared = Arc::new(Shared {
        rows: rows.clone(),
        reports: ReportReader::new(reports),
        pages: Arc::new(Semaphore::new(PAGES_MAX)),
        snapshot,
        locks: Locks::new(),
        ahead: Ahead::new(),
        filter: Filter::new(),
        unanswered: Unanswered::default(),
        swept: Mutex::new(Timestamp::MIN),
        applied: Applied::new(stamp(&positions)),
        counters: Counters::new(source.lag()),
    });
    let feeder = Feeder::new(Arc::clone(&shared), rows, clock, source);
    Ok((EmbeddedStore { shared }, feeder))
}

/// A source that goes on where the rows end, or how the rows fall short of where the log begins.
type Standing = Result<Box<dyn Source>, String>;

/// Brings the rows to positions of the log, and returns a source that goes on from there.
fn begin(
    rows: &mut FjallStore,
    snapshot: Option<&Snapshot>,
    feed: &dyn Feed,
    loss: Loss,
) -> Result<Box<dyn Source>, OpenError> {
    let mut standing = settle(rows, feed, "there is none")?;
    if let Some(snapshot) = snapshot
        && (rows.position().is_none() || standing.is_err())
    {
        standing = load(rows, snapshot, feed)?;
    }
    let problem = match standing {
        Ok(source) => return Ok(source),
        Err(problem) => problem,
    };
    match loss {
        Loss::Refuse => {
            let remedy = match snapshot {
                Some(_) => format!("Put the file {}.snapshot of a backup in place", store_name()),
                None => {
                    "Put the state folder of an edge that has it in place, copied while that edge is stopped".into()
                }
            };
            Err(OpenError::Lost { problem, remedy })
        }
        Loss::Accept => {
            tracing::error!(problem, "the read model goes on without what the log no longer has");
            let mut from = feed.open(&TOPICS, &Positions::new())?.positions();
            for (partition, position) in kept(rows)? {
                from.entry(partition).and_modify(|first| *first = position.max(*first));
            }
            Ok(feed.open(&TOPICS, &from)?)
        }
    }
}

/// Fills the rows from their snapshot, if there is one.
fn load(rows: &mut FjallStore, snapshot: &Snapshot, feed: &dyn Feed) -> Result<Standing, OpenError> {
    if rows.position().is_some() {
        tracing::warn!("the read model ends before the log begins: it is emptied and filled from its snapshot");
        rows.wipe()?;
    }
    let none = match snapshot.load(rows) {
        Ok(()) => "there is none, nor a snapshot".to_owned(),
        Err(error) => {
            tracing::warn!(%error, "the read model cannot be filled from its snapshot: the log has to have all of it");
            format!("there is none, and not a snapshot that can be read ({error})")
        }
    };
    let standing = settle(rows, feed, &none)?;
    if let (Ok(_), Some(position)) = (&standing, rows.position()) {
        tracing::info!(position, "the read model was filled from its snapshot");
    }
    Ok(standing)
}

/// Where the rows stand; rows of another log are emptied. `none` says how there come to be no rows.
fn settle(rows: &mut FjallStore, feed: &dyn Feed, none: &str) -> Result<Standing, OpenError> {
    if rows.position().is_some() {
        match stand(rows, feed)? {
            Ok(standing) => return Ok(standing),
            Err(problem) => tracing::warn!(problem, "the read model is not of this log: it is emptied and made again"),
        }
        rows.wipe()?;
    }
    let source = feed.open(&TOPICS, &Positions::new())?;
    let behind = behind(&*source, &Positions::new(), none);
    Ok(behind.map_or(Ok(source), Err))
}

/// Where rows that are there stand; the error says why they are of another log.
fn stand(rows: &FjallStore, feed: &dyn Feed) -> Result<Result<Standing, String>, OpenError> {
    let identity = rows.get(IDENTITY_KEY)?.map(|value| decode_identity(&value)).transpose()?;
    if identity.as_deref() != Some(feed.identity()) {
        let was = identity.as_deref().unwrap_or("nothing that is known");
        return Ok(Err(format!("it was fed from {was}, and this is {}", feed.identity())));
    }
    let from = kept(rows)?;
    let source = match feed.open(&TOPICS, &from) {
        Ok(source) => source,
        Err(LogError::Gone { asked, first }) => {
            return Ok(Ok(Err(format!("it ends at {asked}, and the log begins at {first}"))));
        }
        Err(LogError::Damaged(reason)) => return Ok(Err(reason)),
        Err(error) => return Err(error.into()),
    };
    let read = source.positions();
    if let Some(partition) = from.keys().find(|partition| !read.contains_key(partition)) {
        return Ok(Err(format!("it has read {}, which this log does not have", place(*partition))));
    }
    let behind = behind(&*source, &from, "it has nothing of a partition");
    Ok(Ok(behind.map_or(Ok(source), Err)))
}

/// How rows that have read `from` fall short of a partition that they have nothing of; `why` begins the sentence.
fn behind(source: &dyn Source, from: &Positions, why: &str) -> Option<String> {
    let begins = source.positions().into_iter();
    let (partition, first) =
        begins.into_iter().find(|(partition, first)| *first > 0 && !from.contains_key(partition))?;
    Some(format!("{why}, and {} begins at {first}", place(partition)))
}

/// A partition in words.
fn place((topic, partition): (u16, u32)) -> String {
    match TOPICS.iter().find(|known| known.id == topic) {
        Some(known) => format!("{}/{partition}", known.name),
        None => "the log".to_owned(),
    }
}

/// The positions that the rows stand for.
fn kept(rows: &FjallStore) -> Result<Positions, StoreError> {
    let (from, until) = position_bounds();
    let mut kept = Vec::new();
    rows.scan(&from, &until, &mut |key, value| {
        kept.push(parse_position_key(key).and_then(|partition| Ok((partition, decode_position(value)?))));
        true
    })?;
    kept.into_iter().collect()
}
