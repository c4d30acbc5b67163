//! What a member's client does in the background: it joins, is there, and joins again.

use std::collections::VecDeque;
use std::time::Duration;

use super::broker::{Action, Code, Generation, Joined, Joining, State};
use super::cluster::Cluster;
use super::requests::{Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use crate::kafka::client::Event;

/// Between two attempts at what a broker could not do yet.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest that a client waits for an answer in the background (`socket.timeout.ms`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A member's client.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) process: u64,
    joining: Joining,
    heartbeat_every: Duration,
    phase: Phase,
    generation: u32,
    has_partitions: bool,
    /// What the application has not been told yet.
    untold: VecDeque<Event>,
    /// When the background does something next.
    due: Option<Duration>,
    /// Whether it has sent something and was not answered yet: what happens meanwhile may let time pass.
    is_busy: bool,
    /// Whether it is to do something as soon as it is not.
    is_woken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Joining,
    /// The answer comes once all have joined; then this is its id.
    Waiting(String),
    Syncing,
    Stable,
    /// The application has to give its partitions up first.
    Revoking,
    /// Likewise, and then it leaves.
    Leaving,
    Quitting,
    Gone,
    Fatal(Code),
}

/// What the background is to send.
enum Next {
    Join(Joining),
    Sync(Generation),
    Heartbeat(Generation),
    Leave(Generation),
}

/// An answer in the background, or when it is noticed that there is none.
type Aside<T> = Result<Result<T, Code>, Duration>;

impl Joiner {
    pub(super) fn new(process: u64, joining: Joining, heartbeat_every: Duration) -> Joiner {
        Joiner {
            process,
            joining,
            heartbeat_every,
            phase: Phase::Joining,
            generation: 0,
            has_partitions: false,
            untold: VecDeque::new(),
            due: None,
            is_busy: false,
            is_woken: false,
        }
    }

    /// Whether its client hears of everything by heartbeats alone.
    fn is_settled(&self) -> bool {
        self.phase == Phase::Stable
    }

    pub(super) fn fatal(&self) -> Option<Code> {
        if let Phase::Fatal(code) = self.phase { Some(code) } else { None }
    }

    pub(super) fn has_partitions(&self) -> bool {
        self.has_partitions
    }

    pub(super) fn of(&self) -> Option<Generation> {
        let Joining { group, instance, member, .. } = &self.joining;
        let member = member.clone()?;
        Some(Generation { group: group.clone(), instance: instance.clone(), member, generation: self.generation })
    }

    pub(super) fn group(&self) -> String {
        self.joining.group.clone()
    }

    fn next(&self) -> Option<Next> {
        match &self.phase {
            Phase::Joining => Some(Next::Join(self.joining.clone())),
            Phase::Syncing => self.of().map(Next::Sync),
            Phase::Stable | Phase::Revoking | Phase::Leaving => self.of().map(Next::Heartbeat),
            Phase::Quitting => self.of().map(Next::Leave),
            Phase::Waiting(_) | Phase::Gone | Phase::Fatal(_) => None,
        }
    }

    /// Something about its membership was refused.
    fn refused(&mut self, code: Code) {
        if code == Code::UnknownMemberId {
            self.joining.member = None;
        }
        let is_leaving = matches!(self.phase, Phase::Leaving | Phase::Quitting);
        match code {
            Code::FencedInstanceId => self.phase = Phase::Fatal(code),
            _ if is_leaving => {}
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
                if !self.has_partitions {
                    self.phase = Phase::Joining;
                } else if self.phase != Phase::Revoking {
                    self.phase = Phase::Revoking;
                    self.untold.push_back(Event::Revoked);
                }
            }
            // Whatever else it is, it passes.
            _ => {}
        }
    }
}

impl State {
    pub(super) fn add_member(&mut self, joiner: Joiner) -> u64 {
        let (id, now) = (self.number(), self.now);
        self.joiners.insert(id, joiner);
        self.wake_member(id, now);
        id
    }

