//! The registry as a topic: written change by change, compacted, and folded again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::records::{RegistryEntryChanged, RegistrySealed};
use schemas::registry::{Difference, Entries, Fold, FoldError, Folded, Registry, SEALED_KEY, Secrets};
use schemas::{Timestamp, decode, encode};

use super::entries::{entries, whole};
use super::faults::BASE;

pub(crate) type Record = (Vec<u8>, Option<Vec<u8>>);

/// A topic, and how `apply` writes to it.
#[derive(Clone, Default)]
struct Topic {
    records: Vec<Record>,
    present: Entries,
    version: i64,
}

impl Topic {
    fn of(texts: &[&str]) -> Topic {
        let mut topic = Topic::default();
        texts.iter().for_each(|text| topic.apply(text));
        topic
    }

    fn apply(&mut self, text: &str) {
        let wanted = entries(text);
        self.version += 1;
        let seal = wanted.seal(self.version, Timestamp(self.version * 1_000));
        self.records.extend(Difference::between(&self.present, &wanted).records(&seal));
        self.present = wanted;
    }

    /// Keeps the last of each key among the first `count` records, each where it was.
    fn compact(&mut self, count: usize) {
        let last: BTreeMap<&[u8], usize> =
            self.records[..count].iter().enumerate().map(|(index, (key, _))| (&**key, index)).collect();
        let keep: Vec<bool> =
            (0..self.records.len()).map(|index| index >= count || last[&*self.records[index].0] == index).collect();
        let mut keep = keep.into_iter();
        self.records.retain(|_| keep.next() == Some(true));
    }

    fn fold(&self) -> Fold {
        let mut fold = Fold::default();
        for (key, value) in &self.records {
            let _ = fold.apply(key, value.as_deref());
        }
        fold
    }
}

fn present(fold: &Fold) -> String {
    whole(&fold.registry(Secrets::Leave).unwrap_or_else(|error| panic!("{error}")))
}

fn of_file(text: &str) -> String {
    whole(&Registry::parse(text).expect("valid"))
}

fn changed() -> String {
    BASE.replace("percent = \"5\"", "percent = \"6\"").replace(
        "[[clicks]]\nid = \"k\"\nlink = \"l\"\nclicked_at = \"2026-01-01T00:00:00Z\"\n",
        "[[merchants]]\nid = \"n\"\nname = \"N\"\n",
    )
}

#[test]
fn what_is_folded_is_what_was_applied() {
    for text in [BASE, "", include_str!("../../../examples/registry.toml"), "[policies]\nclick_wait = \"1s\"\n"] {
        let fold = Topic::of(&[text]).fold();
        assert_eq!(present(&fold), of_file(text));
        assert_eq!((fold.entries(), fold.seal().map(|seal| seal.version)), (&entries(text), Some(1)));
    }
}

#[test]
fn a_reader_switches_at_seals_only() {
    let changed = changed();
    let topic = Topic::of(&[BASE, &changed, BASE]);
    let (mut fold, mut seen) = (Fold::default(), Vec::new());
    for (key, value) in &topic.records {
        match fold.apply(key, value.as_deref()).expect("it folds") {
            Folded::Seal => seen.push(present(&fold)),
            Folded::Entry => assert!(fold.registry(Secrets::Leave).is_err(), "between two seals there is none"),
        }
    }
    assert_eq!(seen, [of_file(BASE), of_file(&changed), of_file(BASE)]);
    assert_eq!(topic.records.len(), 8 + 4 + 4, "only what changes is written");
    let tombstones: Vec<_> = topic.records.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| &**key).collect();
    assert_eq!(tombstones, [&b"clicks/k"[..], b"merchants/n"]);
}

#[test]
fn no_registry_before_the_first_seal() {
    assert_eq!(Fold::default().registry(Secrets::Leave).expect_err("empty"), FoldError::Unsealed);
    let mut topic = Topic::of(&[BASE]);
    topic.records.pop();
    assert_eq!(topic.fold().registry(Secrets::Leave).expect_err("unsealed"), FoldError::Unsealed);
    topic.records.push((SEALED_KEY.to_vec(), None));
    assert_eq!(topic.fold().registry(Secrets::Leave).expect_err("unsealed"), FoldError::Unsealed);
}

