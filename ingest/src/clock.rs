//! The clock, injected so that tests can set it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use schemas::Timestamp;
use uuid::{NoContext, Uuid};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A UUIDv7 made at `now`: random, and sorting by time.
pub(crate) fn uuid_at(now: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(now.0).unwrap_or(0);
    let nanoseconds = u32::try_from(milliseconds % 1_000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, milliseconds / 1_000, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_carry_the_clock_given() {
        let uuid = uuid_at(Timestamp(1_781_429_400_123));
        assert_eq!(uuid.get_timestamp().expect("version 7").to_unix(), (1_781_429_400, 123_000_000));
    }
}
