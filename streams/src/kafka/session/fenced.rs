//! A member whose name another one has.
//!
//! When the answer to a joining is lost, or a request to join arrives late, the group has a member that nobody is. Such a
//! one is gone after its session time-out, which begins anew with a new coordinator; a member that somebody is stays.

use std::time::{Duration, Instant};

use super::ASK_WAIT;
use super::member::Member;
use crate::kafka::client::Clients;

/// How much later than its time-out a session may be found to have ended.
const SESSION_SLACK: Duration = Duration::from_secs(2);

/// What is known of the member that has this one's name.
#[derive(Debug)]
pub(super) struct Fenced {
    /// Its id, and since when it has been seen without a break.
    other: Option<(String, Instant)>,
    /// When the group was last asked.
    asked: Instant,
}

/// What a fenced member is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not known yet.
    Wait,
    /// The name is free.
    Join,
    /// Another process has it.
    Replaced,
}

impl Fenced {
    /// A member that has just heard of it.
    pub(super) fn new(now: Instant) -> Fenced {
        Fenced { other: None, asked: now }
    }

    /// Asks the group, unless it was asked just now.
    pub(super) fn ask<C: Clients>(
        &mut self,
        member: &Member<C>,
        name: (&str, &str),
        session_timeout: Duration,
    ) -> Verdict {
        let now = member.now();
        if now.saturating_duration_since(self.asked) < ASK_WAIT {
            return Verdict::Wait;
        }
        self.asked = now;
        let (group, worker) = name;
        match (member.namesake(group, worker, ASK_WAIT), &self.other) {
            (Err(error), _) => {
                tracing::debug!(%error, "the members of the group are not known yet");
                self.other = None;
                Verdict::Wait
            }
            (Ok(None), _) => Verdict::Join,
            (Ok(Some(id)), Some((known, since))) if *known == id => {
                let seen = member.now().saturating_duration_since(*since);
                if seen > session_timeout + SESSION_SLACK { Verdict::Replaced } else { Verdict::Wait }
            }
            (Ok(Some(id)), Some(_) | None) => {
                self.other = Some((id, member.now()));
                Verdict::Wait
            }
        }
    }
}
