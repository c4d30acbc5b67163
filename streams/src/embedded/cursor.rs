//! Going through the durable frames, in memory or in files.

use std::io;
use std::sync::Arc;

use super::buffer::Buffer;
use super::draft::TopicSet;
use super::frame::{Fault, Frame, HEADER_BYTES, Header};
use super::segment::{self, Segment};
use super::shared::{Located, Shared, damage};
use crate::disk::{Access, DiskFile};
use crate::log::{Limits, LogError, Record};

/// Bytes first read for a single frame: most fit.
const SINGLE_READ_BYTES: usize = 4 << 10;

/// A place in the log, and the bytes around it.
#[derive(Debug)]
pub(super) struct Cursor {
    shared: Arc<Shared>,
    position: u64,
    buffer: Buffer,
    /// The file that was last read from, with the start of its segment.
    file: Option<(u64, Box<dyn DiskFile>)>,
    /// Bytes read from a file at a time.
    read_bytes: usize,
}

impl Cursor {
    /// A cursor before the frame at `position`.
    pub(super) fn new(shared: Arc<Shared>, position: u64) -> Cursor {
        let read_bytes = shared.options.read_bytes;
        Cursor { shared, position, buffer: Buffer::default(), file: None, read_bytes }
    }

    /// A cursor that will be used for the frame at `position` only, and reads little more than that.
    pub(super) fn single(shared: Arc<Shared>, position: u64) -> Cursor {
        Cursor { shared, position, buffer: Buffer::default(), file: None, read_bytes: SINGLE_READ_BYTES }
    }

    /// The position after the last frame that was passed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes elsewhere.
    pub(super) fn seek(&mut self, position: u64) {
        self.position = position;
        self.buffer = Buffer::default();
    }

    /// Passes the next durable frame and returns its header; nothing if there is none yet.
    pub(super) fn next(&mut self) -> Result<Option<Header>, LogError> {
        match self.peek()? {
            Some(header) => {
                self.position = header.end();
                Ok(Some(header))
            }
            None => Ok(None),
        }
    }

    /// The frame that [`Cursor::next`] has just passed.
    pub(super) fn frame(&self, header: Header) -> Frame {
        self.buffer.frame(header)
    }

    /// The header of the frame at the cursor.
    pub(super) fn peek(&mut self) -> Result<Option<Header>, LogError> {
        loop {
            let needed = match self.buffer.header(self.position) {
                Ok(header) => return Ok(Some(header)),
                Err(Fault::Short(needed)) => needed,
                Err(Fault::Bad(reason)) => return Err(self.damaged(reason)),
            };
            if !self.fill(needed)? {
                return Ok(None);
            }
        }
    }

    /// Takes records of these topics, whole frames at a time, until a limit is reached, nothing more is durable, or
    /// more than `scan_bytes_max` bytes of the log were passed.
    pub(super) fn collect(
        &mut self,
        topics: &TopicSet,
        limits: &Limits,
        scan_bytes_max: u64,
        records: &mut Vec<Record>,
    ) -> Result<(), LogError> {
        let scan_until = self.position.saturating_add(scan_bytes_max);
        let mut bytes = 0;
        while records.len() < limits.records_max.max(1)
            && bytes < limits.bytes_max.max(1)
            && self.position <= scan_until
        {
            let Some(header) = self.next()? else { break };
            if header.topics & topics.bits != 0 {
                let taken = self.frame(header).records(topics, records);
                bytes += taken.ok_or_else(|| self.malformed(&header))?;
            }
        }
        Ok(())
    }

    /// The error for a frame whose checksum is right and whose contents are not.
    pub(super) fn malformed(&self, header: &Header) -> LogError {
        damage(&self.shared, header.position, "the contents of a frame are not what its header says")
    }

    fn damaged(&self, reason: &str) -> LogError {
        damage(&self.shared, self.position, reason)
    }

    /// Fetches at least `needed` bytes from the cursor on; `false` if nothing is durable there yet.
    fn fill(&mut self, needed: usize) -> Result<bool, LogError> {
        match self.shared.locate(self.position)? {
            Located::End(position) => {
                self.seek(position);
                return Ok(false);
            }
            Located::Memory(position, buffer) => {
                self.position = position;
                self.buffer = buffer;
            }
            Located::File(position, segment) => {
                self.position = position;
                self.buffer = self.read(&segment, needed)?;
            }
        }
        if self.buffer.end() - self.position < needed.max(HEADER_BYTES) as u64 {
            return Err(self.damaged("a frame is longer than what is there of it"));
        }
        Ok(true)
    }

    fn read(&mut self, segment: &Segment, needed: usize) -> Result<Buffer, LogError> {
        let path = segment::path(&self.shared.folder, segment.start);
        let file = match self.file.take() {
            Some((start, file)) if start == segment.start => file,
            Some(_) | None => match self.shared.disk.open(&path, Access::Read) {
                Ok(file) => file,
                // Retention removes the file before it says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(LogError::Gone { asked: self.position, first: segment.end });
                }
                Err(error) => return Err(segment::io_error(format!("opening {}", path.display()))(error)),
            },
        };
        let left = segment.end - self.position;
        let length = needed.max(self.read_bytes).min(usize::try_from(left).unwrap_or(usize::MAX));
        let byte = self.position - segment.start;
        let buffer = Buffer::read(&*file, segment.start, self.position, length).map_err(segment::io_error(format!(
            "reading {length} durable bytes at byte {byte} of {}",
            path.display()
        )))?;
        self.file = Some((segment.start, file));
        Ok(buffer)
    }
}