    /// Has the background of a member do something at a time, if nothing is to be done earlier.
    pub(super) fn wake_member(&mut self, id: u64, at: Duration) {
        let at = at.max(self.now);
        let Some(joiner) = self.joiners.get_mut(&id) else { return };
        if joiner.due.is_none_or(|due| due > at) {
            joiner.due = Some(at);
            self.schedule(at, Action::Member(id));
        }
    }

    pub(super) fn wake_group(&mut self, group: &str) {
        let at = self.now + self.options.latency;
        let ids = self.joiners.iter().filter(|(_, joiner)| joiner.joining.group == group).map(|(id, _)| *id);
        let ids: Vec<u64> = ids.collect();
        ids.into_iter().for_each(|id| self.wake_member(id, at));
    }

    pub(super) fn is_member_due(&mut self, id: u64, at: Duration) -> bool {
        let Some(joiner) = self.joiners.get_mut(&id).filter(|joiner| joiner.due == Some(at)) else { return false };
        joiner.due = None;
        joiner.is_woken |= joiner.is_busy;
        let (process, is_busy) = (joiner.process, joiner.is_busy);
        !is_busy && self.is_running(process)
    }

    /// Members whose processes run are taken to be there until a time.
    pub(super) fn postpone_members(&mut self, until: Duration) {
        let settled = self.joiners.iter().filter(|(_, joiner)| joiner.is_settled() && self.is_running(joiner.process));
        let settled: Vec<(u64, Option<Generation>)> = settled.map(|(id, joiner)| (*id, joiner.of())).collect();
        for (id, of) in settled {
            let Some(of) = of else { continue };
            if self.heartbeat(&of).is_ok() {
                self.renew_session(&of, until);
                if let Some(joiner) = self.joiners.get_mut(&id) {
                    joiner.due = None;
                }
                self.wake_member(id, until);
            }
        }
    }

    /// The application asks for what its member's client has to tell, which acknowledges it.
    pub(super) fn tell(&mut self, id: u64) -> Option<Event> {
        let now = self.now;
        let joiner = self.joiners.get_mut(&id)?;
        let event = joiner.untold.pop_front()?;
        if event == Event::Revoked {
            joiner.has_partitions = false;
            match joiner.phase {
                Phase::Revoking => joiner.phase = Phase::Joining,
                Phase::Leaving => joiner.phase = Phase::Quitting,
                _ => {}
            }
            self.wake_member(id, now);
        }
        Some(event)
    }

    /// The application leaves the group.
    pub(super) fn unsubscribe(&mut self, id: u64) {
        let now = self.now;
        let Some(joiner) = self.joiners.get_mut(&id) else { return };
        if joiner.fatal().is_some() {
            return;
        }
        if joiner.has_partitions {
            joiner.phase = Phase::Leaving;
            joiner.untold.push_back(Event::Revoked);
        } else {
            joiner.phase = if joiner.joining.member.is_some() { Phase::Quitting } else { Phase::Gone };
        }
        self.wake_member(id, now);
    }

    /// Whether the answer of the one who waits for others to join is there.
    fn look(&mut self, id: u64) {
        let Some(joiner) = self.joiners.get(&id) else { return };
        let Phase::Waiting(member) = &joiner.phase else { return };
        let member = member.clone();
        let joined = self.joined(&joiner.joining.group, &joiner.joining.instance, &member);
        let joiner = self.joiners.get_mut(&id).expect("it was just found");
        match joined {
            Ok(Joined::Wait) => {}
            Ok(Joined::Of(generation)) => {
                (joiner.joining.member, joiner.generation) = (Some(member), generation);
                joiner.phase = Phase::Syncing;
            }
            Err(code) => joiner.refused(code),
        }
    }

    /// The client that an answer is for, unless it does something else by now.
    fn answered(&mut self, id: u64, phases: &[Phase]) -> Option<&mut Joiner> {
        self.joiners.get_mut(&id).filter(|joiner| phases.contains(&joiner.phase))
    }

