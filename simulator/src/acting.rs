//! What is done in a run: turns of workers, requests to edges, starts and ends of processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streams::{DriverError, LogError};

use crate::edge::EdgeProcess;
use crate::http::{Call, Reply};
use crate::imports::Import;
use crate::merchants::{Effect, Ticket};
use crate::random::Random;
use crate::sometimes::Rare;
use crate::swarm::Kind;
use crate::workers::{self, PROCESSORS, Start, Worker};
use crate::world::{Seat, Unknown, World};

/// Between the end of a process and its next start, at the most.
const RESTART_MAX: Duration = Duration::from_secs(40);
/// A process of the schedule that fails is started again by whoever watches it.
const RESTART_MIN: Duration = Duration::from_millis(10);
/// How many of its workers may fail after the faults have ended before that is one itself.
const ERRORS_CALM_MAX: u32 = 20;
/// Turns that others take at the most while one is within a call.
const OTHERS_TURNS_MAX: u32 = 40;

/// When others take their turns while one is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as they can: most stops are over before a group gives anybody up.
    AtOnce,
    /// From a time on to the end of it.
    From(Duration),
}

/// A worker's place: machine, processor, number.
type Place = (usize, usize, usize);

/// What a worker had done before a turn.
#[derive(PartialEq, Eq)]
struct Before {
    timers: u64,
    rebalances: u64,
    unknown: u64,
    polled: u64,
    /// Steps that were committed, and steps that were not.
    steps: [u64; 2],
    restored: u64,
}

fn before(worker: &dyn Worker) -> Before {
    let (progress, stats) = (worker.progress(), worker.stats());
    Before {
        timers: progress.timers.load(Ordering::Relaxed),
        rebalances: stats.rebalances.load(Ordering::Relaxed),
        unknown: stats.unknown.load(Ordering::Relaxed),
        polled: progress.records.load(Ordering::Relaxed),
        steps: [&progress.steps, &progress.retries].map(|count| count.load(Ordering::Relaxed)),
        restored: progress.restored.load(Ordering::Relaxed),
    }
}

impl World {
    /// Lets any worker that can take a turn; whether there is one.
    pub(crate) fn turn_of_any(&self) -> bool {
        let place = {
            let mut inner = self.inner();
            let places: Vec<Place> = inner.places();
            if places.is_empty() { None } else { Some(places[inner.random.index(places.len())]) }
        };
        place.is_some_and(|place| {
            self.turn(place);
            true
        })
    }

    /// Lets others go on until a time, whoever is within a call.
    pub(crate) fn others_until(&self, until: Duration, pace: Pace) {
        for turn in 0..OTHERS_TURNS_MAX {
            if let Pace::From(from) = pace {
                self.cluster.advance_to(from + until.saturating_sub(from) / OTHERS_TURNS_MAX * turn);
            }
            if self.cluster.now() >= until {
                return;
            }
            self.restart_due();
            let acted = { self.inner().random.happens(3_000) };
            if acted {
                self.merchants_act(1);
            } else if !self.turn_of_any() {
                break;
            }
        }
        self.edges_go_on();
        self.cluster.advance_to(until);
    }

    /// Every worker that can take a turn.
    pub(crate) fn all_places(&self) -> Vec<Place> {
        self.inner().places()
    }

