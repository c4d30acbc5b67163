//! The group coordinator: static members, generations, offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::partition::ProducerId;
use super::transactions::Target;
use super::{Action, Code, State};

/// A consumer group.
#[derive(Debug, Default)]
pub(super) struct Group {
    generation: u32,
    phase: Phase,
    leader: Option<String>,
    /// By member id.
    members: BTreeMap<String, Member>,
    offsets: BTreeMap<(String, u32), u64>,
    /// Offsets of transactions that are not marked yet, by the producer's number.
    pending: BTreeMap<u64, BTreeMap<(String, u32), u64>>,
    /// How many rebalances were begun: a deadline is of one of them.
    rebalances: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Empty,
    /// Members join.
    Preparing,
    /// The leader is to say who has what.
    Completing,
    Stable,
}

/// What a member says when it joins.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Joining {
    pub(in crate::sim) group: String,
    pub(in crate::sim) instance: String,
    /// Its id, if it was told one.
    pub(in crate::sim) member: Option<String>,
    pub(in crate::sim) topics: Vec<String>,
    pub(in crate::sim) session_timeout: Duration,
    pub(in crate::sim) rebalance_timeout: Duration,
}

#[derive(Debug)]
struct Member {
    instance: String,
    topics: Vec<String>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    heard_of: Duration,
    /// Whether it has joined the generation that is being made.
    has_joined: bool,
    assignment: Vec<(String, u32)>,
}

/// The member and the generation that offsets are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub(in crate::sim) group: String,
    pub(in crate::sim) instance: String,
    pub(in crate::sim) member: String,
    pub(in crate::sim) generation: u32,
}

/// What a member that joined is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Joined {
    /// Others have to join yet.
    Wait,
    /// It is of this generation.
    Of(u32),
}

impl State {
    /// Takes a member in; its id. What it is a member of, [`State::joined`] says.
    pub(in crate::sim) fn join_group(&mut self, joining: &Joining) -> Result<String, Code> {
        let now = self.now;
        self.members_made += 1;
        // A static member's id is its name and something random: a UUID.
        let made = self.members_made;
        let id = format!("{}-{made:08x}-0000-4000-8000-000000000000", joining.instance);
        let group = self.groups.entry(joining.group.clone()).or_default();
        let namesake = group.members.iter().find(|(_, member)| member.instance == joining.instance);
        let namesake = namesake.map(|(id, _)| id.clone());
        if let Some(known) = &joining.member {
            match &namesake {
                Some(current) if current == known => {
                    let is_new = match group.phase {
                        Phase::Empty | Phase::Preparing => true,
                        // It is told of the generation that is there.
                        Phase::Completing => false,
                        Phase::Stable => group.leader.as_ref() == Some(known),
                    };
                    let member = group.members.get_mut(known).expect("it was just found");
                    (member.heard_of, member.has_joined) = (now, is_new);
                    if is_new {
                        self.prepare(&joining.group);
                    }
                    return Ok(known.clone());
                }
                Some(_) => return Err(Code::FencedInstanceId),
                None => return Err(Code::UnknownMemberId),
            }
        }
        let mut member = Member {
            instance: joining.instance.clone(),
            topics: joining.topics.clone(),
            session_timeout: joining.session_timeout,
            rebalance_timeout: joining.rebalance_timeout,
            heard_of: now,
            has_joined: true,
            assignment: Vec::new(),
        };
        let mut takes_place = false;
        if let Some(old) = namesake.and_then(|old| group.members.remove(&old).map(|member| (old, member))) {
            let (old_id, old) = old;
            // The name's new holder takes the place as it is: no rebalance, and the old one is fenced by its id.
            takes_place = group.phase == Phase::Stable && old.topics == member.topics;
            member.assignment = old.assignment;
            if group.leader.as_ref() == Some(&old_id) {
                group.leader = Some(id.clone());
            }
        }
        member.has_joined = !takes_place;
        let due = now + member.session_timeout;
        group.members.insert(id.clone(), member);
        self.schedule(due, Action::Session { group: joining.group.clone(), member: id.clone() });
        if !takes_place {
            self.prepare(&joining.group);
        }
        Ok(id)
    }

    /// Whether the generation that a member joined is there.
    pub(in crate::sim) fn joined(&self, group: &str, instance: &str, member: &str) -> Result<Joined, Code> {
        let (group, known) = self.member(group, instance, member)?;
        Ok(match group.phase {
            Phase::Empty => Joined::Wait,
            // One that joined the generation before was answered when that began, whatever has begun since.
            Phase::Preparing if known.has_joined => Joined::Wait,
            Phase::Preparing | Phase::Completing | Phase::Stable => Joined::Of(group.generation),
        })
    }

