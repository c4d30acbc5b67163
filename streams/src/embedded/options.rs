//! The bounds of a log.

use super::frame::FRAME_BYTES_LIMIT;

/// The bounds of a log. All may be changed between runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment that has reached this many bytes is closed and the next begun; a segment is larger by at most one batch.
    pub segment_bytes_max: u64,
    /// Most bytes written with one sync; a larger frame goes alone.
    pub batch_bytes_max: usize,
    /// Most bytes of one group of published messages, and of a step that can be divided. Whoever reads them may write several
    /// times as much in one step, since a frame is read as a whole: it has to fit [`Options::frame_bytes_max`].
    pub group_bytes_max: usize,
    /// Most bytes of any frame: of a step that cannot be divided any more. At most 64 MiB, whatever is said here.
    pub frame_bytes_max: usize,
    /// Most published messages that wait to be written.
    pub queue_messages_max: usize,
    /// Most bytes that wait to be written. An empty queue takes any group that fits a frame.
    pub queue_bytes_max: usize,
    /// Most bytes of recent frames kept in memory for readers; with 0 every read is from the files.
    pub memory_bytes_max: usize,
    /// Bytes read from a file at a time; a larger frame is read whole.
    pub read_bytes: usize,
    /// A session whose consumer found nothing of its topics in so many bytes since its last commit commits its
    /// position by itself, so that retention is not held up.
    pub idle_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes_max: 64 << 20,
            batch_bytes_max: 4 << 20,
            group_bytes_max: 8 << 20,
            frame_bytes_max: FRAME_BYTES_LIMIT,
            queue_messages_max: 65_536,
            queue_bytes_max: 64 << 20,
            memory_bytes_max: 32 << 20,
            read_bytes: 1 << 20,
            idle_bytes_max: 8 << 20,
        }
    }
}

impl Options {
    /// These options with every bound inside what the format allows.
    pub(super) fn bounded(mut self) -> Options {
        self.frame_bytes_max = self.frame_bytes_max.min(FRAME_BYTES_LIMIT);
        self.group_bytes_max = self.group_bytes_max.min(self.frame_bytes_max);
        self.read_bytes = self.read_bytes.clamp(4 << 10, FRAME_BYTES_LIMIT);
        self
    }
}
