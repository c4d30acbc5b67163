//! One entry of the registry: its key on the topic, and its definition.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::faults::{HIDDEN, shown};

/// Most characters of an entry's id: a click's, the longest there is.
const ID_CHARACTERS_MAX: usize = 128;

/// What an entry is: the section of the registry file that its table stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// `[policies]`, of which there is one at most.
    Policies,
    /// `[[merchants]]`
    Merchant,
    /// `[[keys]]`
    Key,
    /// `[[affiliates]]`
    Affiliate,
    /// `[[campaigns]]`
    Campaign,
    /// `[[links]]`
    Link,
    /// `[[rules]]`
    Rule,
    /// `[[clicks]]`
    Click,
    /// `[[coupons]]`
    Coupon,
    /// `[[endpoints]]`
    Endpoint,
}

impl EntryKind {
    /// Every kind, in the order of the file's sections.
    pub(super) const ALL: [EntryKind; 10] = [
        EntryKind::Policies,
        EntryKind::Merchant,
        EntryKind::Key,
        EntryKind::Affiliate,
        EntryKind::Campaign,
        EntryKind::Link,
        EntryKind::Rule,
        EntryKind::Click,
        EntryKind::Coupon,
        EntryKind::Endpoint,
    ];

    /// The section's name in the file and in keys.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            EntryKind::Policies => "policies",
            EntryKind::Merchant => "merchants",
            EntryKind::Key => "keys",
            EntryKind::Affiliate => "affiliates",
            EntryKind::Campaign => "campaigns",
            EntryKind::Link => "links",
            EntryKind::Rule => "rules",
            EntryKind::Click => "clicks",
            EntryKind::Coupon => "coupons",
            EntryKind::Endpoint => "endpoints",
        }
    }

    /// Whether the section is one table, and not one for each id.
    pub(super) fn is_one_table(self) -> bool {
        match self {
            EntryKind::Policies => true,
            EntryKind::Merchant
            | EntryKind::Key
            | EntryKind::Affiliate
            | EntryKind::Campaign
            | EntryKind::Link
            | EntryKind::Rule
            | EntryKind::Click
            | EntryKind::Coupon
            | EntryKind::Endpoint => false,
        }
    }
}

/// What an entry is told apart by; on the topic `merchants/himal-outdoor`, or `policies` alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    /// The section.
    pub kind: EntryKind,
    /// The id, unique in its section; empty for the policies.
    pub id: String,
}

/// Why bytes are no entry's key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "key {0} must be a section of the registry, '/' and an id of 1 to {ID_CHARACTERS_MAX} visible ASCII characters"
)]
pub struct EntryKeyError(String);

impl EntryKey {
    /// Reads what its `Display` writes.
    ///
    /// # Errors
    /// The bytes are no entry's key.
    pub fn parse(bytes: &[u8]) -> Result<EntryKey, EntryKeyError> {
        let text = String::from_utf8_lossy(bytes);
        let (section, id) = text.split_once('/').map_or((&*text, None), |(section, id)| (section, Some(id)));
        let kind = EntryKind::ALL.into_iter().find(|kind| kind.section() == section);
        let is_id =
            |id: &&str| (1..=ID_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        match (kind, id) {
            (Some(kind), None) if kind.is_one_table() => Ok(EntryKey { kind, id: String::new() }),
            (Some(kind), Some(id)) if !kind.is_one_table() && is_id(&id) => Ok(EntryKey { kind, id: id.to_owned() }),
            (Some(_) | None, Some(_) | None) => Err(EntryKeyError(shown(&text))),
        }
    }

    /// The key as people are shown it: without an id that may be a secret put into the wrong place.
    #[must_use]
    pub fn shown(&self) -> String {
        match shown(&self.id) {
            hidden if hidden == HIDDEN => format!("{}/{HIDDEN}", self.kind.section()),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.is_one_table() {
            true => f.write_str(self.kind.section()),
            false => write!(f, "{}/{}", self.kind.section(), self.id),
        }
    }
}

/// An entry as one table of the registry file, in the one form that [`super::Entries::parse`] gives it. A key's and an
/// endpoint's hold signing secrets: neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(String);

impl Definition {
    pub(super) fn new(table: String) -> Definition {
        Definition(table)
    }

    /// The TOML itself, to be read as part of a registry file and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(EntryKind, &str)>) {
        let found = EntryKey::parse(text.as_bytes());
        let expected = expected.map(|(kind, id)| EntryKey { kind, id: id.to_owned() });
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{text}");
        if let Ok(key) = found {
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn keys_read_back() {
        check("policies", Some((EntryKind::Policies, "")));
        check("merchants/himal-outdoor", Some((EntryKind::Merchant, "himal-outdoor")));
        check("keys/live_pk_1", Some((EntryKind::Key, "live_pk_1")));
        check("clicks/a/b", Some((EntryKind::Click, "a/b")));
        check("coupons/ten", Some((EntryKind::Coupon, "ten")));
        check("endpoints/shop", Some((EntryKind::Endpoint, "shop")));
        check(&format!("rules/{}", "r".repeat(128)), Some((EntryKind::Rule, &"r".repeat(128))));
        for text in ["", "/", "sealed", "merchants", "merchants/", "policies/", "policies/x", "merchant/m", "links/a b"]
        {
            check(text, None);
        }
        check(&format!("rules/{}", "r".repeat(129)), None);
        assert!(EntryKey::parse(b"links/\xff").is_err());
    }

    #[test]
    fn a_key_that_is_none_is_shown_unless_a_secret_may_be_in_it() {
        let shown = |text: &str| EntryKey::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(shown("merchant/m").starts_with("key \"merchant/m\" must be a section"), "{}", shown("merchant/m"));
        assert!(shown("sk_live_0123456789abcdef").starts_with("key (hidden) must"));
    }
}
