//! A session and stores that fail when they are told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use streams::log::{ApplyChanges, Limits, Restored};
use streams::{Change, Commit, LogError, Polled, Session, StateStore, Step, StoreError, Stores};

/// How a commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    Nothing,
    /// It is not performed, and said to be aborted.
    Aborted,
    /// It is not performed, and nobody knows.
    UnknownUndone,
    /// It is performed, and nobody knows.
    UnknownDone,
    /// The process dies before it.
    CrashBefore,
    /// The process dies after it, before it is answered.
    CrashAfter,
    /// The process dies after it is answered, before the store is written.
    CrashBeforeApply,
}

/// What is to go wrong, and what was seen.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) faults: VecDeque<Fault>,
    /// The process is as good as dead: nothing works until it is opened again.
    pub(crate) dead: bool,
    /// From where restores were asked for.
    pub(crate) restores: Vec<Option<u64>>,
    /// How many changes they handed over.
    pub(crate) restored: usize,
    /// The first keys of scans.
    pub(crate) scans: Vec<Vec<u8>>,
}

/// The hand on both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan(Arc<Mutex<State>>);

impl Plan {
    pub(crate) fn get(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock")
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.get().dead { Err(StoreError { context: "a test", message: "dead".to_owned() }) } else { Ok(()) }
    }
}

/// A session under a plan. It never waits.
pub(crate) struct Faulty<S> {
    pub(crate) inner: S,
    pub(crate) plan: Plan,
}

fn broken() -> LogError {
    LogError::Io { context: "a test".to_owned(), source: std::io::Error::other("as planned") }
}

impl<S: Session> Session for Faulty<S> {
    fn poll(&mut self, limits: &Limits, _: Duration) -> Result<Polled, LogError> {
        self.inner.poll(limits, Duration::ZERO)
    }

    fn commit(&mut self, step: &Step) -> Commit {
        let fault = self.plan.get().faults.pop_front().unwrap_or(Fault::Nothing);
        self.plan.get().dead = matches!(fault, Fault::CrashBefore | Fault::CrashAfter | Fault::CrashBeforeApply);
        match fault {
            Fault::Nothing | Fault::CrashBeforeApply => self.inner.commit(step),
            Fault::Aborted => Commit::Aborted(broken()),
            Fault::UnknownUndone | Fault::CrashBefore => Commit::Unknown(broken()),
            Fault::UnknownDone | Fault::CrashAfter => match self.inner.commit(step) {
                Commit::Committed(_) => Commit::Unknown(broken()),
                other => other,
            },
        }
    }

    fn reset(&mut self) -> Result<(), LogError> {
        self.plan.check()?;
        self.inner.reset()
    }

    fn restore(&mut self, partition: u32, after: Option<u64>, apply: ApplyChanges<'_>) -> Result<Restored, LogError> {
        self.plan.get().restores.push(after);
        let plan = self.plan.clone();
        self.inner.restore(partition, after, &mut |changes, position| {
            plan.get().restored += changes.len();
            apply(changes, position)
        })
    }
}

/// Stores under a plan.
pub(crate) struct FaultyStores<S> {
    pub(crate) inner: S,
    pub(crate) plan: Plan,
}

impl<S: Stores> Stores for FaultyStores<S> {
    fn open(&mut self, partition: u32) -> Result<Box<dyn StateStore>, StoreError> {
        Ok(Box::new(FaultyStore { inner: self.inner.open(partition)?, plan: self.plan.clone() }))
    }

    fn load_snapshot(&mut self, partition: u32, store: &mut dyn StateStore) -> Result<(), StoreError> {
        self.inner.load_snapshot(partition, store)
    }
}

struct FaultyStore {
    inner: Box<dyn StateStore>,
    plan: Plan,
}

impl StateStore for FaultyStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key)
    }
    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.plan.get().scans.push(from.to_vec());
        self.inner.scan(from, until, visit)
    }
    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.plan.check()?;
        self.inner.apply(changes, position)
    }
    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        self.inner.fill(rows)
    }
    fn position(&self) -> Option<u64> {
        self.inner.position()
    }
    fn wipe(&mut self) -> Result<(), StoreError> {
        self.inner.wipe()
    }
}
