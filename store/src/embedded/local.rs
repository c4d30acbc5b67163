//! The embedded log as what feeds a store.

use std::time::Duration;

use streams::embedded::{EmbeddedLog, Reader};
use streams::log::Limits;
use streams::{LogError, Record, Topic};

use super::source::{Feed, Positions, Reports, Source};
use crate::claims::ConversionClaim;

/// The embedded log has one order, whatever the topic.
const WHOLE_LOG: (u16, u32) = (0, 0);

/// A claim has a record's offset, and the log finds records by their frame: when the edge publishes several in one
/// frame, as many as a batch request has, the frame is this near.
const RECORDS_PER_FRAME_MAX: u32 = 1_000;

impl Feed for EmbeddedLog {
    /// There is one to a data folder, and another folder's is told by its end.
    fn identity(&self) -> &'static str {
        "embedded"
    }

    fn open(&self, topics: &[Topic], from: &Positions) -> Result<Box<dyn Source>, LogError> {
        let (first, end) = (self.first(), self.durable());
        let asked = match from.get(&WHOLE_LOG).copied() {
            Some(asked) if asked < first => return Err(LogError::Gone { asked, first }),
            Some(asked) if asked > end => {
                let reason = format!("it is of another log: it ends at {asked}, past this one's end {end}");
                return Err(LogError::Damaged(reason));
            }
            Some(asked) => asked,
            None => first,
        };
        Ok(Box::new(Frames { reader: self.reader(topics, Some(asked)), log: self.clone(), end }))
    }
}

#[derive(Debug)]
struct Frames {
    reader: Reader,
    log: EmbeddedLog,
    /// Of the log when the source was opened.
    end: u64,
}

impl Source for Frames {
    fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Vec<Record>, LogError> {
        self.reader.next(limits, wait)
    }

    /// It moves over other topics' records too, also if there are none of these.
    fn positions(&self) -> Positions {
        Positions::from([(WHOLE_LOG, self.reader.position())])
    }

    fn caught_up(&self) -> bool {
        self.reader.position() >= self.end
    }

    fn lag(&self) -> u64 {
        self.log.durable().saturating_sub(self.reader.position())
    }
}

impl Reports for EmbeddedLog {
    /// It reads from memory or the page cache in microseconds.
    fn blocks(&self) -> bool {
        false
    }

    fn read(&self, claim: &ConversionClaim) -> Result<Option<Record>, LogError> {
        let mut first_error = None;
        for index in 0..RECORDS_PER_FRAME_MAX {
            let Some(frame) = claim.offset.checked_sub(u64::from(index)) else { break };
            match self.read_record(frame, index) {
                // No frame begins there: it may begin before.
                Err(error @ LogError::Damaged(_)) => first_error = first_error.or(Some(error)),
                found => return found,
            }
        }
        first_error.map_or(Ok(None), Err)
    }
}
