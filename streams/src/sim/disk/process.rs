//! The disk as one process has it.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::content::Content;
use super::{Crash, Faults, Kind, Operation, SimDisk, State, Verdict};
use crate::disk::{Access, Disk, DiskFile};

/// The disk as one process has it, from its start to the next crash. Clones are of the same process.
#[derive(Clone, Debug)]
pub struct DiskProcess {
    disk: SimDisk,
    /// How many crashes there had been when it started.
    born: u64,
    faults: Arc<dyn Faults>,
}

/// What is left to do of an operation, and what the dice say.
enum Outcome {
    Done,
    Failed,
    Crashed(Crash),
}

fn ended() -> io::Error {
    io::Error::other("the process has ended")
}

fn failed(operation: &Operation) -> io::Error {
    io::Error::other(format!("as the faults say: {operation}"))
}

impl DiskProcess {
    pub(super) fn new(disk: SimDisk, born: u64, faults: Arc<dyn Faults>) -> DiskProcess {
        DiskProcess { disk, born, faults }
    }

    /// The disk itself.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Whether there was no crash since it started.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.disk.lock().crashes == self.born
    }

    /// Does an operation, or what the verdict leaves of it: `act` does it, in part if it is given dice.
    pub(super) fn perform<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut State, Effect) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.is_alive() {
            return Err(ended());
        }
        let outcome = match self.faults.verdict(&operation) {
            Verdict::Proceeds => Outcome::Done,
            Verdict::Fails => Outcome::Failed,
            Verdict::Crashes(crash) => Outcome::Crashed(crash),
        };
        let mut state = self.disk.lock();
        // Whoever did their work meanwhile may have ended everything.
        if state.crashes != self.born {
            return Err(ended());
        }
        match outcome {
            Outcome::Done => act(&mut state, Effect::Whole),
            Outcome::Failed => {
                // What it answers is of no interest to a caller that is told of the fault.
                let _ = act(&mut state, Effect::Failed);
                Err(failed(&operation))
            }
            Outcome::Crashed(crash) => {
                let effect = [Effect::None, Effect::Part, Effect::Whole][state.dice.usize(..3)];
                let _ = act(&mut state, effect);
                state.crash(crash);
                drop(state);
                self.faults.crashed();
                Err(ended())
            }
        }
    }

    fn operation(kind: Kind, path: &Path) -> Operation {
        Operation { kind, path: path.to_owned(), at: 0, bytes: 0 }
    }
}

/// How much of an operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// All.
    Whole,
    /// What a failure does: some of a write or sync, nothing of anything else.
    Failed,
    /// Some of a write, nothing of anything else: the process ends in the middle.
    Part,
    /// Nothing.
    None,
}

impl Effect {
    /// Whether an operation that has no parts is done.
    pub(super) fn is_whole(self) -> bool {
        self == Effect::Whole
    }
}

