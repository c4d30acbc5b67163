//! Segment files: their names, their headers, and the folder they are in.

use std::io;
use std::path::{Path, PathBuf};

use super::fields::Fields;
use crate::disk::{Disk, DiskFile, sync_folders_above};
use crate::log::LogError;

/// What begins every segment file.
const MAGIC: [u8; 8] = *b"streams\0";

/// The version of the format that this code writes and reads.
const FORMAT_VERSION: u32 = 1;

/// Length of the part of the header before the consumers.
const FIXED_BYTES: usize = 32;

/// The longest header this format allows.
const HEADER_BYTES_LIMIT: usize = 1 << 20;

/// How far a consumer had come at the start of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its name.
    pub(super) consumer: String,
    /// Its committed input position.
    pub(super) input: u64,
    /// The end of its last frame with state changes; 0 if there is none.
    pub(super) changes: u64,
}

/// A segment that is part of the log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Position of its first byte.
    pub(super) start: u64,
    /// Position of its first frame.
    pub(super) data_start: u64,
    /// Position after its last durable byte.
    pub(super) end: u64,
    /// What its header says of the consumers.
    pub(super) marks: Vec<Mark>,
}

/// An I/O error with what was being done.
pub(super) fn io_error(context: impl Into<String>) -> impl FnOnce(io::Error) -> LogError {
    let context = context.into();
    move |source| LogError::Io { context, source }
}

/// The error for durable bytes of a segment that do not read back.
pub(super) fn damaged(folder: &Path, start: u64, position: u64, reason: &str) -> LogError {
    let byte = position.saturating_sub(start);
    LogError::Damaged(format!(
        "{}: byte {byte}: {reason}, in a part of the log that was durable. Stop the process and bring the file back \
         from a copy; if there is none, everything before that byte can be kept by cutting the file to {byte} bytes and \
         removing the segment files after it and the state made from them",
        path(folder, start).display(),
    ))
}

/// The file of the segment that starts at `start`.
pub(super) fn path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.seg"))
}

/// Makes the folder.
pub(super) fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), LogError> {
    disk.make_folder(folder).map_err(io_error(format!("creating {}", folder.display())))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), LogError> {
    disk.sync_folder(folder).map_err(io_error(format!("syncing {}", folder.display())))
}

/// Makes the folder's own name durable, and those of the folders it is in, whoever made them.
pub(super) fn sync_above(disk: &dyn Disk, folder: &Path) -> Result<(), LogError> {
    sync_folders_above(disk, folder).map_err(io_error(format!("syncing the folders above {}", folder.display())))
}

/// The start positions of the segments in the folder, ascending; removes a segment whose creation was cut short.
pub(super) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, LogError> {
    for name in names(disk, folder)? {
        if name.ends_with(".seg.new") {
            let unfinished = folder.join(name);
            disk.remove(&unfinished).map_err(io_error(format!("removing {}", unfinished.display())))?;
        }
    }
    starts(disk, folder)
}

/// The start positions of the segments in the folder, ascending.
pub(super) fn starts(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, LogError> {
    let start = |name: String| {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
        digits.parse().ok()
    };
    let mut starts: Vec<u64> = names(disk, folder)?.into_iter().filter_map(start).collect();
    starts.sort_unstable();
    Ok(starts)
}

fn names(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, LogError> {
    let names = disk.list(folder).map_err(io_error(format!("listing {}", folder.display())))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// Creates a segment; when this returns it will be there, whole, after a crash.
pub(super) fn create(
    disk: &dyn Disk,
    folder: &Path,
    start: u64,
    marks: Vec<Mark>,
) -> Result<(Box<dyn DiskFile>, Segment), LogError> {
    let path = path(folder, start);
    let unfinished = path.with_extension("seg.new");
    let header = encode_header(start, &marks);
    let data_start = start + header.len() as u64;
    let written = || -> io::Result<Box<dyn DiskFile>> {
        let file = disk.create(&unfinished)?;
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        disk.rename(&unfinished, &path)?;
        Ok(file)
    };
    let file = written().map_err(io_error(format!("creating {}", path.display())))?;
    sync_folder(disk, folder)?;
    Ok((file, Segment { start, data_start, end: data_start, marks }))
}

fn encode_header(start: u64, marks: &[Mark]) -> Vec<u8> {
    let mut bytes = vec![0; FIXED_BYTES];
    for mark in marks {
        bytes.push(mark.consumer.len() as u8);
        bytes.extend_from_slice(mark.consumer.as_bytes());
        bytes.extend_from_slice(&mark.input.to_le_bytes());
        bytes.extend_from_slice(&mark.changes.to_le_bytes());
    }
    let length = bytes.len() as u32;
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..24].copy_from_slice(&(marks.len() as u32).to_le_bytes());
    bytes[24..32].copy_from_slice(&start.to_le_bytes());
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a segment's header. The `end` of the result is the end of the file.
pub(super) fn read_header(folder: &Path, file: &dyn DiskFile, start: u64) -> Result<Segment, LogError> {
    let path = path(folder, start);
    let context = || format!("reading the header of {}", path.display());
    let file_bytes = file.length().map_err(io_error(context()))?;
    let read = |length: usize| {
        let mut bytes = vec![0; length.min(usize::try_from(file_bytes).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut bytes, 0).map_err(io_error(context()))?;
        Ok::<_, LogError>(bytes)
    };
    let fixed = read(FIXED_BYTES)?;
    let length = header_length(&path, &fixed)?.ok_or_else(|| damaged(folder, start, start, BAD_HEADER))?;
    let bytes = read(length)?;
    let marks = decode_header(&bytes, start, length).ok_or_else(|| damaged(folder, start, start, BAD_HEADER))?;
    Ok(Segment { start, data_start: start + length as u64, end: start + file_bytes, marks })
}

const BAD_HEADER: &str = "the header of the segment is not what was written";

/// The length of the whole header, if what is there of it is sound; refuses another version of the format.
fn header_length(path: &Path, fixed: &[u8]) -> Result<Option<usize>, LogError> {
    let mut fields = Fields::new(fixed);
    if fields.take(8).is_none_or(|magic| fixed[magic] != MAGIC) {
        return Ok(None);
    }
    match fields.u32() {
        None => return Ok(None),
        Some(FORMAT_VERSION) => {}
        Some(version) => {
            return Err(LogError::Damaged(format!(
                "{}: byte 8: the log is in format version {version} and this program knows version {FORMAT_VERSION}: \
                 run the version of the program that wrote it",
                path.display()
            )));
        }
    }
    let length = fields.take(4).and_then(|_| fields.u32()).map(|length| length as usize);
    Ok(length.filter(|length| (FIXED_BYTES..=HEADER_BYTES_LIMIT).contains(length)))
}

fn decode_header(bytes: &[u8], start: u64, length: usize) -> Option<Vec<Mark>> {
    let mut fields = Fields::new(bytes);
    fields.take(12)?;
    let crc = fields.u32()?;
    if bytes.len() != length || crc != crc32fast::hash(&bytes[16..]) {
        return None;
    }
    fields.take(4)?;
    let count = fields.u32()?;
    if fields.u64()? != start {
        return None;
    }
    let mut marks = Vec::new();
    for _ in 0..count {
        let name_bytes = fields.u8()?;
        let name = fields.take(usize::from(name_bytes))?;
        let consumer = std::str::from_utf8(&bytes[name]).ok()?.to_owned();
        marks.push(Mark { consumer, input: fields.u64()?, changes: fields.u64()? });
    }
    Some(marks)
}
