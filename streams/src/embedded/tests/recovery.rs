//! What opening makes of files that a crash, or something worse, has left.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::draft::Draft;
use super::super::frame;
use super::*;

/// Three frames: an order, a step, an order. Returns the ends of all, with the header's first.
fn three_frames(folder: &TempDir) -> Vec<u64> {
    let log = open(folder, Options::default());
    let mut ends = vec![log.durable()];
    publish(&log, vec![message(ORDERS, "a", "1")]);
    ends.push(log.durable());
    let mut session = assigned(&log, "c", &[ORDERS]);
    assert_eq!(poll(&mut session).len(), 1);
    ends.push(commit(&mut session, vec![message(CLICKS, "b", "2")], vec![change("row", Some("3"))]));
    publish(&log, vec![message(ORDERS, "c", "4")]);
    ends.push(log.durable());
    ends
}

fn segment_file(folder: &TempDir, number: usize) -> PathBuf {
    files(folder.path())[number].clone()
}

/// Checks that exactly the frames up to `kept` are there: of a step either all or nothing.
fn check_kept(log: &EmbeddedLog, kept: usize) {
    assert_eq!(values(&read_all(log, &ALL)), ["1", "2", "4"][..kept]);
    let mut session = assigned(log, "c", &[ORDERS]);
    let changes = restore(&mut session, None).expect("restored").0;
    if kept >= 2 {
        assert_eq!(changes, [change("row", Some("3"))]);
        assert_eq!(values(&poll(&mut session)), ["4"][..kept - 2]);
    } else {
        assert!(changes.is_empty());
        assert_eq!(values(&poll(&mut session)), ["1"][..kept]);
    }
}

#[test]
fn a_tail_torn_anywhere_is_cut_to_whole_frames() {
    let original = folder();
    let ends = three_frames(&original);
    let bytes = fs::read(segment_file(&original, 0)).expect("readable");
    for length in ends[0]..ends[3] {
        let kept = ends.iter().filter(|end| **end <= length).count() - 1;
        let tails: [Vec<u8>; 3] = [Vec::new(), vec![0; 100], vec![0xA7; 100]];
        for tail in tails.iter().take(if length % 5 == 0 { 3 } else { 1 }) {
            let folder = folder();
            let mut torn = bytes[..length as usize].to_vec();
            torn.extend_from_slice(tail);
            fs::write(folder.path().join("00000000000000000000.seg"), torn).expect("writable");
            let log = open(&folder, Options::default());
            assert_eq!(log.durable(), ends[kept], "cut at {length}");
            check_kept(&log, kept);
            publish(&log, vec![message(CLICKS, "d", "5")]);
            drop(log);
            let log = open(&folder, Options::default());
            assert_eq!(read_all(&log, &ALL).len(), kept + 1);
        }
    }
}

#[test]
fn a_whole_file_is_left_alone_and_junk_after_it_is_cut() {
    let folder = folder();
    let ends = three_frames(&folder);
    for junk in [vec![0; 5_000], vec![0xF5; 1], b"\xF5frm\xF5frm\xF5frm".repeat(20)] {
        edit(&segment_file(&folder, 0), |bytes| bytes.extend_from_slice(&junk));
        let log = open(&folder, Options::default());
        assert_eq!(log.durable(), ends[3]);
        check_kept(&log, 3);
    }
}

#[test]
fn any_flipped_byte_of_an_acknowledged_frame_is_refused() {
    let folder = folder();
    let ends = three_frames(&folder);
    let path = segment_file(&folder, 0);
    let original = fs::read(&path).expect("readable");
    for byte in ends[0]..ends[2] {
        edit(&path, |bytes| bytes[byte as usize] ^= 0x10);
        let damaged = if byte < ends[1] { ends[0] } else { ends[1] };
        let message = refusal(folder.path());
        assert!(message.contains(&format!("00000000000000000000.seg: byte {damaged}: ")), "{message}");
        assert!(message.contains("bring the file back"), "{message}");
        fs::write(&path, &original).expect("writable");
    }
    check_kept(&open(&folder, Options::default()), 3);
}

#[test]
fn damage_in_a_sealed_segment_is_refused_and_named() {
    let folder = folder();
    let log = open(&folder, segments_of(300));
    for _ in 0..10 {
        publish(&log, vec![message(ORDERS, "k", &"x".repeat(100))]);
    }
    let segments = log.segments().expect("segments");
    drop(log);
    let path = segment_file(&folder, 1);
    let name = format!("{:020}.seg", segments[1].start);
    let original = fs::read(&path).expect("readable");
    let last_frame = original.len() - (frame::HEADER_BYTES + 10 + 101);
    edit(&path, |bytes| *bytes.last_mut().expect("bytes") ^= 1);
    let message = refusal(folder.path());
    assert!(message.contains(&format!("{name}: byte {last_frame}: the checksum")), "{message}");
    edit(&path, |bytes| bytes.truncate(original.len() - 1));
    let message = refusal(folder.path());
    assert!(message.contains(&format!("{name}: byte {last_frame}: the last frame is cut short")), "{message}");
    fs::write(&path, &original).expect("writable");
    edit(&path, |bytes| bytes.truncate(last_frame));
    assert!(refusal(folder.path()).contains("lost or gained bytes"));
    fs::write(&path, &original).expect("writable");
    edit(&path, |bytes| bytes[20] ^= 1);
    assert!(refusal(folder.path()).contains(&format!("{name}: byte 0: the header")));
    fs::write(&path, &original).expect("writable");
    open(&folder, Options::default());
}

