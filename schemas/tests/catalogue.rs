//! `TOPICS.md` is the catalogue, written out: this test says when it is not.

use std::fmt::Write;

use schemas::topics::{CATALOGUE, Cleanup, DEAD_LETTERS, PARTITIONS, TOMBSTONES_KEPT_DAYS};

fn rendered() -> String {
    let mut text = format!(
        "# Topics\n\nMade from `src/topics.rs` and the schemas in `avro/`; `UPDATE_TOPICS=1 cargo test -p schemas --test catalogue` \
         writes it.\n\nValues are Avro in single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint in little endian, \
         then the datum; a changelog's are rows, whose bytes are their processor's own. Amounts are minor units (ISO 4217) with a currency; times are milliseconds since 1970, UTC. Keys are \
         UTF-8 text, but for a changelog's.\n\nPartitions, what is kept and the size of messages are Kafka's; the embedded log has one partition, and keeps all topics as long as `up \
         --log-retention` says, a year by default. A compacted topic keeps the last of each key, and a tombstone (a record without a value, which \
         deletes its key) for {TOMBSTONES_KEPT_DAYS} days: `delete.retention.ms`. KiB are those of `max.message.bytes`.\n\n\
         | # | topic | key | records | partitions | kept | KiB | what |\n|---|---|---|---|---|---|---|---|\n",
    );
    for topic in CATALOGUE {
        let kept = match topic.cleanup {
            Cleanup::Retain { days } => format!("{days} days"),
            Cleanup::Compact => "the last of each key".to_owned(),
        };
        let records: Vec<String> =
            topic.records.iter().map(|record| format!("[{record}](avro/{}.avsc)", file(record))).collect();
        let records = if records.is_empty() { "rows".to_owned() } else { records.join(", ") };
        let (number, name, key, partitions, doc) = (topic.number, topic.name, topic.key, topic.partitions, topic.doc);
        let kibibytes = topic.message_bytes_max >> 10;
        writeln!(text, "| {number} | `{name}` | `{key}` | {records} | {partitions} | {kept} | {kibibytes} | {doc} |")
            .expect("a string takes it");
    }
    text
}

fn file(record: &str) -> String {
    let mut name = String::new();
    for letter in record.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[test]
fn the_page_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/TOPICS.md");
    if std::env::var_os("UPDATE_TOPICS").is_some() {
        std::fs::write(path, rendered()).expect("the page can be written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(page, rendered(), "TOPICS.md is not up to date: UPDATE_TOPICS=1 cargo test -p schemas --test catalogue");
}

#[test]
fn every_record_has_its_file() {
    for record in CATALOGUE.iter().flat_map(|topic| topic.records) {
        let path = format!("{}/avro/{}.avsc", env!("CARGO_MANIFEST_DIR"), file(record));
        assert!(std::path::Path::new(&path).exists(), "{path}");
    }
}

/// A row is in the partition of the record that made it, and a restored store must not miss what was deleted.
#[test]
fn changelogs_are_compacted_and_partitioned_like_what_is_read_by_key() {
    let changelogs: Vec<_> = CATALOGUE.iter().filter(|topic| topic.name.ends_with("-changelog")).collect();
    assert_eq!(changelogs.len(), 4);
    for topic in changelogs {
        assert_eq!((topic.cleanup, topic.partitions), (Cleanup::Compact, PARTITIONS), "{}", topic.name);
    }
}

#[test]
fn a_dead_letter_holds_the_largest_record_of_any_topic() {
    const AROUND_BYTES: u32 = 64 << 10;
    for topic in CATALOGUE.iter().filter(|topic| topic.number != DEAD_LETTERS.number) {
        assert!(topic.message_bytes_max + AROUND_BYTES <= DEAD_LETTERS.message_bytes_max, "{}", topic.name);
    }
}
