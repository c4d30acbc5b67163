//! A disk that a simulation decides about: what a crash leaves, with and without sync, and when it is full.
//!
//! # What it claims of disks
//! - What is written is read back at once by everybody, and outlives the process that wrote it ([`Crash::Kill`]).
//! - [`Crash::PowerLoss`] leaves, of every write and cut since the file's last sync, all, nothing or any part: any of its
//!   sectors of 512 bytes, and of one of them any number of its first bytes. A file may have its new length and zeros in
//!   place of its new bytes. What one file keeps says nothing of another.
//! - A name that was made, changed or removed is what it was or what it is, each by itself, until its folder is synced.
//!   Syncing a file says nothing of its name.
//! - A sync that fails has written any sectors of what it should have, and forgets the others: they read back until the
//!   system drops them from memory, no later sync writes them, and that one succeeds. Lengths and names are in the
//!   file system's journal: a failed sync leaves them as doubtful as they were, and a later one that succeeds has them.
//! - A full disk takes the first bytes of a write and refuses the rest. What is in place may be written again.
//! - Bytes that were synced stay as they are, unless [`SimDisk::damage`] is called.
//!
//! The same seed and the same calls leave the same bytes. Nothing here is timed, and no thread is needed.
//!
//! # State stores
//! [`DiskStores`] are those of a process whose state folder is beside its log: rows outlive a killed process, a step as a
//! whole or not at all, and are emptied after a power loss, as [`crate::store::StateFolder`] does. Snapshots are files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

mod content;
mod folders;
mod process;
mod stores;

use self::content::Content;
use self::folders::Folders;
pub use self::process::DiskProcess;
pub use self::stores::DiskStores;
use self::stores::Rows;

/// What a process asks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Making a folder.
    MakeFolder,
    /// Listing a folder.
    List,
    /// Making or emptying a file.
    Create,
    /// Opening a file.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Cutting or lengthening a file.
    SetLength,
    /// Syncing a file.
    Sync,
    /// Syncing a folder.
    SyncFolder,
    /// Renaming a file; the path is the new one.
    Rename,
    /// Removing a file.
    Remove,
    /// Asking for the time of the last write.
    Modified,
    /// Writing a step to a state store; the path is the store's name.
    Apply,
}

/// Something a process is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// To which file or folder.
    pub path: PathBuf,
    /// At which byte; 0 where there is none.
    pub at: u64,
    /// How many bytes; 0 where there are none.
    pub bytes: u64,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { kind, path, at, bytes } = self;
        write!(formatter, "{kind:?} {} {bytes} at {at}", path.display())
    }
}

/// What ends processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed; the system has all that it wrote.
    Kill,
    /// The machine stops; the disk has what was synced, and any part of the rest.
    PowerLoss,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Proceeds,
    /// It fails: a write may be done in part, and a sync is as [the module](self) says.
    Fails,
    /// It is done, or not, or in part, and all processes end, so that nobody is told.
    Crashes(Crash),
}

/// Decides what goes wrong, before each operation.
pub trait Faults: fmt::Debug + Send + Sync {
    /// What becomes of this operation. Others may do their work meanwhile, as far as they need not wait for this one.
    fn verdict(&self, operation: &Operation) -> Verdict;

    /// The process has ended by the last verdict. Whoever wants it to go no further unwinds from here; otherwise it goes on,
    /// and every operation of it fails without doing anything.
    fn crashed(&self) {}
}

/// Nothing goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn verdict(&self, _: &Operation) -> Verdict {
        Verdict::Proceeds
    }
}

/// A disk, which outlives processes and machines. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: fastrand::Rng,
    folders: Folders,
    /// By number; numbers are never used again.
    files: BTreeMap<u64, Content>,
    /// Of each state store.
    rows: BTreeMap<String, Rows>,
    /// Counts the crashes: a process that is older than the last is no more.
    crashes: u64,
    /// Most bytes in all files.
    bytes_max: u64,
    now: SystemTime,
    numbers: u64,
}

impl SimDisk {
    /// An empty disk whose dice have this seed. There is the root folder, `/`.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State {
            dice: fastrand::Rng::with_seed(seed),
            folders: Folders::default(),
            files: BTreeMap::new(),
            rows: BTreeMap::new(),
            crashes: 0,
            bytes_max: u64::MAX,
            now: SystemTime::UNIX_EPOCH,
            numbers: 0,
        })))
    }

    /// The disk as a process that starts now has it. The system may by now have dropped what it had only in memory.
    #[must_use]
    pub fn process(&self, faults: Arc<dyn Faults>) -> DiskProcess {
        let mut state = self.lock();
        let State { files, dice, .. } = &mut *state;
        files.values_mut().for_each(|file| file.evict(dice));
        DiskProcess::new(self.clone(), state.crashes, faults)
    }

    /// Ends all processes.
    pub fn crash(&self, crash: Crash) {
        self.lock().crash(crash);
    }

    /// Sets the clock of the file system.
    pub fn set_now(&self, now: SystemTime) {
        self.lock().now = now;
    }

    /// Bounds the bytes of all files; those over it stay.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.lock().bytes_max = bytes_max;
    }

    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// The files in a folder, in order, with their lengths as the system has them.
    #[must_use]
    pub fn files(&self, folder: &Path) -> Vec<(PathBuf, u64)> {
        let state = self.lock();
        let names = state.folders.names(folder).unwrap_or_default();
        let paths = names.into_iter().map(|name| folder.join(name));
        let file = |path: PathBuf| {
            let number = state.folders.file(&path).ok()?;
            Some((path, state.files.get(&number)?.length()))
        };
        paths.filter_map(file).collect()
    }

    /// Changes the bits of `mask` in a byte that is there, in memory and on the disk; twice is as if never. Returns whether
    /// the byte is there.
    pub fn damage(&self, path: &Path, at: u64, mask: u8) -> bool {
        let mut state = self.lock();
        let Ok(number) = state.folders.file(path) else { return false };
        state.files.get_mut(&number).is_some_and(|file| file.damage(at, mask))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn crash(&mut self, crash: Crash) {
        self.crashes += 1;
        match crash {
            Crash::Kill => {}
            Crash::PowerLoss => {
                self.folders.lose_power(&mut self.dice);
                self.files.values_mut().for_each(|file| file.lose_power(&mut self.dice));
                self.rows.clear();
            }
        }
        let named = self.folders.files();
        self.files.retain(|number, _| named.contains(number));
    }

    /// Of files that have a name: the others are on their way out.
    fn bytes(&self) -> u64 {
        self.folders.current().iter().filter_map(|number| self.files.get(number)).map(Content::length).sum()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