    /// Lets a worker take a turn.
    pub(crate) fn turn(&self, place @ (machine, processor, number): Place) {
        let taken = {
            let mut inner = self.inner();
            let (registry, version) = (inner.registry(machine), inner.machines[machine].version);
            let process = inner.machines[machine].process.clone();
            let seat = &mut inner.machines[machine].seats[processor][number];
            let taken = process.zip(seat.worker.take());
            taken.map(|(process, mut worker)| {
                seat.is_out = true;
                if std::mem::replace(&mut seat.version, version) != version {
                    worker.set_registry(&registry);
                }
                (process, worker)
            })
        };
        let Some((process, mut worker)) = taken else { return };
        self.inner().fetched.remove(&process.id());
        let was = before(&*worker);
        let offsets = self.cluster.offsets(PROCESSORS[processor]);
        let turn = process.run(|| worker.turn());
        let is = before(&*worker);
        let mut inner = self.inner();
        inner.turns += 1;
        inner.moves += u64::from(is != was || !matches!(turn, Ok(Ok(()))));
        inner.machines[machine].seats[processor][number].is_out = false;
        if is.unknown > was.unknown {
            let transactional_id = format!("{}-{}", PROCESSORS[processor], inner.worker_name(place));
            inner.unknown.push(Unknown { transactional_id, group: PROCESSORS[processor], offsets });
        }
        match turn {
            Ok(Ok(())) if process.is_alive() => {
                let restarted = inner.machines[machine].starts > 1;
                inner.sometimes.saw_if(Rare::TimerAfterCrash, restarted && is.timers > was.timers);
                let rebalanced = is.rebalances > was.rebalances && is.polled == was.polled;
                let fetched = rebalanced && inner.fetched.remove(&process.id());
                inner.sometimes.saw_if(Rare::RebalanceWithRecords, fetched);
                inner.machines[machine].seats[processor][number].worker = Some(worker);
            }
            Ok(Ok(())) | Err(_) => {
                drop(inner);
                drop(worker);
                self.ended(machine, process.id());
            }
            Ok(Err(error)) => {
                drop(inner);
                drop(worker);
                self.worker_failed(place, &error);
                process.crash();
                self.ended(machine, process.id());
            }
        }
    }

    /// A worker cannot go on, and its process ends.
    fn worker_failed(&self, (machine, processor, number): Place, error: &DriverError) {
        self.cluster.note(format_args!("{} of machine {machine}, {number}, fails: {error}", PROCESSORS[processor]));
        match error {
            DriverError::Lost { .. } | DriverError::Log(LogError::Damaged(_)) => {
                self.fail("worker lost", error.to_string())
            }
            DriverError::Log(_) | DriverError::Store(_) | DriverError::Stopped => {}
        }
        let errors = {
            let calm = self.dice().chances.calm;
            let mut inner = self.inner();
            inner.errors_calm += u32::from(calm);
            inner.errors_calm
        };
        if errors > ERRORS_CALM_MAX {
            self.fail("workers keep failing", error.to_string());
        }
    }

    /// The process of a machine has ended; what is left of it goes, and it is started again later.
    fn ended(&self, machine: usize, process: u64) {
        let (lost_disk, lost_power) = {
            let mut dice = self.dice();
            (dice.happens(Kind::DiskLost), dice.happens(Kind::PowerLost))
        };
        let mut inner = self.inner();
        let now = self.cluster.now();
        let calm = self.dice().chances.calm;
        let wait = if calm { RESTART_MIN } else { RESTART_MIN + inner.random.short(RESTART_MAX) };
        let place = &mut inner.machines[machine];
        if place.process.as_ref().is_none_or(|running| running.id() != process) {
            return;
        }
        place.process = None;
        place.is_frozen = false;
        place.starts_at = now + wait;
        let gone: Vec<Option<Box<dyn Worker>>> =
            place.seats.iter_mut().flatten().map(|seat| seat.worker.take()).collect();
        let disks = place.disks.clone();
        let watches = place.watches.clone();
        drop(inner);
        drop(gone);
        for (disk, watch) in disks.iter().zip(&watches) {
            if lost_disk {
                disk.wipe();
                watch.forget();
            } else if lost_power && disk.unsynced() > 0 {
                let mut inner = self.inner();
                let kept = inner.random.index(disk.unsynced() + 1);
                inner.sometimes.saw_if(Rare::StoreRolledBack, kept < disk.unsynced());
                drop(inner);
                disk.lose_power(kept);
                watch.forget();
            }
        }
    }

    /// Starts processes whose time has come, and buries those that have died in the background.
    pub(crate) fn restart_due(&self) {
        for machine in 0..self.topology.machines {
            let (process, starts_at) = {
                let inner = self.inner();
                (inner.machines[machine].process.clone(), inner.machines[machine].starts_at)
            };
            match process {
                Some(process) if !process.is_alive() => self.ended(machine, process.id()),
                Some(_) => {}
                None if starts_at <= self.cluster.now() => self.start_machine(machine),
                None => {}
            }
        }
        for edge in 0..self.topology.edges {
            let is_due = {
                let inner = self.inner();
                let place = &inner.edges[edge];
                place.process.is_none() && !place.is_out && place.starts_at <= self.cluster.now()
            };
            if is_due {
                self.start_edge(edge);
            }
        }
    }

