//! Time, as the processes of a simulation have it.

use std::time::{Duration, Instant};

use super::process::Process;
use crate::driver::Clock;
use crate::kafka::client::Time;

/// The wall clock of a process's machine.
#[derive(Clone, Debug)]
pub struct SimClock(Process);

impl SimClock {
    pub(super) fn new(process: &Process) -> SimClock {
        SimClock(process.clone())
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        let skew_ms = self.0.cluster().state().processes.get(&self.0.id()).map_or(0, |running| running.skew_ms);
        self.0.cluster().now_ms().saturating_add(skew_ms)
    }
}

/// The monotonic clock of a process: waiting lets the simulation go on.
#[derive(Clone, Debug)]
pub struct SimTime(Process);

impl SimTime {
    pub(super) fn new(process: &Process) -> SimTime {
        SimTime(process.clone())
    }
}

impl Time for SimTime {
    fn now(&self) -> Instant {
        self.0.cluster().instant()
    }

    fn sleep(&self, wait: Duration) {
        let cluster = self.0.cluster();
        cluster.idle(&self.0, cluster.now().saturating_add(wait));
    }
}
