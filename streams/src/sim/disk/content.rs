//! The bytes of a file, as the system has them and as the disk has them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a disk writes as a whole, or cuts at one byte.
const SECTOR_BYTES: usize = 512;

/// A change that the disk does not have for certain.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A file's bytes.
#[derive(Debug)]
pub(super) struct Content {
    /// The name it was last given.
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
    /// What everybody reads.
    memory: Vec<u8>,
    /// What is left if all changes are lost.
    disk: Vec<u8>,
    /// Since the last sync, in order.
    changes: Vec<Change>,
    /// Whether a sync failed, so that memory may have what neither the disk has nor a change brings to it.
    forgotten: bool,
}

impl Content {
    /// An empty file.
    pub(super) fn new(path: &Path, modified: SystemTime) -> Content {
        let (memory, disk, changes) = (Vec::new(), Vec::new(), Vec::new());
        Content { path: path.to_owned(), modified, memory, disk, changes, forgotten: false }
    }

    /// Its length.
    pub(super) fn length(&self) -> u64 {
        self.memory.len() as u64
    }

    /// The bytes from `at` on, if so many are there.
    pub(super) fn read(&self, at: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        self.memory.get(at..at.checked_add(length)?)
    }

    /// Writes.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        write(&mut self.memory, at, bytes);
        self.changes.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    /// Cuts or lengthens.
    pub(super) fn set_length(&mut self, length: usize) {
        self.memory.resize(length, 0);
        self.changes.push(Change::Length(length));
    }

    /// The disk has everything, but for what it was once said to have.
    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            match change {
                Change::Write { at, bytes } => write(&mut self.disk, at, &bytes),
                Change::Length(length) => self.disk.resize(length, 0),
            }
        }
        self.disk.resize(self.memory.len(), 0);
    }

    /// The disk has some of the sectors, and the others are taken for written. Lengths go on being doubtful.
    pub(super) fn fail_sync(&mut self, dice: &mut fastrand::Rng) {
        let mut lengths = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Write { at, bytes } => {
                    for (at, sector) in sectors(at, &bytes) {
                        // A sector beyond the length that the disk knows of waits for the length.
                        if dice.bool() && lengths.is_empty() {
                            write(&mut self.disk, at, sector);
                        }
                    }
                }
                Change::Length(length) => lengths.push(Change::Length(length)),
            }
        }
        self.changes = lengths;
        self.forgotten = true;
        self.evict(dice);
    }

    /// The system drops some of what it takes for written, and reads it from the disk again.
    pub(super) fn evict(&mut self, dice: &mut fastrand::Rng) {
        if !self.forgotten || !self.changes.is_empty() {
            return;
        }
        for at in (0..self.memory.len()).step_by(SECTOR_BYTES) {
            if dice.bool() {
                let end = (at + SECTOR_BYTES).min(self.memory.len());
                for byte in at..end {
                    self.memory[byte] = self.disk.get(byte).copied().unwrap_or(0);
                }
            }
        }
    }

    /// What the disk has is all there is, and that is any part of the changes.
    pub(super) fn lose_power(&mut self, dice: &mut fastrand::Rng) {
        let length = self.memory.len();
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Write { at, bytes } => match dice.u8(..4) {
                    0 => {}
                    1 => write(&mut self.disk, at, &bytes),
                    _ => tear(&mut self.disk, at, &bytes, dice),
                },
                Change::Length(length) if dice.bool() => self.disk.resize(length, 0),
                Change::Length(_) => {}
            }
        }
        if self.disk.len() < length && dice.u8(..4) == 0 {
            self.disk.resize(length, 0);
        }
        self.memory.clone_from(&self.disk);
        self.forgotten = false;
    }

    /// Changes bits of a byte that is there.
    pub(super) fn damage(&mut self, at: u64, mask: u8) -> bool {
        let Ok(at) = usize::try_from(at) else { return false };
        let (Some(in_memory), Some(on_disk)) = (self.memory.get_mut(at), self.disk.get_mut(at)) else { return false };
        *in_memory ^= mask;
        *on_disk ^= mask;
        true
    }
}

/// Puts bytes at their place, after zeros if it is beyond the end.
fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

/// Writes some of the sectors, and the first bytes of one more.
fn tear(file: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &mut fastrand::Rng) {
    let all: Vec<(usize, &[u8])> = sectors(at, bytes).collect();
    let torn = dice.usize(..=all.len());
    for (number, (at, sector)) in all.into_iter().enumerate() {
        if number == torn {
            write(file, at, &sector[..dice.usize(..=sector.len())]);
        } else if dice.bool() {
            write(file, at, sector);
        }
    }
}

/// The parts of a write, by the sectors of the file that they are in.
fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let length = (SECTOR_BYTES - (at + done) % SECTOR_BYTES).min(bytes.len() - done);
        let sector = (at + done, &bytes[done..done + length]);
        done += length;
        (length > 0).then_some(sector)
    })
}
