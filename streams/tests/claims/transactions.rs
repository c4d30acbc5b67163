//! Of transactional ids, and of transactions that end in other ways than they should.

use crate::claims;

mod claim {
    use std::time::Duration;

    use rdkafka::error::RDKafkaErrorCode as Code;
    use streams::kafka::client::ProducerClient as _;
    use testkit::{Api, Fault};

    use crate::world::{WAIT, World, code, commit, ends, eventually, open, options, producer, producer_with};
    use crate::world::{read, row, settled, sleep, write};

    pub(super) fn the_next_holder_of_an_id_fences_the_one_before(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        let _two = producer(world, "one");
        let refused = one.commit(WAIT).expect_err("fenced");
        assert_eq!((code(&refused.error), refused.retriable), (Some(Code::Fenced), false));
        assert!(one.is_fatal());
        assert_eq!(one.begin().map_err(|error| code(&error)), Err(Some(Code::Fenced)));
        assert!(one.abort(WAIT).is_err());
    }

    pub(super) fn one_that_is_fenced_writes_nothing_new(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        commit(&one);
        let end = settled(world, "topic", 0);
        let _two = producer(world, "one");
        one.begin().expect("no broker hears of it");
        write(world, &one, "topic", 0, &[("k", Some("v"))]).expect_err("fenced");
        assert_eq!(ends(world, "topic", 0), (end, end));
    }

    pub(super) fn what_the_last_holder_left_open_is_aborted(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        assert_eq!(ends(world, "topic", 0), (0, 1));
        let two = producer(world, "one");
        // Its own first transaction is not in the way of the markers.
        open(world, &two, "topic", 0);
        commit(&two);
        assert_eq!(settled(world, "topic", 0), 4, "two records, two markers");
        assert_eq!(read(world, "topic", 0).0, [row(2, "k", "v")]);
    }

    pub(super) fn a_transaction_that_is_open_for_too_long_is_aborted(world: &impl World) {
        world.create("topic", 1);
        let options = streams::kafka::SessionOptions { transaction_timeout: Duration::from_secs(4), ..options() };
        let one = producer_with(world, "one", &options);
        open(world, &one, "topic", 0);
        sleep(world, Duration::from_secs(1));
        assert_eq!(ends(world, "topic", 0), (0, 1), "not before its time");
        assert_eq!(settled(world, "topic", 0), 2);
        let refused = one.commit(WAIT).expect_err("given up");
        assert_eq!((code(&refused.error), one.is_fatal()), (Some(Code::Fenced), true));
        assert_eq!(read(world, "topic", 0), (vec![], Some(2)));
        // The id is as good as before.
        let two = producer(world, "one");
        open(world, &two, "topic", 0);
        commit(&two);
        assert_eq!(settled(world, "topic", 0), 4);
    }

    /// Once more, and nobody is told the epoch.
    pub(super) fn a_taking_over_that_comes_late_fences(world: &impl World) {
        world.create("topic", 1);
        world.inject(Api::InitProducerId, Fault::RepeatLate(Duration::from_secs(1)));
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        sleep(world, Duration::from_secs(2));
        let refused = one.commit(WAIT).expect_err("fenced");
        assert_eq!((code(&refused.error), one.is_fatal()), (Some(Code::Fenced), true));
        assert_eq!(settled(world, "topic", 0), 2);
        assert_eq!(read(world, "topic", 0).0, []);
    }

    /// What was taken over and not heard of is taken over again.
    fn check_init(world: &impl World, fault: Fault) {
        world.create("topic", 1);
        world.inject(Api::InitProducerId, fault);
        let one = producer(world, "one");
        open(world, &one, "topic", 0);
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 2);
        assert_eq!(read(world, "topic", 0).0, [row(0, "k", "v")]);
    }

    pub(super) fn a_taking_over_whose_request_is_lost(world: &impl World) {
        check_init(world, Fault::LoseRequest);
    }

    pub(super) fn a_taking_over_whose_answer_is_lost(world: &impl World) {
        check_init(world, Fault::LoseAnswer);
    }

    pub(super) fn a_transaction_of_nothing_leaves_nothing(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        one.begin().expect("begun");
        commit(&one);
        one.begin().expect("begun");
        one.abort(WAIT).expect("aborted");
        assert_eq!(ends(world, "topic", 0), (0, 0));
    }

    /// A commit is asked for again by the client, and done once.
    fn check_end(world: &impl World, fault: Fault) {
        world.create("topic", 1);
        let one = producer(world, "one");
        world.inject(Api::EndTxn, fault);
        open(world, &one, "topic", 0);
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 2, "a record and a marker");
        // The producer is none the worse for it.
        open(world, &one, "topic", 0);
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 4);
        assert_eq!(read(world, "topic", 0).0, [row(0, "k", "v"), row(2, "k", "v")]);
    }

    pub(super) fn a_commit_whose_request_is_lost(world: &impl World) {
        check_end(world, Fault::LoseRequest);
    }

    pub(super) fn a_commit_whose_answer_is_lost(world: &impl World) {
        check_end(world, Fault::LoseAnswer);
    }

    pub(super) fn a_commit_that_comes_twice(world: &impl World) {
        check_end(world, Fault::Repeat);
    }

    /// The epoch is the same from one transaction to the next, so nothing tells the two requests apart.
    pub(super) fn a_commit_that_comes_late_ends_the_next_transaction(world: &impl World) {
        world.create("topic", 1);
        let one = producer(world, "one");
        world.inject(Api::EndTxn, Fault::RepeatLate(Duration::from_secs(1)));
        open(world, &one, "topic", 0);
        commit(&one);
        assert_eq!(settled(world, "topic", 0), 2);
        one.begin().expect("begun");
        write(world, &one, "topic", 0, &[("half", Some("of it"))]).expect("acknowledged");
        assert_eq!(settled(world, "topic", 0), 4, "it is ended, though nobody has asked for it");
        assert_eq!(read(world, "topic", 0).0, [row(0, "k", "v"), row(2, "half", "of it")]);
        // What it writes further is refused.
        assert!(write(world, &one, "topic", 0, &[("other", Some("half"))]).is_err());
        assert!(one.abort(WAIT).is_err());
        let two = producer(world, "one");
        open(world, &two, "topic", 0);
        commit(&two);
        eventually(world, "the next one's", || {
            (read(world, "topic", 0).0.last().map(|(_, key, _)| key == "k") == Some(true)).then_some(())
        });
    }
}

claims! {
    the_next_holder_of_an_id_fences_the_one_before,
    one_that_is_fenced_writes_nothing_new,
    what_the_last_holder_left_open_is_aborted,
    a_transaction_that_is_open_for_too_long_is_aborted,
    a_taking_over_that_comes_late_fences,
    a_taking_over_whose_request_is_lost,
    a_taking_over_whose_answer_is_lost,
    a_transaction_of_nothing_leaves_nothing,
    a_commit_whose_request_is_lost,
    a_commit_whose_answer_is_lost,
    a_commit_that_comes_twice,
    a_commit_that_comes_late_ends_the_next_transaction,
}
