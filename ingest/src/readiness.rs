//! Whether requests should be sent here.

use std::sync::{Arc, Mutex, PoisonError};

/// Most failures kept; more add nothing to the picture.
const FAILURES_MAX: usize = 16;

/// The process's own word on whether it can serve; every clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    waiting: Vec<String>,
    lacking: Vec<String>,
    failures: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Opening the log, restoring state.
    #[default]
    Starting,
    /// State and read model have caught up with the log.
    CaughtUp,
    /// Shutting down.
    Draining,
}

impl Readiness {
    /// A process that is starting.
    #[must_use]
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// It has caught up with the log: requests may come. Says nothing once it drains.
    pub fn caught_up(&self) {
        self.advance(Phase::CaughtUp);
    }

    /// What it waits for just now, such as state that is being restored; nothing, and requests may come again.
    pub fn waiting_for(&self, reasons: Vec<String>) {
        self.state().waiting = reasons;
    }

    /// What it goes without just now, such as claims that are away; nothing, and it has all of it again. Requests may come
    /// all the same.
    pub fn degraded(&self, reasons: Vec<String>) {
        self.state().lacking = reasons;
    }

    /// It is shutting down: no more requests. There is no way back.
    pub fn draining(&self) {
        self.advance(Phase::Draining);
    }

    /// A part of it failed for good, and why: no more requests. There is no way back.
    pub fn failed(&self, reason: impl Into<String>) {
        let failures = &mut self.state().failures;
        if failures.len() < FAILURES_MAX {
            failures.push(reason.into());
        }
    }

    /// Why requests should not come; empty exactly if they should.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let state = self.state();
        let phase = match state.phase {
            Phase::Starting => Some("starting"),
            Phase::CaughtUp => None,
            Phase::Draining => Some("draining"),
        };
        let rest = state.waiting.iter().chain(&state.failures).cloned();
        phase.map(str::to_owned).into_iter().chain(rest).collect()
    }

    /// What requests that come have to do without.
    #[must_use]
    pub fn lacking(&self) -> Vec<String> {
        self.state().lacking.clone()
    }

    fn advance(&self, to: Phase) {
        let mut state = self.state();
        state.phase = state.phase.max(to);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_only_forward() {
        let readiness = Readiness::new();
        assert_eq!(readiness.reasons(), ["starting"]);
        readiness.caught_up();
        assert!(readiness.reasons().is_empty());
        readiness.waiting_for(vec!["orders: restoring 63 %".to_owned()]);
        assert_eq!(readiness.reasons(), ["orders: restoring 63 %"]);
        readiness.waiting_for(Vec::new());
        readiness.degraded(vec!["claims are away".to_owned()]);
        assert!(readiness.reasons().is_empty(), "requests may come");
        assert_eq!(readiness.lacking(), ["claims are away"]);
        readiness.degraded(Vec::new());
        assert!(readiness.lacking().is_empty());
        readiness.failed("the disk is full");
        assert_eq!(readiness.reasons(), ["the disk is full"]);
        readiness.draining();
        readiness.caught_up();
        assert_eq!(readiness.reasons(), ["draining", "the disk is full"]);
    }
}
