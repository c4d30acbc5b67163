//! Opening: checks every frame, cuts a torn tail, refuses damage.

use std::collections::VecDeque;
use std::path::Path;

use super::buffer::Buffer;
use super::consumers::{Consumers, StepMark};
use super::frame::{Fault, Frame, HEADER_BYTES, Kind};
use super::segment::{self, Segment, damaged, io_error};
use super::shared::Known;
use crate::disk::{Access, Disk, DiskFile};
use crate::log::LogError;

/// A log that was checked and is ready to be written.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) known: Known,
    /// The file of the last segment.
    pub(super) file: Box<dyn DiskFile>,
}

/// Checks the segments in `folder`, reading so many bytes at a time; begins a log if there is none.
pub(super) fn recover(disk: &dyn Disk, folder: &Path, read_bytes: usize) -> Result<Recovered, LogError> {
    segment::make_folder(disk, folder)?;
    let starts = segment::list(disk, folder)?;
    let Some((&last, sealed)) = starts.split_last() else {
        segment::sync_above(disk, folder)?;
        let (file, segment) = segment::create(disk, folder, 0, Vec::new())?;
        let known = Known { segments: VecDeque::from([segment]), consumers: Consumers::default() };
        return Ok(Recovered { known, file });
    };
    // A crash may have come between the renaming of a segment and the syncing of its folder.
    segment::sync_folder(disk, folder)?;
    let mut recovery = Recovery { folder, read_bytes, consumers: Consumers::default(), next: None };
    let mut segments = VecDeque::new();
    for &start in sealed {
        let file = open(disk, folder, start, Access::Read)?;
        let (segment, scan) = recovery.check(&*file, start)?;
        if let Some(reason) = scan.fault {
            return Err(damaged(folder, start, scan.end, reason));
        }
        segments.push_back(segment);
    }
    let file = open(disk, folder, last, Access::Write)?;
    let (mut segment, scan) = recovery.check(&*file, last)?;
    if let Some(reason) = scan.fault {
        recovery.cut(&*file, &segment, scan.end, reason)?;
        segment.end = scan.end;
    }
    recovery.settle(&*file, &segment, scan.proven)?;
    segments.push_back(segment);
    Ok(Recovered { known: Known { segments, consumers: recovery.consumers }, file })
}

fn open(disk: &dyn Disk, folder: &Path, start: u64, access: Access) -> Result<Box<dyn DiskFile>, LogError> {
    let path = segment::path(folder, start);
    disk.open(&path, access).map_err(io_error(format!("opening {}", path.display())))
}

/// What is known so far.
struct Recovery<'a> {
    folder: &'a Path,
    read_bytes: usize,
    consumers: Consumers,
    /// Where the next segment has to start.
    next: Option<u64>,
}

/// The sound part of a segment.
struct Scan {
    /// Position after the last sound frame.
    end: u64,
    /// Position up to which the frames prove that it was durable.
    proven: u64,
    /// What is there instead of another frame.
    fault: Option<&'static str>,
}

const CUT_SHORT: &str = "the last frame is cut short";

