//! What is written is what is read, from memory and from files.

use super::*;

#[test]
fn published_messages_are_read_in_order_with_their_offsets() {
    let folder = folder();
    let log = open(&folder, Options::default());
    let first = publish(&log, vec![message(ORDERS, "a", "1"), message(CLICKS, "b", "2"), message(ORDERS, "c", "")]);
    let second = publish(&log, vec![message(ORDERS_TWIN, "", "4")]);
    let records = read_all(&log, &ALL);
    assert_eq!(values(&records), ["1", "2", "", "4"]);
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [first, first + 1, first + 2, second]);
    assert!(records.iter().all(|record| record.partition == 0));
    assert_eq!(values(&read_all(&log, &[ORDERS])), ["1", ""]);
    assert_eq!(values(&read_all(&log, &[CLICKS])), ["2"]);
    assert_eq!(values(&read_all(&log, &[ORDERS_TWIN])), ["4"]);
}

#[test]
fn everything_is_there_after_reopening() {
    let folder = folder();
    let log = open(&folder, segments_of(500));
    for number in 0..30 {
        publish(&log, vec![message(ORDERS, "key", &format!("value {number}"))]);
    }
    let (records, durable) = (read_all(&log, &ALL), log.durable());
    assert_eq!(records.len(), 30);
    assert!(log.segments().expect("segments").len() > 3);
    drop(log);
    let log = open(&folder, segments_of(500));
    assert_eq!(read_all(&log, &ALL), records);
    assert_eq!((log.durable(), log.first()), (durable, 0));
    assert_eq!(log.bytes_on_disk(), durable);
    publish(&log, vec![message(ORDERS, "key", "after")]);
    assert_eq!(read_all(&log, &ALL).len(), 31);
}

#[test]
fn memory_and_files_give_the_same_records() {
    let folder = folder();
    let log = open(&folder, segments_of(2_000));
    let mut session = assigned(&log, "c", &[CLICKS]);
    for number in 0..50 {
        publish(&log, vec![message(ORDERS, "k", &"x".repeat(number)), message(CLICKS, "k", &number.to_string())]);
        assert_eq!(poll(&mut session).len(), 1);
        commit(&mut session, vec![message(ORDERS_TWIN, "o", &number.to_string())], vec![change("s", None)]);
    }
    let from_memory = read_all(&log, &ALL);
    drop((session, log));
    let log = open(&folder, Options { memory_bytes_max: 0, read_bytes: 0, ..Options::default() });
    assert_eq!(read_all(&log, &ALL), from_memory);
    for record in &from_memory {
        let found = (0..3).find_map(|index| {
            log.read_record(record.offset - index, index as u32).ok().flatten().filter(|found| found == record)
        });
        assert!(found.is_some(), "{record:?}");
    }
}

#[test]
fn a_reader_slower_than_the_memory_window_misses_nothing() {
    let folder = folder();
    let log = open(&folder, Options { memory_bytes_max: 2_000, read_bytes: 4 << 10, ..segments_of(10_000) });
    let mut reader = log.reader(&[ORDERS], None);
    let mut seen = Vec::new();
    for number in 0..400 {
        publish(&log, vec![message(ORDERS, "k", &format!("{number:0100}"))]);
        if number % 7 == 0 {
            let limits = Limits { records_max: 3, bytes_max: usize::MAX };
            seen.extend(reader.next(&limits, NO_WAIT).expect("readable"));
        }
    }
    assert!(seen.len() < 200);
    seen.extend(drain(&mut reader));
    let expected: Vec<String> = (0..400).map(|number| format!("{number:0100}")).collect();
    assert_eq!(values(&seen), expected);
    assert_eq!(reader.position(), log.durable());
    let mut resumed = log.reader(&[ORDERS], Some(reader.position()));
    assert!(drain(&mut resumed).is_empty());
    publish(&log, vec![message(ORDERS, "k", "new")]);
    assert_eq!(values(&drain(&mut resumed)), ["new"]);
}

