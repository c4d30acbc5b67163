//! Of groups: who has which partition, and whose offsets count.

use crate::claims;

mod claim {
    use std::time::Duration;

    use rdkafka::error::RDKafkaErrorCode as Code;
    use streams::kafka::client::{Clients as _, MemberClient as _, Place, ProducerClient as _};
    use testkit::{Api, Fault};

    use crate::members::{SeatOf, TOPIC, await_has, join};
    use crate::world::{GROUP, Producer, WAIT, World, code, commit, eventually, open, producer, settled, sleep};

    /// Sends an offset of partition 0.
    fn send<W: World>(world: &W, producer: &Producer<W>, of: &SeatOf<W>, offset: u64) -> Result<(), Option<Code>> {
        let topic = world.clients().name(TOPIC);
        let group = of.member.group().expect("it is a member");
        let places = [Place { topic: &topic, partition: 0, offset }];
        producer.send_offsets(&places, &group, WAIT).map_err(|error| code(&error))
    }

    /// The committed offset of partition 0.
    fn committed<W: World>(world: &W, seat: &SeatOf<W>, wait: Duration) -> Result<Option<u64>, Option<Code>> {
        let topic = world.clients().name(TOPIC);
        let places = [Place { topic: &topic, partition: 0, offset: 0 }];
        seat.member.committed(&places, wait).map(|offsets| offsets[0]).map_err(|error| code(&error))
    }

    pub(super) fn offsets_of_an_undecided_transaction_keep_the_question_waiting(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        assert_eq!(committed(world, &one, WAIT), Ok(None));
        producer.begin().expect("begun");
        send(world, &producer, &one, 5).expect("added");
        assert_eq!(committed(world, &one, Duration::from_millis(500)), Err(Some(Code::OperationTimedOut)));
        commit(&producer);
        assert_eq!(committed(world, &one, WAIT), Ok(Some(5)), "it waits for the marker");
        producer.begin().expect("begun");
        send(world, &producer, &one, 9).expect("added");
        producer.abort(WAIT).expect("aborted");
        assert_eq!(committed(world, &one, WAIT), Ok(Some(5)));
    }

