//! What a store asks of the log that feeds it, whichever log that is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use streams::log::Limits;
use streams::{LogError, Record, Topic};

use crate::claims::ConversionClaim;

/// The next offset of each partition, by the number of its topic and its own. A log that has one order for all its
/// topics, as the embedded one, has its position under (0, 0).
pub type Positions = BTreeMap<(u16, u32), u64>;

/// One number for positions: the greater it is, the further they are. The position itself in a log that has only one.
pub(super) fn stamp(positions: &Positions) -> u64 {
    positions.values().fold(0, |sum, position| sum.saturating_add(*position))
}

/// A log as a store opens it.
pub trait Feed {
    /// What tells this log from all others for as long as it lives. A store that was fed from another is emptied.
    fn identity(&self) -> &str;

    /// Opens a reader of these topics, from these positions on; partitions that are not among them are read from the
    /// first record that is still there, and partitions that the log does not have are left out.
    ///
    /// # Errors
    /// [`LogError::Gone`] if the log no longer has all from a position on; [`LogError::Damaged`] if a position is past
    /// the end, and so of another log; any other if the log cannot be read.
    fn open(&self, topics: &[Topic], from: &Positions) -> Result<Box<dyn Source>, LogError>;
}

/// Reads whole topics, and commits nothing.
pub trait Source: fmt::Debug + Send {
    /// Takes what is committed, in order within each partition and up to `limits`, waiting no longer than `wait` for
    /// the first record; none if there was none.
    ///
    /// # Errors
    /// [`LogError::Closed`] once the log is closed and everything was handed out; any other ends the feeder.
    fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Vec<Record>, LogError>;

    /// The next offset of every partition that is read, after what was handed out: where the next source goes on.
    fn positions(&self) -> Positions;

    /// Whether everything that was committed when the source was opened has been handed out.
    fn caught_up(&self) -> bool;

    /// How much is committed and not handed out: bytes of an embedded log, records of any other.
    fn lag(&self) -> u64;
}

/// Finds the report that a claim is for.
pub trait Reports: fmt::Debug + Send + Sync {
    /// Whether [`Reports::read`] waits for another machine. Then it is called from threads that may block, a few at once.
    fn blocks(&self) -> bool;

    /// The record that the claim names; `None` if there is none. It waits no longer than a bound of its own.
    ///
    /// # Errors
    /// The log could not be read, or no longer has the record.
    fn read(&self, claim: &ConversionClaim) -> Result<Option<Record>, LogError>;
}
