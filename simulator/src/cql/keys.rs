//! An idempotency key on three replicas: upserts by their own timestamps, and reads of a majority.

use std::time::Duration;

use store::KeyUse;

use super::paxos::Asked;

/// A key's uses, as each replica has the latest, and when that is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Key([Option<(KeyUse, Duration)>; 3]);

impl Key {
    /// A use that so many of those asked hear of. The greater one stays, whichever comes first.
    pub(super) fn put(&mut self, asked: Asked, reached: usize, used: KeyUse, until: Duration) {
        for replica in asked.first(reached) {
            let has = &mut self.0[*replica];
            if has.is_none_or(|(latest, _)| latest <= used) {
                *has = Some((used, until));
            }
        }
    }

    /// The latest use that those asked know.
    pub(super) fn get(&self, asked: Asked, now: Duration) -> Option<KeyUse> {
        let known = asked.replicas().iter().filter_map(|replica| self.0[*replica]);
        // A use that is forgotten still hides those before it.
        let latest = known.max_by_key(|(used, _)| *used);
        latest.filter(|(_, until)| now < *until).map(|(used, _)| used)
    }
}
