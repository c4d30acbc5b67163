//! `conversions dead-letters`, with processors that refuse records.

use std::fs;
use std::process::Output;
use std::time::Duration;

use schemas::ids::OrderKey;
use schemas::records::{ConversionReported, ConversionState, ConversionTransitioned, OrderStatus};
use schemas::topics::{CLICKS, CONVERSIONS, TRANSITIONS, TopicSpec};
use schemas::{Currency, Timestamp, encode};
use serde_json::Value;
use streams::Record;
use streams::kafka::partition;

use crate::apply::{SHOP, apply, printed};
use crate::installation::Installation;
use crate::support::text;
use crate::up::poll;

const DEADLINE: Duration = Duration::from_secs(60);

fn report(order: &str) -> ConversionReported {
    ConversionReported {
        event_id: format!("cnvevt_{order}"),
        merchant_id: "everest".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        click_id: Some("clk_everest_1".to_owned()),
        external_product_id: None,
        amount_minor: 10_000,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Pending,
        ordered_at: None,
        received_at: Timestamp(1_781_429_400_000),
        coupon_code: None,
        metadata: None,
        idempotency: None,
    }
}

fn key(order: &str) -> Vec<u8> {
    OrderKey { merchant_id: "everest", livemode: true, external_order_id: order }.to_bytes()
}

/// Waits until this order has transitions.
fn wait_for_order(installation: &Installation, order: &str) {
    poll(DEADLINE, || {
        let records = installation.read(&TRANSITIONS);
        records.iter().any(|record| record.key == key(order)).then_some(()).ok_or(format!("{order} has no transition"))
    });
}

/// The dead letters, once there are so many.
fn letters(installation: &Installation, count: usize) -> Vec<Value> {
    poll(DEADLINE, || {
        let listed = printed(&installation.run(&["dead-letters", "list", "--json"]));
        let letters: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        if letters.len() == count { Ok(letters) } else { Err(format!("not {count}: {letters:?}")) }
    })
}

/// The letter of the record with this key.
fn letter_of<'a>(letters: &'a [Value], topic: &TopicSpec, record: &Record) -> &'a Value {
    let place = |letter: &&Value| {
        letter["topic"] == topic.name
            && letter["recordPartition"] == record.partition
            && letter["recordOffset"] == record.offset
    };
    letters.iter().find(place).unwrap_or_else(|| panic!("no letter of {record:?}: {letters:?}"))
}

#[track_caller]
fn refused(output: &Output, expected: &str) {
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains(expected), "{expected}: {told}");
}

#[test]
fn refused_records_are_listed_shown_and_replayed() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    let mut processors = installation.start("processors", &[]);
    processors.url();
    let strange = [&[0xC3, 0x01][..], &[7; 8], b"\x02x"].concat();
    let negative = encode(&ConversionReported { amount_minor: -1, ..report("O-negative") });
    let poison = [
        (&CONVERSIONS, key("O-text"), &b"not avro, jane@example.com"[..], "undecodable"),
        (&CONVERSIONS, key("O-strange"), &strange, "undecodable"),
        (&CONVERSIONS, key("O-negative"), &negative, "out_of_range"),
        (&CLICKS, b"clk_x".to_vec(), b"not avro", "undecodable"),
    ];
    for (topic, key, value, _) in &poison {
        installation.write(topic, key, value);
    }
    // The partitions of the orders refused go on.
    let partitions = [partition(&key("O-text"), 2), partition(&key("O-negative"), 2)];
    for wanted in partitions {
        let order = (0..).map(|n| format!("O-good-{n}")).find(|order| partition(&key(order), 2) == wanted);
        let order = order.expect("some order is there");
        installation.write(&CONVERSIONS, &key(&order), &encode(&report(&order)));
        wait_for_order(&installation, &order);
    }
    let listed = letters(&installation, poison.len());
    let mut offsets = Vec::new();
    for (topic, key, _, reason) in &poison {
        let records = installation.read(topic);
        let record = records.iter().find(|record| record.key == key).expect("it was written");
        let letter = letter_of(&listed, topic, record);
        assert_eq!(letter["reason"], *reason, "{letter}");
        offsets.push(letter["offset"].to_string());
    }
    let table = printed(&installation.run(&["dead-letters", "list", "--limit", "3", "--since", "1h"]));
    assert!(table.starts_with("LETTER") && table.lines().count() == 4 && table.contains("undecodable"), "{table}");
    assert!(!table.contains("example.com"), "a value is listed");
    assert_eq!(printed(&installation.run(&["dead-letters", "list", "--json", "--since", "2100-01-01T00:00:00Z"])), "");

    let shown = printed(&installation.run(&["dead-letters", "show", &offsets[0]]));
    assert!(shown.contains("undecodable: the value has no Avro") && shown.contains("6e6f74206176726f"), "{shown}");
    let shown = printed(&installation.run(&["dead-letters", "show", &offsets[2]]));
    assert!(shown.contains("\"amountMinor\": -1") && shown.contains("out_of_range: "), "{shown}");
    refused(&installation.run(&["dead-letters", "show", "999999"]), "there is no dead letter 999999");

    replay(&installation, &offsets);
}