    pub(super) fn offsets_of_another_generation_are_refused(world: &impl World) {
        world.create(TOPIC, 2);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0, 1])]);
        let old = one.member.group().expect("it is a member");
        let mut two = join(world, "two");
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        let producer = producer(world, "one");
        let topic = world.clients().name(TOPIC);
        producer.begin().expect("begun");
        let places = [Place { topic: &topic, partition: 0, offset: 5 }];
        let refused = producer.send_offsets(&places, &old, WAIT).map_err(|error| code(&error));
        assert_eq!(refused, Err(Some(Code::IllegalGeneration)));
        assert!(producer.commit(WAIT).is_err(), "it can only be aborted");
        producer.abort(WAIT).expect("aborted");
        assert_eq!(committed(world, &one, WAIT), Ok(None));
        // With the generation that there is, the same producer goes on.
        producer.begin().expect("begun");
        send(world, &producer, &one, 5).expect("added");
        commit(&producer);
        assert_eq!(committed(world, &one, WAIT), Ok(Some(5)));
    }

    /// So a transaction that is to carry a generation has to carry an offset.
    pub(super) fn no_offsets_carry_no_generation(world: &impl World) {
        world.create(TOPIC, 2);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0, 1])]);
        let old = one.member.group().expect("it is a member");
        let mut two = join(world, "two");
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        let producer = producer(world, "one");
        open(world, &producer, TOPIC, 0);
        producer.send_offsets(&[], &old, WAIT).expect("nobody is asked");
        commit(&producer);
        assert_eq!(settled(world, TOPIC, 0), 2);
    }

    /// The committed offset after two transactions, of which the first one's offsets arrive once more a second later. `end`
    /// commits, and lets as much time pass as it is told.
    fn after_late_offsets<W: World>(
        world: &W,
        end: impl Fn(&Producer<W>, Duration),
    ) -> Result<Option<u64>, Option<Code>> {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        world.inject(Api::TxnOffsetCommit, Fault::RepeatLate(Duration::from_secs(1)));
        for (offset, wait) in [(5, Duration::ZERO), (9, Duration::from_secs(2))] {
            producer.begin().expect("begun");
            send(world, &producer, &one, offset).expect("added");
            end(&producer, wait);
        }
        committed(world, &one, WAIT)
    }

    /// What comes late is of the same epoch as what is going on by then.
    pub(super) fn offsets_that_come_late_take_the_place_of_the_next_ones(world: &impl World) {
        let offset = after_late_offsets(world, |producer, wait| {
            sleep(world, wait);
            commit(producer);
        });
        assert_eq!(offset, Ok(Some(5)));
    }

    pub(super) fn offsets_that_come_late_between_transactions_are_refused(world: &impl World) {
        let offset = after_late_offsets(world, |producer, wait| {
            commit(producer);
            sleep(world, wait);
        });
        assert_eq!(offset, Ok(Some(9)));
    }

    pub(super) fn partitions_are_shared_out_by_range_in_the_order_of_names(world: &impl World) {
        world.create(TOPIC, 7);
        let mut seats: Vec<_> = ["c", "a", "b"].iter().map(|name| join(world, name)).collect();
        let [c, a, b] = &mut seats[..] else { unreachable!("there are three") };
        await_has(world, &mut [(c, &[5, 6]), (a, &[0, 1, 2]), (b, &[3, 4])]);
    }

    pub(super) fn one_that_comes_back_in_time_has_its_place_and_its_ghost_is_fenced(world: &impl World) {
        world.create(TOPIC, 2);
        let (mut one, mut two) = (join(world, "one"), join(world, "two"));
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        let (revoked, ghost) = (two.revoked, one);
        let old = ghost.member.group().expect("it is a member");
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        assert_eq!(two.revoked, revoked, "nobody else hears of it");
        let producer = producer(world, "one");
        let topic = world.clients().name(TOPIC);
        producer.begin().expect("begun");
        let places = [Place { topic: &topic, partition: 0, offset: 5 }];
        let refused = producer.send_offsets(&places, &old, WAIT).map_err(|error| code(&error));
        assert_eq!(refused, Err(Some(Code::FencedInstanceId)));
        producer.abort(WAIT).expect("aborted");
        let mut ghost = ghost;
        eventually(world, "the ghost's end", || {
            ghost.listen();
            ghost.member.fatal()
        });
        assert_eq!(ghost.member.fatal(), Some(Code::FencedInstanceId));
    }

    pub(super) fn the_place_of_one_that_vanished_is_given_away_after_its_session(world: &impl World) {
        world.create(TOPIC, 2);
        let (mut one, mut two) = (join(world, "one"), join(world, "two"));
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        drop(one);
        let revoked = two.revoked;
        for _ in 0..50 {
            two.listen();
        }
        assert_eq!((two.has.as_slice(), two.revoked), (&[1][..], revoked), "for a second at the least");
        await_has(world, &mut [(&mut two, &[0, 1])]);
    }

    pub(super) fn the_place_of_one_that_leaves_is_given_away_at_once(world: &impl World) {
        world.create(TOPIC, 2);
        let (mut one, mut two) = (join(world, "one"), join(world, "two"));
        await_has(world, &mut [(&mut one, &[0]), (&mut two, &[1])]);
        one.member.unsubscribe();
        eventually(world, "giving the partitions up", || {
            one.listen();
            one.member.is_unassigned().then_some(())
        });
        let group = world.clients().name(GROUP);
        // Its session would have been longer.
        for _ in 0..50 {
            one.listen();
            two.listen();
        }
        assert_eq!(two.has, [0, 1]);
        assert_eq!(two.member.members(&group, WAIT).expect("an answer").len(), 1);
    }

    pub(super) fn a_joining_that_comes_again_makes_a_ghost_that_fences(world: &impl World) {
        world.create(TOPIC, 1);
        // The first to join a group may be told to come again, since its coordinator is not ready.
        await_has(world, &mut [(&mut join(world, "one"), &[0])]);
        world.inject(Api::JoinGroup, Fault::Repeat);
        let mut one = join(world, "one");
        eventually(world, "being fenced", || {
            one.listen();
            one.member.fatal()
        });
        assert_eq!(one.member.fatal(), Some(Code::FencedInstanceId));
        let (group, worker) = (world.clients().name(GROUP), world.clients().name("one"));
        let ghosts = one.member.members(&group, WAIT).expect("an answer");
        assert!(matches!(&ghosts[..], [ghost] if ghost.starts_with(&worker)), "{ghosts:?}");
        assert_eq!(ghosts[0].len(), worker.len() + 1 + 36, "a name and a UUID");
        // It is a member that nobody is, and goes with its session.
        eventually(world, "the ghost's end", || {
            sleep(world, Duration::from_millis(100));
            one.member.members(&group, WAIT).expect("an answer").is_empty().then_some(())
        });
    }
}

claims! {
    offsets_of_an_undecided_transaction_keep_the_question_waiting,
    offsets_of_another_generation_are_refused,
    no_offsets_carry_no_generation,
    offsets_that_come_late_take_the_place_of_the_next_ones,
    offsets_that_come_late_between_transactions_are_refused,
    partitions_are_shared_out_by_range_in_the_order_of_names,
    one_that_comes_back_in_time_has_its_place_and_its_ghost_is_fenced,
    the_place_of_one_that_vanished_is_given_away_after_its_session,
    the_place_of_one_that_leaves_is_given_away_at_once,
    a_joining_that_comes_again_makes_a_ghost_that_fences,
}
