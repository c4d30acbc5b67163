//! The handle of an open log.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use super::consumers::ConsumerInfo;
use super::cursor::Cursor;
use super::draft::Draft;
use super::options::Options;
use super::pump::Pump;
use super::queue::{Origin, Queue, Request};
use super::reader::Reader;
use super::recover::{Recovered, recover};
use super::segment;
use super::session::EmbeddedSession;
use super::shared::{Failure, Shared, damage};
use super::stats::Stats;
use super::writer::Writer;
use crate::disk::{Disk, RealDisk};
use crate::log::{Ack, LogError, Message, Pending, PublishError, Publisher, Record, Topic};

/// A segment of the log, for whoever decides on retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Position of its first byte.
    pub start: u64,
    /// Position after its last durable byte: where the next segment starts.
    pub end: u64,
    /// When it was last written, by the file system's clock.
    pub modified: SystemTime,
}

/// An open log. Clones are handles of the same log; when the last is gone the log is closed.
#[derive(Clone, Debug)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    writing: Writing,
    /// Held while segments are dropped, so that only one drops at a time. Whether the name of the last may come back,
    /// since the folder did not sync.
    dropping: Mutex<bool>,
}

/// Who writes what waits.
enum Writing {
    /// A thread, until it is joined.
    Thread(Mutex<Option<JoinHandle<()>>>),
    /// Whoever waits for it.
    Driven(Arc<Pump>),
}

impl fmt::Debug for Writing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Writing::Thread(_) => "Thread",
            Writing::Driven(_) => "Driven",
        })
    }
}

impl EmbeddedLog {
    /// Opens the log in `folder`, or begins one there, and checks every byte of it: a torn tail is cut, with a
    /// warning. The caller makes sure that no other process has it open.
    ///
    /// # Errors
    /// [`LogError::Damaged`] if bytes that were durable are not there any more, or the format is of another version;
    /// it names the file, the byte and what to do. [`LogError::Io`] if the folder cannot be read or written.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<EmbeddedLog, LogError> {
        EmbeddedLog::open_on(Arc::new(RealDisk), folder.as_ref(), options)
    }

    /// [`EmbeddedLog::open`] on this file system.
    ///
    /// # Errors
    /// As for [`EmbeddedLog::open`].
    pub fn open_on(disk: Arc<dyn Disk>, folder: &Path, options: Options) -> Result<EmbeddedLog, LogError> {
        let writer = prepare(disk, folder, options, false)?;
        let (shared, queue) = (Arc::clone(&writer.shared), Arc::clone(&writer.queue));
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(segment::io_error("starting the log's writer"))?;
        Ok(EmbeddedLog::new(shared, queue, Writing::Thread(Mutex::new(Some(writer)))))
    }

    /// Opens a log without a thread, which does nothing by itself and waits for nothing: what is published is written by
    /// [`EmbeddedLog::pump`], and a step that is committed calls `waits` and then pumps until it has its answer. Other
    /// sessions may commit in `waits`, and then share the batch; none may in what the disk calls.
    ///
    /// # Errors
    /// As for [`EmbeddedLog::open`].
    pub fn open_driven(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: Options,
        waits: impl Fn() + Send + Sync + 'static,
    ) -> Result<EmbeddedLog, LogError> {
        let writer = prepare(disk, folder, options, true)?;
        let (shared, queue) = (Arc::clone(&writer.shared), Arc::clone(&writer.queue));
        Ok(EmbeddedLog::new(shared, queue, Writing::Driven(Arc::new(Pump::new(writer, Box::new(waits))))))
    }

    fn new(shared: Arc<Shared>, queue: Arc<Queue>, writing: Writing) -> EmbeddedLog {
        EmbeddedLog { inner: Arc::new(Inner { shared, queue, writing, dropping: Mutex::new(false) }) }
    }

    /// Writes, syncs and answers one batch of what waits; `false` if nothing does, or if the log has a thread for it.
    pub fn pump(&self) -> bool {
        match &self.inner.writing {
            Writing::Thread(_) => false,
            Writing::Driven(pump) => pump.write_one(),
        }
    }

    /// Opens a consumer's session on these topics; it goes on from the consumer's committed input position, and a new
    /// consumer begins at the first byte there is. An older session of the same consumer can do nothing more.
    ///
    /// # Panics
    /// If the name is empty or longer than 255 bytes.
    #[must_use]
    pub fn session(&self, consumer: impl Into<String>, topics: &[Topic]) -> EmbeddedSession {
        let consumer = consumer.into();
        assert!((1..=255).contains(&consumer.len()), "a consumer's name has 1 to 255 bytes");
        let pump = match &self.inner.writing {
            Writing::Thread(_) => None,
            Writing::Driven(pump) => Some(Arc::clone(pump)),
        };
        EmbeddedSession::new(Arc::clone(&self.inner.shared), Arc::clone(&self.inner.queue), pump, consumer, topics)
    }

    /// A reader of these topics from a position on, such as an earlier [`Reader::position`]; from the first byte there
    /// is if `None`. A position that the log does not have is an error of the first [`Reader::next`].
    #[must_use]
    pub fn reader(&self, topics: &[Topic], from: Option<u64>) -> Reader {
        let shared = Arc::clone(&self.inner.shared);
        let from = from.unwrap_or_else(|| shared.first());
        Reader::new(shared, topics, from)
    }

    /// The record at `index` of the frame at `frame_position`, which is what an [`Ack`] tells; `None` if nothing is
    /// durable there yet or the frame has fewer records. Its offset is the sum of the two.
    ///
    /// # Errors
    /// [`LogError::Gone`] if it was dropped; [`LogError::Damaged`] if no sound frame begins there; [`LogError::Io`].
    pub fn read_record(&self, frame_position: u64, index: u32) -> Result<Option<Record>, LogError> {
        let shared = &self.inner.shared;
        if frame_position >= shared.durable() {
            return Ok(None);
        }
        let mut cursor = Cursor::single(Arc::clone(shared), frame_position);
        let Some(header) = cursor.next()? else { return Ok(None) };
        if header.position != frame_position {
            return Err(damage(shared, frame_position, "no frame begins here"));
        }
        cursor.frame(header).record(index).ok_or_else(|| cursor.malformed(&header))
    }

    /// The position after the last durable byte: the end of the log as readers see it.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.inner.shared.durable()
    }

    /// The position of the first byte that retention has left.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.inner.shared.first()
    }

    /// The size of all segments, in bytes.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        self.durable() - self.first()
    }

    /// Every consumer that the log knows, by name.
    #[must_use]
    pub fn consumers(&self) -> Vec<ConsumerInfo> {
        self.inner.shared.consumers()
    }

    /// The segments, oldest first.
    ///
    /// # Errors
    /// [`LogError::Io`] if the file system does not tell a segment's time.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, LogError> {
        let _alone = self.inner.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &self.inner.shared;
        let info = |segment: segment::Segment| {
            let path = segment::path(&shared.folder, segment.start);
            let modified = shared
                .disk
                .modified(&path)
                .map_err(segment::io_error(format!("reading the time of {}", path.display())))?;
            Ok(SegmentInfo { start: segment.start, end: segment.end, modified })
        };
        shared.segments().into_iter().map(info).collect()
    }

    /// Removes the segments that end at or before `position`, as far as every consumer has passed them; never the
    /// active one. Returns how many bytes were freed.
    ///
    /// # Errors
    /// [`LogError::Io`] if a file could not be removed; those before it are gone, and the log goes on.
    pub fn drop_before(&self, position: u64) -> Result<u64, LogError> {
        let mut unsynced = self.inner.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &self.inner.shared;
        let mut freed_bytes = 0;
        while let Some(oldest) = shared.droppable(position) {
            if *unsynced {
                segment::sync_folder(&*shared.disk, &shared.folder)?;
            }
            let path = segment::path(&shared.folder, oldest.start);
            match shared.disk.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(segment::io_error(format!("removing {}", path.display()))(error)),
            }
            *unsynced = true;
            shared.forget_oldest();
            freed_bytes += oldest.end - oldest.start;
            // One at a time, so that no crash leaves an older segment there and a newer one gone.
            segment::sync_folder(&*shared.disk, &shared.folder)?;
            *unsynced = false;
        }
        Ok(freed_bytes)
    }

    /// What the log has done, for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (messages, bytes) = self.inner.queue.depth();
        self.inner.shared.counters.snapshot(messages, bytes)
    }

    /// Whether a write or a sync failed: nothing is taken any more and the process has to restart.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.inner.shared.failure().is_some()
    }

    /// Why the log failed and what to do, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.shared.failure().map(Failure::reason)
    }

    /// Takes no more, writes and syncs what was taken, and stops the writer. Sessions get [`LogError::Closed`] from
    /// then on; readers get it once they have read everything.
    ///
    /// # Errors
    /// [`LogError::Io`] if the log has failed.
    pub fn close(&self) -> Result<(), LogError> {
        self.inner.close();
        self.inner.shared.check_failure()
    }
}

