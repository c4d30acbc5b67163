//! The registry taken apart into entries, and what differs between two.

use proptest::prelude::*;
use schemas::Timestamp;
use schemas::registry::{Definition, Difference, Entries, EntryKey, Registry};

use super::faults::BASE;

pub(crate) fn entries(text: &str) -> Entries {
    Entries::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Everything in a registry, secrets too.
pub(crate) fn whole(registry: &Registry) -> String {
    let secrets: Vec<&str> = registry.keys().map(|key| key.secret.expose()).collect();
    format!("{registry:?} {secrets:?}")
}

/// The entries written as one file.
fn joined(entries: &Entries) -> String {
    entries.iter().map(|(_, definition)| definition.expose()).collect()
}

#[track_caller]
fn defined(entries: &Entries, key: &str) -> String {
    let key = EntryKey::parse(key.as_bytes()).expect("a key");
    entries.get(&key).map(Definition::expose).unwrap_or_else(|| panic!("{key} is there")).to_owned()
}

const EXAMPLE: &str = include_str!("../../../examples/registry.toml");

#[test]
fn an_entry_is_one_table_of_the_file() {
    let entries = entries(EXAMPLE);
    for (key, expected) in [
        (
            "policies",
            "[policies]\nclick_wait = \"60s\"\nlookback = \"30d\"\nsettlement_window = \"30d\"\nreturn_window = \"14d\"\nclick_retention = \"120d\"\nmin_click_to_order = \"0s\"\n",
        ),
        (
            "merchants/tokyo-tea",
            "[[merchants]]\nid = \"tokyo-tea\"\nname = \"東京ティー\"\ncurrency = \"JPY\"\napproved = false\n",
        ),
        (
            "keys/test_pk_himal",
            "[[keys]]\nid = \"test_pk_himal\"\nmerchant = \"himal-outdoor\"\nsecret = \"sk_test_replace_me_himal\"\n",
        ),
        ("campaigns/tokyo-tea-always", "[[campaigns]]\nid = \"tokyo-tea-always\"\nmerchant = \"tokyo-tea\"\n"),
        ("rules/platform-default", "[[rules]]\nid = \"platform-default\"\nlevel = \"platform\"\npercent = \"5\"\n"),
        (
            "clicks/clk_7Tn3x9b2qa",
            "[[clicks]]\nid = \"clk_7Tn3x9b2qa\"\nlink = \"trek-blog-dashain\"\nclicked_at = \"2026-10-03T18:20:00+05:45\"\n",
        ),
    ] {
        assert_eq!(defined(&entries, key), expected, "{key}");
    }
    let keys: Vec<String> = entries.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys.len(), 23, "{keys:?}");
    assert_eq!(keys[..3], ["policies", "merchants/himal-outdoor", "merchants/tokyo-tea"]);
}

#[test]
fn what_says_the_same_has_the_same_entries() {
    #[track_caller]
    fn check(text: &str) {
        let same = entries(text);
        assert!(Difference::between(&entries(BASE), &same).is_empty(), "{text}");
        assert_eq!(same, entries(BASE), "{text}");
    }
    check(BASE);
    check(&BASE.replace('\n', "\r\n"));
    check(&BASE.replace(" = ", "=").replace("[[rules]]", "\n# a remark\n  [[ rules ]] # another"));
    check(&BASE.replace("\"2026-01-01T00:00:00Z\"", "2026-01-01T00:00:00Z"));
    check(&BASE.replace("id = \"l\"", "id = '''l'''"));
    check(&BASE.replace("id = \"l\"", "\"id\" = \"\\u006c\""));
    check(&format!("[policies]\n{BASE}"));
    let tables: Vec<String> = BASE.split("[[").skip(1).map(|table| format!("[[{table}")).collect();
    check(&tables.iter().rev().map(String::as_str).collect::<String>());
    let inline = "merchants = [{ name = \"M\", id = \"m\" }]\n";
    check(&format!("{inline}{}", BASE.replace("[[merchants]]\nid = \"m\"\nname = \"M\"\n", "")));
    assert!(entries("").is_empty());
    assert!(entries("merchants = []\n[policies]\n# nothing\n").is_empty());
}

#[test]
fn a_faulty_file_has_no_entries() {
    let faults = Entries::parse("[[merchants]]\nid = \"m\"").expect_err("faulty");
    assert_eq!(faults.to_string(), "line 1: merchants.name must be given");
}

