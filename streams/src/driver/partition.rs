//! One partition: its store, and how that comes to be what the log says.

use super::timers::Timers;
use super::{DriverError, Stores};
use crate::log::{LogError, Session};
use crate::store::{Change, StateStore, StoreError};

/// One partition's store and what is known of its timers.
pub(super) struct Partition {
    pub(super) store: Box<dyn StateStore>,
    pub(super) timers: Timers,
}

impl Partition {
    /// A partition whose store is as it was found.
    pub(super) fn new(store: Box<dyn StateStore>) -> Partition {
        Partition { store, timers: Timers::unknown() }
    }

    /// Brings the store to the end of what is committed; one that the log cannot continue is rebuilt.
    pub(super) fn restore(
        &mut self,
        processor: &'static str,
        number: u32,
        session: &mut impl Session,
        stores: &mut dyn Stores,
    ) -> Result<(), DriverError> {
        self.timers = Timers::unknown();
        let end = match self.store.position() {
            None => self.rebuild(processor, number, session, stores)?,
            Some(before) => match follow(&mut *self.store, number, session) {
                Err(LogError::Gone { first, .. }) => {
                    tracing::warn!(processor, number, before, first, "state does not fit the log: it is rebuilt");
                    self.store.wipe()?;
                    self.rebuild(processor, number, session, stores)?
                }
                other => other?,
            },
        };
        self.store.apply(&[], end)?;
        Ok(())
    }

    /// Fills an empty store from its snapshot, if there is one, and what the log has after it.
    fn rebuild(
        &mut self,
        processor: &'static str,
        number: u32,
        session: &mut impl Session,
        stores: &mut dyn Stores,
    ) -> Result<u64, DriverError> {
        let loaded = stores.load_snapshot(number, &mut *self.store);
        if let Err(error) = &loaded {
            tracing::warn!(processor, number, %error, "the snapshot is of no use: the log may have everything");
            self.store.wipe()?;
        }
        match follow(&mut *self.store, number, session) {
            Err(LogError::Gone { first, .. }) => {
                let problem = match (loaded, self.store.position()) {
                    (Err(error), _) => error.to_string(),
                    (Ok(()), Some(position)) => format!("its snapshot ends at {position}"),
                    (Ok(()), None) => "it has no snapshot".to_owned(),
                };
                Err(DriverError::Lost { processor, partition: number, problem, first })
            }
            other => Ok(other?),
        }
    }

    /// Applies what the step changed and takes note of the timers in it.
    pub(super) fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.store.apply(changes, position)?;
        changes.iter().for_each(|change| self.timers.changed(change));
        Ok(())
    }
}

/// Applies what was committed after the store's position.
fn follow(store: &mut dyn StateStore, number: u32, session: &mut impl Session) -> Result<u64, LogError> {
    session.restore(number, store.position(), &mut |changes, position| store.apply(changes, position))
}