/// Recovers the log in `folder` and makes the writer that goes on with it.
fn prepare(disk: Arc<dyn Disk>, folder: &Path, options: Options, driven: bool) -> Result<Writer, LogError> {
    let options = options.bounded();
    let Recovered { known, file } = recover(&*disk, folder, options.read_bytes)?;
    let queue = Arc::new(Queue::new(options.queue_messages_max, options.queue_bytes_max));
    let (start, data_start) = known.segments.back().map_or((0, 0), |last| (last.start, last.data_start));
    let shared = Arc::new(Shared::new(disk, folder.to_owned(), options, known, driven));
    let end = shared.durable();
    Ok(Writer { shared, queue, file, start, data_start, end })
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        match &self.writing {
            Writing::Thread(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                // A writer that panicked has failed the log itself.
                let _ = writer.take().map(JoinHandle::join);
            }
            Writing::Driven(pump) => while pump.write_one() {},
        }
        self.shared.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Publisher for EmbeddedLog {
    /// Besides [`PublishError::Full`] and [`PublishError::Closed`]: [`PublishError::TooLarge`], and
    /// [`PublishError::Failed`] for ever once the log has failed.
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        let bytes = Draft::published_bytes(&messages);
        let bytes_max = self.inner.shared.options.group_bytes_max;
        if bytes > bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max });
        }
        self.inner.queue.check_room(messages.len(), bytes)?;
        let (waiter, pending) = Pending::new();
        if messages.is_empty() {
            let _ = waiter.send(Ok(Ack { partition: 0, offset: self.durable() }));
            return Ok(pending);
        }
        let request = Request { draft: Draft::published(&messages), origin: Origin::Publisher(waiter) };
        self.inner.queue.publish(request)?;
        Ok(pending)
    }
}
