//! Everything that there is in a run, and how one thing is done while another is under way.
//!
//! Whoever does something is taken out of the world first: no lock is held while production code runs, since the model
//! calls the simulator back from within, and what it does then may be anybody else's whole step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oracle::Facts;
use schemas::registry::Registry;
use streams::log::Pending;
use streams::sim::{Api, Call, Cluster, Disk, Fate, Faults, Process, SimPublisher};

use crate::acting::Pace;
use crate::cql::Shared;
use crate::dice::{Dice, Meanwhile, Stopped};
use crate::edge::EdgeProcess;
use crate::edge_store::EdgeStore;
use crate::imports::{Administrators, Import};
use crate::merchants::Merchants;
use crate::observe::Observer;
use crate::random::Random;
use crate::reviewers::Reviewers;
use crate::sometimes::Sometimes;
use crate::terms::Elsewhere;
use crate::topology::Topology;
use crate::workers::{StoreWatch, Worker};

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing: shrinking keeps it.
    pub kind: String,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}

/// A worker's place on its machine.
#[derive(Default)]
pub(crate) struct Seat {
    /// The worker, unless it is within a step, or there is none.
    pub(crate) worker: Option<Box<dyn Worker>>,
    /// Whether it is within a step.
    pub(crate) is_out: bool,
    /// The number of the registry that it works under.
    pub(crate) version: u64,
}

/// A machine with a process of workers.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) process: Option<Process>,
    /// By processor, then by number.
    pub(crate) seats: Vec<Vec<Seat>>,
    pub(crate) disks: [Disk; 3],
    pub(crate) watches: [StoreWatch; 3],
    pub(crate) skew_ms: i64,
    /// When its process starts, if there is none.
    pub(crate) starts_at: Duration,
    pub(crate) starts: u32,
    /// It is stopped as a whole: none of its workers takes a turn.
    pub(crate) is_frozen: bool,
    /// The number of the registry that its process has heard of.
    pub(crate) version: u64,
}

/// A machine with a process of the edge.
pub(crate) struct EdgePlace {
    pub(crate) name: String,
    /// The process, unless it is at work, or there is none.
    pub(crate) process: Option<EdgeProcess>,
    pub(crate) is_out: bool,
    pub(crate) claims: EdgeStore,
    pub(crate) skew_ms: i64,
    pub(crate) starts_at: Duration,
    pub(crate) version: u64,
    /// Shoppers who wait for an answer, by order, and since when.
    pub(crate) shoppers: BTreeMap<usize, i64>,
}

/// A commit whose outcome nobody was told.
#[derive(Debug)]
pub(crate) struct Unknown {
    pub(crate) transactional_id: String,
    pub(crate) group: &'static str,
    pub(crate) offsets: BTreeMap<(String, u32), u64>,
}

/// What changes in a run.
pub(crate) struct Inner {
    pub(crate) random: Random,
    pub(crate) machines: Vec<Machine>,
    pub(crate) edges: Vec<EdgePlace>,
    /// The claims that all edges share, if they do.
    pub(crate) shared: Option<Shared>,
    /// Writes what is written past the edges.
    pub(crate) importer: (Process, SimPublisher),
    /// What of that is on its way.
    pub(crate) imports: Vec<(Import, Pending)>,
    pub(crate) administrators: Administrators,
    pub(crate) reviewers: Reviewers,
    pub(crate) merchants: Merchants,
    pub(crate) facts: Facts,
    pub(crate) observer: Observer,
    pub(crate) sometimes: Sometimes,
    /// Clicks that are in every registry.
    pub(crate) elsewhere: Vec<Elsewhere>,
    /// The registries, by number; the last one is in force.
    pub(crate) registries: Vec<Arc<Registry>>,
    /// Whether everybody works under the last one.
    pub(crate) is_everywhere: bool,
    pub(crate) unknown: Vec<Unknown>,
    /// Processes that have fetched records of inputs since they last were looked at.
    pub(crate) fetched: BTreeSet<u64>,
    pub(crate) failure: Option<Failure>,
    /// Workers that failed since the faults ended.
    pub(crate) errors_calm: u32,
    pub(crate) turns: u64,
    /// Turns in which something was done, or failed.
    pub(crate) moves: u64,
}

/// A run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) cluster: Cluster,
    pub(crate) topology: Topology,
    dice: Mutex<Dice>,
    inner: Mutex<Inner>,
}