/// Folds [`BASE`] after `change`, and expects the error of its end.
#[track_caller]
fn check_damage(change: impl FnOnce(&mut Vec<Record>), expected: &str) {
    let mut topic = Topic::of(&[BASE]);
    change(&mut topic.records);
    let error = topic.fold().registry(Secrets::Leave).expect_err(expected).to_string();
    assert!(error.starts_with(expected), "{error}");
    assert!(!error.contains("0123456789"), "{error}");
    // The next change heals it, if it writes what is damaged anew.
    let seal = topic.present.seal(2, Timestamp(0));
    topic.records.extend(Difference::between(&topic.fold().entries().clone(), &topic.present).records(&seal));
    assert_eq!(present(&topic.fold()), of_file(BASE));
}

fn put(records: &mut Vec<Record>, key: &str, toml: &str) {
    let (section, id) = key.split_once('/').expect("a key");
    // Through the record's bytes, since only a file makes a definition.
    let value = json(section, id, toml);
    let at = records.iter().position(|(other, _)| other == key.as_bytes()).unwrap_or(0);
    if records[at].0 == key.as_bytes() {
        records[at].1 = Some(value);
    } else {
        records.insert(0, (key.as_bytes().to_vec(), Some(value)));
    }
}

fn json(section: &str, id: &str, definition: &str) -> Vec<u8> {
    let record = serde_json::json!({ "section": section, "id": id, "definition": definition });
    encode(&serde_json::from_value::<RegistryEntryChanged>(record).expect("a record"))
}

/// Seals what stands, as a writer with another idea of a registry would.
fn seal_anew(records: &mut Vec<Record>) {
    records.pop();
    let mut topic = Topic::default();
    topic.records.clone_from(records);
    let seal = topic.fold().entries().seal(1, Timestamp(0));
    records.push((SEALED_KEY.to_vec(), Some(encode(&seal))));
}

#[test]
fn what_is_not_what_was_sealed_is_no_registry() {
    let incomplete = "version 1 of the registry was sealed over 7 entries, and the";
    check_damage(|records| drop(records.remove(2)), &format!("{incomplete} 6 that were read"));
    check_damage(
        |records| put(records, "merchants/z", "[[merchants]]\nid = \"z\"\nname = \"Z\"\n"),
        &format!("{incomplete} 8"),
    );
    check_damage(
        |records| put(records, "merchants/m", "[[merchants]]\nid = \"m\"\nname = \"X\"\n"),
        &format!("{incomplete} 7"),
    );
    check_damage(|records| records[1].1 = Some(b"nonsense".to_vec()), &format!("{incomplete} 6"));
    check_damage(
        |records| {
            let key = records.iter().position(|(key, _)| key.starts_with(b"keys/")).expect("a key");
            records[key].1 = Some(json("keys", "live_pk_other", "[[keys]]\n"));
        },
        &format!("{incomplete} 6"),
    );
    check_damage(
        |records| {
            let mut seal: RegistrySealed = decode(records[7].1.as_ref().expect("a value")).expect("a seal");
            seal.entries += 1;
            records[7].1 = Some(encode(&seal));
        },
        "version 1 of the registry was sealed over 8 entries",
    );
    check_damage(|records| records[7].1 = Some(b"nonsense".to_vec()), "the topic has no sealed registry yet");
}

#[test]
fn what_was_sealed_is_checked_like_a_file() {
    let faults = "version 1 of the registry has faults: ";
    let sealed = |key: &str, toml: &str, expected: &str| {
        check_damage(
            |records| {
                put(records, key, toml);
                seal_anew(records);
            },
            &format!("{faults}{expected}"),
        );
    };
    sealed("links/l", "[[links]]\nid = \"l\"\n", "links/l: links.affiliate must be given; links/l: links.campaign");
    sealed(
        "rules/r",
        "[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"x\"\n",
        "rules/r: rules.percent \"x\" must",
    );
    sealed(
        "rules/r",
        "[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"5\"\nfuture = 1\n",
        "rules/r: rules field \"future\" must be one of",
    );
    sealed(
        "keys/live_pk_base",
        "[[keys]]\nsecret = \"sk_live_0123456789abcdef",
        "keys/live_pk_base: must be valid TOML",
    );
    let (own, foreign) = ("its definition is not one table of its own", "defined under another entry's key");
    let other = "[[merchants]]\nid = \"y\"\nname = \"Y\"\n";
    sealed("merchants/x", "", &format!("merchants/x: {own}"));
    sealed("rules/r", "[policies]\nclick_wait = \"1s\"\n", &format!("policies: {foreign}"));
    sealed("merchants/x", other, &format!("merchants/y: {foreign}"));
    let rule = "[[rules]]\nid = \"r\"\nlevel = \"platform\"\npercent = \"5\"\n";
    sealed("rules/r", &format!("{rule}{other}"), &format!("merchants/y: {foreign}"));
}

