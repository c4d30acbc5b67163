//! Who does something next.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::claims::Mode;
use crate::edge_store::EdgeStore;
use crate::observe::Observer;
use crate::sometimes::Rare;
use crate::swarm::Kind;
use crate::terms;
use crate::topology::UNSEEN_MAX;
use crate::workers::PROCESSORS;
use crate::world::World;

/// No clock is off by more.
pub(crate) const SKEW_MS_MAX: i64 = 120_000;
/// Nothing waits for an answer of the brokers for longer, if they are away.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How far a step goes towards what merchants do next.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Hours that pass in leaps during the faults, at the most: a store that is away for longer is made again anyway.
const LEAP_MAX: Duration = Duration::from_secs(12 * 60 * 60);

impl World {
    /// A step of the time in which things go wrong.
    pub(crate) fn step(&self) {
        self.restart_due();
        self.misfortune();
        let (choice, now) = (self.inner().random.below(10), self.cluster.now());
        match choice {
            0..=3 => {
                if let Some(due) = self.inner().merchants.next_due() {
                    self.advance_to(due.min(now + WAIT_MAX));
                }
                self.merchants_act(1);
            }
            4..=8 => {
                if !self.turn_of_any() {
                    self.advance_to(now + Duration::from_millis(50));
                }
            }
            _ => {
                let wait = self.inner().random.short(Duration::from_secs(2));
                self.advance_to(now + wait);
            }
        }
        self.edges_go_on();
        self.keepers_go_on();
        self.administer();
        self.import_again();
        self.reviewers_act();
        self.review_again();
        self.feed_some();
        self.spread_registry();
        self.look();
    }

    /// Lets time pass without anybody's step but those that are in the background.
    fn advance_to(&self, until: Duration) {
        self.cluster.advance_to(until);
    }

    fn feed_some(&self) {
        for edge in 0..self.topology.edges {
            if self.inner().random.happens(3_000) {
                self.feed(edge);
            }
        }
    }

    /// What goes wrong between two steps.
    fn misfortune(&self) {
        let now = self.cluster.now();
        let edge = self.inner().random.index(self.topology.edges);
        let machine = self.inner().random.index(self.topology.machines);
        if self.happens(Kind::BrokersAway) {
            let until = now + self.dice().random().short(AWAY_MAX);
            self.dice().away_until = until;
            self.cluster.note(format_args!("brokers are away until {until:?}"));
            self.inner().sometimes.saw(Rare::BrokersAway);
        }
        if self.happens(Kind::LeaderChanged) {
            self.change_leader();
        }
        if self.happens(Kind::CoordinatorChanged) {
            let group = self.dice().random().pick(&PROCESSORS);
            self.cluster.change_coordinator(group);
        }
        if self.happens(Kind::Cleaned) {
            self.clean();
        }
        if self.happens(Kind::EdgeCrash) {
            self.crash_edge(edge);
        }
        if self.happens(Kind::WorkerCrash) {
            self.crash_machine(machine);
        }
        if self.happens(Kind::Retired) || std::mem::take(&mut self.dice().stuck) {
            self.retire(machine);
        }
        if self.happens(Kind::ClockSkewed) {
            self.skew(machine, edge);
        }
        self.trouble_claims(edge);
        if self.happens(Kind::RegistryChanged) {
            self.change_registry();
        }
        if self.happens(Kind::TimeLeaps) {
            let leap = self.dice().random().short(LEAP_MAX);
            self.leap(leap);
        }
        // Nobody is supplanted in a step of timers if none is due.
        if self.dice().leaps_to_timers() {
            self.leap_to_timer();
        }
    }

    fn leap(&self, leap: Duration) {
        let now = self.cluster.now();
        // All leaps together, the last ones included, are to be shorter than what makes every store stale.
        if now + leap < UNSEEN_MAX / 4 {
            self.cluster.note(format_args!("{leap:?} pass"));
            self.cluster.leap_to(now + leap);
        }
    }

    /// Leaps to when an order's next timer is due.
    fn leap_to_timer(&self) {
        let due_ms = self.inner().observer.next_timer_ms();
        let left = due_ms.and_then(|due_ms| u64::try_from(due_ms - self.cluster.now_ms()).ok());
        if let Some(left) = left {
            self.leap(Duration::from_millis(left));
        }
    }

    fn happens(&self, kind: Kind) -> bool {
        self.dice().happens(kind)
    }

    pub(crate) fn crash_machine(&self, machine: usize) {
        let process = self.inner().machines[machine].process.clone();
        if let Some(process) = process {
            process.crash();
            self.restart_due();
        }
    }

