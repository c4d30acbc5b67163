//! The tasks of one simulated process, on a runtime of its own: its clock is the simulation's, and a crash is its end.

use std::fmt;
use std::time::Duration;

use streams::sim::Cluster;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// So often every task may go on while no time passes, before each is taken to wait for something.
pub(crate) const TURNS_MAX: u64 = 24;

/// The tasks of a process.
pub(crate) struct Tasks {
    runtime: Runtime,
    /// The time up to which the runtime's clock has come.
    at: Duration,
}

impl Tasks {
    /// None yet.
    pub(crate) fn new(cluster: &Cluster) -> Tasks {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing");
        Tasks { runtime, at: cluster.now() }
    }

    /// How many have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Begins another.
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(task)
    }

    /// Lets them go on, at this time, so many turns each at the most.
    pub(crate) fn go_on(&mut self, now: Duration, turns: u64) {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        self.runtime.block_on(async {
            if !passed.is_zero() {
                tokio::time::advance(passed).await;
            }
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        });
    }

    /// What a task that has ended came to.
    pub(crate) fn ended<T>(&self, task: JoinHandle<T>) -> T {
        self.runtime.block_on(task).expect("a task does not panic")
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("alive", &self.alive()).field("at", &self.at).finish_non_exhaustive()
    }
}
