//! How a request of a client goes through the cluster.

use std::sync::Arc;
use std::time::Duration;

use super::broker::{Action, Code, State};
use super::cluster::Cluster;
use super::faults::{Api, Call, Fate};
use super::process::{Process, unwind};

/// A request that a client makes, and what brokers do about it.
pub(super) trait Request: Clone + Send + 'static {
    /// What is answered.
    type Answer;
    /// What kind it is.
    fn api(&self) -> Api;
    /// What it is about.
    fn subject(&self) -> &str;
    /// Does it.
    fn execute(&self, state: &mut State) -> Result<Self::Answer, Code>;
}

/// What a client has of a request.
#[derive(Debug)]
pub(super) enum Answered<T> {
    /// An answer.
    With(Result<T, Code>),
    /// None, noticed by now.
    Not,
}

/// What became of a request before the time that is spent on noticing it.
enum Sent<T> {
    Answered(Result<T, Code>),
    Lost(Duration),
}

impl Cluster {
    /// Sends a request of a process that waits for the answer, until `deadline` at the longest.
    pub(super) fn ask<R: Request>(
        &self,
        process: &Process,
        request: &R,
        attempt: u32,
        deadline: Duration,
    ) -> Answered<R::Answer> {
        process.check();
        let call = Call {
            process: process.id(),
            name: process.name(),
            api: request.api(),
            subject: request.subject(),
            attempt,
        };
        let (faults, half) = {
            let state = self.state();
            (Arc::clone(&state.faults), state.options.latency / 2)
        };
        let fate = faults.before(self, &call);
        process.check();
        self.advance(half);
        let sent = self.send(&call, request, fate);
        if let Fate::Crash = fate {
            process.crash();
            unwind(process.id());
        }
        faults.after(self, &call);
        process.check();
        match sent {
            Sent::Answered(answer) => {
                self.advance(half);
                process.check();
                Answered::With(answer)
            }
            Sent::Lost(noticed) => {
                self.idle(process, self.now().saturating_add(noticed).min(deadline));
                Answered::Not
            }
        }
    }

    /// Sends a request from the background of a process: what is under way is not waited for, and nothing else happens.
    /// `Err` says how long it takes until it is noticed that there is no answer.
    pub(super) fn ask_aside<R: Request>(&self, process: u64, request: &R) -> Result<Result<R::Answer, Code>, Duration> {
        let (faults, name) = {
            let state = self.state();
            let Some(running) = state.processes.get(&process) else { return Err(Duration::ZERO) };
            (Arc::clone(&state.faults), running.name.clone())
        };
        let call = Call { process, name: &name, api: request.api(), subject: request.subject(), attempt: 0 };
        let fate = faults.before(self, &call);
        if !self.state().processes.contains_key(&process) {
            return Err(Duration::ZERO);
        }
        let sent = self.send(&call, request, fate);
        if let Fate::Crash = fate {
            self.state().end_process(process);
            return Err(Duration::ZERO);
        }
        faults.after(self, &call);
        match sent {
            Sent::Answered(answer) => Ok(answer),
            Sent::Lost(noticed) => Err(noticed),
        }
    }

    fn send<R: Request>(&self, call: &Call<'_>, request: &R, fate: Fate) -> Sent<R::Answer> {
        let mut state = self.state();
        let execute = |state: &mut State| {
            let answer = request.execute(state);
            let (name, api, subject) = (call.name, call.api, call.subject);
            match &answer {
                Ok(_) if api == Api::Heartbeat => {}
                Ok(_) => state.note(format_args!("{name} {api:?} {subject}")),
                Err(code) => state.note(format_args!("{name} {api:?} {subject}: {code:?}")),
            }
            answer
        };
        let later = |state: &mut State, after: Duration| {
            let (late, at) = (request.clone(), state.now.saturating_add(after));
            let run = move |state: &mut State| {
                let (api, answer) = (late.api(), late.execute(state).err());
                state.note(format_args!("late {api:?} {}: {answer:?}", late.subject()));
            };
            state.schedule(at, Action::Request { process: call.process, api: call.api, run: Box::new(run) });
        };
        if fate != Fate::Arrives {
            state.note(format_args!("{} {:?} {} meets {fate:?}", call.name, call.api, call.subject));
        }
        match fate {
            Fate::Arrives => Sent::Answered(execute(&mut state)),
            Fate::Lost { noticed } => Sent::Lost(noticed),
            Fate::Unanswered { noticed } => {
                let _ = execute(&mut state);
                Sent::Lost(noticed)
            }
            Fate::Late { noticed, arrives } => {
                later(&mut state, arrives);
                Sent::Lost(noticed)
            }
            Fate::Repeated { again } => {
                later(&mut state, again);
                Sent::Answered(execute(&mut state))
            }
            Fate::Refused(code) => Sent::Answered(Err(code)),
            Fate::Crash => Sent::Lost(Duration::ZERO),
        }
    }
}