    fn change_leader(&self) {
        let (topic, partition, offsets, lasts) = {
            let mut dice = self.dice();
            let random = dice.random();
            // Of a changelog it is seldom noticed: only while a store is restored.
            let is_changelog = random.happens(5_000);
            let topics = self.topology.topics();
            let specs: Vec<_> = topics.filter(|(spec, _)| !is_changelog || spec.name.ends_with("changelog")).collect();
            let (spec, options) = specs[random.index(specs.len())];
            let partition = u32::try_from(random.below(u64::from(options.partitions))).expect("there are few");
            (spec.name, partition, random.between(1, 8), random.short(Duration::from_secs(5)))
        };
        self.cluster.change_leader(topic, partition, offsets, lasts);
    }

    /// Lets retention and compaction come, after everything was seen that they may take away.
    pub(crate) fn clean(&self) {
        self.look();
        self.cluster.clean();
    }

    fn skew(&self, machine: usize, edge: usize) {
        let skew_ms = {
            let mut dice = self.dice();
            i64::try_from(dice.random().below(2 * SKEW_MS_MAX.unsigned_abs())).expect("minutes") - SKEW_MS_MAX
        };
        let mut inner = self.inner();
        if skew_ms % 2 == 0 {
            inner.machines[machine].skew_ms = skew_ms;
            if let Some(process) = &inner.machines[machine].process {
                process.set_skew_ms(skew_ms);
            }
        } else {
            inner.edges[edge].skew_ms = skew_ms;
            if let Some(process) = &inner.edges[edge].process {
                process.process.set_skew_ms(skew_ms);
            }
        }
        drop(inner);
        self.cluster.note(format_args!("a clock is off by {skew_ms} ms"));
    }

    fn trouble_claims(&self, edge: usize) {
        let mode = if self.happens(Kind::ClaimsDown) {
            if self.dice().random().happens(5_000) { Mode::Down } else { Mode::Silent }
        } else if self.happens(Kind::ClaimsSlow) {
            Mode::Slow(self.dice().random().short(self.topology.edge.store_deadline * 4))
        } else {
            Mode::Work
        };
        self.set_claims(edge, mode);
        let own = match &self.inner().edges[edge].claims {
            EdgeStore::Own(claims) => Some(claims.clone()),
            EdgeStore::Shared(_) => None,
        };
        if let Some(claims) = own
            && self.happens(Kind::ClaimsLost)
        {
            self.cluster.note(format_args!("edge {edge} loses its claims"));
            claims.lose();
        }
    }

    fn change_registry(&self) {
        let now_ms = self.cluster.now_ms();
        let mut inner = self.inner();
        // The one before is to be everywhere first, so that at most two are in force.
        if !inner.is_everywhere {
            return;
        }
        let version = inner.registries.len() as u64;
        let clicks = inner.elsewhere.clone();
        let registry = terms::draw(self.seed, version, &clicks, self.topology.cluster.epoch_ms);
        inner.facts.registry(std::sync::Arc::clone(&registry), now_ms);
        inner.registries.push(registry);
        inner.observer.version = version;
        inner.is_everywhere = false;
        drop(inner);
        self.cluster.note(format_args!("registry {version}"));
    }

    /// Lets processes hear of the registry in force, now one and now another.
    fn spread_registry(&self) {
        if self.inner().is_everywhere {
            return;
        }
        for machine in 0..self.topology.machines {
            let mut inner = self.inner();
            let latest = inner.registries.len() as u64 - 1;
            if inner.random.happens(2_000) {
                inner.machines[machine].version = latest;
            }
        }
        for edge in 0..self.topology.edges {
            if self.inner().random.happens(2_000) {
                self.tell_edge(edge);
            }
        }
        self.note_everywhere();
    }

    fn tell_edge(&self, edge: usize) {
        let mut inner = self.inner();
        let (latest, registry) = (inner.registries.len() as u64 - 1, inner.registries.last().cloned());
        let place = &mut inner.edges[edge];
        if let (Some(process), Some(registry)) = (&place.process, registry) {
            process.set_registry(&registry);
            place.version = latest;
        }
    }

    /// Has everybody hear of the registry in force.
    pub(crate) fn tell_all(&self) {
        let latest = self.inner().registries.len() as u64 - 1;
        self.inner().machines.iter_mut().for_each(|machine| machine.version = latest);
        (0..self.topology.edges).for_each(|edge| self.tell_edge(edge));
    }

    /// Takes note if everybody works under the registry in force.
    pub(crate) fn note_everywhere(&self) {
        let now_ms = self.cluster.now_ms();
        let mut inner = self.inner();
        let latest = inner.registries.len() as u64 - 1;
        let workers =
            inner.machines.iter().flat_map(|machine| machine.seats.iter().flatten().zip(std::iter::repeat(machine)));
        let are_workers =
            workers.into_iter().all(|(seat, machine)| machine.process.is_none() || seat.version == latest);
        let are_machines = inner.machines.iter().all(|machine| machine.process.is_none() || machine.version == latest);
        let are_edges = inner.edges.iter().all(|edge| edge.process.is_none() || edge.version == latest);
        if are_workers && are_machines && are_edges && !inner.is_everywhere {
            inner.is_everywhere = true;
            inner.facts.registry_everywhere(now_ms);
        }
    }

