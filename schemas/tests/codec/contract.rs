//! The `.avsc` files as a contract: explained, complete, equal to the Rust types, and changed only on purpose.

use schemas::codec::HEADER_BYTES;
use schemas::topics::CATALOGUE;
use serde_json::Value;

use super::{Shapes, cases};

/// The CRC-64-AVRO fingerprints of the schemas, as they stand in headers.
///
/// Changing one strands every value written before: a log or a state that holds such values needs the old schema too.
/// So a line here changes only before the first release, or together with a reader of the old schema.
const FINGERPRINTS: &str = "\
8ec890ae27bf6d42 ConversionReported
e22576db56fd0067 OrderStatusReported
fa6d0ba121745db4 ReviewDecided
5c3c12f4d27d511d TestClockAdvanced
2c47b68f5b04a64e ClickRecorded
3e861e854a7d112b ClickLookupRequested
abd2480f58ec2f6e ClickMatched
f3e6cdf2f45027a4 ConversionTransitioned
63c76f5a545b6c2d CommissionChanged
09765396cd840252 LedgerEntry
636167b107a8d580 BalanceChanged
bee04b123c748cc6 PayoutChanged
c6553450f6e2759a PayoutReported
b3a822f1af73c9b4 ConversionSettled
4f5ba33369e022e8 DeadLetter
9aa70adafeb06f22 RegistryEntryChanged
efe6d43fb2b11716 RegistrySealed
2a300d94e44f8e80 OrderState
fc77875bd86ca5ee AccountState
12bb2142ba2bbf02 PayoutsState
6bf66c6714c8bc76 WebhookAttempt
79246d21129338c9 WebhookOutcome
4b31df0ad1455304 WebhookOrder
50b7c718558517e0 WebhookEndpoint
";

#[test]
fn schemas_change_on_purpose() {
    let line = |name: &str, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex} {name}\n")
    };
    let lines = cases().into_iter().map(|case| line(case.name, &(case.encoded)(&[])[2..HEADER_BYTES]));
    let found: String = lines.collect();
    assert_eq!(found, FINGERPRINTS, "\n{found}");
}

#[test]
fn every_topics_records_have_a_schema() {
    let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    for topic in CATALOGUE {
        assert_eq!(topic.records.is_empty(), topic.name.ends_with("-changelog"), "{}", topic.name);
        for record in topic.records {
            assert!(names.contains(record), "{record} of {}", topic.name);
        }
    }
}

#[test]
fn every_schema_file_is_tested_here() {
    let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/avro")).expect("the schemas are there");
    let cases = cases();
    for entry in directory {
        let path = entry.expect("a directory entry").path();
        let text = std::fs::read_to_string(&path).expect("a schema file");
        assert!(cases.iter().any(|case| case.text == text), "no record is of {}", path.display());
    }
}

/// Calls `visit` with every named type in a schema, with where it stands.
fn walk(schema: &Value, place: &str, visit: &mut dyn FnMut(&Value, &str)) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| walk(branch, place, visit)),
        Value::Object(object) => match object["type"].as_str() {
            Some("record") => {
                visit(schema, place);
                for field in object["fields"].as_array().expect("a list") {
                    walk(&field["type"], &format!("{place}.{}", field["name"].as_str().expect("a name")), visit);
                }
            }
            Some("enum") => visit(schema, place),
            Some("array") => walk(&object["items"], place, visit),
            _ => walk(&object["type"], place, visit),
        },
        _ => (),
    }
}

#[test]
fn every_type_and_field_is_explained() {
    let explained = |value: &Value| value["doc"].as_str().is_some_and(|doc| !doc.trim().is_empty());
    for case in cases() {
        let schema: Value = serde_json::from_str(case.text).expect("JSON");
        assert_eq!(schema["name"], case.name);
        walk(&schema, case.name, &mut |found, place| {
            assert!(explained(found), "{place}: {} has no doc", found["name"]);
            for field in found["fields"].as_array().into_iter().flatten() {
                assert!(explained(field), "{place}.{} has no doc", field["name"]);
            }
        });
    }
}

/// An optional field that has no default could not be left out by a reader of an older schema.
#[test]
fn fields_that_may_be_null_are_so_by_default() {
    for case in cases() {
        let schema: Value = serde_json::from_str(case.text).expect("JSON");
        walk(&schema, case.name, &mut |found, place| {
            for field in found["fields"].as_array().into_iter().flatten() {
                if let Some(branches) = field["type"].as_array() {
                    let place = format!("{place}.{}", field["name"]);
                    assert_eq!(branches.len(), 2, "{place}");
                    assert_eq!(branches[0], "null", "{place}");
                    assert!(field.as_object().expect("a field").get("default").is_some_and(Value::is_null), "{place}");
                }
            }
        });
    }
}

#[test]
fn rust_types_have_the_names_fields_and_symbols_of_their_schemas() {
    for case in cases() {
        let schema: Value = serde_json::from_str(case.text).expect("JSON");
        let mut expected = Shapes::new();
        walk(&schema, case.name, &mut |found, _| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let field = |field: &Value| text(&field["name"]) + if field["type"].is_array() { "?" } else { "" };
            let parts = match found["fields"].as_array() {
                Some(fields) => fields.iter().map(field).collect(),
                None => found["symbols"].as_array().expect("an enumeration").iter().map(text).collect(),
            };
            expected.insert(text(&found["name"]), parts);
        });
        assert_eq!((case.shapes)(), expected, "{}", case.name);
    }
}
