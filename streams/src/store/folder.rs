//! The folder with the state of all partitions: one `fjall` database, and whether it can be trusted.
//!
//! # Constraints
//! - A store is a cache of the log: no fsync on the commit path, and losing it costs a restore, never data.
//! - What a store holds is the fold of all changes up to its stamp, exactly, or it is wiped.
//! - Many keyspaces share one database, so that memory, journal and threads are bounded once.
//!
//! # On disk
//! `FOLDER/db/` is the database. Each keyspace has its rows and, under the key `00`, its stamp: version (u32),
//! position (u64), both big-endian; the stamp is in every batch with the changes it stands for.
//! `FOLDER/OPEN` exists while a process has the folder open and holds the id of the system's boot. It takes its place whole, from
//! `FOLDER/OPEN.new`: a disk that is full leaves no half of it.
//!
//! # What a crash leaves
//! Batches are handed to the system as they are applied, so a killed process loses nothing, and the next one goes on
//! from the stamp. After a power loss the files may hold any mixture of what was written. It is told by `OPEN` naming
//! another boot: then the whole folder is deleted and restored. An orderly close syncs everything and removes `OPEN`.
//! Where the system does not tell its boots apart, `OPEN` names none, and every stop but an orderly close is distrusted.
//!
//! # What damage leaves
//! A database that does not open is deleted and restored, unless it is the disk that fails or is full: then nothing is deleted, and
//! the process stops. Damage that only reading finds is written into `OPEN`, so that
//! the process stops and the next one deletes and restores. One that another process has open is left alone.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::StoreError;
use super::fjall::FjallStore;
use crate::background;

/// What `OPEN` says once damage was read; no boot is called that.
const DAMAGED: &[u8] = b"damaged";
const MEMTABLE_BYTES_MAX: u64 = 16 << 20;
/// The journal is replayed row by row at a start after a crash: keeping it short keeps that start short.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Of several, the engine keeps one for flushing, which looks for work without a pause while another compacts.
const WORKER_THREADS: usize = 1;

/// A folder with the state of all partitions of one process.
#[derive(Clone)]
pub struct StateFolder {
    database: Database,
    health: Arc<Health>,
}

impl std::fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFolder").field("folder", &self.health.folder).finish_non_exhaustive()
    }
}

impl StateFolder {
    /// Opens a folder, making it if needed; one that cannot be trusted is emptied, with a log line that says why.
    ///
    /// `cache_bytes` bounds the block cache that all keyspaces share.
    ///
    /// # Errors
    /// The folder cannot be read, written or emptied.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<StateFolder, StoreError> {
        fs::create_dir_all(folder).map_err(|error| failed("making the folder", &error))?;
        let boot = boot_id();
        let is_open = match fs::read(folder.join("OPEN")) {
            Ok(last) if last == DAMAGED => empty(folder, "its database was found damaged").map(|()| false)?,
            Ok(last) if last.is_empty() || last != boot => {
                empty(folder, "the system went down while it was in use").map(|()| false)?
            }
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed("reading OPEN", &error)),
        };
        if !is_open {
            write_open(folder, &boot).map_err(|error| failed("writing OPEN", &error))?;
            sync_folder(folder)?;
        }
        let database = match open_database(folder, cache_bytes) {
            Ok(database) => database,
            // Deleting it under the process that uses it would be the damage that this is to repair.
            Err(fjall::Error::Locked) => {
                return Err(failed("opening the database", &"another process has it open"));
            }
            Err(error) if !is_damage(&error) => return Err(failed("opening the database", &error)),
            Err(error) => {
                empty(folder, &format!("its database does not open ({error})"))?;
                open_database(folder, cache_bytes).map_err(|error| failed("opening the database", &error))?
            }
        };
        let health = Arc::new(Health { folder: folder.to_owned(), damaged: AtomicBool::new(false) });
        Ok(StateFolder { database, health })
    }

    /// The store of one partition. One that holds rows of another `version` is emptied.
    ///
    /// # Errors
    /// The database failed.
    pub fn store(&self, name: &str, version: u32) -> Result<FjallStore, StoreError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
        let keyspace = self.database.keyspace(name, options).map_err(|error| failed("opening a keyspace", &error))?;
        FjallStore::open(self.database.clone(), keyspace, Arc::clone(&self.health), name, version)
    }

    /// Bytes on disk, journal and all.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    /// Syncs everything and marks the folder as closed in order. No store of it may be written after this.
    ///
    /// # Errors
    /// The sync failed: the next start treats it as a crash.
    pub fn close(self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| failed("syncing", &error))?;
        if self.health.damaged.load(Ordering::Acquire) {
            return Ok(());
        }
        fs::remove_file(self.health.folder.join("OPEN")).map_err(|error| failed("removing OPEN", &error))?;
        sync_folder(&self.health.folder)
    }
}

/// What the stores of a folder share: whether one of them has read damage.
pub(super) struct Health {
    folder: PathBuf,
    damaged: AtomicBool,
}

impl Health {
    /// The error of an engine's error; if that tells of damage, the folder is not trusted by the next start.
    pub(super) fn failed(&self, context: &'static str, error: &fjall::Error) -> StoreError {
        if is_damage(error) && !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, context, "state is damaged: the next start restores it from the log");
            // If this fails too, the next start fails as this one did, and an operator deletes the folder.
            if let Err(error) = write_open(&self.folder, DAMAGED) {
                tracing::error!(%error, "and OPEN could not be written: delete the state folder before that");
            }
        }
        failed(context, error)
    }
}

/// Whether what was read is not what was written. A disk that is full or fails is not cured by deleting what it holds.
fn is_damage(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            use ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
            // A length or a place that was read as garbage is asked of the system, which calls it invalid.
            matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput | NotFound)
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        _ => true,
    }
}

/// Flushing and compacting can wait for longer than a request; writers wait for them if they do not keep up.
fn open_database(folder: &Path, cache_bytes: u64) -> fjall::Result<Database> {
    background::open(|| {
        Database::builder(folder.join("db"))
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKER_THREADS)
            .open()
    })
}

fn empty(folder: &Path, why: &str) -> Result<(), StoreError> {
    tracing::warn!(folder = %folder.display(), why, "state is deleted and restored from the log");
    match fs::remove_dir_all(folder.join("db")) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("emptying the folder", &error)),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("syncing the folder", &error))
}

fn write_open(folder: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = folder.join("OPEN.new");
    let mut open = fs::File::create(&new)?;
    open.write_all(content)?;
    open.sync_all()?;
    fs::rename(new, folder.join("OPEN"))
}

/// The id of the system's boot; nothing where there is none.
fn boot_id() -> Vec<u8> {
    fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

pub(super) fn failed(context: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError { context, message: error.to_string() }
}