impl World {
    pub(crate) fn new(seed: u64, cluster: Cluster, topology: Topology, dice: Dice, inner: Inner) -> Arc<World> {
        let world = Arc::new(World { seed, cluster, topology, dice: Mutex::new(dice), inner: Mutex::new(inner) });
        world.cluster.set_faults(Arc::new(Hook(Arc::downgrade(&world))));
        world
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run: the first that is wrong counts.
    pub(crate) fn fail(&self, kind: impl Into<String>, what: impl Into<String>) {
        let failure = Failure { kind: kind.into(), what: what.into() };
        self.cluster.note(format_args!("FAILURE {failure}"));
        self.inner().failure.get_or_insert(failure);
    }

    /// What others do before a call of the process of a number.
    fn before(&self, process: u64, api: Api) {
        let is_of_timers = !self.inner().fetched.contains(&process);
        let meanwhile = self.dice().before(api, is_of_timers, self.cluster.now());
        self.do_meanwhile(process, meanwhile);
        for late in [Api::EndTxn, Api::TxnOffsetCommit] {
            if self.cluster.is_late(process, late) && self.dice().is_midway(api) {
                self.cluster.hasten(process, late);
            }
        }
    }

    /// What they do after it.
    fn after(&self, process: u64, api: Api) {
        let meanwhile = self.dice().after(api, self.cluster.now());
        self.do_meanwhile(process, meanwhile);
    }

    fn do_meanwhile(&self, process: u64, meanwhile: Meanwhile) {
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Turn => self.nested(|world| {
                world.turn_of_any();
            }),
            Meanwhile::Until(until, Stopped::Worker) => {
                self.cluster.note(format_args!("a worker of {process} is slow until {until:?}"));
                self.nested(|world| world.others_until(until, Pace::AtOnce));
            }
            Meanwhile::Until(until, Stopped::Process) => self.freeze(process, until, Pace::AtOnce),
            Meanwhile::Supplanted(after) => {
                let given_up = self.cluster.now() + self.topology.session.session_timeout;
                self.freeze(process, given_up + after, Pace::From(given_up));
            }
            Meanwhile::Crash => {
                let handle =
                    self.inner().machines.iter().find_map(|machine| {
                        machine.process.as_ref().filter(|running| running.id() == process).cloned()
                    });
                if let Some(handle) = handle {
                    self.cluster.note(format_args!("{} crashes", handle.name()));
                    handle.crash();
                }
            }
        }
    }

    fn freeze(&self, process: u64, until: Duration, pace: Pace) {
        let frozen = {
            let mut inner = self.inner();
            let machine = inner
                .machines
                .iter_mut()
                .find(|machine| machine.process.as_ref().is_some_and(|running| running.id() == process));
            machine.and_then(|machine| {
                machine.is_frozen = true;
                machine.process.clone()
            })
        };
        let Some(frozen) = frozen else { return };
        self.cluster.note(format_args!("{} is frozen until {until:?}", frozen.name()));
        frozen.suspend();
        self.nested(|world| world.others_until(until, pace));
        frozen.resume();
        let mut inner = self.inner();
        if let Some(machine) = inner.machines.iter_mut().find(|machine| machine.name == frozen.name()) {
            machine.is_frozen = false;
        }
        drop(inner);
        self.cluster.note(format_args!("{} goes on", frozen.name()));
    }

    fn nested(&self, work: impl FnOnce(&World)) {
        self.dice().depth += 1;
        work(self);
        self.dice().depth -= 1;
    }
}

/// The simulator's side of the model's faults. It does not keep the world that has it.
struct Hook(Weak<World>);

/// Only machines of workers make calls that somebody waits within; all else is background.
pub(crate) fn is_worker(name: &str) -> bool {
    name.starts_with("machine")
}

fn is_foreground(call: &Call<'_>) -> bool {
    use streams::sim::Api;
    is_worker(call.name) && !matches!(call.api, Api::JoinGroup | Api::SyncGroup | Api::Heartbeat | Api::LeaveGroup)
}

impl Faults for Hook {
    fn before(&self, cluster: &Cluster, call: &Call<'_>) -> Fate {
        let Some(world) = self.0.upgrade() else { return Fate::Arrives };
        if is_foreground(call) {
            world.before(call.process, call.api);
        }
        world.dice().fate(call.api, cluster.now())
    }

    fn after(&self, _: &Cluster, call: &Call<'_>) {
        let Some(world) = self.0.upgrade().filter(|_| is_foreground(call)) else { return };
        if call.api == Api::Fetch && !call.subject.ends_with("changelog") {
            world.inner().fetched.insert(call.process);
        }
        world.after(call.process, call.api);
    }

    fn idle(&self, _: &Cluster, _: u64, until: Duration) {
        let Some(world) = self.0.upgrade() else { return };
        world.edges_go_on();
        if world.dice().turn_while_idle() && world.cluster.now() < until {
            world.nested(|world| {
                world.turn_of_any();
            });
        }
    }

    fn marker_delay(&self, name: &str, _: u32) -> Duration {
        self.0.upgrade().map_or(Duration::ZERO, |world| world.dice().marker_delay(name))
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).field("topology", &self.topology).finish_non_exhaustive()
    }
}
