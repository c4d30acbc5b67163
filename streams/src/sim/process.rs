//! A process of the simulation: what dies together, and what its restart begins anew.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::broker::Running;
use super::clients::SimClients;
use super::clock::SimClock;
use super::cluster::Cluster;
use super::publisher::SimPublisher;
use crate::kafka::{KafkaSession, PublisherOptions, SessionOptions, Work};
use crate::log::LogError;

/// What a crash unwinds with.
struct Crash(u64);

/// A process died in the middle of what it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process {0} has crashed")]
pub struct Crashed(
    /// The number of the process.
    pub u64,
);

/// A process, from its start to its end. Clones are the same one.
#[derive(Clone)]
pub struct Process {
    cluster: Cluster,
    id: u64,
    name: Arc<str>,
}

impl Process {
    pub(super) fn start(cluster: &Cluster, name: &str) -> Process {
        let mut state = cluster.state();
        let id = state.number();
        let running = Running { name: name.to_owned(), ..Running::default() };
        state.processes.insert(id, running);
        state.note(format_args!("{name} {id} starts"));
        drop(state);
        Process { cluster: cluster.clone(), id, name: name.into() }
    }

    /// Its number: no other process has it, before or after.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is beside.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.cluster.state().processes.contains_key(&self.id)
    }

    /// A session of a worker, of the kind that runs in production.
    ///
    /// # Errors
    /// As for [`KafkaSession::open`].
    pub fn session(
        &self,
        work: &Work,
        options: SessionOptions,
        stop: Arc<AtomicBool>,
    ) -> Result<KafkaSession<SimClients>, LogError> {
        KafkaSession::open_with(self.clients(), work, options, stop)
    }

    /// Clients of this process.
    #[must_use]
    pub fn clients(&self) -> SimClients {
        SimClients::new(self)
    }

    /// A publisher of this process.
    #[must_use]
    pub fn publisher(&self, options: PublisherOptions) -> SimPublisher {
        SimPublisher::open(self, options)
    }

    /// The wall clock of this process's machine.
    #[must_use]
    pub fn clock(&self) -> SimClock {
        SimClock::new(self)
    }

    /// Sets how far its wall clock is ahead of the others', in milliseconds; behind, if negative.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        if let Some(running) = self.cluster.state().processes.get_mut(&self.id) {
            running.skew_ms = skew_ms;
        }
    }

    /// [`Cluster::suspend`].
    pub fn suspend(&self) {
        self.cluster.suspend(self.id);
    }

    /// [`Cluster::resume`].
    pub fn resume(&self) {
        self.cluster.resume(self.id);
    }

    /// [`Cluster::crash`].
    pub fn crash(&self) {
        self.cluster.crash(self.id);
    }

    /// Runs a part of what it does.
    ///
    /// # Errors
    /// It died within it.
    pub fn run<T>(&self, part: impl FnOnce() -> T) -> Result<T, Crashed> {
        panic::catch_unwind(AssertUnwindSafe(part)).map_err(|payload| match payload.downcast::<Crash>() {
            Ok(crash) if crash.0 == self.id => Crashed(self.id),
            Ok(other) => panic::resume_unwind(other),
            Err(panic) => panic::resume_unwind(panic),
        })
    }

    /// Goes no further if it has died meanwhile.
    pub(super) fn check(&self) {
        if !self.is_alive() {
            unwind(self.id);
        }
    }
}

/// Ends what a process was doing, except where it is being ended already.
pub(super) fn unwind(process: u64) {
    if !std::thread::panicking() {
        panic::resume_unwind(Box::new(Crash(process)));
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
