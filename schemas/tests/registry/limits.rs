//! Files that are large, or not a registry at all.

use proptest::prelude::*;
use schemas::registry::{FILE_BYTES_MAX, Registry};

use super::faults::BASE;

#[test]
fn the_file_is_bounded() {
    let mut text = "#".repeat(FILE_BYTES_MAX);
    assert!(Registry::parse(&text).is_ok());
    text.push('\n');
    let faults = Registry::parse(&text).expect_err("too long").to_string();
    assert_eq!(faults, "line 1: the file has 67108865 bytes, must have at most 67108864");
}

#[test]
fn a_large_file_is_read() {
    // Many rules of one scope and many faults are where a cost that grows with the square would take minutes.
    let rule = |index: usize| format!("[[rules]]\nid = \"r{index}\"\nlevel = \"platform\"\npercent = \"1\"\n");
    let text: String = (0..100_000).map(rule).collect();
    assert!(Registry::parse(&text).is_ok());
    let faults = Registry::parse(&text.replace("\"1\"", "\"x\"")).expect_err("faulty");
    assert_eq!(faults.as_slice().len(), 100_000);
}

proptest! {
    #[test]
    fn no_text_panics(text in "([\\[\\]{}=\"'#,.\\n\\-a-z0-9_ ]|\\PC){0,200}") {
        let _ = Registry::parse(&text);
    }

    #[test]
    fn no_damaged_file_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\\[\\]{}=\"'#,.\\n a1]{0,3}"), 1..4),
    ) {
        let mut text: Vec<char> = BASE.chars().collect();
        for (start, length, replacement) in cuts {
            let start = start.index(text.len() + 1);
            let end = text.len().min(start + length.index(20));
            text.splice(start..end, replacement.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(faults) = Registry::parse(&text) {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(!faults.as_slice().is_empty());
            prop_assert!(faults.as_slice().iter().all(|fault| (1..=lines).contains(&fault.line)), "{faults}");
            prop_assert_eq!(faults.to_string().lines().count(), faults.as_slice().len());
        }
    }
}