#[test]
fn limits_take_whole_frames() {
    let folder = folder();
    let log = open(&folder, Options::default());
    for _ in 0..5 {
        publish(&log, vec![message(ORDERS, "k", "0123456789"); 4]);
    }
    let mut reader = log.reader(&ALL, None);
    let mut next =
        |records_max, bytes_max| reader.next(&Limits { records_max, bytes_max }, NO_WAIT).expect("readable").len();
    assert_eq!(next(0, 0), 4);
    assert_eq!(next(5, 1_000), 8);
    assert_eq!(next(100, 44), 4);
    assert_eq!(next(100, 45), 4);
    assert_eq!(next(100, 100), 0);
}

#[test]
fn a_reader_wakes_when_something_is_durable() {
    let folder = folder();
    let log = open(&folder, Options::default());
    let mut reader = log.reader(&[ORDERS], None);
    let waiting = std::thread::spawn(move || reader.next(&Limits::default(), Duration::from_secs(60)));
    publish(&log, vec![message(CLICKS, "k", "not this")]);
    publish(&log, vec![message(ORDERS, "k", "this")]);
    let records = waiting.join().expect("no panic").expect("readable");
    assert_eq!(values(&records), ["this"]);
}

#[test]
fn a_session_commits_what_it_polled_and_goes_on_from_there() {
    let folder = folder();
    let log = open(&folder, Options::default());
    publish(&log, vec![message(ORDERS, "k", "1")]);
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert_eq!(values(&poll(&mut session)), ["1"]);
    let end = commit(&mut session, vec![message(CLICKS, "k", "out")], vec![change("row", Some("v"))]);
    assert_eq!(end, log.durable());
    publish(&log, vec![message(ORDERS, "k", "2")]);
    assert_eq!(values(&poll(&mut session)), ["2"]);
    session.reset().expect("reset");
    assert_eq!(values(&poll(&mut session)), ["2"]);
    drop((session, log));
    let log = open(&folder, Options::default());
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert_eq!(values(&poll(&mut session)), ["2"]);
    commit(&mut session, Vec::new(), Vec::new());
    assert!(poll(&mut session).is_empty());
    let expected = ConsumerInfo { name: "c".to_owned(), input: session.committed(), changes: end };
    assert_eq!(log.consumers(), [expected]);
    assert_eq!(values(&read_all(&log, &[CLICKS])), ["out"]);
}

#[test]
fn a_step_of_nothing_writes_nothing() {
    let folder = folder();
    let log = open(&folder, Options::default());
    publish(&log, vec![message(CLICKS, "k", "1")]);
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert!(poll(&mut session).is_empty());
    let durable = log.durable();
    assert!(matches!(session.commit(&Step::default()), Commit::Committed(at) if at == [(0, durable)]));
    assert_eq!(log.durable(), durable);
    // Without input, a timer's changes are committed all the same.
    assert_eq!(commit(&mut session, Vec::new(), vec![change("timer", None)]), log.durable());
}

#[test]
fn the_newest_session_of_a_consumer_fences_the_others() {
    let folder = folder();
    let log = open(&folder, Options::default());
    publish(&log, vec![message(ORDERS, "k", "1")]);
    let mut old = assigned(&log, "c", &[ORDERS]);
    assert_eq!(poll(&mut old).len(), 1);
    let mut new = assigned(&log, "c", &[ORDERS]);
    assert!(matches!(old.commit(&Step::default()), Commit::Aborted(LogError::Closed)));
    assert!(matches!(old.reset(), Err(LogError::Closed)));
    assert!(matches!(old.poll(&Limits::default(), NO_WAIT), Err(LogError::Closed)));
    assert_eq!(poll(&mut new).len(), 1);
    commit(&mut new, Vec::new(), Vec::new());
}

#[test]
fn frames_over_the_bound_are_refused_and_the_log_goes_on() {
    let folder = folder();
    let log = open(&folder, Options { frame_bytes_max: 1_000, ..Options::default() });
    let large = message(ORDERS, "k", &"x".repeat(1_000));
    assert!(matches!(log.publish(vec![large.clone()]), Err(PublishError::TooLarge { bytes: 1_059, bytes_max: 1_000 })));
    let mut session = assigned(&log, "c", &[ORDERS]);
    let step = Step { outputs: vec![large], changes: Vec::new() };
    assert!(matches!(session.commit(&step), Commit::Aborted(LogError::TooLarge { bytes_max: 1_000, .. })));
    commit(&mut session, vec![message(ORDERS, "k", "small")], Vec::new());
    assert_eq!(values(&read_all(&log, &ALL)), ["small"]);
}