impl Disk for DiskProcess {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.perform(Self::operation(Kind::MakeFolder, folder), |state, effect| {
            if effect.is_whole() { state.folders.make(folder) } else { Ok(()) }
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.perform(Self::operation(Kind::List, folder), |state, _| {
            Ok(state.folders.names(folder)?.into_iter().map(OsString::from).collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = self.perform(Self::operation(Kind::Create, path), |state, effect| {
            if !effect.is_whole() {
                return Ok(0);
            }
            let number = match state.folders.file(path) {
                Ok(number) => number,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let number = state.number();
                    state.folders.add(path, number)?;
                    state.files.insert(number, Content::new(path, state.now));
                    number
                }
                Err(error) => return Err(error),
            };
            state.file(number)?.set_length(0);
            Ok(number)
        })?;
        Ok(Box::new(SimFile { process: self.clone(), number, access: Access::Write }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let number = self.perform(Self::operation(Kind::Open, path), |state, _| {
            let number = state.folders.file(path)?;
            path.clone_into(&mut state.file(number)?.path);
            Ok(number)
        })?;
        Ok(Box::new(SimFile { process: self.clone(), number, access }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Self::operation(Kind::Rename, to), |state, effect| {
            if effect.is_whole() {
                let number = state.folders.rename(from, to)?;
                to.clone_into(&mut state.file(number)?.path);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.perform(Self::operation(Kind::Remove, path), |state, effect| {
            if effect.is_whole() { state.folders.remove(path) } else { Ok(()) }
        })
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        self.perform(Self::operation(Kind::Modified, path), |state, _| {
            let number = state.folders.file(path)?;
            Ok(state.file(number)?.modified)
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.perform(Self::operation(Kind::SyncFolder, folder), |state, effect| {
            if effect.is_whole() { state.folders.sync(folder) } else { Ok(()) }
        })
    }
}

/// An open file.
#[derive(Clone)]
struct SimFile {
    process: DiskProcess,
    number: u64,
    access: Access,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimFile").field("number", &self.number).finish_non_exhaustive()
    }
}

impl SimFile {
    fn path(&self) -> PathBuf {
        self.process.disk.lock().files.get(&self.number).map_or_else(PathBuf::new, |file| file.path.clone())
    }

    fn operation(&self, kind: Kind, at: u64, bytes: u64) -> Operation {
        Operation { kind, path: self.path(), at, bytes }
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(io::Error::new(ErrorKind::PermissionDenied, "the file is open for reading alone")),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.process.perform(self.operation(Kind::Sync, 0, 0), |state, effect| {
            let State { files, dice, .. } = state;
            let file = files.get_mut(&self.number).ok_or(ErrorKind::NotFound)?;
            match effect {
                Effect::Whole => file.sync(),
                Effect::Failed => file.fail_sync(dice),
                // What it has brought to the disk so far is as what a crash brings there by itself.
                Effect::Part | Effect::None => {}
            }
            Ok(())
        })
    }
}

impl State {
    fn file(&mut self, number: u64) -> io::Result<&mut Content> {
        self.files.get_mut(&number).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Writes as much as there is room for.
    fn write(&mut self, number: u64, at: usize, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.bytes_max.saturating_sub(self.bytes())).unwrap_or(usize::MAX);
        let now = self.now;
        let file = self.file(number)?;
        let in_place = usize::try_from(file.length()).unwrap_or(usize::MAX).saturating_sub(at);
        let taken = bytes.len().min(in_place.saturating_add(room));
        file.modified = now;
        file.write(at, &bytes[..taken]);
        if taken < bytes.len() { Err(io::Error::new(ErrorKind::StorageFull, "no space left")) } else { Ok(()) }
    }
}

impl DiskFile for SimFile {
    /// Known without asking the disk.
    fn length(&self) -> io::Result<u64> {
        let mut state = self.process.disk.lock();
        if state.crashes != self.process.born {
            return Err(ended());
        }
        Ok(state.file(self.number)?.length())
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.process.perform(self.operation(Kind::Read, at, bytes.len() as u64), |state, _| {
            let there = state.file(self.number)?.read(at, bytes.len()).ok_or(ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(there);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.check_writable()?;
        let start = usize::try_from(at).map_err(|_| ErrorKind::FileTooLarge)?;
        self.process.perform(self.operation(Kind::Write, at, bytes.len() as u64), |state, effect| {
            let length = match effect {
                Effect::Whole => bytes.len(),
                Effect::Failed | Effect::Part => state.dice.usize(..=bytes.len()),
                Effect::None => return Ok(()),
            };
            state.write(self.number, start, &bytes[..length])
        })
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let length = usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge)?;
        self.process.perform(self.operation(Kind::SetLength, 0, bytes), |state, effect| {
            if effect.is_whole() {
                let now = state.now;
                let file = state.file(self.number)?;
                file.modified = now;
                file.set_length(length);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }
}