#[test]
fn a_record_that_does_not_fold_says_which_and_takes_its_entry_away() {
    #[track_caller]
    fn check(key: &[u8], value: &[u8], expected: &str) {
        let mut fold = Topic::of(&[BASE]).fold();
        let error = fold.apply(key, Some(value)).expect_err(expected).to_string();
        assert_eq!(error, expected);
        // Whether the entry was known or not: compaction may have left the former one or not.
        let known = entries(BASE).iter().filter(|(known, _)| known.to_string().as_bytes() != key).count();
        assert_eq!(fold.entries().len(), known);
    }
    let secret = "[[keys]]\nsecret = \"sk_live_0123456789abcdef\"\n";
    check(
        b"merchant/m",
        b"",
        "a record of the registry has a key that is none: key \"merchant/m\" must be a section of the registry, '/' and an id of 1 to 128 visible ASCII characters",
    );
    check(
        b"merchants/m",
        b"",
        "the registry's record merchants/m does not decode: the value has no Avro single-object header (it begins with nothing)",
    );
    check(b"merchants/m", &json("merchants", "n", secret), "the registry's record merchants/m defines another entry");
    check(b"merchants/m", &json("keys", "m", secret), "the registry's record merchants/m defines another entry");
    check(
        b"keys/sk_live_0123456789abcdef",
        &json("keys", "x", secret),
        "the registry's record keys/(hidden) defines another entry",
    );
    let record = json("keys", "live_pk_x", secret);
    check(
        b"keys/live_pk_x",
        &record[..record.len() - 1],
        "the registry's record keys/live_pk_x does not decode: the value is no RegistryEntryChanged: Unexpected end of slice while deserializing",
    );
    assert!(!format!("{:?}", Topic::of(&[BASE]).fold()).contains("0123456789"));
}

#[test]
fn what_is_folded_is_bounded() {
    let mut fold = Fold::default();
    let blank = " ".repeat(32 << 20);
    let value = |number: usize| json("merchants", &format!("m{number}"), &blank);
    for number in 0..4 {
        let key = format!("merchants/m{number}");
        assert_eq!(fold.apply(key.as_bytes(), Some(&value(number))), Ok(Folded::Entry));
    }
    let error = fold.apply(b"merchants/m4", Some(&value(4))).expect_err("too much").to_string();
    assert_eq!(error, "the registry's record merchants/m4 takes its entries past 134217728 bytes: remove entries");
    // What takes another's place does not add to it, and what is removed makes room.
    assert_eq!(fold.apply(b"merchants/m3", Some(&value(3))), Ok(Folded::Entry));
    assert_eq!(fold.apply(b"merchants/m3", None), Ok(Folded::Entry));
    assert_eq!(fold.apply(b"merchants/m3", None), Ok(Folded::Entry));
    assert_eq!(fold.apply(b"merchants/m4", Some(&value(4))), Ok(Folded::Entry));
}

/// A registry of a few entries that come, go and change.
fn registry() -> impl Strategy<Value = String> {
    let percents = prop::collection::vec(prop::option::of(0..3u8), 4);
    (percents, prop::option::of(1..3u8), any::<bool>()).prop_map(|(percents, wait, key)| {
        let rule = |(index, percent): (usize, &Option<u8>)| match percent {
            Some(percent) => format!("[[rules]]\nid = \"r{index}\"\nlevel = \"platform\"\npercent = \"{percent}\"\n"),
            None => String::new(),
        };
        let rules: String = percents.iter().enumerate().map(rule).collect();
        let policies = wait.map(|wait| format!("[policies]\nclick_wait = \"{wait}s\"\n")).unwrap_or_default();
        let base = if key { BASE } else { "" };
        format!("{policies}{base}{rules}")
    })
}

proptest! {
    /// A reader that comes late reads what compaction left; the registry is that of the last change all the same.
    #[test]
    fn compaction_changes_nothing(texts in prop::collection::vec(registry(), 1..8), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3)) {
        let mut topic = Topic::default();
        let mut cuts = cuts.into_iter();
        for text in &texts {
            topic.apply(text);
            if let Some(cut) = cuts.next() {
                topic.compact(cut.index(topic.records.len() + 1));
            }
        }
        prop_assert_eq!(present(&topic.fold()), of_file(texts.last().expect("at least one")));
    }
}
