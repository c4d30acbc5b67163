//! What is known of a partition's timers without reading them.

use super::TIMERS_PER_STEP_MAX;
use crate::processor::{parse_timer_key, timer_key};
use crate::store::{Change, StateStore, StoreError};

/// A timer that is due: when it was, and the key it was set for.
pub(super) type Due = (i64, Vec<u8>);

/// Bounds on the timers of one store.
#[derive(Debug)]
pub(super) struct Timers {
    /// No timer in the store is due before this: scanning from it skips the tombstones of those that fired.
    from_ms: i64,
    /// When the first timer is due, at the earliest; `i64::MAX` if there is none.
    due_ms: i64,
}

impl Timers {
    /// Of a store of which nothing is known.
    pub(super) fn unknown() -> Timers {
        Timers { from_ms: 0, due_ms: 0 }
    }

    /// When the first is due, at the earliest.
    pub(super) fn due_ms(&self) -> i64 {
        self.due_ms
    }

    /// Takes the first timers due at `now_ms`, at most `most`, in order. They are as good as gone: if the step that
    /// deletes them is not committed, all of this is unknown again.
    pub(super) fn take(&mut self, store: &dyn StateStore, now_ms: i64, most: usize) -> Result<Vec<Due>, StoreError> {
        if self.due_ms > now_ms {
            return Ok(Vec::new());
        }
        let (from, until) = (timer_key(self.from_ms, &[]), timer_key(i64::MAX, &[]));
        let (mut due, mut next_ms) = (Vec::new(), i64::MAX);
        store.scan(&from, &until, &mut |row, _| {
            let (due_ms, key) = parse_timer_key(row).expect("the range holds timers alone");
            if due_ms > now_ms || due.len() == most.min(TIMERS_PER_STEP_MAX) {
                next_ms = due_ms;
                return false;
            }
            due.push((due_ms, key.to_vec()));
            true
        })?;
        self.due_ms = next_ms;
        // Not beyond now, because a clock that goes back makes timers that are due before others that have fired.
        self.from_ms = next_ms.min(now_ms);
        Ok(due)
    }

    /// Takes note of a change that is in the store now.
    pub(super) fn changed(&mut self, change: &Change) {
        if let (Some(_), Some((due_ms, _))) = (&change.value, parse_timer_key(&change.key)) {
            self.due_ms = self.due_ms.min(due_ms);
            self.from_ms = self.from_ms.min(due_ms);
        }
    }
}
