//! A log that is read without being opened.

use std::fs;

use super::super::view::LogView;
use super::*;

/// The values of all records, and how far each consumer had come.
type Viewed = (Vec<String>, Vec<(String, u64)>);

fn viewed(folder: &TempDir) -> Result<Viewed, LogError> {
    let mut view = LogView::open(folder.path(), &ALL)?;
    let mut records = Vec::new();
    while view.next(&mut records)? {}
    let consumers = view.consumers().into_iter().map(|consumer| (consumer.name, consumer.input)).collect();
    Ok((values(&records), consumers))
}

/// A log of several segments, with a consumer that has read all but the last record.
fn filled(folder: &TempDir) -> (EmbeddedLog, u64) {
    let log = open(folder, Options { segment_bytes_max: 300, ..Options::default() });
    for number in 0..20 {
        publish(&log, vec![message(ORDERS, "a", &number.to_string())]);
    }
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert_eq!(poll(&mut session).len(), 20);
    let read = log.durable();
    commit(&mut session, vec![message(CLICKS, "b", "of all")], vec![change("row", Some("1"))]);
    publish(&log, vec![message(ORDERS, "a", "last")]);
    (log, read)
}

#[test]
fn a_log_that_is_open_is_read_as_its_readers_read_it() {
    let folder = folder();
    let (log, read) = filled(&folder);
    assert!(files(folder.path()).len() > 3, "several segments");
    let before: Vec<_> = files(folder.path()).iter().map(|file| fs::read(file).expect("readable")).collect();
    let (found, consumers) = viewed(&folder).expect("it reads");
    assert_eq!(found, values(&read_all(&log, &ALL)));
    assert_eq!(consumers, [("c".to_owned(), read)]);
    let after: Vec<_> = files(folder.path()).iter().map(|file| fs::read(file).expect("readable")).collect();
    assert_eq!(before, after, "nothing is written");
}

#[test]
fn changes_are_those_of_one_consumer() {
    let folder = folder();
    let (log, _) = filled(&folder);
    let mut other = assigned(&log, "d", &[ORDERS]);
    assert_eq!(poll(&mut other).len(), 21);
    commit(&mut other, vec![], vec![change("row", Some("of another"))]);
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert_eq!(poll(&mut session).len(), 1);
    let end = commit(&mut session, vec![], vec![change("row", None), change("second", Some("2"))]);
    let mut view = LogView::open(folder.path(), &[]).expect("it opens");
    let (mut all, mut some, mut last) = (Vec::new(), Vec::new(), 0);
    while let Some(position) = view.next_changes("c", &mut some).expect("it reads") {
        last = if some.is_empty() { last } else { position };
        all.append(&mut some);
    }
    assert_eq!(all, [change("row", Some("1")), change("row", None), change("second", Some("2"))]);
    assert_eq!(last, end, "the position is that of the store after it");
    let changes = view.consumers().into_iter().find(|consumer| consumer.name == "c").map(|consumer| consumer.changes);
    assert_eq!(changes, Some(end));
}

#[test]
fn a_torn_tail_is_the_end_and_damage_is_refused() {
    let folder = folder();
    drop(filled(&folder));
    let whole = viewed(&folder).expect("it reads").0;
    let segments = files(folder.path());
    let last = segments.last().expect("a segment");
    let bytes = fs::read(last).expect("readable");
    fs::write(last, &bytes[..bytes.len() - 1]).expect("writable");
    assert_eq!(viewed(&folder).expect("it reads").0, whole[..whole.len() - 1]);
    fs::write(last, &bytes).expect("writable");

    let first = fs::read(&segments[0]).expect("readable");
    let mut damaged = first.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    fs::write(&segments[0], damaged).expect("writable");
    assert!(matches!(viewed(&folder), Err(LogError::Damaged(_))), "{:?}", viewed(&folder));
    fs::write(&segments[0], first).expect("writable");

    let kept = fs::read(&segments[1]).expect("readable");
    fs::remove_file(&segments[1]).expect("removable");
    assert!(matches!(viewed(&folder), Err(LogError::Damaged(_))), "a segment is missing");
    fs::write(&segments[1], kept).expect("writable");

    fs::remove_file(&segments[0]).expect("removable");
    let (left, _) = viewed(&folder).expect("retention may have dropped the first");
    assert!(whole.ends_with(&left) && left.len() < whole.len(), "{left:?}");
    let empty = tempfile::tempdir().expect("a folder");
    assert!(matches!(viewed(&empty), Err(LogError::Damaged(_))), "there is no log");
}
