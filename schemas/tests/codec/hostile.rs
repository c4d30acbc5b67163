//! Values that are not what they should be: refused with what is wrong, without a panic and without much memory.

use proptest::prelude::*;
use schemas::DecodeError;
use schemas::codec::{HEADER_BYTES, header_error};

use super::{Case, cases, entropy};

/// The value of a case with everything in it that can be.
fn full(case: &Case) -> Vec<u8> {
    (case.encoded)(&[1; 4_096])
}

#[test]
fn a_truncated_value_is_refused_wherever_it_ends() {
    for case in cases() {
        for value in [full(&case), (case.encoded)(&[]), (case.encoded)(&[7; 4_096])] {
            for end in 0..value.len() {
                let refused = (case.decode)(&value[..end]).expect_err(case.name);
                let datum = matches!(refused, DecodeError::Invalid { record, .. } if record == case.name);
                assert_eq!(datum, end >= HEADER_BYTES, "{} cut to {end}: {refused}", case.name);
            }
        }
    }
}

#[test]
fn bytes_left_over_are_refused() {
    for case in cases() {
        let mut value = full(&case);
        value.push(0);
        let message = "1 bytes are left over".to_owned();
        assert_eq!((case.decode)(&value), Err(DecodeError::Invalid { record: case.name, message }));
    }
}

#[test]
fn headers_are_told_apart() {
    #[track_caller]
    fn check(value: &[u8], expected: &str) {
        for case in cases() {
            let expected = expected.replace("{}", case.name);
            assert_eq!((case.decode)(value).expect_err(case.name).to_string(), expected);
            assert_eq!(header_error(value, case.name).to_string(), expected);
        }
    }
    check(b"", "the value has no Avro single-object header (it begins with nothing)");
    check(&[0], "the value has no Avro single-object header (it begins with 00)");
    check(&[0; 4], "the value has no Avro single-object header (it begins with 00000000)");
    check(&[0; 5], "the value is framed for a Confluent schema registry, which is not supported");
    check(b"\0\0\0\0\x07datum", "the value is framed for a Confluent schema registry, which is not supported");
    check(b"{\"eventId\":1}", "the value has no Avro single-object header (it begins with 7b226576656e74496422)");
    check(&[0xC3, 0x01], "the value has no Avro single-object header (it begins with c301)");
    check(
        &[0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7],
        "the value has no Avro single-object header (it begins with c30101020304050607)",
    );
    check(&[0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9], "schema fingerprint 0102030405060708 is not of {}");
    check(
        &[0xC3, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        "the value has no Avro single-object header (it begins with c3020102030405060708)",
    );
}

#[test]
fn any_other_bit_in_the_header_is_another_header() {
    for case in cases() {
        let value = full(&case);
        for bit in 0..HEADER_BYTES * 8 {
            let mut other = value.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!(case.is)(&other), "{} bit {bit}", case.name);
            let refused = (case.decode)(&other).expect_err(case.name);
            assert!(!matches!(refused, DecodeError::Invalid { .. }), "{} bit {bit}: {refused}", case.name);
        }
    }
}

#[test]
fn no_datum_panics() {
    let cases = cases();
    let headers: Vec<Vec<u8>> = cases.iter().map(|case| full(case)[..HEADER_BYTES].to_vec()).collect();
    // Small bytes too, since as varints they are the lengths and branches that lead deep into a record.
    let datum = prop::collection::vec(prop_oneof![any::<u8>(), 0..6u8], 0..300);
    proptest!(|(datum in datum)| {
        for (case, header) in cases.iter().zip(&headers) {
            let _ = (case.decode)(&[&header[..], &datum].concat());
        }
    });
}

#[test]
fn no_damaged_datum_panics() {
    let cases = cases();
    let damage = (any::<prop::sample::Index>(), any::<u8>());
    proptest!(|(entropy in entropy(), damage in prop::collection::vec(damage, 1..4))| {
        for case in &cases {
            let mut value = (case.encoded)(&entropy);
            for (place, byte) in &damage {
                let place = HEADER_BYTES + place.index(value.len() - HEADER_BYTES);
                value[place] = *byte;
            }
            let _ = (case.decode)(&value);
        }
    });
}

/// The most memory this process has had so far, in bytes; `None` where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[test]
fn a_length_that_is_not_there_takes_no_memory() {
    // Zigzag varints of 400,000,000 and of the extremes, put over every byte of a value in turn.
    let varint = |number: i64| {
        let mut zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
        let mut bytes = Vec::new();
        while zigzag > 0x7F {
            bytes.push((zigzag as u8) | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    };
    let before = peak_memory();
    for case in cases() {
        let value = full(&case);
        for number in [400_000_000, -400_000_000, i64::MAX, i64::MIN] {
            for place in HEADER_BYTES..value.len() {
                let hostile = [&value[..place], &varint(number), &value[place + 1..]].concat();
                let _ = (case.decode)(&hostile);
            }
        }
    }
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(after - before < 100_000_000, "{} bytes more", after - before);
    }
}