    fn start_machine(&self, machine: usize) {
        let (name, skew_ms, is_out) = {
            let inner = self.inner();
            let place = &inner.machines[machine];
            (place.name.clone(), place.skew_ms, place.seats.iter().flatten().any(|seat| seat.is_out))
        };
        // One of its last process is still within a call: what is left of it goes first.
        if is_out {
            return;
        }
        let process = self.cluster.process(&name);
        process.set_skew_ms(skew_ms);
        let mut inner = self.inner();
        let latest = inner.registries.len() as u64 - 1;
        inner.machines[machine].version = latest;
        let registry = inner.registry(machine);
        let place = &inner.machines[machine];
        let (disks, watches) = (place.disks.clone(), place.watches.clone());
        drop(inner);
        let mut seats = Vec::new();
        for (processor, (disk, watch)) in disks.iter().zip(&watches).enumerate() {
            let mut of_one = Vec::new();
            for number in 0..self.topology.workers_each {
                let start = Start {
                    process: &process,
                    topology: &self.topology,
                    registry: &registry,
                    disk,
                    watch: watch.clone(),
                    name: format!("{name}-{number}"),
                };
                let worker = workers::start(processor, start).expect("the model makes clients of any settings");
                of_one.push(Seat { worker: Some(worker), is_out: false, version: latest });
            }
            seats.push(of_one);
        }
        let mut inner = self.inner();
        let place = &mut inner.machines[machine];
        (place.process, place.seats) = (Some(process), seats);
        place.starts += 1;
    }

    fn start_edge(&self, edge: usize) {
        let (name, skew_ms, claims, registry, ids) = {
            let mut inner = self.inner();
            let (latest, registry) = (inner.registries.len() as u64 - 1, inner.registries.last().cloned());
            let ids = Random::new(inner.random.next(), "ids");
            let place = &mut inner.edges[edge];
            place.version = latest;
            (place.name.clone(), place.skew_ms, place.claims.clone(), registry.expect("there is a first one"), ids)
        };
        let settings = (&self.topology.publisher, &self.topology.edge);
        let process = EdgeProcess::start(&self.cluster, &name, &registry, &claims, settings, ids);
        process.process.set_skew_ms(skew_ms);
        self.inner().edges[edge].process = Some(process);
    }

    /// Ends an edge where it is.
    pub(crate) fn crash_edge(&self, edge: usize) {
        let mut inner = self.inner();
        let now = self.cluster.now();
        let wait = RESTART_MIN + inner.random.short(RESTART_MAX);
        let Some(process) = inner.edges[edge].process.take() else { return };
        inner.edges[edge].starts_at = now + wait;
        let shoppers = std::mem::take(&mut inner.edges[edge].shoppers);
        let inner = &mut *inner;
        for (order, sent_ms) in shoppers {
            inner.merchants.on_lost(Ticket::Shopper { order }, sent_ms, &mut inner.facts);
        }
        process.process.crash();
        drop(process);
    }

    /// Lets merchants and shoppers do so many things that are due.
    pub(crate) fn merchants_act(&self, most: usize) {
        for _ in 0..most {
            let (now, now_ms) = (self.cluster.now(), self.cluster.now_ms());
            let effect = {
                let mut inner = self.inner();
                let inner = &mut *inner;
                let Some(deed) = inner.merchants.take_due(now) else { return };
                inner.merchants.act(deed, now, now_ms, &mut inner.facts)
            };
            match effect {
                Effect::Call(call) => self.call(&call),
                Effect::Click(click) => self.import(Import::Click(click)),
                Effect::None => {}
            }
        }
    }