#[test]
fn a_missing_segment_is_refused() {
    let folder = folder();
    let log = open(&folder, segments_of(100));
    for _ in 0..5 {
        publish(&log, vec![message(ORDERS, "k", &"x".repeat(100))]);
    }
    drop(log);
    let (path, name) = (segment_file(&folder, 2), segment_file(&folder, 2));
    fs::remove_file(path).expect("removed");
    let message = refusal(folder.path());
    assert!(message.contains(&*name.to_string_lossy()) && message.contains("missing"), "{message}");
}

#[test]
fn an_unknown_version_is_refused_with_what_to_do() {
    let folder = folder();
    three_frames(&folder);
    edit(&segment_file(&folder, 0), |bytes| bytes[8] = 2);
    let message = refusal(folder.path());
    assert!(message.contains("format version 2") && message.contains("run the version"), "{message}");
}

#[test]
fn a_segment_that_was_never_finished_is_removed() {
    let folder = folder();
    let ends = three_frames(&folder);
    fs::write(folder.path().join(format!("{:020}.seg.new", ends[3])), b"streams").expect("writable");
    check_kept(&open(&folder, Options::default()), 3);
    assert_eq!(files(folder.path()).len(), 1);
}

/// Appends frames of one message to a segment file, each with the `durable` that is given; the number is the value.
/// Returns their positions.
fn append_frames(path: &Path, durables: &[(u64, u32)]) -> Vec<u64> {
    let mut positions = Vec::new();
    edit(path, |bytes| {
        for (durable, number) in durables {
            let draft = Draft::published(&[message(ORDERS, "k", &number.to_string())]);
            positions.push(bytes.len() as u64);
            bytes.extend_from_slice(&draft.seal(bytes.len() as u64, *durable));
        }
    });
    positions
}

#[test]
fn a_hole_in_the_last_batch_is_cut_and_one_before_it_is_refused() {
    for proven in [false, true] {
        let folder = folder();
        let ends = three_frames(&folder);
        let path = segment_file(&folder, 0);
        let end = ends[3];
        let positions = append_frames(&path, &[(end, 5), (end, 6), (end, 7)]);
        if proven {
            append_frames(&path, &[(positions[1] + 1, 8)]);
        }
        edit(&path, |bytes| bytes[positions[1] as usize + frame::HEADER_BYTES] ^= 1);
        if proven {
            let message = refusal(folder.path());
            assert!(message.contains(&format!("byte {}: ", positions[1])), "{message}");
            assert!(message.contains("proves"), "{message}");
        } else {
            let log = open(&folder, Options::default());
            assert_eq!(values(&read_all(&log, &ALL)), ["1", "2", "4", "5"]);
            assert_eq!(log.durable(), positions[1]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_of_which_any_sectors_are_missing_takes_nothing_else_with_it(missing: u64, sector_bytes in 16..64_usize) {
        let folder = folder();
        let ends = three_frames(&folder);
        let path = segment_file(&folder, 0);
        let end = ends[3] as usize;
        append_frames(&path, &[(ends[3], 5), (ends[3], 6), (ends[3], 7), (ends[3], 8), (ends[3], 9)]);
        edit(&path, |bytes| {
            for (number, sector) in bytes[end..].chunks_mut(sector_bytes).enumerate() {
                if missing >> (number % 64) & 1 == 1 {
                    sector.fill(0);
                }
            }
        });
        let log = open(&folder, Options::default());
        let found = values(&read_all(&log, &ALL));
        prop_assert!(found.len() >= 3);
        prop_assert_eq!(&found[..], &["1", "2", "4", "5", "6", "7", "8", "9"][..found.len()]);
    }
}

#[test]
fn what_looks_like_a_frame_inside_a_value_proves_nothing() {
    let folder = folder();
    let ends = three_frames(&folder);
    let forged = Draft::published(&[message(ORDERS, "k", "forged")]).seal(ends[1], u64::MAX);
    let log = open(&folder, Options::default());
    let value = Message { topic: ORDERS, key: Vec::new(), value: forged };
    let position = publish(&log, vec![value]);
    drop(log);
    edit(&segment_file(&folder, 0), |bytes| bytes[position as usize] ^= 1);
    check_kept(&open(&folder, Options::default()), 3);
}

#[test]
fn damage_while_the_log_is_open_is_found_by_whoever_reads_it() {
    let folder = folder();
    let log = open(&folder, Options { memory_bytes_max: 0, ..Options::default() });
    let position = publish(&log, vec![message(ORDERS, "k", "value")]);
    let file = fs::OpenOptions::new().write(true).open(segment_file(&folder, 0)).expect("writable");
    std::os::unix::fs::FileExt::write_all_at(&file, b"V", log.durable() - 5).expect("written");
    let mut reader = log.reader(&ALL, None);
    match reader.next(&Limits::default(), NO_WAIT) {
        Err(LogError::Damaged(message)) => assert!(message.contains(&format!("byte {position}: ")), "{message}"),
        other => panic!("expected damage, got {other:?}"),
    }
    assert!(matches!(log.read_record(position, 0), Err(LogError::Damaged(_))));
}

#[test]
fn positions_are_counted_through_segments() {
    let folder = folder();
    let mut expected = BTreeMap::new();
    let log = open(&folder, segments_of(400));
    for number in 0..40 {
        let consumer = format!("consumer {}", number % 3);
        publish(&log, vec![message(ORDERS, "k", "v")]);
        let mut session = assigned(&log, &consumer, &[ORDERS]);
        poll(&mut session);
        commit(&mut session, Vec::new(), Vec::new());
        expected.insert(consumer, session.committed());
    }
    drop(log);
    let log = open(&folder, segments_of(400));
    let found = log.consumers().into_iter().map(|consumer| (consumer.name, consumer.input));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
}
