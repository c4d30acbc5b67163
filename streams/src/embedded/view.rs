//! Reading a log that somebody else may have open: nothing is written, locked, cut or removed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::buffer::Buffer;
use super::consumers::{ConsumerInfo, Consumers, StepMark};
use super::draft::TopicSet;
use super::frame::{Fault, Frame, Header, Kind};
use super::recover::proof_of;
use super::segment::{self, Segment, damaged, io_error};
use crate::disk::{Access, Disk, DiskFile, RealDisk};
use crate::log::{LogError, Record, Topic};
use crate::store::Change;

/// Bytes read at a time; a larger frame is read whole.
const READ_BYTES: usize = 1 << 20;
const MALFORMED: &str = "the contents of a frame are not what its header says";

/// A log as it stood when this was opened, read frame by frame and checked like one that is opened.
///
/// What its writer has written and not synced is seen too, and may be gone after a power loss: derive nothing from it.
#[derive(Debug)]
pub struct LogView {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    topics: TopicSet,
    segments: Vec<Segment>,
    /// The segment being read, and its file.
    current: usize,
    file: Option<Box<dyn DiskFile>>,
    position: u64,
    buffer: Buffer,
    consumers: Consumers,
}

impl LogView {
    /// Opens the log in `folder` for reading the records of these topics.
    ///
    /// # Errors
    /// [`LogError::Damaged`] if there is no log, a segment is missing, or the format is of another version;
    /// [`LogError::Io`] if the folder cannot be read.
    pub fn open(folder: &Path, topics: &[Topic]) -> Result<LogView, LogError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut segments = Vec::new();
        for start in segment::starts(&*disk, folder)? {
            let path = segment::path(folder, start);
            let file = disk.open(&path, Access::Read).map_err(io_error(format!("opening {}", path.display())))?;
            segments.push(segment::read_header(folder, &*file, start)?);
        }
        let Some(first) = segments.first() else {
            return Err(LogError::Damaged(format!("there is no log in {}", folder.display())));
        };
        let mut consumers = Consumers::default();
        consumers.load(&first.marks);
        Ok(LogView {
            disk,
            folder: folder.to_owned(),
            topics: TopicSet::new(topics),
            position: first.data_start,
            segments,
            current: 0,
            file: None,
            buffer: Buffer::default(),
            consumers,
        })
    }

    /// The position of the first byte that retention has left.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.segments[0].start
    }

    /// How far each consumer had come by the last frame that was read.
    #[must_use]
    pub fn consumers(&self) -> Vec<ConsumerInfo> {
        self.consumers.infos()
    }

    /// Appends the records of the next frame, which may have none; false at the end.
    ///
    /// # Errors
    /// [`LogError::Damaged`] as for a log that is opened, but that a tail which a crash may have left, or which is just
    /// being written, is the end; [`LogError::Gone`] if retention was faster; [`LogError::Io`] if reading failed.
    pub fn next(&mut self, records: &mut Vec<Record>) -> Result<bool, LogError> {
        let Some(frame) = self.frame()? else { return Ok(false) };
        if frame.header.topics & self.topics.bits != 0 {
            frame.records(&self.topics, records).ok_or_else(|| self.damaged(MALFORMED))?;
        }
        self.position = frame.header.end();
        Ok(true)
    }

    /// Appends the changes that `consumer` made to its rows in the next frame, if it is its step, and says where that
    /// frame ends; nothing at the end.
    ///
    /// # Errors
    /// As [`LogView::next`].
    pub fn next_changes(&mut self, consumer: &str, changes: &mut Vec<Change>) -> Result<Option<u64>, LogError> {
        let Some(frame) = self.frame()? else { return Ok(None) };
        if frame.step().is_some_and(|(name, _)| name == consumer) {
            frame.changes(changes).ok_or_else(|| self.damaged(MALFORMED))?;
        }
        self.position = frame.header.end();
        Ok(Some(self.position))
    }

    /// The frame at the position, which stays there; nothing at the end.
    fn frame(&mut self) -> Result<Option<Frame>, LogError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let frame = self.buffer.frame(header);
        if header.kind == Kind::Step {
            self.count(&frame).ok_or_else(|| self.damaged(MALFORMED))?;
        }
        Ok(Some(frame))
    }

    /// The header of the frame at the position, in whichever segment it is; nothing at the end.
    fn header(&mut self) -> Result<Option<Header>, LogError> {
        loop {
            let segment = &self.segments[self.current];
            if self.position >= segment.end {
                if !self.next_segment()? {
                    return Ok(None);
                }
                continue;
            }
            let left = segment.end - self.position;
            let fault = match self.buffer.header(self.position) {
                Ok(header) => return Ok(Some(header)),
                Err(Fault::Short(needed)) if needed as u64 <= left => {
                    self.fill(needed)?;
                    continue;
                }
                Err(Fault::Short(_)) => "the last frame is cut short",
                Err(Fault::Bad(reason)) => reason,
            };
            return self.tail(fault);
        }
    }

    /// What is wrong in the last segment is its end, unless a frame after it says that it was durable.
    fn tail(&mut self, reason: &str) -> Result<Option<Header>, LogError> {
        if self.current + 1 < self.segments.len() {
            return Err(self.damaged(reason));
        }
        let left = usize::try_from(self.segments[self.current].end - self.position).unwrap_or(usize::MAX);
        self.fill(left)?;
        match proof_of(&self.buffer, self.position) {
            Some(_) => Err(self.damaged(reason)),
            None => Ok(None),
        }
    }

    fn next_segment(&mut self) -> Result<bool, LogError> {
        let end = self.segments[self.current].end;
        let Some(next) = self.segments.get(self.current + 1) else { return Ok(false) };
        let (start, data_start) = (next.start, next.data_start);
        let marks_follow = self.consumers.marks() == next.marks;
        (self.current, self.file, self.buffer) = (self.current + 1, None, Buffer::default());
        if start != end {
            let reason = format!("the segment before this one ends at position {end}: a file is missing or cut");
            return Err(damaged(&self.folder, start, start, &reason));
        }
        if !marks_follow {
            let reason = "the consumers' positions in the header do not follow from the segments before it";
            return Err(damaged(&self.folder, start, start, reason));
        }
        self.position = data_start;
        Ok(true)
    }

    /// Counts a step in; nothing if it does not say whose it is.
    fn count(&mut self, frame: &Frame) -> Option<()> {
        let (consumer, input) = frame.step()?;
        self.consumers.committed(&StepMark {
            consumer: consumer.to_owned(),
            input,
            end: frame.header.end(),
            has_changes: frame.header.changes > 0,
        });
        Some(())
    }

    /// Reads at least `needed` bytes from the position on.
    fn fill(&mut self, needed: usize) -> Result<(), LogError> {
        let segment = &self.segments[self.current];
        let path = segment::path(&self.folder, segment.start);
        let file = match self.file.take() {
            Some(file) => file,
            None => self.disk.open(&path, Access::Read).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => LogError::Gone { asked: self.position, first: segment.end },
                _ => io_error(format!("opening {}", path.display()))(error),
            })?,
        };
        let left = usize::try_from(segment.end - self.position).unwrap_or(usize::MAX);
        let length = needed.max(READ_BYTES).min(left);
        let context = format!("reading {length} bytes of {}", path.display());
        self.buffer = Buffer::read(&*file, segment.start, self.position, length).map_err(io_error(context))?;
        self.file = Some(file);
        Ok(())
    }

    fn damaged(&self, reason: &str) -> LogError {
        damaged(&self.folder, self.segments[self.current].start, self.position, reason)
    }
}