#[test]
fn entries_are_bounded_like_the_file() {
    // Two characters each in the file, and six as an entry.
    let product = "\\e".repeat(160);
    let rule = |number: usize| {
        format!("{{id=\"{number}\",level=\"product\",merchant=\"m\",product=\"{product}\",percent=\"1\"}},")
    };
    let rules: String = (0..66_000).map(rule).collect();
    let text = format!("merchants=[{{id=\"m\",name=\"M\"}}]\nrules=[{rules}]");
    assert!(text.len() < 64 << 20, "{}", text.len());
    let faults = Entries::parse(&text).err().map(|faults| faults.to_string()).unwrap_or_default();
    assert!(faults.starts_with("line 1: the file's entries have ") && faults.ends_with("67108864"), "{faults}");
}

#[test]
fn a_difference_says_what_an_operator_wants_to_know() {
    #[track_caller]
    fn check(before: &str, after: &str, expected: &str) {
        assert_eq!(Difference::between(&entries(before), &entries(after)).to_string(), expected);
    }
    let merchant = |id: &str| format!("[[merchants]]\nid = \"{id}\"\nname = \"N\"\n");
    let key = "[[keys]]\nid = \"live_pk_base\"\nmerchant = \"m\"\nsecret = \"sk_live_0123456789abcdef\"\n";
    check(BASE, BASE, "nothing changes");
    check("", "", "nothing changes");
    check(BASE, &format!("{BASE}{}", merchant("n")), "1 merchant added");
    check(BASE, &format!("[policies]\nlookback = \"7d\"\n{BASE}"), "policies added");
    let changed = format!(
        "{}{}{}",
        BASE.replace(key, "").replace("percent = \"5\"", "percent = \"6\""),
        merchant("n"),
        merchant("o")
    );
    check(BASE, &changed, "2 merchants added, 1 rule changed, 1 key removed");
    check(&changed, BASE, "1 key added, 1 rule changed, 2 merchants removed");
    check(BASE, &BASE.replace("0123456789abcdef", "fedcba9876543210"), "1 key changed");
    check(
        "",
        BASE,
        "1 merchant added, 1 key added, 1 affiliate added, 1 campaign added, 1 link added, 1 rule added, 1 click added",
    );
    check(
        BASE,
        "",
        "1 merchant removed, 1 key removed, 1 affiliate removed, 1 campaign removed, 1 link removed, 1 rule removed, 1 click removed",
    );
}

#[test]
fn nothing_printed_holds_a_secret() {
    let (before, after) = (entries(""), entries(BASE));
    let difference = Difference::between(&before, &after);
    let seal = after.seal(1, Timestamp(0));
    for printed in [format!("{after:?}"), format!("{difference:?} {difference}"), format!("{seal:?}")] {
        assert!(!printed.contains("0123456789"), "{printed}");
    }
    assert!(format!("{difference:?}").contains("live_pk_base"), "the keys are in it");
}

proptest! {
    /// Texts that need escapes, in the fields that take any text.
    #[test]
    fn entries_are_the_registry(name in "[^\\p{Cc}]{1,20}", product in "(\\PC|\\p{Cc}|['\"\\\\\\n\\r]){1,12}", moved in any::<bool>()) {
        prop_assume!(!name.trim().is_empty());
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let merchant = format!("[[merchants]]\nname = {}\nid = \"p\"\n", quoted(&name));
        let rule = format!(
            "[[rules]]\npercent = \"1\"\nproduct = {}\nmerchant = \"p\"\nlevel = \"product\"\nid = \"p\"\n", quoted(&product)
        );
        let text = if moved { format!("{rule}{BASE}{merchant}") } else { format!("{BASE}{merchant}{rule}") };
        let entries = entries(&text);
        let again = joined(&entries);
        let (mine, theirs) = (Registry::parse(&text), Registry::parse(&again));
        prop_assert_eq!(whole(&mine.expect("valid")), whole(&theirs.unwrap_or_else(|faults| panic!("{faults}\n{again}"))));
        prop_assert_eq!(Entries::parse(&again).expect("valid"), entries);
    }

    #[test]
    fn whatever_parses_splits(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\\[\\]{}=\"'#,.\\n a1]{0,3}"), 1..3),
    ) {
        let mut text: Vec<char> = BASE.chars().collect();
        for (start, length, replacement) in cuts {
            let start = start.index(text.len() + 1);
            let end = text.len().min(start + length.index(4));
            text.splice(start..end, replacement.chars());
        }
        let text: String = text.into_iter().collect();
        prop_assert_eq!(Entries::parse(&text).err(), Registry::parse(&text).err());
    }
}
