//! How a worker works with Kafka.

use std::time::Duration;

use crate::kafka::OptionError;
use crate::kafka::publisher::range;

/// The bounds and times of a session, each with its unit, range and default.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// How long commits are apart while there is much to do, 0 to 10 s. Default 25 ms. A record that comes while nothing
    /// is going on does not wait for it.
    pub commit_interval: Duration,
    /// How long a worker may be silent before its partitions go to others, 1 s to 30 min, and within what the brokers
    /// allow (`group.min.session.timeout.ms`). Default 10 s. A restart within it is no rebalance.
    pub session_timeout: Duration,
    /// How long a transaction may stay open before the broker aborts it, 1 s to 15 min; twice the time that a delivery
    /// may take. Default 10 s. It is also how long the partitions of a worker that vanished in the middle of a
    /// transaction wait for their next one.
    pub transaction_timeout: Duration,
    /// How often at the most a worker commits that it has passed ends of transactions and nothing else, 0 to 1 h. Default
    /// 10 s. Steps that consume something take it along.
    pub pass_interval: Duration,
    /// Bytes of records that a worker's consumer holds in memory, 1 MiB to 1 GiB. Default 32 MiB.
    pub fetch_bytes_max: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            commit_interval: Duration::from_millis(25),
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(10),
            pass_interval: Duration::from_secs(10),
            fetch_bytes_max: 32 << 20,
        }
    }
}

impl SessionOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn check(&self) -> Result<(), OptionError> {
        let seconds = Duration::from_secs;
        for (name, value, min, max) in [
            ("commit_interval", self.commit_interval, Duration::ZERO, seconds(10)),
            ("session_timeout", self.session_timeout, seconds(1), seconds(30 * 60)),
            ("transaction_timeout", self.transaction_timeout, seconds(1), seconds(15 * 60)),
            ("pass_interval", self.pass_interval, Duration::ZERO, seconds(60 * 60)),
        ] {
            range(name, &value, &min, &max, |value| format!("{value:?}"))?;
        }
        range("fetch_bytes_max", &self.fetch_bytes_max, &(1 << 20), &(1 << 30), usize::to_string)
    }

    /// How long a record may take to be acknowledged: what is not by then fails while its transaction is still open.
    pub(crate) fn delivery_timeout(&self) -> Duration {
        self.transaction_timeout / 2
    }
}
