//! How long a command waits for a topic that it reads to the end.

use std::time::{Duration, Instant};

use streams::LogError;

/// How long one read waits.
pub(crate) const STEP: Duration = Duration::from_millis(250);

/// How long a topic may give nothing before its end.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Counts the silence of a topic.
#[derive(Debug)]
pub(crate) struct Patience(Instant);

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience(Instant::now())
    }

    /// Takes note of how many records a read has given.
    ///
    /// # Errors
    /// There was none for half a minute.
    pub(crate) fn heard(&mut self, records: usize, topic: &str) -> Result<(), LogError> {
        if records > 0 {
            self.0 = Instant::now();
        }
        match self.0.elapsed() > SILENCE_MAX {
            false => Ok(()),
            true => Err(LogError::Damaged(format!(
                "the topic {topic} gave nothing for {} s before its end: see whether its brokers are well, and run it \
                 again",
                SILENCE_MAX.as_secs()
            ))),
        }
    }
}
