//! Of how far a member has read, and of what is no longer there.

use crate::claims;

mod claim {
    use std::time::Duration;

    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
    use rdkafka::message::Message as _;
    use streams::kafka::client::{Clients as _, MemberClient, Place, ProducerClient as _};

    use crate::members::{Seat, SeatOf, TOPIC, await_has, join};
    use crate::world::{WAIT, World, code, commit, ends, eventually, open, producer, settled, write};

    /// Has the only member read partition 0 from an offset on.
    fn assign<W: World>(world: &W, seat: &SeatOf<W>, offset: u64) {
        let topic = world.clients().name(TOPIC);
        seat.member.assign(&[Place { topic: &topic, partition: 0, offset }]).expect("assigned");
    }

    fn position<W: World>(world: &W, seat: &SeatOf<W>) -> Option<u64> {
        let topic = world.clients().name(TOPIC);
        seat.member.positions(&[Place { topic: &topic, partition: 0, offset: 0 }]).expect("an answer")[0]
    }

    /// Polls once: the offset of a record, if one comes.
    fn poll(seat: &Seat<impl MemberClient>) -> Result<Option<i64>, KafkaError> {
        seat.member.poll(Duration::from_millis(50)).transpose().map(|record| record.map(|record| record.offset()))
    }

    /// Polls until the position is there; the offsets of records that came.
    fn poll_to<W: World>(world: &W, seat: &SeatOf<W>, wanted: u64) -> Vec<i64> {
        let mut records = Vec::new();
        eventually(world, "the position", || {
            records.extend(poll(seat).expect("it can be read"));
            (position(world, seat) == Some(wanted)).then_some(())
        });
        records
    }

    /// Polls for as long as it takes for anything to come that is there.
    fn poll_in_vain(seat: &Seat<impl MemberClient>) {
        for _ in 0..20 {
            assert_eq!(poll(seat).expect("it can be read"), None);
        }
    }

    pub(super) fn a_member_passes_markers_and_no_open_transaction(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        assign(world, &one, 0);
        poll_in_vain(&one);
        assert_eq!(position(world, &one), None, "nothing was read");
        open(world, &producer, TOPIC, 0);
        poll_in_vain(&one);
        assert_eq!(position(world, &one), None, "before an open transaction");
        commit(&producer);
        assert_eq!(poll_to(world, &one, 2), [0], "behind the marker");
        open(world, &producer, TOPIC, 0);
        poll_in_vain(&one);
        assert_eq!(position(world, &one), Some(2));
        producer.abort(WAIT).expect("aborted");
        assert_eq!(poll_to(world, &one, 4), <[i64; 0]>::default(), "behind an aborted transaction");
    }

    /// Once a record is handed over, what comes after it is passed only by the next poll.
    pub(super) fn a_position_is_no_further_than_what_was_handed_over(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        producer.begin().expect("begun");
        write(world, &producer, TOPIC, 0, &[("a", Some("1")), ("b", Some("2"))]).expect("acknowledged");
        commit(&producer);
        settled(world, TOPIC, 0);
        assign(world, &one, 0);
        let next = || eventually(world, "a record", || poll(&one).expect("it can be read"));
        assert_eq!((next(), position(world, &one)), (0, Some(1)));
        assert_eq!((next(), position(world, &one)), (1, Some(2)));
        assert_eq!(poll_to(world, &one, 3), <[i64; 0]>::default());
    }

    pub(super) fn a_position_begins_anew_with_an_assignment(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        open(world, &producer, TOPIC, 0);
        commit(&producer);
        settled(world, TOPIC, 0);
        assign(world, &one, 0);
        assert_eq!(poll_to(world, &one, 2), [0]);
        // It may say for a moment what it said before, and nothing of what it has not been asked to hand over.
        assign(world, &one, 0);
        assert!([None, Some(2)].contains(&position(world, &one)));
        let record = eventually(world, "the record", || poll(&one).expect("it can be read"));
        assert_eq!((record, position(world, &one)), (0, Some(1)));
        seat_reads_nothing(world, &one);
    }

    fn seat_reads_nothing<W: World>(world: &W, seat: &SeatOf<W>) {
        seat.member.assign(&[]).expect("assigned");
        assert_eq!(position(world, seat), None, "it is not read");
    }

    pub(super) fn offsets_alone_make_no_marker(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        open(world, &producer, TOPIC, 0);
        commit(&producer);
        assert_eq!(settled(world, TOPIC, 0), 2);
        let topic = world.clients().name(TOPIC);
        let places = [Place { topic: &topic, partition: 0, offset: 2 }];
        producer.begin().expect("begun");
        producer.send_offsets(&places, &one.member.group().expect("it is a member"), WAIT).expect("added");
        commit(&producer);
        let committed = one.member.committed(&places, WAIT).map_err(|error| code(&error));
        assert_eq!(committed, Ok(vec![Some(2)]), "it waits for the marker among the offsets");
        assert_eq!(ends(world, TOPIC, 0), (2, 2));
    }

    /// Whether there was anything but markers or not.
    pub(super) fn what_is_no_longer_there_cannot_be_read(world: &impl World) {
        world.create(TOPIC, 1);
        let mut one = join(world, "one");
        await_has(world, &mut [(&mut one, &[0])]);
        let producer = producer(world, "one");
        open(world, &producer, TOPIC, 0);
        commit(&producer);
        assert_eq!(settled(world, TOPIC, 0), 2);
        world.delete_before(TOPIC, 2);
        let topic = world.clients().name(TOPIC);
        let marks = eventually(world, "the beginning", || {
            let marks = one.member.watermarks(&topic, 0, WAIT).expect("an answer");
            (marks.0 > 0).then_some(marks)
        });
        assert_eq!(marks, (2, 2));
        assign(world, &one, 1);
        let error = eventually(world, "an error", || poll(&one).err());
        assert_eq!(code(&error), Some(Code::AutoOffsetReset));
        assign(world, &one, 2);
        poll_in_vain(&one);
        open(world, &producer, TOPIC, 0);
        commit(&producer);
        assert_eq!(poll_to(world, &one, 4), [2]);
    }
}

claims! {
    a_member_passes_markers_and_no_open_transaction,
    a_position_is_no_further_than_what_was_handed_over,
    a_position_begins_anew_with_an_assignment,
    offsets_alone_make_no_marker,
    what_is_no_longer_there_cannot_be_read,
}
