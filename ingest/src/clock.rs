//! Ids made from the clock, which is injected so that tests can set it.

use schemas::Timestamp;
use uuid::{NoContext, Uuid};

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
