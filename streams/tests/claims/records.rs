//! Of offsets, of what is seen, and of what a restore relies on in the client.

use crate::claims;

mod claim {
    use std::time::Duration;

    use rdkafka::error::RDKafkaErrorCode as Code;
    use streams::kafka::client::ProducerClient as _;
    use testkit::{Api, Fault};

    use crate::world::{WAIT, World, code, commit, ends, eventually, open, producer, read, read_from, row, settled};
    use crate::world::{sleep, write};

    pub(super) fn a_marker_takes_an_offset_in_each_partition_touched(world: &impl World) {
        world.create("topic", 3);
        let one = producer(world, "one");
        one.begin().expect("begun");
        assert_eq!(write(world, &one, "topic", 0, &[("a", Some("1")), ("b", Some("2"))]).expect("acknowledged"), 2);
        assert_eq!(write(world, &one, "topic", 2, &[("c", Some("3"))]).expect("acknowledged"), 1);
        commit(&one);
        let ends: Vec<i64> = (0..3).map(|partition| settled(world, "topic", partition)).collect();
        assert_eq!(ends, [3, 0, 2]);
        assert_eq!(read(world, "topic", 0), (vec![row(0, "a", "1"), row(1, "b", "2")], Some(3)));
    }

    pub(super) fn aborted_records_take_offsets_and_are_not_seen(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        one.abort(WAIT).expect("aborted");
        open(world, &one, "topic", 0);
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 4);
        assert_eq!(read(world, "topic", 0), (vec![row(2, "k", "v")], Some(4)));
    }

    pub(super) fn nothing_behind_an_open_transaction_is_seen(world: &impl World) {
        world.create("topic", 1);
        let (one, two) = (producer(world, "one"), producer(world, "two"));
        open(world, &one, "topic", 0);
        two.begin().expect("begun");
        write(world, &two, "topic", 0, &[("behind", Some("it"))]).expect("acknowledged");
        commit(&two);
        eventually(world, "the marker", || (ends(world, "topic", 0) == (0, 3)).then_some(()));
        assert_eq!(read(world, "topic", 0), (vec![], None), "and there is no position");
        one.abort(WAIT).expect("aborted");
        assert_eq!(settled(world, "topic", 0), 4);
        assert_eq!(read(world, "topic", 0), (vec![row(1, "behind", "it")], Some(4)));
    }

    pub(super) fn the_ends_of_an_open_transaction(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        assert_eq!(ends(world, "topic", 0), (0, 0));
        open(world, &one, "topic", 0);
        assert_eq!(ends(world, "topic", 0), (0, 1));
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 2, "a record and a marker");
        open(world, &one, "topic", 0);
        assert_eq!(ends(world, "topic", 0), (2, 3));
    }

    /// The position is the end also where the last thing there is a marker, or an aborted transaction.
    pub(super) fn the_position_at_the_end(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        commit(&one);
        settled(world, "topic", 0);
        let from = |offset| {
            let (rows, position) = read_from(world, "topic", 0, Some(offset)).expect("it can be read");
            (rows.len(), position)
        };
        assert_eq!(from(0), (1, Some(2)));
        assert_eq!(from(1), (0, Some(2)), "a marker alone");
        open(world, &one, "topic", 0);
        assert_eq!(from(0), (1, Some(2)), "an open transaction");
        one.abort(WAIT).expect("aborted");
        settled(world, "topic", 0);
        assert_eq!(from(0), (1, Some(4)));
        assert_eq!(from(2), (0, Some(4)));
    }

    pub(super) fn an_offset_that_was_never_there_cannot_be_read(world: &impl World) {
        world.create("topic", 1);
        let error = read_from(world, "topic", 0, Some(7)).expect_err("there is no such offset");
        assert_eq!(code(&error), Some(Code::AutoOffsetReset));
    }

    fn check_write(world: &impl World, fault: Fault) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        world.inject(Api::Produce, fault);
        for (key, end) in [("a", 2), ("b", 3)] {
            assert_eq!(write(world, &one, "topic", 0, &[(key, Some("v"))]).expect("acknowledged"), end);
        }
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 4);
        assert_eq!(read(world, "topic", 0).0, [row(0, "k", "v"), row(1, "a", "v"), row(2, "b", "v")]);
    }

    pub(super) fn a_write_whose_request_is_lost_is_done_once(world: &impl World) {
        check_write(world, Fault::LoseRequest);
    }

    pub(super) fn a_write_whose_answer_is_lost_is_done_once(world: &impl World) {
        check_write(world, Fault::LoseAnswer);
    }

    pub(super) fn a_write_that_comes_twice_is_done_once(world: &impl World) {
        check_write(world, Fault::Repeat);
    }

    pub(super) fn a_write_that_comes_late_is_refused(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        world.inject(Api::Produce, Fault::RepeatLate(Duration::from_secs(1)));
        open(world, &one, "topic", 0);
        commit(&one);
        // In the time of the next transaction, and in that of none.
        open(world, &one, "topic", 0);
        sleep(world, Duration::from_secs(2));
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 4, "two records, two markers");
        world.inject(Api::Produce, Fault::RepeatLate(Duration::from_secs(1)));
        open(world, &one, "topic", 0);
        commit(&one);
        sleep(world, Duration::from_secs(2));
        assert_eq!(settled(world, "topic", 0), 6);
    }

    pub(super) fn compaction_keeps_the_last_of_each_key_at_its_offset(world: &impl World) {
        world.create_compacted("topic");
        let one = producer(world, "one");
        let rows = [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("b", None), ("c", Some("4"))];
        for row in rows {
            one.begin().expect("begun");
            write(world, &one, "topic", 0, &[row]).expect("acknowledged");
            commit(&one);
            // So long that each is in a segment of its own.
            sleep(world, Duration::from_millis(50));
        }
        let end = settled(world, "topic", 0);
        assert_eq!(end, 10);
        let kept = [row(4, "a", "3"), (6, "b".to_owned(), None), row(8, "c", "4")];
        eventually(world, "the cleaner", || {
            world.clean();
            (read(world, "topic", 0).0 == kept).then_some(())
        });
        assert_eq!(settled(world, "topic", 0), end);
        // Offsets that are gone can be read from all the same.
        assert_eq!(read_from(world, "topic", 0, Some(1)).expect("it can be read"), (kept.to_vec(), Some(10)));
    }
}

claims! {
    a_marker_takes_an_offset_in_each_partition_touched,
    aborted_records_take_offsets_and_are_not_seen,
    nothing_behind_an_open_transaction_is_seen,
    the_ends_of_an_open_transaction,
    the_position_at_the_end,
    an_offset_that_was_never_there_cannot_be_read,
    a_write_whose_request_is_lost_is_done_once,
    a_write_whose_answer_is_lost_is_done_once,
    a_write_that_comes_twice_is_done_once,
    a_write_that_comes_late_is_refused,
    compaction_keeps_the_last_of_each_key_at_its_offset,
}