    /// A member asks what is its own; of the leader it is taken who has what. `None` while the leader was not heard of.
    pub(in crate::sim) fn sync_group(&mut self, of: &Generation) -> Result<Option<Vec<(String, u32)>>, Code> {
        let now = self.now;
        self.check_generation(of)?;
        let group = self.groups.get_mut(&of.group).expect("it was just found");
        group.members.get_mut(&of.member).expect("it was just found").heard_of = now;
        match group.phase {
            Phase::Empty | Phase::Preparing => return Err(Code::RebalanceInProgress),
            Phase::Completing if group.leader.as_ref() == Some(&of.member) => {
                self.assign(&of.group);
                self.wake_group(&of.group);
            }
            Phase::Completing => return Ok(None),
            Phase::Stable => {}
        }
        Ok(Some(self.groups[&of.group].members[&of.member].assignment.clone()))
    }

    /// The range assignor, in the order of the members' names.
    fn assign(&mut self, name: &str) {
        let topics: BTreeSet<String> =
            self.groups[name].members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        let sizes: Vec<(String, u32)> = topics
            .into_iter()
            .map(|topic| (topic.clone(), self.topics.get(&topic).map_or(0, |topic| topic.partitions.len() as u32)))
            .collect();
        let group = self.groups.get_mut(name).expect("the caller has found it");
        let mut by_name: Vec<(String, String)> =
            group.members.iter().map(|(id, member)| (member.instance.clone(), id.clone())).collect();
        by_name.sort();
        group.members.values_mut().for_each(|member| member.assignment.clear());
        for (topic, size) in sizes {
            let takers = by_name.iter().filter(|(_, id)| group.members[id].topics.contains(&topic));
            let takers: Vec<String> = takers.map(|(_, id)| id.clone()).collect();
            let count = takers.len() as u32;
            let mut from = 0;
            for (index, id) in takers.into_iter().enumerate() {
                let take = size / count + u32::from((index as u32) < size % count);
                let member = group.members.get_mut(&id).expect("it is one of them");
                member.assignment.extend((from..from + take).map(|partition| (topic.clone(), partition)));
                from += take;
            }
        }
        group.phase = Phase::Stable;
    }

    /// A member is there.
    pub(in crate::sim) fn heartbeat(&mut self, of: &Generation) -> Result<(), Code> {
        let now = self.now;
        self.member(&of.group, &of.instance, &of.member)?;
        let group = self.groups.get_mut(&of.group).expect("it was just found");
        group.members.get_mut(&of.member).expect("it was just found").heard_of = now;
        if group.generation != of.generation {
            return Err(Code::IllegalGeneration);
        }
        if group.phase == Phase::Preparing { Err(Code::RebalanceInProgress) } else { Ok(()) }
    }

    /// A member leaves for good.
    pub(in crate::sim) fn leave_group(&mut self, group: &str, instance: &str, member: &str) -> Result<(), Code> {
        self.member(group, instance, member)?;
        self.remove_member(group, member);
        Ok(())
    }

    /// The ids of a group's members.
    pub(in crate::sim) fn group_members(&self, group: &str) -> Vec<String> {
        self.groups.get(group).map(|group| group.members.keys().cloned().collect()).unwrap_or_default()
    }

    fn member(&self, group: &str, instance: &str, id: &str) -> Result<(&Group, &Member), Code> {
        let group = self.groups.get(group).ok_or(Code::UnknownMemberId)?;
        if group.members.iter().any(|(other, member)| member.instance == instance && other != id) {
            return Err(Code::FencedInstanceId);
        }
        group.members.get(id).map(|member| (group, member)).ok_or(Code::UnknownMemberId)
    }

    fn check_generation(&self, of: &Generation) -> Result<(), Code> {
        let (group, _) = self.member(&of.group, &of.instance, &of.member)?;
        if group.generation == of.generation { Ok(()) } else { Err(Code::IllegalGeneration) }
    }

    /// Begins a rebalance, unless one has begun, and ends it if nobody is waited for.
    fn prepare(&mut self, name: &str) {
        let now = self.now;
        let group = self.groups.get_mut(name).expect("the caller has found it");
        if group.phase != Phase::Preparing {
            group.phase = Phase::Preparing;
            group.rebalances += 1;
            let number = group.rebalances;
            let longest = group.members.values().map(|member| member.rebalance_timeout).max();
            let due = now + longest.unwrap_or_default();
            self.note(format_args!("coordinator rebalances {name}"));
            self.schedule(due, Action::Rebalance { group: name.to_owned(), number });
        }
        let group = &self.groups[name];
        if group.members.values().all(|member| member.has_joined) {
            self.begin_generation(name);
        }
    }

    /// The wait for members that do not join is over: static members keep their place for their session's time.
    pub(super) fn end_rebalance(&mut self, name: &str, number: u64) {
        let Some(group) = self.groups.get(name) else { return };
        if group.phase == Phase::Preparing && group.rebalances == number {
            self.begin_generation(name);
        }
    }