impl Recovery<'_> {
    /// Checks the place of a segment, its header and its frames, and counts its steps in.
    fn check(&mut self, file: &dyn DiskFile, start: u64) -> Result<(Segment, Scan), LogError> {
        self.check_place(start)?;
        let segment = segment::read_header(self.folder, file, start)?;
        if self.next.is_none() {
            self.consumers.load(&segment.marks);
        } else if self.consumers.marks() != segment.marks {
            let reason = "the consumers' positions in the header do not follow from the segments before it";
            return Err(damaged(self.folder, start, start, reason));
        }
        let scan = self.scan(file, &segment)?;
        self.next = Some(segment.end);
        Ok((segment, scan))
    }

    fn check_place(&self, start: u64) -> Result<(), LogError> {
        let Some(expected) = self.next.filter(|expected| *expected != start) else { return Ok(()) };
        let (missing, found) = (segment::path(self.folder, expected), segment::path(self.folder, start));
        Err(LogError::Damaged(format!(
            "{}: byte 0: the segment before {} ends at position {expected}, so either this file is missing or the one \
             before it has lost or gained bytes. Bring the files back from a copy; if there is none, everything before \
             position {expected} can be kept by removing all later segment files and the state made from them",
            missing.display(),
            found.display(),
        )))
    }

    fn scan(&mut self, file: &dyn DiskFile, segment: &Segment) -> Result<Scan, LogError> {
        let mut scan = Scan { end: segment.data_start, proven: segment.data_start, fault: None };
        let mut buffer = Buffer::default();
        while scan.end < segment.end {
            let needed = match buffer.header(scan.end) {
                Ok(header) => {
                    // Its checksum is right, so no crash made it: whatever is wrong with it is not cut off.
                    if let Some(reason) = self.count(&buffer.frame(header)) {
                        return Err(damaged(self.folder, segment.start, scan.end, reason));
                    }
                    scan.end = header.end();
                    scan.proven = scan.proven.max(header.durable);
                    continue;
                }
                Err(Fault::Short(needed)) => needed,
                Err(Fault::Bad(reason)) => {
                    scan.fault = Some(reason);
                    break;
                }
            };
            if segment.end - scan.end < needed as u64 {
                scan.fault = Some(CUT_SHORT);
                break;
            }
            buffer = self.read(file, segment, scan.end, needed.max(self.read_bytes))?;
        }
        Ok(scan)
    }

    /// Counts a frame in; says what is wrong with it if anything is.
    fn count(&mut self, frame: &Frame) -> Option<&'static str> {
        match frame.header.kind {
            Kind::Published => None,
            Kind::Step => {
                let Some((consumer, input)) = frame.step() else {
                    return Some("a step does not say whose it is");
                };
                if input > frame.header.position {
                    return Some("a step has read what comes after it");
                }
                self.consumers.committed(&StepMark {
                    consumer: consumer.to_owned(),
                    input,
                    end: frame.header.end(),
                    has_changes: frame.header.changes > 0,
                });
                None
            }
        }
    }

    fn read(&self, file: &dyn DiskFile, segment: &Segment, position: u64, length: usize) -> Result<Buffer, LogError> {
        let length = length.min(usize::try_from(segment.end - position).unwrap_or(usize::MAX));
        let path = segment::path(self.folder, segment.start);
        let byte = position - segment.start;
        Buffer::read(file, segment.start, position, length)
            .map_err(io_error(format!("reading {length} bytes at byte {byte} of {}", path.display())))
    }

    /// Cuts the tail of the last segment off at `end`, unless a sound frame after it says that it was durable.
    fn cut(&self, file: &dyn DiskFile, segment: &Segment, end: u64, reason: &str) -> Result<(), LogError> {
        let left = usize::try_from(segment.end - end).unwrap_or(usize::MAX);
        let tail = self.read(file, segment, end, left)?;
        if let Some(proof) = proof_of(&tail, end) {
            let reason = format!("{reason} (the frame at byte {} proves that it was)", proof - segment.start);
            return Err(damaged(self.folder, segment.start, end, &reason));
        }
        let path = segment::path(self.folder, segment.start);
        let cut = || {
            file.set_length(end - segment.start)?;
            file.sync_all()
        };
        cut().map_err(io_error(format!("cutting {}", path.display())))?;
        tracing::warn!(
            file = %path.display(),
            byte = end - segment.start,
            bytes = left,
            reason,
            "cut off the tail of the log, which a crash left unfinished and nobody was promised"
        );
        Ok(())
    }

    /// Makes durable what the frames do not prove to be. It is written again first: after a failed sync the system may
    /// hold pages that it takes for written and that the disk does not have.
    fn settle(&self, file: &dyn DiskFile, segment: &Segment, proven: u64) -> Result<(), LogError> {
        let path = segment::path(self.folder, segment.start);
        let context = || io_error(format!("syncing the tail of {}", path.display()));
        let mut position = proven.clamp(segment.data_start, segment.end);
        while position < segment.end {
            let length = (segment.end - position).min(self.read_bytes as u64) as usize;
            let mut bytes = vec![0; length];
            let byte = position - segment.start;
            file.read_exact_at(&mut bytes, byte).map_err(context())?;
            file.write_all_at(&bytes, byte).map_err(context())?;
            position += length as u64;
        }
        file.sync_all().map_err(context())
    }
}

/// The position of a sound frame in `tail` that says that the bytes at `damage` were durable.
pub(super) fn proof_of(tail: &Buffer, damage: u64) -> Option<u64> {
    let mut position = damage + 1;
    while position + HEADER_BYTES as u64 <= tail.end() {
        position = tail.find_magic(position)?;
        match tail.header(position) {
            Ok(header) if header.durable > damage => return Some(position),
            Ok(header) => position = header.end(),
            Err(Fault::Short(_) | Fault::Bad(_)) => position += 1,
        }
    }
    None
}
