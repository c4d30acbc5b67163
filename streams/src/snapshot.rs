//! Snapshots of state stores, so that the log's old segments may go.
//!
//! # Constraints
//! - A state store is never trusted to survive a power loss, so what it holds must be found again elsewhere before the
//!   segments that made it are dropped.
//! - A snapshot is whole or it is not there: a crash while one is written leaves the one before.
//! - Memory is bounded by one block, whatever the store's size.
//!
//! # Format
//! `FOLDER/NAME.snapshot`: blocks of length (u32), CRC-32 (u32), bytes; integers are big-endian. The first block is the
//! header: `CVSNAP02`, the rows' version (u32), the position (u64). Then rows, each key length (u32), key, value length
//! (u32), value, whole rows to a block. Then an empty block, and one with the number of rows (u64), which ends the file:
//! what follows it, or its absence, is damage. An empty block alone would be what a run of zeros reads as.
//!
//! # Order of operations
//! Write `NAME.snapshot.tmp`, sync it, rename it over `NAME.snapshot`, sync the folder and those above it. Only then may the
//! log drop segments that end at or before the snapshot's position. Whoever finds a snapshot and relies on it syncs the
//! folders again: a crash, or a failed sync, may have come between the renaming and the syncing.

use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::disk::{Access, Disk, RealDisk, Stream, sync_folders_above};
use crate::store::{Change, FjallStore, StateStore, StoreError};

mod stores;

pub use self::stores::FolderStores;

const MAGIC: &[u8; 8] = b"CVSNAP02";
/// A block is closed when it has reached this many bytes; one row may take it further.
const BLOCK_BYTES: usize = 1 << 20;
/// A frame of the log, and so a row, is half of this at most: a longer block is damage, not something to make room for.
const BLOCK_BYTES_MAX: usize = 128 << 20;

/// Takes one row of a store: its key and its value.
pub type AddRow<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// Where one store's snapshot is kept.
#[derive(Clone, Debug)]
pub struct Snapshot {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    version: u32,
}

impl Snapshot {
    /// The snapshot of the store `name` with rows of `version` in `folder`, there or not.
    #[must_use]
    pub fn new(folder: &Path, name: &str, version: u32) -> Snapshot {
        Snapshot::on(Arc::new(RealDisk), folder, name, version)
    }

