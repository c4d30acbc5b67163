//! The time of a run: microseconds from its epoch, the same in all processes.

use std::time::{Duration, Instant};

use schemas::Timestamp;

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Timestamp,
    begun: Instant,
}

impl Clock {
    /// The clock of a run whose epoch is still to come, or was just now.
    pub(super) fn new(epoch: Timestamp, now: Timestamp) -> Clock {
        let to_come = Duration::from_millis(u64::try_from(epoch.0 - now.0).unwrap_or(0));
        Clock { epoch, begun: Instant::now() + to_come }
    }

    /// Microseconds since the epoch; 0 before it.
    pub(super) fn micros(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.begun);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of some microseconds since the epoch.
    pub(super) fn at(&self, micros: u64) -> Instant {
        self.begun + Duration::from_micros(micros)
    }

    /// For signatures.
    pub(super) fn unix_seconds(&self) -> u64 {
        u64::try_from(self.epoch.0).unwrap_or(0).saturating_add(self.micros() / 1_000) / 1_000
    }
}
