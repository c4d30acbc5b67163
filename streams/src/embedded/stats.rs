//! Counters for the metrics of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A snapshot of what a log has done since it was opened, and of what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages in the queue, published and of steps.
    pub queue_messages: u64,
    /// Bytes of frames in the queue.
    pub queue_bytes: u64,
    /// Frames made durable.
    pub frames: u64,
    /// Messages made durable.
    pub messages: u64,
    /// Bytes of frames made durable.
    pub bytes_written: u64,
    /// Syncs of batches that succeeded; each makes one batch durable.
    pub syncs: u64,
    /// Time of all syncs, in microseconds.
    pub sync_sum_us: u64,
    /// Time of the longest sync, in microseconds.
    pub sync_max_us: u64,
    /// Time of the last sync, in microseconds.
    pub sync_last_us: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    frames: AtomicU64,
    messages: AtomicU64,
    bytes_written: AtomicU64,
    syncs: AtomicU64,
    sync_sum_us: AtomicU64,
    sync_max_us: AtomicU64,
    sync_last_us: AtomicU64,
}

impl Counters {
    /// A batch became durable.
    pub(super) fn synced(&self, frames: usize, messages: u64, bytes: usize, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_sum_us.fetch_add(took_us, Ordering::Relaxed);
        self.sync_max_us.fetch_max(took_us, Ordering::Relaxed);
        self.sync_last_us.store(took_us, Ordering::Relaxed);
    }

    /// What they say, with the depth of the queue.
    pub(super) fn snapshot(&self, queue_messages: usize, queue_bytes: usize) -> Stats {
        Stats {
            queue_messages: queue_messages as u64,
            queue_bytes: queue_bytes as u64,
            frames: self.frames.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            sync_sum_us: self.sync_sum_us.load(Ordering::Relaxed),
            sync_max_us: self.sync_max_us.load(Ordering::Relaxed),
            sync_last_us: self.sync_last_us.load(Ordering::Relaxed),
        }
    }
}
