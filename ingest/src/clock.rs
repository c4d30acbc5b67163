//! Ids made from the clock, which is injected so that tests can set it.

use std::fmt;
use std::sync::Arc;

use schemas::Timestamp;
use uuid::{NoContext, Uuid};

/// Makes the ids of events, clicks and requests: each another one, sorting by the time that it is made at.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn(Timestamp) -> Uuid + Send + Sync>);

impl Ids {
    /// Ids that `make` makes, for a simulation in which nothing may be random.
    pub fn new(make: impl Fn(Timestamp) -> Uuid + Send + Sync + 'static) -> Ids {
        Ids(Arc::new(make))
    }

    /// The next id, made at `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Uuid {
        (self.0)(now)
    }
}

impl Default for Ids {
    /// Random ones.
    fn default() -> Ids {
        Ids::new(uuid_at)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

/// A UUIDv7 made at `now`: random, and sorting by time.
fn uuid_at(now: Timestamp) -> Uuid {
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