    /// [`Snapshot::new`] on this file system.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, folder: &Path, name: &str, version: u32) -> Snapshot {
        Snapshot { disk, path: folder.join(format!("{name}.snapshot")), version }
    }

    /// The position that the snapshot stands for; `None` if there is none of this version. The file is read to its end, and
    /// its name synced, since what it stands for may be dropped on its word.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn position(&self) -> Result<Option<u64>, StoreError> {
        let position = self.read(&mut |_| Ok(()))?;
        // Whoever wrote it may have died, or failed, before its name was durable.
        if position.is_some() {
            self.sync_name()?;
        }
        Ok(position)
    }

    /// Writes the store as of now, and returns the position that this is; `None` for an empty store, which needs no file.
    ///
    /// # Errors
    /// The disk or the store failed; the snapshot before, if any, is still there.
    pub fn write(&self, store: &FjallStore) -> Result<Option<u64>, StoreError> {
        let Some(frozen) = store.freeze()? else { return Ok(None) };
        self.write_rows(frozen.position(), |add| frozen.rows(add))?;
        Ok(Some(frozen.position()))
    }

    /// Writes the rows that `each` hands over as the snapshot that stands for `position`.
    ///
    /// # Errors
    /// The disk failed or `each` did; the snapshot before, if any, is still there.
    pub fn write_rows(
        &self,
        position: u64,
        each: impl FnOnce(AddRow<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let temporary = self.path.with_extension("snapshot.tmp");
        let io = |error: std::io::Error| self.failed("writing", &error);
        let writer = BufWriter::new(Stream::new(self.disk.create(&temporary).map_err(io)?));
        let mut rows = Rows { writer, block: Vec::new(), count: 0 };
        rows.header(self.version, position).map_err(io)?;
        each(&mut |key, value| rows.add(key, value).map_err(io))?;
        rows.finish().map_err(io)?;
        let written = rows.writer.into_inner().map_err(|error| self.failed("writing", &error))?;
        written.file().sync_all().map_err(io)?;
        self.disk.rename(&temporary, &self.path).map_err(io)?;
        self.sync_name()
    }

    /// Makes the file's name durable, and those of the folders it is in.
    fn sync_name(&self) -> Result<(), StoreError> {
        let folder = self.path.parent().expect("a snapshot is in a folder");
        let synced = self.disk.sync_folder(folder).and_then(|()| sync_folders_above(&*self.disk, folder));
        synced.map_err(|error| self.failed("syncing the name of", &error))
    }

    /// Fills an empty store; without a snapshot of this version the store stays empty.
    ///
    /// # Errors
    /// The file is damaged, or the disk or the store failed. The store is empty then, or what is in it has no stamp.
    pub fn load(&self, store: &mut dyn StateStore) -> Result<(), StoreError> {
        match self.read(&mut |rows| store.fill(rows)) {
            Ok(None) => Ok(()),
            Ok(Some(position)) => store.apply(&[], position),
            Err(error) => {
                store.wipe()?;
                Err(error)
            }
        }
    }

    /// Hands all rows to `visit`, a block at a time; the position that they stand for is returned only if all of them were
    /// there, and `None` if there is no snapshot of this version. Nothing is written, so that somebody else's may be read.
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or `visit` failed.
    pub fn read(&self, visit: &mut dyn FnMut(&[Change]) -> Result<(), StoreError>) -> Result<Option<u64>, StoreError> {
        let Some(mut reader) = self.reader()? else { return Ok(None) };
        let Some(position) = self.header(&mut reader)? else { return Ok(None) };
        let mut count = 0_u64;
        loop {
            let mut block = self.block(&mut reader)?;
            if block.is_empty() {
                self.end(&mut reader, count)?;
                return Ok(Some(position));
            }
            let mut rows = Vec::new();
            while block.has_remaining() {
                let (key, value) = (self.part(&mut block)?, self.part(&mut block)?);
                rows.push(Change { key, value: Some(value) });
            }
            count += rows.len() as u64;
            visit(&rows)?;
        }
    }

    /// Checks that the file ends as it should.
    fn end(&self, reader: &mut impl Read, count: u64) -> Result<(), StoreError> {
        let said = self.block(reader)?;
        if said[..] != count.to_be_bytes() {
            return Err(self.failed("reading", &"rows are missing"));
        }
        match reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.failed("reading", &"something follows its end")),
            Err(error) => Err(self.failed("reading", &error)),
        }
    }

    fn reader(&self) -> Result<Option<BufReader<Stream>>, StoreError> {
        match self.disk.open(&self.path, Access::Read) {
            Ok(file) => Ok(Some(BufReader::new(Stream::new(file)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("opening", &error)),
        }
    }

    fn header(&self, reader: &mut impl Read) -> Result<Option<u64>, StoreError> {
        let mut block = self.block(reader)?;
        if block.len() != MAGIC.len() + 12 || !block.starts_with(MAGIC) {
            return Err(self.failed("reading", &"it has another format"));
        }
        block.advance(MAGIC.len());
        let version = block.get_u32();
        let position = block.get_u64();
        Ok((version == self.version).then_some(position))
    }

    fn block(&self, reader: &mut impl Read) -> Result<Bytes, StoreError> {
        let mut head = [0; 8];
        reader.read_exact(&mut head).map_err(|error| self.failed("reading", &error))?;
        let (mut length, mut checksum) = (&head[..4], &head[4..]);
        let (length, checksum) = (length.get_u32() as usize, checksum.get_u32());
        if length > BLOCK_BYTES_MAX {
            return Err(self.failed("reading", &"a block's length is damaged"));
        }
        let mut block = vec![0; length];
        reader.read_exact(&mut block).map_err(|error| self.failed("reading", &error))?;
        if crc32fast::hash(&block) != checksum {
            return Err(self.failed("reading", &"a block's checksum does not match"));
        }
        Ok(Bytes::from(block))
    }

    fn part(&self, block: &mut Bytes) -> Result<Bytes, StoreError> {
        let length = if block.remaining() >= 4 { block.get_u32() as usize } else { usize::MAX };
        if length > block.remaining() {
            return Err(self.failed("reading", &"a row runs over its block"));
        }
        Ok(block.split_to(length))
    }

    fn failed(&self, doing: &'static str, error: &dyn std::fmt::Display) -> StoreError {
        StoreError { context: "snapshot", message: format!("{doing} {}: {error}", self.path.display()) }
    }
}

struct Rows<W> {
    writer: W,
    block: Vec<u8>,
    count: u64,
}

impl<W: Write> Rows<W> {
    fn header(&mut self, version: u32, position: u64) -> std::io::Result<()> {
        self.block.extend_from_slice(MAGIC);
        self.block.extend_from_slice(&version.to_be_bytes());
        self.block.extend_from_slice(&position.to_be_bytes());
        self.flush()
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> std::io::Result<()> {
        for part in [key, value] {
            let length = u32::try_from(part.len()).expect("a row is far under 4 GiB");
            self.block.extend_from_slice(&length.to_be_bytes());
            self.block.extend_from_slice(part);
        }
        self.count += 1;
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        self.flush()?;
        self.block.extend_from_slice(&self.count.to_be_bytes());
        self.flush()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.block.len() > BLOCK_BYTES_MAX {
            return Err(std::io::Error::new(ErrorKind::InvalidInput, "a row is larger than a snapshot can hold"));
        }
        let length = u32::try_from(self.block.len()).expect("a block is far under 4 GiB");
        self.writer.write_all(&length.to_be_bytes())?;
        self.writer.write_all(&crc32fast::hash(&self.block).to_be_bytes())?;
        self.writer.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}
