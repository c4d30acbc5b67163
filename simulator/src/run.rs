//! A run: faults, then none, then rest.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use oracle::Facts;
use sha2::{Digest as _, Sha256};
use streams::sim::{Cluster, NoFaults};

use crate::claims::SimClaims;
use crate::cql::{KeeperPlace, Logged, Server, Shared, SharedClaims, Tellings};
use crate::dice::Dice;
use crate::edge_store::EdgeStore;
use crate::imports::Administrators;
use crate::merchants::Merchants;
use crate::observe::Observer;
use crate::plan::Plan;
use crate::random::Random;
use crate::reviewers::Reviewers;
use crate::schedule::SKEW_MS_MAX;
use crate::sometimes::{Rare, Sometimes};
use crate::swarm::{Kind, Swarm};
use crate::terms::{self, WINDOW_HOURS_MAX};
use crate::topology::Topology;
use crate::workers::StoreWatch;
use crate::world::{EdgePlace, Failure, Inner, Machine, World};

/// How long a step takes, more or less: what merchants do is spread over that.
const STEP: Duration = Duration::from_millis(400);
/// The time that passes while no worker is there.
const TICK: Duration = Duration::from_millis(50);
/// So long nothing must move.
const QUIET: Duration = Duration::from_millis(1_500);
/// How long all workers are away at the end of some runs: longer than a store is of use without them.
const AWAY: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// Weeks that pass at the end, each with a cut-off.
const WEEKS: usize = 3;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Rounds without rest are a fault, whatever the clock says.
const ROUNDS_MAX: u32 = 20_000;

/// What a run is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Decides about everything.
    pub seed: u64,
    /// Steps in which things go wrong.
    pub steps: u32,
    /// Orders that are reported; drawn from the seed if it is not said.
    pub orders: Option<usize>,
    /// Faults that there are not to be.
    pub without: Vec<Kind>,
}

impl Params {
    /// A whole run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Params {
        Params { seed, steps: 300, orders: None, without: Vec::new() }
    }

    /// How many orders there are.
    #[must_use]
    pub fn order_count(&self) -> usize {
        let drawn = Random::new(self.seed, "orders").pick(&[2, 5, 8, 12, 20]);
        self.orders.unwrap_or(drawn)
    }

    /// The kinds of faults that there are.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        Swarm::draw(self.seed, &self.without).kinds()
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong.
    pub failure: Option<Failure>,
    /// What happened that does not happen in every run.
    pub sometimes: Sometimes,
    /// How often each fault happened.
    pub faults: BTreeMap<Kind, u64>,
    /// Turns that workers took.
    pub turns: u64,
    /// Records that became visible.
    pub records: u64,
    /// The time that passed in it.
    pub virtual_time: Duration,
    /// Everything that happened, a line for each thing.
    pub history: Vec<String>,
}

