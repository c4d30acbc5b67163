//! The machine's disk, with something between it and the log.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::disk::{Access, Disk, DiskFile, RealDisk};

/// What becomes of the writes and of the syncs of batches.
pub(super) trait Layer: std::fmt::Debug + Send + Sync {
    /// Writes, or does not.
    fn write(&self, file: &dyn DiskFile, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    /// Syncs, or does not.
    fn sync(&self, file: &dyn DiskFile) -> io::Result<()>;
}

/// The disk under a layer.
#[derive(Debug)]
pub(super) struct Layered<L>(pub(super) Arc<L>);

#[derive(Debug)]
struct LayeredFile<L> {
    layer: Arc<L>,
    file: Box<dyn DiskFile>,
}

impl<L: Layer + 'static> Layered<L> {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(LayeredFile { layer: Arc::clone(&self.0), file })
    }
}

impl<L: Layer + 'static> Disk for Layered<L> {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.make_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.open(path, access)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        RealDisk.modified(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }
}

impl<L: Layer> DiskFile for LayeredFile<L> {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.layer.write(&*self.file, bytes, at)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_length(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.layer.sync(&*self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
