//! Reading the fields of headers and bodies.

use std::ops::Range;

/// In place of a value's length: the row is deleted.
pub(super) const DELETED: u32 = u32::MAX;

/// Reads fields one after the other, and never past the end.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.bytes[range].try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Topic, key and value of a record.
    pub(super) fn record(&mut self) -> Option<(u16, Range<usize>, Range<usize>)> {
        let topic = self.u16()?;
        let key_bytes = self.u32()?;
        let value_bytes = self.u32()?;
        Some((topic, self.take(key_bytes as usize)?, self.take(value_bytes as usize)?))
    }

    /// Key and value of a change.
    pub(super) fn change(&mut self) -> Option<(Range<usize>, Option<Range<usize>>)> {
        let key_bytes = self.u32()?;
        let value_bytes = self.u32()?;
        let key = self.take(key_bytes as usize)?;
        let value = match value_bytes {
            DELETED => None,
            bytes => Some(self.take(bytes as usize)?),
        };
        Some((key, value))
    }
}
