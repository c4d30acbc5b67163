//! The file system as the log and its snapshots use it: so little that a model can stand in for it.
//!
//! What a crash leaves is the same for [`RealDisk`] and for [`crate::sim::disk::SimDisk`]. A *process* that dies takes
//! nothing with it that it had written: the system has it. A *machine* that dies may take everything that was not
//! synced, in parts and in any combination: the bytes of a file by [`DiskFile::sync_data`], its name by
//! [`Disk::sync_folder`]. After a sync that failed nobody knows, and a later one that succeeds says nothing of what the
//! failed one should have written.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading and writing.
    Write,
}

/// Folders and the names in them. Called once a file or a batch, never once a record.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder with all that are missing above it; one that is there is left alone.
    ///
    /// # Errors
    /// The system's.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names of what is in a folder, in any order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes a file, or empties the one that is there, for reading and writing.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name in the same folder, in one step, in place of a file that had it.
    ///
    /// # Errors
    /// The system's; both names are as they were.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; who has it open may go on reading it.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// When a file was last written.
    ///
    /// # Errors
    /// The system's.
    fn modified(&self, path: &Path) -> io::Result<SystemTime>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The system's; which names are durable is then unknown until a later one succeeds.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length, in bytes.
    ///
    /// # Errors
    /// The system's.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` with what is there from byte `at` on.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` from byte `at` on, making the file longer if need be.
    ///
    /// # Errors
    /// The system's; any part of the bytes may be there.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts the file to so many bytes, or fills it up to them with zeros.
    ///
    /// # Errors
    /// The system's.
    fn set_length(&self, bytes: u64) -> io::Result<()>;

    /// Makes the bytes durable, and the length with them.
    ///
    /// # Errors
    /// The system's; which bytes are durable is then unknown, for ever.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the bytes and all that is known of the file durable, except for its name.
    ///
    /// # Errors
    /// As for [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
}

/// Makes the names of a folder, and of all folders above it, durable.
///
/// # Errors
/// The system's. A folder that may not be read ends the way up: whoever made what is in it was somebody else.
pub fn sync_folders_above(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    for above in folder.ancestors().skip(1) {
        // What is above a relative path's first folder is where the process is.
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_folder(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            other => other?,
        }
    }
    Ok(())
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(access == Access::Write).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        fs::metadata(path)?.modified()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }
}

/// A file from its beginning on, for what reads or writes it as a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    file: Box<dyn DiskFile>,
    at: u64,
}

impl Stream {
    /// The stream of a file.
    pub(crate) fn new(file: Box<dyn DiskFile>) -> Stream {
        Stream { file, at: 0 }
    }

    /// The file.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }
}

impl io::Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.length()?.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = bytes.len().min(left);
        self.file.read_exact_at(&mut bytes[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
