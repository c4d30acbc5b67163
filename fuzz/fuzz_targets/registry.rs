//! The registry file: a registry, or faults of which each has its line and none has a secret; and the entries of a registry
//! are a file of the same registry.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::registry::{Entries, Faults, Registry};

/// Most bytes of one fault: a value is shown with 80 characters, of which each may be escaped.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// What a secret has after `sk_live_` or `sk_test_`, at least.
const SECRET_REST_MIN: usize = 8;
/// Stands for whatever is hidden, whether it looks like a secret or not.
const CANARY: &str = "ca:na:ry:ca:na:ry";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Entries::parse(text);
    assert_eq!(Entries::parse(text), read);
    assert_eq!(Registry::parse(text).err(), read.clone().err());
    match read {
        Err(faults) => check_faults(text, &faults),
        Ok(entries) => check_entries(entries),
    }
    if let Some(text) = with_canaries(text)
        && let Err(faults) = Entries::parse(&text)
    {
        check_faults(&text, &faults);
        assert!(!faults.to_string().contains(CANARY), "{faults}");
    }
});

fn check_faults(text: &str, faults: &Faults) {
    let lines = 1 + text.matches('\n').count();
    assert!(!faults.as_slice().is_empty());
    assert!(faults.as_slice().is_sorted_by_key(|fault| fault.line));
    for fault in faults.as_slice() {
        let message = &fault.message;
        assert!((1..=lines).contains(&fault.line), "{fault}");
        assert!((1..=MESSAGE_BYTES_MAX).contains(&message.len()), "{fault}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
        assert!(!secrets(text).any(|secret| message.contains(secret)), "{fault}");
    }
}

/// What looks like a signing secret in a text.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let found = ["sk_live_", "sk_test_"].into_iter().flat_map(|prefix| text.match_indices(prefix));
    found.filter_map(|(at, prefix)| {
        let rest = &text[at..];
        let is_other = |character: char| !character.is_ascii_alphanumeric() && character != '_';
        let end = rest.find(is_other).unwrap_or(rest.len());
        (end >= prefix.len() + SECRET_REST_MIN).then(|| &rest[..end])
    })
}

fn check_entries(entries: Entries) {
    let text: String = entries.iter().map(|(_, definition)| definition.expose()).collect();
    assert_eq!(Entries::parse(&text), Ok(entries));
}

/// The same file with another text in each field whose value is never told; none if the file has that text already.
fn with_canaries(text: &str) -> Option<String> {
    let mut document: toml::Table = text.parse().ok()?;
    if toml::to_string(&document).ok()?.contains(CANARY) {
        return None;
    }
    for key in document.get_mut("keys")?.as_array_mut()? {
        let Some(key) = key.as_table_mut() else { continue };
        for field in ["id", "secret", "encrypted_secret"] {
            if let Some(value) = key.get_mut(field) {
                *value = toml::Value::from(CANARY);
            }
        }
    }
    toml::to_string(&document).ok()
}
