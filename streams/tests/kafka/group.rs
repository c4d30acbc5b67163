//! Members of a group, whose positions are the caller's.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use streams::kafka::{Batch, Connection, GroupOptions, GroupReader, Overtaken, Positions, Turn};
use streams::log::{Limits, LogError};

use crate::reader::delete_before;
use crate::support::{A, B, Transactions, WAIT, World, keys, world};

const GROUP: &str = "materializer";
const STEP: Duration = Duration::from_millis(50);

pub(crate) fn options() -> GroupOptions {
    GroupOptions { session_timeout: Duration::from_secs(3), ..GroupOptions::default() }
}

fn join(connection: &Connection) -> GroupReader {
    GroupReader::open(connection, GROUP, &[A, B], options()).unwrap()
}

/// Turns until it has been assigned so many partitions, which it begins at `from`.
fn assigned(reader: &mut GroupReader, count: usize, from: &Positions) -> Vec<(u16, u32)> {
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline, "not assigned {count}: {reader:?}");
        if let Turn::Assigned(partitions) = reader.next(&Limits::default(), STEP).unwrap() {
            reader.begin(from);
            if partitions.len() == count {
                return partitions;
            }
        }
    }
}

/// Turns until there is a batch.
fn batch(reader: &mut GroupReader) -> Batch {
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline, "no batch: {reader:?}");
        if let Turn::Batch(batch) = reader.next(&Limits::default(), STEP).unwrap() {
            return batch;
        }
    }
}

/// Everything up to these positions.
fn read_until(reader: &mut GroupReader, expected: &Positions) -> Vec<String> {
    let (mut read, mut reached) = (Vec::new(), Positions::new());
    let deadline = Instant::now() + WAIT;
    while reached != *expected {
        assert!(Instant::now() < deadline, "{reached:?}");
        if let Turn::Batch(batch) = reader.next(&Limits::default(), STEP).unwrap() {
            read.extend(keys(&batch.records));
            reached.extend(batch.positions);
        }
    }
    read
}

fn failure(reader: &mut GroupReader) -> LogError {
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline, "it was to fail: {reader:?}");
        match reader.next(&Limits::default(), STEP) {
            Ok(Turn::Assigned(_)) => reader.begin(&Positions::new()),
            Ok(Turn::Batch(batch)) => panic!("{:?}", batch.records),
            Ok(Turn::Revoked(_) | Turn::Nothing) => {}
            Err(error) => return error,
        }
    }
}

#[test]
fn what_is_committed_is_read_from_the_positions_given() {
    let World { connection, .. } = &world("group", 2);
    let (first, second) = (Transactions::new(connection, "first"), Transactions::new(connection, "second"));
    first.begin(connection, A, 0, &["a", "b"]);
    first.commit();
    first.begin(connection, A, 0, &["gone"]);
    first.abort();
    first.begin(connection, B, 1, &["c"]);
    first.commit();
    second.begin(connection, A, 1, &["open"]);
    let mut reader = join(connection);
    assert!(!reader.caught_up(), "it does not know yet what it has");
    assigned(&mut reader, 4, &Positions::from([((1, 0), 1)]));
    assert!(!reader.caught_up());
    // Over the markers behind the records too: a partition may be deleted up to there.
    let mut read = read_until(&mut reader, &Positions::from([((1, 0), 5), ((2, 1), 2)]));
    read.sort();
    assert_eq!(read, ["b", "c"]);
    assert!(matches!(reader.next(&Limits::default(), STEP).unwrap(), Turn::Nothing));
    assert!(reader.caught_up() && reader.lag() == 0);
    second.commit();
    assert_eq!(read_until(&mut reader, &Positions::from([((1, 1), 2)])), ["open"]);

    // Nothing of that is Kafka's to know: another member that is told of no position reads all of it.
    drop(reader);
    let mut again = join(connection);
    assigned(&mut again, 4, &Positions::new());
    let mut read = read_until(&mut again, &Positions::from([((1, 0), 5), ((1, 1), 2), ((2, 1), 2)]));
    read.sort();
    assert_eq!(read, ["a", "b", "c", "open"]);
}