    fn begin_generation(&mut self, name: &str) {
        let now = self.now;
        let group = self.groups.get_mut(name).expect("the caller has found it");
        if group.members.is_empty() {
            (group.phase, group.leader) = (Phase::Empty, None);
            group.generation += 1;
            return;
        }
        let joined = |id: &String| group.members.get(id).is_some_and(|member| member.has_joined);
        if !group.leader.as_ref().is_some_and(joined) {
            group.leader = group.members.iter().find(|(_, member)| member.has_joined).map(|(id, _)| id.clone());
        }
        group.generation += 1;
        group.phase = Phase::Completing;
        for member in group.members.values_mut() {
            if std::mem::take(&mut member.has_joined) {
                member.heard_of = member.heard_of.max(now);
            }
        }
        let (generation, members) = (group.generation, group.members.len());
        self.note(format_args!("coordinator begins generation {generation} of {name}, {members} members"));
        self.wake_group(name);
    }

    /// A member's session may have ended.
    pub(super) fn check_session(&mut self, name: &str, member: &str) {
        let now = self.now;
        let Some(known) = self.groups.get(name).and_then(|group| group.members.get(member)) else { return };
        // One that waits for others to join is not asked for heartbeats.
        let heard_of = if known.has_joined { now } else { known.heard_of };
        let due = heard_of + known.session_timeout;
        if due > now {
            self.schedule(due, Action::Session { group: name.to_owned(), member: member.to_owned() });
            return;
        }
        self.note(format_args!("coordinator gives {member} of {name} up"));
        self.remove_member(name, member);
    }

    fn remove_member(&mut self, name: &str, member: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if group.members.remove(member).is_none() {
            return;
        }
        if group.leader.as_deref() == Some(member) {
            group.leader = None;
        }
        if group.members.is_empty() {
            self.begin_generation(name);
        } else {
            self.prepare(name);
        }
    }

    /// Every member counts as heard of at this time, as with a coordinator that has just begun.
    pub(in crate::sim) fn renew_sessions(&mut self, group: &str, at: Duration) {
        if let Some(group) = self.groups.get_mut(group) {
            group.members.values_mut().for_each(|member| member.heard_of = member.heard_of.max(at));
        }
    }

    /// A member counts as heard of at this time.
    pub(in crate::sim) fn renew_session(&mut self, of: &Generation, at: Duration) {
        let group = self.groups.get_mut(&of.group);
        if let Some(member) = group.and_then(|group| group.members.get_mut(&of.member)) {
            member.heard_of = member.heard_of.max(at);
        }
    }

    /// Takes offsets of a transaction, which count once it is marked as committed.
    pub(in crate::sim) fn commit_offsets(
        &mut self,
        of: &Generation,
        producer: ProducerId,
        offsets: &[(String, u32, u64)],
    ) -> Result<(), Code> {
        self.check_generation(of)?;
        self.verify(producer, &Target::Group(of.group.clone()))?;
        let group = self.groups.get_mut(&of.group).expect("it was just found");
        let pending = group.pending.entry(producer.id).or_default();
        pending.extend(offsets.iter().map(|(topic, partition, offset)| ((topic.clone(), *partition), *offset)));
        Ok(())
    }

    pub(super) fn mark_offsets(&mut self, group: &str, producer: u64, committed: bool) {
        let Some(group) = self.groups.get_mut(group) else { return };
        if let Some(pending) = group.pending.remove(&producer).filter(|_| committed) {
            group.offsets.extend(pending);
        }
    }

    /// The committed offsets of partitions, if no transaction over them is undecided.
    pub(in crate::sim) fn fetch_offsets(&self, group: &str, of: &[(String, u32)]) -> Result<Vec<Option<u64>>, Code> {
        let Some(group) = self.groups.get(group) else { return Ok(vec![None; of.len()]) };
        if group.pending.values().any(|pending| of.iter().any(|place| pending.contains_key(place))) {
            return Err(Code::UnstableOffsetCommit);
        }
        Ok(of.iter().map(|place| group.offsets.get(place).copied()).collect())
    }

    /// The offsets that are committed and decided, for whoever observes.
    pub(in crate::sim) fn offsets(&self, group: &str) -> BTreeMap<(String, u32), u64> {
        self.groups.get(group).map(|group| group.offsets.clone()).unwrap_or_default()
    }

    /// Forgets the offsets of a group that has no members; whether it has none.
    pub(in crate::sim) fn forget_offsets(&mut self, group: &str) -> bool {
        let Some(group) = self.groups.get_mut(group).filter(|group| group.members.is_empty()) else { return false };
        group.offsets.clear();
        true
    }
}

/// Groups by name.
pub(super) type Groups = BTreeMap<String, Group>;