impl Outcome {
    /// SHA-256 over the lines of the history, in hexadecimal: equal for equal runs, in any build.
    #[must_use]
    pub fn hash(&self) -> String {
        use std::fmt::Write as _;
        let mut digest = Sha256::new();
        for line in &self.history {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        digest.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Runs a simulation to its end, or to the first thing that is wrong.
#[must_use]
pub fn run(params: &Params) -> Outcome {
    let world = world(params);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| phases(&world, params)));
    if let Err(panic) = ended {
        world.fail("panic", text(&*panic));
    }
    world.cluster.set_faults(Arc::new(NoFaults));
    let mut inner = world.inner();
    let history = world.cluster.history();
    inner.sometimes.read(&history);
    let mut faults = std::mem::take(&mut world.dice().chances.counts);
    faults.extend(inner.shared.as_ref().map(|shared| shared.server.counts()).unwrap_or_default());
    Outcome {
        failure: inner.failure.take(),
        sometimes: std::mem::take(&mut inner.sometimes),
        faults,
        turns: inner.turns,
        records: inner.observer.records,
        virtual_time: world.cluster.now(),
        history,
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("something without a message").to_owned()
}

fn world(params: &Params) -> Arc<World> {
    let seed = params.seed;
    let topology = Topology::draw(seed);
    let epoch_ms = topology.cluster.epoch_ms;
    let cluster = Cluster::new(topology.cluster.clone(), Arc::new(NoFaults));
    for (spec, options) in topology.topics() {
        cluster.create_topic(spec.name, options);
    }
    let plan = Plan::draw(seed, params.order_count(), STEP * params.steps, epoch_ms);
    let elsewhere: Vec<_> = plan.elsewhere.iter().map(|(_, click)| click.clone()).collect();
    let registry = terms::draw(seed, 0, &elsewhere, epoch_ms);
    let mut facts = Facts::new(SKEW_MS_MAX);
    facts.registry(Arc::clone(&registry), cluster.now_ms());
    let importer = cluster.process("importer");
    let publisher = importer.publisher(streams::kafka::PublisherOptions::default());
    let office = cluster.process("office");
    let decisions = office.publisher(streams::kafka::PublisherOptions::default());
    let swarm = Swarm::draw(seed, &params.without);
    let shared = (topology.keepers > 0).then(|| share(seed, &swarm, &cluster, topology.keepers));
    let store = |edge: usize| match &shared {
        Some(Shared { server, told, .. }) => {
            EdgeStore::Shared(SharedClaims::new(server, edge, topology.edge.store_deadline, told))
        }
        None => EdgeStore::Own(SimClaims::default()),
    };
    let inner = Inner {
        random: Random::new(seed, "schedule"),
        machines: (0..topology.machines).map(machine).collect(),
        edges: (0..topology.edges).map(|number| edge(number, store(number))).collect(),
        shared,
        importer: (importer, publisher),
        imports: Vec::new(),
        administrators: Administrators::new(seed),
        reviewers: Reviewers::new(seed, (office, decisions)),
        merchants: Merchants::new(seed, plan),
        facts,
        observer: Observer::default(),
        sometimes: Sometimes::default(),
        elsewhere,
        registries: vec![registry],
        is_everywhere: true,
        unknown: Vec::new(),
        fetched: BTreeSet::new(),
        failure: None,
        errors_calm: 0,
        turns: 0,
        moves: 0,
    };
    let dice = Dice::new(seed, swarm);
    World::new(seed, cluster, topology, dice, inner)
}

fn machine(number: usize) -> Machine {
    Machine {
        name: format!("machine{number}"),
        process: None,
        seats: Vec::new(),
        disks: Default::default(),
        watches: <[StoreWatch; 3]>::default(),
        skew_ms: 0,
        starts_at: Duration::ZERO,
        starts: 0,
        is_frozen: false,
        version: 0,
    }
}

fn share(seed: u64, swarm: &Swarm, cluster: &Cluster, keepers: usize) -> Shared {
    Shared {
        server: Server::new(seed, swarm.clone(), cluster),
        told: Tellings::default(),
        logged: Logged::default(),
        kept: BTreeMap::new(),
        keepers: std::iter::repeat_with(KeeperPlace::default).take(keepers).collect(),
    }
}

fn edge(number: usize, claims: EdgeStore) -> EdgePlace {
    EdgePlace {
        name: format!("edge{number}"),
        process: None,
        is_out: false,
        claims,
        skew_ms: 0,
        starts_at: Duration::ZERO,
        version: 0,
        shoppers: BTreeMap::new(),
    }
}

fn phases(world: &World, params: &Params) {
    for _ in 0..params.steps {
        world.step();
        if world.inner().failure.is_some() {
            return;
        }
    }
    heal(world);
    if !rest(world) {
        return;
    }
    // Holds are over one after the other, and with them everything that was waited for.
    for hours in [1, 7, 24, WINDOW_HOURS_MAX - 24] {
        world.cluster.leap_to(world.cluster.now() + Duration::from_secs(hours * 60 * 60));
        if !rest(world) {
            return;
        }
    }
    if Random::new(params.seed, "away").happens(2_000) {
        (0..world.topology.machines).for_each(|machine| world.crash_machine(machine));
        world.cluster.leap_to(world.cluster.now() + AWAY);
        world.clean();
        if !rest(world) {
            return;
        }
    }
    let mut late = Random::new(params.seed, "late refunds");
    let mut restarts = Random::new(params.seed, "restarts");
    for _ in 0..WEEKS {
        world.inner().merchants.refund_some(&mut late, world.cluster.now());
        world.administer_all();
        if !rest(world) {
            return;
        }
        world.cluster.leap_to(world.cluster.now() + WEEK);
        // Of topics that are kept for a week nothing is left.
        world.clean();
        if restarts.happens(3_000) {
            (0..world.topology.machines).for_each(|machine| world.crash_machine(machine));
        }
        if !rest(world) {
            return;
        }
    }
    world.check_stores();
    world.check_claims();
    let now_ms = world.cluster.now_ms();
    let faults = {
        let inner = world.inner();
        oracle::end(&inner.facts, &inner.observer.committed, now_ms)
    };
    for fault in faults {
        world.fail(format!("{:?}", fault.invariant), fault.what);
    }
}

/// Nothing goes wrong any more, and everybody is there.
fn heal(world: &World) {
    world.cluster.note(format_args!("nothing goes wrong any more"));
    {
        let mut dice = world.dice();
        dice.chances.calm = true;
        dice.away_until = Duration::ZERO;
    }
    let now = world.cluster.now();
    {
        let mut inner = world.inner();
        inner.machines.iter_mut().for_each(|machine| machine.starts_at = machine.starts_at.min(now));
        inner.edges.iter_mut().for_each(|edge| edge.starts_at = edge.starts_at.min(now));
        if let Some(shared) = &mut inner.shared {
            shared.keepers.iter_mut().for_each(|keeper| keeper.starts_at = keeper.starts_at.min(now));
            shared.server.calm();
        }
    }
    for edge in 0..world.topology.edges {
        world.set_claims(edge, crate::claims::Mode::Work);
    }
    world.restart_due();
    world.tell_all();
}

/// Goes on until nothing moves any more; whether that came in time, and nothing was wrong.
fn rest(world: &World) -> bool {
    let (mut quiet_since, mut moves) = (world.cluster.now(), world.inner().moves);
    let mut deadline = world.cluster.now() + world.topology.quiet_within();
    for _ in 0..ROUNDS_MAX {
        world.restart_due();
        let next = world.inner().merchants.next_due();
        if let Some(next) = next {
            // What merchants do later is no unrest.
            deadline = deadline.max(next + world.topology.quiet_within());
            if world.unrest_besides_merchants().is_none() {
                world.cluster.advance_to(next);
            }
        }
        world.merchants_act(usize::MAX);
        let places = world.all_places();
        if places.is_empty() {
            // Nobody's turn lets time pass.
            world.cluster.advance(TICK);
        }
        places.into_iter().for_each(|place| world.turn(place));
        world.edges_go_on();
        world.keepers_go_on();
        world.import_again();
        world.review_again();
        (0..world.topology.edges).for_each(|edge| world.feed(edge));
        world.note_everywhere();
        world.look();
        if world.inner().failure.is_some() {
            return false;
        }
        // A turn in which something was done may leave something to do for the next: a step that was fenced, all of it.
        let has_moved = std::mem::replace(&mut moves, world.inner().moves) != moves;
        match world.unrest() {
            None if has_moved => quiet_since = world.cluster.now(),
            // A member hears of a rebalance with its next heartbeat, and its worker with its next turn.
            None if world.cluster.now() > quiet_since + QUIET => return true,
            None => {}
            Some(why) if world.cluster.now() > deadline => {
                world.fail("no rest", why);
                return false;
            }
            Some(_) => quiet_since = world.cluster.now(),
        }
    }
    world.fail("no rest", format!("after {ROUNDS_MAX} rounds: {:?}", world.unrest()));
    false
}

impl Sometimes {
    /// What only the lines of a history tell.
    fn read(&mut self, history: &[String]) {
        for line in history {
            let Some((_, what)) = line.split_once(' ') else { continue };
            let ends = |codes: &[&str]| codes.iter().any(|code| what.ends_with(code));
            let fenced = what.contains(" TxnOffsetCommit ") && what.starts_with("machine");
            self.saw_if(
                Rare::FencedByGeneration,
                fenced && ends(&[": IllegalGeneration", ": UnknownMemberId", ": FencedInstanceId"]),
            );
            let by_epoch = what.starts_with("machine") && ends(&[": ProducerFenced", ": InvalidProducerEpoch"]);
            self.saw_if(Rare::FencedByEpoch, by_epoch);
            self.saw_if(Rare::EndTxnLate, what.starts_with("late EndTxn") && what.ends_with(": None"));
            let timed_out = what.starts_with("coordinator times ");
            self.saw_if(Rare::TransactionTimedOut, timed_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_is_due_is_no_rest() {
        let params = Params { without: Kind::ALL.to_vec(), ..Params::of(1) };
        let world = world(&params);
        (0..params.steps).for_each(|_| world.step());
        heal(&world);
        assert!(rest(&world), "{:?}", world.inner().failure);
        world.cluster.leap_to(world.cluster.now() + Duration::from_secs(WINDOW_HOURS_MAX * 60 * 60));
        let why = world.unrest().unwrap_or_default();
        assert!(why.starts_with("a timer of orders/"), "{why:?}");
        assert!(rest(&world), "{:?}", world.inner().failure);
        assert_eq!(world.unrest(), None);
    }
}
