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
//! header: `CVSNAP01`, the rows' version (u32), the position (u64). Then rows, each key length (u32), key, value length
//! (u32), value, whole rows to a block. An empty block ends the file; what follows it, or its absence, is damage.
//!
//! # Order of operations
//! Write `NAME.snapshot.tmp`, sync it, rename it over `NAME.snapshot`, sync the folder. Only then may the log drop
//! segments that end at or before the snapshot's position.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};

use crate::driver::Stores;
use crate::retention::Keeper;
use crate::store::{Change, FjallStore, StateFolder, StateStore, StoreError};

const MAGIC: &[u8; 8] = b"CVSNAP01";
/// A block is closed when it has reached this many bytes; one row may take it further.
const BLOCK_BYTES: usize = 1 << 20;
/// No row is this large: a longer block is damage, not something to make room for.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Where one store's snapshot is kept.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
    version: u32,
}

impl Snapshot {
    /// The snapshot of the store `name` with rows of `version` in `folder`, there or not.
    #[must_use]
    pub fn new(folder: &Path, name: &str, version: u32) -> Snapshot {
        Snapshot { path: folder.join(format!("{name}.snapshot")), version }
    }

    /// The position that the snapshot stands for; `None` if there is none of this version.
    ///
    /// # Errors
    /// The file cannot be read, or its header is damaged.
    pub fn position(&self) -> Result<Option<u64>, StoreError> {
        match self.reader()? {
            None => Ok(None),
            Some(mut reader) => self.header(&mut reader),
        }
    }

    /// Writes the store as of now, and returns the position that this is; `None` for an empty store, which needs no file.
    ///
    /// # Errors
    /// The disk or the store failed; the snapshot before, if any, is still there.
    pub fn write(&self, store: &FjallStore) -> Result<Option<u64>, StoreError> {
        let Some(frozen) = store.freeze()? else { return Ok(None) };
        let temporary = self.path.with_extension("snapshot.tmp");
        let io = |error: std::io::Error| self.failed("writing", &error);
        let mut rows = Rows { writer: BufWriter::new(File::create(&temporary).map_err(io)?), block: Vec::new() };
        rows.header(self.version, frozen.position()).map_err(io)?;
        frozen.rows(|key, value| rows.add(key, value).map_err(io))?;
        rows.finish().map_err(io)?;
        rows.writer.into_inner().map_err(|error| self.failed("writing", &error))?.sync_all().map_err(io)?;
        fs::rename(&temporary, &self.path).map_err(io)?;
        let folder = self.path.parent().expect("a snapshot is in a folder");
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        Ok(Some(frozen.position()))
    }

    /// Fills an empty store; without a snapshot of this version the store stays empty.
    ///
    /// # Errors
    /// The file is damaged, or the disk or the store failed. A part of the rows may be in the store, without a stamp
    /// unless it is whole.
    pub fn load(&self, store: &mut dyn StateStore) -> Result<(), StoreError> {
        let Some(mut reader) = self.reader()? else { return Ok(()) };
        let Some(position) = self.header(&mut reader)? else { return Ok(()) };
        loop {
            let mut block = self.block(&mut reader)?;
            if block.is_empty() {
                return store.apply(&[], position);
            }
            let mut changes = Vec::new();
            while block.has_remaining() {
                let (key, value) = (self.part(&mut block)?, self.part(&mut block)?);
                changes.push(Change { key, value: Some(value) });
            }
            // Position 0 until the last block: a load that is cut off is told from a whole one and begun again.
            store.apply(&changes, 0)?;
        }
    }

    fn reader(&self) -> Result<Option<BufReader<File>>, StoreError> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(BufReader::new(file))),
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
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        self.flush()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let length = u32::try_from(self.block.len()).expect("a block is far under 4 GiB");
        self.writer.write_all(&length.to_be_bytes())?;
        self.writer.write_all(&crc32fast::hash(&self.block).to_be_bytes())?;
        self.writer.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// [`Stores`] in a [`StateFolder`], with snapshots beside it. Partition `n` of `NAME` is the store `NAME-n`.
///
/// Clones share what is open, so that one may write snapshots while the driver works.
#[derive(Clone, Debug)]
pub struct FolderStores {
    folder: StateFolder,
    snapshots: PathBuf,
    name: String,
    version: u32,
    open: Arc<Mutex<BTreeMap<u32, FjallStore>>>,
}

impl FolderStores {
    /// The stores of one processor.
    #[must_use]
    pub fn new(folder: StateFolder, snapshots: &Path, name: &str, version: u32) -> FolderStores {
        FolderStores { folder, snapshots: snapshots.to_owned(), name: name.to_owned(), version, open: Arc::default() }
    }

    /// A partition's snapshot, there or not.
    #[must_use]
    pub fn snapshot(&self, partition: u32) -> Snapshot {
        Snapshot::new(&self.snapshots, &format!("{}-{partition}", self.name), self.version)
    }

    /// A partition's store.
    ///
    /// # Errors
    /// The engine failed.
    pub fn store(&self, partition: u32) -> Result<FjallStore, StoreError> {
        self.folder.store(&format!("{}-{partition}", self.name), self.version)
    }

    fn opened(&self) -> BTreeMap<u32, FjallStore> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Stores for FolderStores {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        let store = self.store(partition)?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, store.clone());
        Ok(Box::new(store))
    }

    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError> {
        self.snapshot(partition).load(store)
    }
}

impl Keeper for FolderStores {
    fn consumer(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn kept(&self) -> Result<Option<u64>, StoreError> {
        let positions: Result<Vec<Option<u64>>, StoreError> =
            self.opened().keys().map(|partition| self.snapshot(*partition).position()).collect();
        Ok(positions?.into_iter().min().flatten())
    }

    fn keep(&self) -> Result<Option<u64>, StoreError> {
        let written: Result<Vec<Option<u64>>, StoreError> =
            self.opened().iter().map(|(partition, store)| self.snapshot(*partition).write(store)).collect();
        Ok(written?.into_iter().min().flatten())
    }
}
