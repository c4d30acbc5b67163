//! Members of the group, and what they have heard.

use std::time::Duration;

use streams::kafka::client::{Clients, Event, MemberClient};

use crate::world::{World, eventually, identity, options};

/// The input of the group.
pub(crate) const TOPIC: &str = "input";

/// A member, and the partitions that it has.
pub(crate) struct Seat<M> {
    pub(crate) member: M,
    pub(crate) has: Vec<i32>,
    /// How often its partitions were taken away.
    pub(crate) revoked: usize,
}

/// The seat of a world's member.
pub(crate) type SeatOf<W> = Seat<<<W as World>::Clients as Clients>::Member>;

/// Joins the group.
pub(crate) fn join<W: World>(world: &W, name: &str) -> SeatOf<W> {
    let clients = world.clients();
    let topic = clients.name(TOPIC);
    let member = clients.member(&identity(&clients, name), &[&topic], &options()).expect("a member");
    Seat { member, has: Vec::new(), revoked: 0 }
}

impl<M: MemberClient> Seat<M> {
    /// Hears of what the group did within a short time.
    pub(crate) fn listen(&mut self) {
        // An error is told by `fatal`, or it passes.
        let _ = self.member.poll(Duration::from_millis(20));
        while let Some(event) = self.member.next_event() {
            match event {
                Event::Assigned(partitions) => {
                    self.has = partitions.into_iter().map(|(_, number)| number).collect();
                    self.has.sort_unstable();
                }
                Event::Revoked => {
                    self.has.clear();
                    self.revoked += 1;
                }
            }
        }
    }
}

/// Listens for all of them until each has these partitions.
#[track_caller]
pub(crate) fn await_has<W: World>(world: &W, seats: &mut [(&mut SeatOf<W>, &[i32])]) {
    eventually(world, "the partitions", || {
        seats.iter_mut().for_each(|(seat, _)| seat.listen());
        seats.iter().all(|(seat, wanted)| seat.has == **wanted).then_some(())
    });
}
