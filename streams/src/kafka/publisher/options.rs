//! The bounds of a publisher.

use std::time::Duration;

use crate::log::LogError;

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: least processor time, for brokers on the same machine.
    None,
    /// LZ4: cheap, for brokers over a network.
    #[default]
    Lz4,
    /// Snappy.
    Snappy,
    /// gzip: smallest and dearest of these.
    Gzip,
}

impl Compression {
    /// The name that Kafka has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
        }
    }
}

/// The bounds of a publisher. All may be changed between runs.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// How long a message waits for others to share its batch, in whole milliseconds; 0 to 1 s.
    pub linger: Duration,
    /// How batches are compressed.
    pub compression: Compression,
    /// Most messages that are enqueued and not reported; 1 to 10,000,000. Each takes some 400 bytes of memory besides
    /// its key and value.
    pub queue_messages_max: usize,
    /// Most bytes of keys and values that are enqueued and not reported, and so of one group of messages; from
    /// `message_bytes_max` to 16 GiB. An empty queue takes any group within it.
    pub queue_bytes_max: usize,
    /// Most bytes of one message's key and value; 1 KiB to 64 MiB. The brokers' `message.max.bytes` or the topic's
    /// `max.message.bytes` has to leave room for it and some 500 bytes.
    pub message_bytes_max: usize,
    /// How long the brokers may take to acknowledge a message, retries and elections included, in whole milliseconds;
    /// 2 s to 15 min. Then it has failed, and may be there or not.
    pub delivery_timeout: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            linger: Duration::from_millis(2),
            compression: Compression::default(),
            queue_messages_max: 65_536,
            queue_bytes_max: 64 << 20,
            message_bytes_max: 1_000_000,
            delivery_timeout: Duration::from_secs(30),
        }
    }
}

impl PublisherOptions {
    /// Whether every option is inside its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), OptionError> {
        let millis = Duration::from_millis;
        range("linger", &self.linger, &millis(0), &millis(1_000), |d| format!("{d:?}"))?;
        let plain = usize::to_string;
        range("queue_messages_max", &self.queue_messages_max, &1, &10_000_000, plain)?;
        range("message_bytes_max", &self.message_bytes_max, &(1 << 10), &(64 << 20), plain)?;
        range("queue_bytes_max", &self.queue_bytes_max, &self.message_bytes_max, &(16 << 30), plain)?;
        range("delivery_timeout", &self.delivery_timeout, &millis(2_000), &millis(900_000), |d| format!("{d:?}"))
    }
}

fn range<T: PartialOrd>(
    name: &'static str,
    value: &T,
    min: &T,
    max: &T,
    text: impl Fn(&T) -> String,
) -> Result<(), OptionError> {
    if value >= min && value <= max {
        return Ok(());
    }
    Err(OptionError { name, value: text(value), min: text(min), max: text(max) })
}

/// An option that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}: give it from {min} to {max}")]
pub struct OptionError {
    /// The option.
    pub name: &'static str,
    /// What it was given.
    pub value: String,
    /// The least it may be.
    pub min: String,
    /// The most it may be.
    pub max: String,
}

/// Why a publisher could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option is out of its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// librdkafka did not take the settings.
    #[error(transparent)]
    Log(#[from] LogError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut PublisherOptions), expected: &str) {
        let mut options = PublisherOptions::default();
        change(&mut options);
        assert_eq!(options.check().map_or_else(|error| error.to_string(), |()| String::new()), expected);
    }

    #[test]
    fn an_option_out_of_its_range_is_named_with_its_range() {
        check(|_| {}, "");
        check(|o| o.linger = Duration::ZERO, "");
        check(|o| o.linger = Duration::from_secs(2), "linger is 2s: give it from 0ns to 1s");
        check(|o| o.queue_messages_max = 0, "queue_messages_max is 0: give it from 1 to 10000000");
        check(|o| o.message_bytes_max = 1_023, "message_bytes_max is 1023: give it from 1024 to 67108864");
        check(|o| o.queue_bytes_max = 999_999, "queue_bytes_max is 999999: give it from 1000000 to 17179869184");
        check(|o| o.delivery_timeout = Duration::ZERO, "delivery_timeout is 0ns: give it from 2s to 900s");
    }
}
