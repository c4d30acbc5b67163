//! Single flight: of the requests about one thing, one at a time goes on and the others wait for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout_at};

/// The lanes in use, by key; a lane lives exactly as long as somebody has a [`Seat`] in it.
///
/// `T` is what tells two requests under one key apart: only those that agree on it share a lane.
#[derive(Debug)]
pub(crate) struct Flights<K, T> {
    lanes: Mutex<HashMap<K, Lane<T>>>,
    seats_max: usize,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// The lane is in use with another tag.
    OtherTag,
    /// All its seats are taken.
    Full,
}

#[derive(Debug)]
struct Lane<T> {
    tag: T,
    seats: usize,
    turn: Arc<AsyncMutex<()>>,
}

/// A place in a lane; gives the lane up when dropped, cancelled or not.
#[derive(Debug)]
pub(crate) struct Seat<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    turn: Arc<AsyncMutex<()>>,
}

impl<K: Eq + Hash + Clone, T: Eq> Flights<K, T> {
    /// No lanes yet, each of which will have `seats_max` seats.
    pub(crate) fn new(seats_max: usize) -> Arc<Flights<K, T>> {
        Arc::new(Flights { lanes: Mutex::default(), seats_max })
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// The lane of the key is in use with another tag, or full.
    pub(crate) fn enter(self: &Arc<Self>, key: K, tag: T) -> Result<Seat<K, T>, NoSeat> {
        let mut lanes = self.lanes();
        let lane = match lanes.entry(key.clone()) {
            Entry::Occupied(lane) if lane.get().tag != tag => return Err(NoSeat::OtherTag),
            Entry::Occupied(lane) if lane.get().seats >= self.seats_max => return Err(NoSeat::Full),
            Entry::Occupied(lane) => lane.into_mut(),
            Entry::Vacant(place) => place.insert(Lane { tag, seats: 0, turn: Arc::default() }),
        };
        lane.seats += 1;
        Ok(Seat { flights: Arc::clone(self), key, turn: Arc::clone(&lane.turn) })
    }
}

impl<K, T> Flights<K, T> {
    fn lanes(&self) -> MutexGuard<'_, HashMap<K, Lane<T>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T> Seat<K, T> {
    /// Waits until nobody else of the lane is under way; `None` if that took until `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        timeout_at(deadline, self.turn.lock()).await.ok()
    }
}

impl<K: Eq + Hash, T> Drop for Seat<K, T> {
    fn drop(&mut self) {
        let mut lanes = self.flights.lanes();
        if let Some(lane) = lanes.get_mut(&self.key) {
            lane.seats -= 1;
            if lane.seats == 0 {
                lanes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_lane_is_gone_with_its_last_seat() {
        let flights = Flights::<u8, u8>::new(2);
        let first = flights.enter(1, 7).expect("free");
        let second = flights.enter(1, 7).expect("the same tag");
        assert_eq!(flights.enter(1, 8).err(), Some(NoSeat::OtherTag));
        assert_eq!(flights.enter(1, 7).err(), Some(NoSeat::Full));
        let soon = || Instant::now() + Duration::from_millis(10);
        let turn = first.turn(soon()).await.expect("nobody is before");
        assert!(second.turn(soon()).await.is_none(), "the first is still under way");
        drop(turn);
        assert!(second.turn(soon()).await.is_some());
        drop(first);
        assert_eq!(flights.lanes().len(), 1);
        drop(second);
        assert!(flights.lanes().is_empty());
        assert!(flights.enter(1, 8).is_ok());
    }

    #[tokio::test]
    async fn a_cancelled_waiter_leaves_nothing_behind() {
        let flights = Flights::<u8, ()>::new(2);
        let first = flights.enter(1, ()).expect("free");
        let turn = first.turn(Instant::now() + Duration::from_secs(1)).await;
        let waiter = tokio::spawn({
            let seat = flights.enter(1, ()).expect("free");
            async move { seat.turn(Instant::now() + Duration::from_secs(60)).await.is_some() }
        });
        tokio::task::yield_now().await;
        waiter.abort();
        assert!(waiter.await.expect_err("cancelled").is_cancelled());
        drop(turn);
        drop(first);
        assert!(flights.lanes().is_empty());
    }
}
