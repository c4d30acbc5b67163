//! Only what everybody has passed is dropped, and no position is lost with it.

use super::*;

/// A log of many small segments, every one with frames of both consumers.
fn filled(folder: &TempDir) -> (EmbeddedLog, EmbeddedSession, EmbeddedSession) {
    let log = open(folder, segments_of(600));
    let mut one = assigned(&log, "one", &[ORDERS]);
    let mut two = assigned(&log, "two", &[ORDERS]);
    for number in 0..40 {
        publish(&log, vec![message(ORDERS, "k", &number.to_string())]);
        assert_eq!(poll(&mut one).len(), 1);
        commit(&mut one, Vec::new(), vec![change("row", Some("one"))]);
        if number < 20 {
            assert_eq!(poll(&mut two).len(), 1);
            commit(&mut two, Vec::new(), vec![change("row", Some("two"))]);
        }
    }
    (log, one, two)
}

#[test]
fn nothing_a_consumer_needs_is_dropped() {
    let folder = folder();
    let (log, one, mut two) = filled(&folder);
    let freed = log.drop_before(u64::MAX).expect("dropped");
    assert!(freed > 0);
    assert_eq!(log.first(), freed);
    assert!(log.first() <= two.committed());
    assert!(two.committed() < one.committed());
    let segments = log.segments().expect("segments");
    assert!(segments[0].end > two.committed());
    assert_eq!(segments.len(), files(folder.path()).len());
    assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(poll(&mut two).len(), 20);
    commit(&mut two, Vec::new(), Vec::new());
    log.drop_before(u64::MAX).expect("dropped");
    assert!(log.first() > segments[0].end);
    assert!(!log.segments().expect("segments").is_empty());
}

#[test]
fn nothing_after_the_given_position_is_dropped() {
    let folder = folder();
    let (log, _one, _two) = filled(&folder);
    let segments = log.segments().expect("segments");
    log.drop_before(segments[2].end - 1).expect("dropped");
    assert_eq!(log.first(), segments[2].start);
    log.drop_before(segments[2].end).expect("dropped");
    assert_eq!(log.first(), segments[3].start);
    assert_eq!(log.drop_before(0).expect("dropped"), 0);
}

#[test]
fn the_active_segment_stays() {
    let folder = folder();
    let log = open(&folder, segments_of(100));
    for _ in 0..3 {
        publish(&log, vec![message(ORDERS, "k", &"x".repeat(200))]);
    }
    log.drop_before(u64::MAX).expect("dropped");
    assert_eq!(log.segments().expect("segments").len(), 1);
    assert_eq!(read_all(&log, &ALL).len(), 1);
}

#[test]
fn positions_survive_the_drop_and_the_reopening() {
    let folder = folder();
    let (log, one, two) = filled(&folder);
    log.drop_before(u64::MAX).expect("dropped");
    let consumers = log.consumers();
    let first = log.first();
    drop((log, one, two));
    let log = open(&folder, segments_of(600));
    assert_eq!(log.consumers(), consumers);
    assert_eq!(log.first(), first);
    let mut two = assigned(&log, "two", &[ORDERS]);
    let expected: Vec<String> = (20..40).map(|number| number.to_string()).collect();
    assert_eq!(values(&poll(&mut two)), expected);
}

#[test]
fn what_was_dropped_is_gone() {
    let folder = folder();
    let (log, mut one, mut two) = filled(&folder);
    let early = log.reader(&ALL, None);
    let frame = read_all(&log, &ALL)[0].offset;
    commit(&mut one, Vec::new(), vec![change("row", Some("last"))]);
    log.drop_before(u64::MAX).expect("dropped");
    let gone = |error: LogError| matches!(error, LogError::Gone { first, .. } if first == log.first());
    let mut early = early;
    assert!(gone(early.next(&Limits::default(), NO_WAIT).expect_err("gone")));
    assert!(gone(log.read_record(frame, 0).expect_err("gone")));
    assert!(gone(restore(&mut one, None).expect_err("gone")));
    assert!(gone(restore(&mut one, Some(1)).expect_err("gone")));
    assert!(restore(&mut one, Some(log.first())).is_ok());
    assert!(gone(restore(&mut two, None).expect_err("gone")));
}

#[test]
fn a_consumer_without_dropped_changes_restores_from_anywhere() {
    let folder = folder();
    let (log, _one, mut two) = filled(&folder);
    let mut late = assigned(&log, "late", &[CLICKS]);
    assert!(poll(&mut two).len() == 20);
    let last_change = log.durable();
    commit(&mut two, Vec::new(), vec![change("row", Some("two"))]);
    for _ in 0..20 {
        publish(&log, vec![message(ORDERS, "k", "more")]);
    }
    poll(&mut two);
    let position = commit(&mut two, Vec::new(), Vec::new());
    // A consumer that has never committed holds everything from its beginning.
    assert_eq!(log.drop_before(u64::MAX).expect("dropped"), 0);
    assert!(poll(&mut late).is_empty());
    commit(&mut late, Vec::new(), vec![change("late", None)]);
    let mut one = assigned(&log, "one", &[ORDERS]);
    poll(&mut one);
    commit(&mut one, Vec::new(), Vec::new());
    log.drop_before(u64::MAX).expect("dropped");
    assert!(log.first() > last_change && log.first() <= position);
    assert!(matches!(restore(&mut two, Some(last_change)), Err(LogError::Gone { .. })));
    let stamp = restore(&mut late, None).expect("nothing of it was dropped");
    assert_eq!(stamp.0, [change("late", None)]);
    drop((one, two, late));
    let mut newcomer = assigned(&log, "newcomer", &[CLICKS]);
    assert_eq!(restore(&mut newcomer, None).expect("it has no changes").0, []);
}