    /// Looks at everything that has become visible, and whether it is as it has to be.
    pub(crate) fn look(&self) {
        self.look_at_claims();
        let mut guard = self.inner();
        let inner = &mut *guard;
        let faults = inner.observer.look(&self.cluster, &self.topology, &mut inner.sometimes);
        let offsets = inner.observer.check_offsets(&self.cluster);
        self.settle_unknown(inner);
        let mut wrong = Vec::new();
        for machine in &inner.machines {
            for (processor, (disk, watch)) in machine.disks.iter().zip(&machine.watches).enumerate() {
                for (partition, news, is_ready) in watch.take() {
                    inner.sometimes.saw_if(Rare::ColdRestore, news.cold);
                    inner.sometimes.saw_if(Rare::RestoreResumed, news.resumed);
                    inner.sometimes.saw_if(Rare::StoreWiped, news.wiped);
                    if is_ready && (news.ready || inner.random.happens(1_000)) {
                        wrong.extend(inner.observer.check_store(&self.cluster, (processor, partition), disk));
                    }
                }
            }
        }
        drop(guard);
        for fault in faults {
            self.fail(format!("{:?}", fault.invariant), fault.what);
        }
        if let Some(what) = offsets {
            self.fail("offsets went back", what);
        }
        for what in wrong {
            self.fail("store is not the fold of its changelog", what);
        }
    }

    /// Commits of unknown outcome that are decided by now.
    fn settle_unknown(&self, inner: &mut crate::world::Inner) {
        if inner.unknown.is_empty() {
            return;
        }
        let unfinished = self.cluster.unfinished();
        let unknown = std::mem::take(&mut inner.unknown);
        for one in unknown {
            if unfinished.contains(&one.transactional_id) {
                inner.unknown.push(one);
                continue;
            }
            let committed = self.cluster.offsets(one.group) != one.offsets;
            inner.sometimes.saw(if committed { Rare::UnknownCommitted } else { Rare::UnknownAborted });
        }
    }

    /// Checks every store that is in use.
    pub(crate) fn check_stores(&self) {
        let mut wrong = Vec::new();
        {
            let mut guard = self.inner();
            let inner = &mut *guard;
            for machine in &inner.machines {
                for (processor, (disk, watch)) in machine.disks.iter().zip(&machine.watches).enumerate() {
                    for partition in watch.ready() {
                        wrong.extend(inner.observer.check_store(&self.cluster, (processor, partition), disk));
                    }
                }
            }
        }
        for what in wrong {
            self.fail("store is not the fold of its changelog", what);
        }
    }

    /// Why things have not come to rest yet.
    pub(crate) fn unrest(&self) -> Option<String> {
        {
            let inner = self.inner();
            if !inner.merchants.are_done() {
                return Some(format!("{} requests are open", inner.merchants.open()));
            }
        }
        self.unrest_besides_merchants()
    }

    /// The same, whatever merchants are still going to do.
    pub(crate) fn unrest_besides_merchants(&self) -> Option<String> {
        if let Some(why) = self.unrest_of_claims() {
            return Some(why);
        }
        let mut guard = self.inner();
        let inner = &mut *guard;
        if inner.edges.iter().any(|edge| edge.process.as_ref().is_none_or(crate::edge::EdgeProcess::is_busy)) {
            return Some("an edge is at work".to_owned());
        }
        if !inner.imports.is_empty() {
            return Some("clicks or outcomes are on their way".to_owned());
        }
        if inner.reviewers.is_busy() {
            return Some("decisions are on their way".to_owned());
        }
        for machine in &inner.machines {
            if machine.process.is_none() {
                return Some(format!("{} is down", machine.name));
            }
        }
        for (processor, name) in PROCESSORS.iter().enumerate() {
            let seats = inner.machines.iter().flat_map(|machine| &machine.seats[processor]);
            let progress = seats.filter_map(|seat| seat.worker.as_ref()).map(|worker| worker.progress());
            let (mut assigned, mut ready) = (0, 0);
            for one in progress {
                assigned += one.partitions_assigned.load(Ordering::Relaxed);
                ready += one.partitions_ready.load(Ordering::Relaxed);
            }
            let partitions = u64::from(self.topology.partitions);
            if (assigned, ready) != (partitions, partitions) {
                return Some(format!("of {name}, {assigned} of {partitions} partitions are assigned, {ready} ready"));
            }
        }
        if let Some(open) = self.cluster.unfinished().first() {
            return Some(format!("the transaction of {open} is open"));
        }
        // By the slowest of the clocks, a timer is due for whichever worker has it.
        let slowest_ms = inner.machines.iter().map(|machine| machine.skew_ms).min().unwrap_or(0);
        let lag = Observer::lag(&self.cluster, self.topology.partitions);
        lag.or_else(|| inner.observer.due(self.cluster.now_ms() + slowest_ms))
    }
}