/// What comes back mended counts, and what does not decode is not written unless that is asked for.
fn replay(installation: &Installation, offsets: &[String]) {
    let [text, _, negative, _] = offsets else { panic!("not four: {offsets:?}") };
    let run = |more: &[&str]| installation.run(&[&["dead-letters", "replay"], more].concat());
    let before = installation.read(&CONVERSIONS).len();
    refused(&run(&[negative, text]), &format!("dead letter {text} would be refused again by orders: the value has no"));
    refused(&run(&[negative, text, "--json-file", "x"]), "name no other");
    assert_eq!(installation.read(&CONVERSIONS).len(), before, "all or none");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mended");
    let path = file.to_str().expect("UTF-8");
    let shown = printed(&installation.run(&["dead-letters", "show", "--json", negative]));
    let mut shown: Value = serde_json::from_str(&shown).expect("JSON");
    shown["value"]["ConversionReported"]["amountMinor"] = Value::from("x");
    fs::write(&file, shown["value"].to_string()).expect("a file");
    refused(&run(&[negative, "--json-file", path]), "is no ConversionReported: invalid type");
    shown["value"]["ConversionReported"]["amountMinor"] = Value::from(2_500);
    fs::write(&file, shown["value"].to_string()).expect("a file");
    let told = printed(&run(&[negative, "--json-file", path]));
    let records = installation.read(&CONVERSIONS);
    let of_order: Vec<&Record> = records.iter().filter(|record| record.key == key("O-negative")).collect();
    let [first, second] = of_order[..] else { panic!("not two: {of_order:?}") };
    assert_eq!(first.partition, second.partition);
    assert_eq!(told, format!("dead letter {negative} to conversions/{} at {}\n", second.partition, second.offset));
    wait_for_order(installation, "O-negative");

    fs::write(&file, encode(&report("O-text"))).expect("a file");
    for _ in 0..2 {
        printed(&run(&[text, "--value-file", path]));
    }
    wait_for_order(installation, "O-text");
    printed(&run(&[text, "--force"]));
    assert_eq!(letters(installation, 5).last().map(|letter| &letter["reason"]), Some(&Value::from("undecodable")));
    let transitions = installation.read(&TRANSITIONS);
    let timeline = transitions
        .iter()
        .filter(|record| record.key == key("O-text"))
        .flat_map(|record| schemas::decode::<ConversionTransitioned>(&record.value).expect("a transition").timeline);
    let received = timeline.filter(|entry| entry.state == ConversionState::Received).count();
    assert_eq!(received, 1, "twice replayed, once counted");
}