    fn call(&self, call: &Call) {
        let now_ms = self.cluster.now_ms();
        let mut inner = self.inner();
        let edge = inner.random.index(self.topology.edges);
        let inner = &mut *inner;
        let place = &mut inner.edges[edge];
        match &place.process {
            Some(process) => {
                if let Ticket::Shopper { order } = call.ticket {
                    place.shoppers.insert(order, now_ms);
                }
                process.take(call, edge, now_ms);
            }
            // Nobody is there: no click is made, and a request times out.
            None => inner.merchants.on_unreachable(call.ticket, self.cluster.now()),
        }
    }

    /// Lets what is under way in the edges go on.
    pub(crate) fn edges_go_on(&self) {
        for edge in 0..self.topology.edges {
            let now = self.cluster.now();
            let (taken, turns) = {
                let mut inner = self.inner();
                let turns = inner.random.below(40);
                let place = &mut inner.edges[edge];
                let taken = place.process.take_if(|process| process.is_busy());
                place.is_out = taken.is_some();
                (taken, turns)
            };
            let Some(mut process) = taken else { continue };
            // Sometimes not all the way: then it is in the middle of something when the next thing happens.
            let replies = if turns < 8 { process.go_on(now, turns) } else { process.settle(now) };
            {
                let mut inner = self.inner();
                inner.edges[edge].process = Some(process);
                inner.edges[edge].is_out = false;
            }
            for reply in replies {
                self.reply(&reply);
            }
        }
    }

    fn reply(&self, reply: &Reply) {
        let edge = reply.edge;
        let lost = self.dice().happens(Kind::ReplyLost);
        let (now, now_ms) = (self.cluster.now(), self.cluster.now_ms());
        self.cluster.note(format_args!(
            "edge {edge} answers {:?} {}{}",
            reply.ticket,
            reply.status,
            if lost { ", lost" } else { "" }
        ));
        let mut inner = self.inner();
        let inner = &mut *inner;
        if let Ticket::Shopper { order } = reply.ticket {
            inner.edges[edge].shoppers.remove(&order);
        }
        if lost {
            inner.merchants.on_lost(reply.ticket, reply.sent_ms, &mut inner.facts);
            return;
        }
        match inner.merchants.on_reply(reply, now, now_ms, &mut inner.facts) {
            Ok(noticed) => {
                inner.sometimes.saw_if(Rare::DuplicateAcrossEdges, noticed.accepted_twice);
                inner.sometimes.saw_if(Rare::AmbiguousRetried, noticed.ambiguous_retried && noticed.duplicate);
            }
            Err(what) => {
                inner.failure.get_or_insert(crate::world::Failure { kind: "unexpected answer".to_owned(), what });
            }
        }
    }

    /// Has the process of a machine leave its groups, and not come back for a while.
    pub(crate) fn retire(&self, machine: usize) {
        let (process, workers) = {
            let mut inner = self.inner();
            let place = &mut inner.machines[machine];
            if place.seats.iter().flatten().any(|seat| seat.is_out) {
                return;
            }
            let workers: Vec<Box<dyn Worker>> =
                place.seats.iter_mut().flatten().filter_map(|seat| seat.worker.take()).collect();
            (place.process.clone(), workers)
        };
        let Some(process) = process else { return };
        self.cluster.note(format_args!("{} is retired", process.name()));
        for worker in workers {
            // One that dies in the middle of it is a crash like any other.
            let _ = process.run(|| worker.leave());
        }
        process.crash();
        self.ended(machine, process.id());
    }
}

impl crate::world::Inner {
    /// Every worker that can take a turn.
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (machine, place) in self.machines.iter().enumerate() {
            if place.is_frozen || place.process.as_ref().is_none_or(|process| !process.is_alive()) {
                continue;
            }
            for (processor, seats) in place.seats.iter().enumerate() {
                let there = seats.iter().enumerate().filter(|(_, seat)| seat.worker.is_some());
                places.extend(there.map(|(number, _)| (machine, processor, number)));
            }
        }
        places
    }

    fn worker_name(&self, (machine, _, number): Place) -> String {
        format!("{}-{number}", self.machines[machine].name)
    }

    /// The registry that a machine's process has heard of.
    fn registry(&self, machine: usize) -> Arc<schemas::registry::Registry> {
        let version = usize::try_from(self.machines[machine].version).expect("there are few registries");
        Arc::clone(&self.registries[version])
    }
}
