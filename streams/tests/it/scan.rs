//! What a record reads is what the store, the step and the record itself have written, in this order.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use streams::Polled;

use crate::memory::{driver, record};
use crate::toy::hex;

/// Few bytes and short keys, so that prefixes, overwrites and the last byte there is are common.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(b'a'), Just(0xFE), Just(0xFF)], 0..4)
}

fn writes() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    vec((key(), option::weighted(0.7, vec(any::<u8>(), 0..3))), 0..20)
}

fn script(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> String {
    let command = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| match value {
        Some(value) => format!("put {} {};", hex(key), hex(value)),
        None => format!("delete {};", hex(key)),
    };
    writes.iter().map(command).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_scan_sees_every_layer(
        stored in writes(),
        stepped in writes(),
        staged in writes(),
        prefix in key(),
        rows_max in 0..12_usize,
    ) {
        let (mut driver, committed) = driver(vec![
            Polled::Assigned(vec![0]),
            // A timer beside the rows: the tables do not run into each other.
            Polled::Records(vec![record(0, "timer 5 t"), record(0, &script(&stored))]),
            Polled::Records(vec![
                record(0, &script(&stepped)),
                record(0, &format!("put x61 x00;put xff x00;{};refuse it", script(&staged))),
                record(0, &format!("{}scan {} {rows_max}", script(&staged), hex(&prefix))),
            ]),
        ]);
        for _ in 0..3 {
            driver.turn().expect("nothing goes wrong");
        }
        let mut model = BTreeMap::new();
        for (key, value) in stored.into_iter().chain(stepped).chain(staged) {
            model.insert(key, value);
        }
        let rows = model.iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        let expected: Vec<String> = rows
            .filter(|(key, _)| key.starts_with(&prefix))
            .take(rows_max)
            .map(|(key, value)| format!("{}={}", hex(key), hex(value)))
            .collect();
        let outputs = committed.lock().expect("no test panics with the lock");
        let found = String::from_utf8_lossy(&outputs.last().expect("an output").value).into_owned();
        prop_assert_eq!(found, expected.join(","));
    }
}