#[test]
fn restoring_gives_the_consumers_own_changes_after_a_position() {
    let folder = folder();
    let log = open(&folder, segments_of(1_000));
    let mut one = assigned(&log, "one", &[ORDERS]);
    let mut two = assigned(&log, "two", &[ORDERS]);
    let mut ends = Vec::new();
    for number in 0..20 {
        publish(&log, vec![message(ORDERS, "k", "in")]);
        let row = change(&format!("row {number}"), (number % 3 != 0).then_some("value"));
        ends.push(commit(&mut one, vec![message(CLICKS, "k", "out")], vec![row, change("count", Some("n"))]));
        commit(&mut two, Vec::new(), vec![change("other", Some("o"))]);
    }
    let (all, end) = restore(&mut one, None).expect("restored");
    assert_eq!(all.len(), 40);
    assert_eq!(all[0], change("row 0", None));
    assert_eq!(all[2], change("row 1", Some("value")));
    assert_eq!(end, log.durable());
    for (number, end) in ends.iter().enumerate() {
        let (rest, _) = restore(&mut one, Some(*end)).expect("restored");
        assert_eq!(rest, all[2 * (number + 1)..]);
    }
    assert!(restore(&mut one, Some(log.durable())).expect("restored").0.is_empty());
    assert!(matches!(restore(&mut one, Some(log.durable() + 1)), Err(LogError::Damaged(_))));
    assert_eq!(restore(&mut two, None).expect("restored").0.len(), 20);
}

#[test]
fn many_changes_are_restored_in_groups() {
    let folder = folder();
    let log = open(&folder, Options::default());
    let mut session = assigned(&log, "c", &[ORDERS]);
    let mut ends = Vec::new();
    for step in 0..10 {
        let rows = (0..1_500).map(|row| change(&format!("{step}/{row}"), Some("value"))).collect();
        ends.push(commit(&mut session, Vec::new(), rows));
    }
    let mut groups = Vec::new();
    let end = session.restore(0, None, &mut |changes, position| {
        groups.push((changes.len(), position));
        Ok(())
    });
    assert_eq!(groups, [(4_500, ends[2]), (4_500, ends[5]), (4_500, ends[8]), (1_500, ends[9])]);
    assert_eq!(end.expect("restored"), Restored::Complete(ends[9]));
}

#[test]
fn single_records_are_found_and_wrong_positions_are_not() {
    let folder = folder();
    let log = open(&folder, Options::default());
    let position = publish(&log, vec![message(ORDERS, "a", "1"), message(CLICKS, "b", "2")]);
    let record = log.read_record(position, 1).expect("readable").expect("there");
    assert_eq!((record.topic, record.offset, &record.value[..]), (2, position + 1, &b"2"[..]));
    assert_eq!(log.read_record(position, 2).expect("readable"), None);
    assert_eq!(log.read_record(log.durable(), 0).expect("readable"), None);
    assert!(matches!(log.read_record(position + 1, 0), Err(LogError::Damaged(_))));
    assert!(matches!(log.read_record(0, 0), Err(LogError::Damaged(_))));
}

#[test]
fn an_idle_consumer_commits_its_position_by_itself() {
    let folder = folder();
    let log = open(&folder, Options { idle_bytes_max: 1_000, ..Options::default() });
    let mut session = assigned(&log, "c", &[ORDERS]);
    for _ in 0..30 {
        publish(&log, vec![message(CLICKS, "k", &"x".repeat(100))]);
    }
    let before = log.durable();
    assert!(poll(&mut session).is_empty());
    assert!(session.committed() + 1_000 >= before, "{} of {before}", session.committed());
    let after = log.durable();
    assert!(after > before);
    assert!(poll(&mut session).is_empty());
    assert_eq!(log.durable(), after);
}
