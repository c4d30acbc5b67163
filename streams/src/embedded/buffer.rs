//! A run of bytes of the log in memory, in which frames are found.

use std::io;

use bytes::Bytes;

use super::frame::{self, Fault, Frame, HEADER_BYTES, Header};
use crate::disk::DiskFile;

/// Bytes of the log from a position on, out of one segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    start: u64,
    bytes: Bytes,
    /// Whether they were never anywhere but in memory, so that checksums need no check.
    trusted: bool,
}

impl Buffer {
    /// Bytes that this process wrote.
    pub(super) fn written(start: u64, bytes: Bytes) -> Buffer {
        Buffer { start, bytes, trusted: true }
    }

    /// Reads `length` bytes from `position` on, out of the file of the segment that starts at `segment_start`.
    pub(super) fn read(file: &dyn DiskFile, segment_start: u64, position: u64, length: usize) -> io::Result<Buffer> {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, position - segment_start)?;
        Ok(Buffer { start: position, bytes: Bytes::from(bytes), trusted: false })
    }

    /// Position of the first byte.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Finds the first frame-like bytes at or after `position`, whatever they are worth.
    pub(super) fn find_magic(&self, position: u64) -> Option<u64> {
        let from = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(from..)?;
        let found = bytes.windows(frame::MAGIC.len()).position(|window| window == frame::MAGIC)?;
        Some(position + found as u64)
    }

    /// The header of the frame at `position`, its checksum checked if need be.
    pub(super) fn header(&self, position: u64) -> Result<Header, Fault> {
        let bytes = position
            .checked_sub(self.start)
            .and_then(|from| usize::try_from(from).ok())
            .and_then(|from| self.bytes.get(from..))
            .ok_or(Fault::Short(HEADER_BYTES))?;
        frame::parse(bytes, position, !self.trusted)
    }

    /// The frame that [`Buffer::header`] found, sharing this buffer's memory.
    pub(super) fn frame(&self, header: Header) -> Frame {
        let from = (header.position - self.start) as usize + HEADER_BYTES;
        Frame { header, body: self.bytes.slice(from..from + header.body_bytes as usize) }
    }
}