    fn on_joined(&mut self, id: u64, answer: Aside<String>) -> Duration {
        let Some(joiner) = self.answered(id, &[Phase::Joining]) else { return Duration::ZERO };
        match answer {
            Ok(Ok(member)) => {
                joiner.phase = Phase::Waiting(member);
                self.look(id);
                Duration::ZERO
            }
            Ok(Err(code)) => {
                joiner.refused(code);
                BACKOFF
            }
            Err(noticed) => noticed,
        }
    }

    fn on_synced(&mut self, id: u64, answer: Aside<Option<Vec<(String, u32)>>>) -> Duration {
        let Some(joiner) = self.answered(id, &[Phase::Syncing]) else { return Duration::ZERO };
        match answer {
            Ok(Ok(Some(partitions))) => {
                let number = |partition| i32::try_from(partition).expect("Kafka numbers partitions so");
                let partitions = partitions.into_iter().map(|(topic, partition)| (topic, number(partition))).collect();
                joiner.untold.push_back(Event::Assigned(partitions));
                (joiner.phase, joiner.has_partitions) = (Phase::Stable, true);
                joiner.heartbeat_every
            }
            Ok(Ok(None)) => joiner.heartbeat_every,
            Ok(Err(code)) => {
                joiner.refused(code);
                BACKOFF
            }
            Err(noticed) => noticed,
        }
    }

    fn on_heartbeat(&mut self, id: u64, answer: Aside<()>) -> Duration {
        let phases = [Phase::Stable, Phase::Revoking, Phase::Leaving];
        let Some(joiner) = self.answered(id, &phases) else { return Duration::ZERO };
        match answer {
            Ok(Ok(())) => joiner.heartbeat_every,
            Ok(Err(code)) => {
                joiner.refused(code);
                if joiner.phase == Phase::Joining { Duration::ZERO } else { joiner.heartbeat_every }
            }
            Err(noticed) => noticed.max(joiner.heartbeat_every),
        }
    }

    fn on_left(&mut self, id: u64, answer: Aside<()>) -> Duration {
        if let (Some(joiner), Ok(_)) = (self.joiners.get_mut(&id), answer) {
            joiner.phase = Phase::Gone;
        }
        BACKOFF
    }
}

impl Cluster {
    /// Does what a member's client does next in the background.
    pub(super) fn run_member(&self, id: u64) {
        let (process, next) = {
            let mut state = self.state();
            state.look(id);
            let Some(joiner) = state.joiners.get_mut(&id) else { return };
            joiner.is_busy = true;
            (joiner.process, joiner.next())
        };
        let wait = match next {
            Some(Next::Join(joining)) => {
                let answer = self.ask_aside(process, &JoinGroup(joining));
                self.state().on_joined(id, answer)
            }
            Some(Next::Sync(of)) => {
                let answer = self.ask_aside(process, &SyncGroup(of));
                self.state().on_synced(id, answer)
            }
            Some(Next::Heartbeat(of)) => {
                let answer = self.ask_aside(process, &Heartbeat(of));
                self.state().on_heartbeat(id, answer)
            }
            Some(Next::Leave(of)) => {
                let answer = self.ask_aside(process, &LeaveGroup(of));
                self.state().on_left(id, answer)
            }
            None => BACKOFF,
        };
        let mut state = self.state();
        let Some(joiner) = state.joiners.get_mut(&id) else { return };
        joiner.is_busy = false;
        let wait = if std::mem::take(&mut joiner.is_woken) { Duration::ZERO } else { wait };
        if matches!(joiner.phase, Phase::Gone | Phase::Fatal(_)) {
            return;
        }
        // At least the time that a request takes, so that there is time in which something else happens.
        let at = state.now + wait.clamp(state.options.latency.max(Duration::from_micros(1)), REQUEST_TIMEOUT);
        state.wake_member(id, at);
    }
}
