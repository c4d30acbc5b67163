//! One partition: its store, and how that comes to be what the log says.

use super::report::Restoring;
use super::timers::Timers;
use super::{DriverError, Stores};
use crate::log::{LogError, Restored, Session};
use crate::store::{Change, StateStore, StoreError};

/// One partition's store and what is known of its timers.
pub(super) struct Partition {
    pub(super) store: Box<dyn StateStore>,
    pub(super) timers: Timers,
    phase: Phase,
    /// What the restore under way has done and has to do.
    pub(super) restoring: Restoring,
}

/// What the store is to the log.
enum Phase {
    /// As it was found: the log may be able to continue it.
    Found,
    /// Emptied, and filled from its snapshot if there was one; if that was of no use, why.
    Rebuilding(Option<String>),
    /// At the end of what is committed.
    Ready,
}

impl Partition {
    /// A partition whose store is as it was found.
    pub(super) fn new(store: Box<dyn StateStore>) -> Partition {
        Partition { store, timers: Timers::unknown(), phase: Phase::Found, restoring: Restoring::default() }
    }

    /// Whether its records may be processed.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Forgets what is known of the store: the log may say otherwise.
    pub(super) fn doubt(&mut self) {
        self.phase = Phase::Found;
        self.timers = Timers::unknown();
    }

    /// Brings the store nearer to the end of what is committed; one that the log cannot continue is rebuilt.
    pub(super) fn restore(
        &mut self,
        processor: &'static str,
        number: u32,
        session: &mut impl Session,
        stores: &mut dyn Stores,
    ) -> Result<(), DriverError> {
        if matches!(self.phase, Phase::Found) && self.store.position().is_none() {
            self.rebuild(processor, number, stores)?;
        }
        let from = self.store.position();
        let store = &mut *self.store;
        match session.restore(number, from, &mut |changes, position| store.apply(changes, position)) {
            Ok(Restored::Complete(end)) => {
                self.store.apply(&[], end)?;
                self.phase = Phase::Ready;
                self.timers = Timers::unknown();
                self.restoring = Restoring::default();
            }
            Ok(Restored::Partly(end)) => self.restoring.advance(from, self.store.position(), end),
            Err(error @ (LogError::Gone { .. } | LogError::Ahead { .. })) => {
                self.misfit(processor, number, error, stores)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The log cannot continue the store as it is.
    fn misfit(
        &mut self,
        processor: &'static str,
        number: u32,
        error: LogError,
        stores: &mut dyn Stores,
    ) -> Result<(), DriverError> {
        let unusable = match &self.phase {
            Phase::Found | Phase::Ready => {
                tracing::warn!(processor, number, %error, "state does not fit the log: it is rebuilt");
                self.store.wipe()?;
                return self.rebuild(processor, number, stores);
            }
            Phase::Rebuilding(unusable) => unusable.clone(),
        };
        let LogError::Gone { first, .. } = error else { return Err(error.into()) };
        let problem = match (unusable, self.store.position()) {
            (Some(problem), _) => problem,
            (None, Some(position)) => format!("its snapshot ends at {position}"),
            (None, None) => "it has no snapshot".to_owned(),
        };
        Err(DriverError::Lost { processor, partition: number, problem, first })
    }

    /// Fills an empty store from its snapshot, if there is one; the log has what came after it.
    fn rebuild(&mut self, processor: &'static str, number: u32, stores: &mut dyn Stores) -> Result<(), DriverError> {
        let loaded = stores.load_snapshot(number, &mut *self.store);
        if let Err(error) = &loaded {
            tracing::warn!(processor, number, %error, "the snapshot is of no use: the log may have everything");
            self.store.wipe()?;
        }
        self.phase = Phase::Rebuilding(loaded.err().map(|error| error.to_string()));
        Ok(())
    }

    /// Applies what the step changed and takes note of the timers in it.
    pub(super) fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.store.apply(changes, position)?;
        changes.iter().for_each(|change| self.timers.changed(change));
        Ok(())
    }
}
