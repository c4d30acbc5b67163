//! The rows of a partition in a keyspace of `fjall`.
//!
//! # Constraints
//! - A store is a cache of the log: no fsync on the commit path, and losing it costs a restore, never data.
//! - What a store holds is the fold of all changes up to its stamp, exactly, or it is wiped.
//! - Many keyspaces share one database, so that memory, journal and threads are bounded once.
//!
//! # On disk
//! `FOLDER/db/` is the database. Each keyspace has its rows and, under the key `00`, its stamp: version (u32),
//! position (u64), both big-endian; the stamp is in every batch with the changes it stands for.
//! `FOLDER/OPEN` exists while a process has the folder open and holds the id of the system's boot.
//!
//! # What a crash leaves
//! Batches are handed to the system as they are applied, so a killed process loses nothing, and the next one goes on
//! from the stamp. After a power loss the files may hold any mixture of what was written. It is told by `OPEN` naming
//! another boot: then the whole folder is deleted and restored. An orderly close syncs everything and removes `OPEN`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::{Change, StateStore, StoreError};

const STAMP_KEY: &[u8] = &[0];
const MEMTABLE_BYTES_MAX: u64 = 16 << 20;
const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// The journal is replayed row by row at a start after a crash: keeping it short keeps that start short.
const WORKER_THREADS: usize = 2;

/// A folder with the state of all partitions of one process.
#[derive(Clone)]
pub struct StateFolder {
    database: Database,
    folder: PathBuf,
}

impl std::fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFolder").field("folder", &self.folder).finish_non_exhaustive()
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
        match fs::read_to_string(folder.join("OPEN")) {
            Ok(last) if last != boot => empty(folder, "the system went down while it was in use")?,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("reading OPEN", &error)),
        }
        let mut open = fs::File::create(folder.join("OPEN")).map_err(|error| failed("writing OPEN", &error))?;
        open.write_all(boot.as_bytes())
            .and_then(|()| open.sync_all())
            .map_err(|error| failed("writing OPEN", &error))?;
        sync_folder(folder)?;
        let database = match open_database(folder, cache_bytes) {
            Ok(database) => database,
            Err(error) => {
                empty(folder, &format!("its database does not open ({error})"))?;
                open_database(folder, cache_bytes).map_err(|error| failed("opening the database", &error))?
            }
        };
        Ok(StateFolder { database, folder: folder.to_owned() })
    }

    /// The store of one partition. One that holds rows of another `version` is emptied.
    ///
    /// # Errors
    /// The database failed.
    pub fn store(&self, name: &str, version: u32) -> Result<FjallStore, StoreError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
        let keyspace = self.database.keyspace(name, options).map_err(|error| failed("opening a keyspace", &error))?;
        let mut store = FjallStore { database: self.database.clone(), keyspace, version, position: None };
        match store.get(STAMP_KEY)?.as_deref().map(parse_stamp) {
            Some(Some((found, position))) if found == version => store.position = Some(position),
            Some(stamp) => {
                tracing::warn!(store = name, ?stamp, version, "state has another format: it is emptied and restored");
                store.wipe()?;
            }
            // Rows without a stamp are those of a wipe or a restore that was cut off before its first batch.
            None => store.wipe()?,
        }
        Ok(store)
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
        fs::remove_file(self.folder.join("OPEN")).map_err(|error| failed("removing OPEN", &error))?;
        sync_folder(&self.folder)
    }
}

/// One partition's rows. Clones share them, so that others may read while the owner applies.
#[derive(Clone)]
pub struct FjallStore {
    database: Database,
    keyspace: Keyspace,
    version: u32,
    position: Option<u64>,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").field("position", &self.position).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Writes rows without moving the stamp: for rows that the fold of the log would write too, only later.
    ///
    /// # Errors
    /// The database failed.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        self.fill(&mut batch, changes);
        batch.commit().map_err(|error| failed("writing", &error))
    }

    /// The store as it is now, for reading at leisure while it is written; `None` if it is empty.
    ///
    /// # Errors
    /// The database failed.
    pub fn freeze(&self) -> Result<Option<FrozenStore>, StoreError> {
        let snapshot = self.database.snapshot();
        let stamp = snapshot.get(&self.keyspace, STAMP_KEY).map_err(|error| failed("reading a stamp", &error))?;
        let position = stamp.as_deref().and_then(parse_stamp).map(|(_, position)| position);
        Ok(position.map(|position| FrozenStore { snapshot, keyspace: self.keyspace.clone(), position }))
    }

    fn fill(&self, batch: &mut fjall::OwnedWriteBatch, changes: &[Change]) {
        for change in changes {
            debug_assert!(change.key.first().is_some_and(|table| *table != STAMP_KEY[0]), "a row is in a table");
            match &change.value {
                Some(value) => batch.insert(&self.keyspace, &change.key[..], &value[..]),
                None => batch.remove(&self.keyspace, &change.key[..]),
            }
        }
    }
}

/// A store as it was at one instant.
#[allow(missing_debug_implementations, reason = "the engine's snapshot has no Debug")]
pub struct FrozenStore {
    snapshot: fjall::Snapshot,
    keyspace: Keyspace,
    position: u64,
}

impl FrozenStore {
    /// The position that the rows stand for.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Hands every row, stamp excluded, to `visit`, in order of their keys.
    ///
    /// # Errors
    /// The database failed, or `visit` did.
    pub fn rows(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for row in self.snapshot.iter(&self.keyspace) {
            let (key, value) = row.into_inner().map_err(|error| failed("reading a snapshot", &error))?;
            if &*key != STAMP_KEY {
                visit(&key, &value)?;
            }
        }
        Ok(())
    }
}

impl StateStore for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace.get(key).map_err(|error| failed("reading a row", &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        for row in self.keyspace.range(from..until) {
            let (key, value) = row.into_inner().map_err(|error| failed("scanning", &error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        assert!(self.position.is_none_or(|before| before <= position), "a store never goes back");
        // The default batch reaches the system when it commits; one made with a capacity would stay in this process.
        let mut batch = self.database.batch();
        self.fill(&mut batch, changes);
        batch.insert(&self.keyspace, STAMP_KEY, &stamp(self.version, position)[..]);
        batch.commit().map_err(|error| failed("applying a step", &error))?;
        self.position = Some(position);
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.keyspace.clear().map_err(|error| failed("emptying", &error))?;
        self.position = None;
        Ok(())
    }
}

fn open_database(folder: &Path, cache_bytes: u64) -> fjall::Result<Database> {
    Database::builder(folder.join("db"))
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .worker_threads(WORKER_THREADS)
        .open()
}

fn empty(folder: &Path, why: &str) -> Result<(), StoreError> {
    tracing::warn!(folder = %folder.display(), why, "state is deleted and restored from the log");
    match fs::remove_dir_all(folder.join("db")) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("emptying the folder", &error)),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("syncing the folder", &error))
}

/// The id of the system's boot; where there is none, a fixed text, so that only an orderly close is told apart.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| "unknown boot".to_owned())
}

fn stamp(version: u32, position: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&version.to_be_bytes());
    bytes[4..].copy_from_slice(&position.to_be_bytes());
    bytes
}

fn parse_stamp(bytes: &[u8]) -> Option<(u32, u64)> {
    let (version, position) = bytes.split_at_checked(4)?;
    Some((u32::from_be_bytes(version.try_into().ok()?), u64::from_be_bytes(position.try_into().ok()?)))
}

fn failed(context: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError { context, message: error.to_string() }
}