#[test]
fn members_share_the_partitions_and_a_rebalance_takes_what_was_handed_out() {
    let World { connection, .. } = &world("shares", 2);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a"]);
    producer.commit();
    let mut one = join(connection);
    assigned(&mut one, 4, &Positions::new());
    let held = batch(&mut one);
    assert!(one.holds(&held));
    let mut other = join(connection);
    let deadline = Instant::now() + WAIT;
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    while of_one.len() != 2 || of_other.len() != 2 {
        assert!(Instant::now() < deadline, "{of_one:?} and {of_other:?}");
        for (reader, partitions) in [(&mut one, &mut of_one), (&mut other, &mut of_other)] {
            match reader.hold(STEP).unwrap() {
                Turn::Assigned(assigned) => *partitions = assigned,
                Turn::Revoked(_) => partitions.clear(),
                Turn::Batch(batch) => panic!("{batch:?}"),
                Turn::Nothing => {}
            }
        }
    }
    assert!(!one.holds(&held), "its partitions were given up in between, whosever they are now");
    // Equal numbers of all topics together, and each partition once.
    let all: BTreeSet<(u16, u32)> = of_one.iter().chain(&of_other).copied().collect();
    assert_eq!(all, BTreeSet::from([(1, 0), (1, 1), (2, 0), (2, 1)]));
    assert!([&of_one, &of_other].iter().all(|partitions| partitions[0].1 == partitions[1].1));
    // What the one had not written is read by whoever has the partition now.
    one.begin(&Positions::new());
    other.begin(&Positions::new());
    let has_it = if of_one.contains(&(1, 0)) { &mut one } else { &mut other };
    assert_eq!(keys(&batch(has_it).records), ["a"]);
}

#[test]
fn a_partition_that_comes_back_is_read_from_where_it_is_said_to_go_on() {
    let World { connection, .. } = &world("comes-back", 1);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    producer.commit();
    let mut reader = join(connection);
    assigned(&mut reader, 2, &Positions::new());
    let end = Positions::from([((1, 0), 4)]);
    assert_eq!(read_until(&mut reader, &end), ["a", "b", "c"]);
    // It comes and goes: all partitions move, and of what was handed out only `a` was written.
    let mut other = join(connection);
    let deadline = Instant::now() + WAIT;
    while !matches!(reader.next(&Limits::default(), STEP).unwrap(), Turn::Revoked(_)) {
        assert!(Instant::now() < deadline, "{reader:?}");
        let _ = other.next(&Limits::default(), STEP).unwrap();
    }
    drop(other);
    assigned(&mut reader, 2, &Positions::from([((1, 0), 1)]));
    assert_eq!(read_until(&mut reader, &end), ["b", "c"]);
}

#[test]
fn a_member_that_holds_reads_nothing_and_goes_on_where_it_was() {
    let World { connection, .. } = &world("holds", 1);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    producer.commit();
    let mut reader = join(connection);
    assigned(&mut reader, 2, &Positions::new());
    let one = Limits { records_max: 1, bytes_max: 1 << 20 };
    let mut read = Vec::new();
    let deadline = Instant::now() + WAIT;
    while read.len() < 3 {
        assert!(Instant::now() < deadline, "{read:?}");
        if let Turn::Batch(batch) = reader.next(&one, STEP).unwrap() {
            read.extend(keys(&batch.records));
            // For longer than the session lasts.
            let until = Instant::now() + Duration::from_millis(3_500);
            while read.len() == 2 && Instant::now() < until {
                assert!(matches!(reader.hold(STEP).unwrap(), Turn::Nothing));
            }
            assert!(reader.holds(&batch));
        }
    }
    assert_eq!(read, ["a", "b", "c"]);
}

#[test]
fn a_position_that_the_log_does_not_have_is_told() {
    let World { connection, .. } = &world("group-gone", 1);
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    producer.commit();
    delete_before(connection, 2);
    // No position is the beginning, and that is gone as well.
    for (group, position, expected) in [("nothing", None, 0), ("early", Some(1), 1)] {
        let mut reader = GroupReader::open(connection, group, &[A, B], options()).unwrap();
        assigned(&mut reader, 2, &position.map(|position| ((1, 0), position)).into_iter().collect());
        let error = failure(&mut reader);
        assert!(matches!(error, LogError::Gone { asked, first: 2 } if asked == expected), "{error}");
    }
    let mut beyond = GroupReader::open(connection, "beyond", &[A, B], options()).unwrap();
    assigned(&mut beyond, 2, &Positions::from([((1, 0), 5)]));
    let error = failure(&mut beyond).to_string();
    assert!(error.contains("ends at 4") && error.contains("read up to 5"), "{error}");

    let going_on = GroupOptions { overtaken: Overtaken::GoOn, ..options() };
    let mut reader = GroupReader::open(connection, "going-on", &[A, B], going_on).unwrap();
    assigned(&mut reader, 2, &Positions::from([((1, 0), 1)]));
    assert_eq!(read_until(&mut reader, &Positions::from([((1, 0), 4)])), ["c"]);
}

#[test]
fn a_member_that_retention_overtakes_is_told() {
    let World { connection, .. } = &world("group-overtaken", 1);
    let producer = Transactions::new(connection, "p");
    let mut reader = join(connection);
    assigned(&mut reader, 2, &Positions::new());
    assert!(matches!(reader.next(&Limits::default(), Duration::from_millis(500)).unwrap(), Turn::Nothing));
    // Records that it may not see yet hold it at 0, and are deleted before it may.
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    delete_before(connection, 2);
    producer.commit();
    assert!(matches!(failure(&mut reader), LogError::Gone { asked: 0, first: 2 }));
}
