//! Readers outside the transaction.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::Cursor;
use super::draft::TopicSet;
use super::shared::{Shared, deadline};
use crate::log::{Limits, LogError, Record, Topic};

/// A reader that keeps its own position, such as one that makes a read model. It holds nothing back from retention.
///
/// Keys and values share the memory of the batch or chunk they were read in, some megabytes: copy what is kept.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    cursor: Cursor,
    topics: TopicSet,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, topics: &[Topic], from: u64) -> Reader {
        Reader { cursor: Cursor::new(Arc::clone(&shared), from), topics: TopicSet::new(topics), shared }
    }

    /// The position up to which everything has been handed out: where the next reader of its kind goes on.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Takes what is durable, whole frames at a time up to `limits`, waiting no longer than `wait` for the first
    /// record; none if there was none.
    ///
    /// # Errors
    /// [`LogError::Gone`] if retention was faster than this reader; [`LogError::Damaged`] if the files do not read back
    /// what was written, or the position it began at is not one of this log; [`LogError::Io`] if reading failed or
    /// the log has failed; [`LogError::Closed`] once the log is closed and everything was handed out.
    pub fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Vec<Record>, LogError> {
        let deadline = deadline(wait);
        let mut records = Vec::new();
        loop {
            self.shared.check_failure()?;
            self.cursor.collect(&self.topics, limits, u64::MAX, &mut records)?;
            if !records.is_empty() || !self.shared.wait_beyond(self.cursor.position(), deadline)? {
                return Ok(records);
            }
        }
    }
}
