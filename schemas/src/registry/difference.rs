//! What changes when one registry becomes another.

use std::collections::BTreeMap;
use std::fmt;

use super::fold::SEALED_KEY;
use super::{Definition, Entries, EntryKey, EntryKind};
use crate::encode;
use crate::records::{RegistryEntryChanged, RegistrySealed};

/// What becomes of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// It is new.
    Added(Definition),
    /// It is defined otherwise.
    Changed(Definition),
    /// It is gone.
    Removed,
}

/// The entries that differ between two registries. Prints what an operator wants to know, such as `2 merchants added,
/// 1 rule changed, 1 key removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference(BTreeMap<EntryKey, EntryChange>);

impl Difference {
    /// What makes `wanted` of `current`.
    #[must_use]
    pub fn between(current: &Entries, wanted: &Entries) -> Difference {
        let kept = wanted.iter().filter_map(|(key, definition)| {
            let change = match current.get(key) {
                Some(before) if before == definition => return None,
                Some(_) => EntryChange::Changed(definition.clone()),
                None => EntryChange::Added(definition.clone()),
            };
            Some((key.clone(), change))
        });
        let gone = current.iter().map(|(key, _)| key).filter(|key| wanted.get(key).is_none());
        Difference(kept.chain(gone.map(|key| (key.clone(), EntryChange::Removed))).collect())
    }

    /// Whether the registries are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&EntryKey, &EntryChange)> {
        self.0.iter()
    }

    /// The keys and values to write, in one transaction and in this order: every change, a tombstone for what is
    /// removed, and `seal`, which is that of the entries wanted.
    pub fn records(&self, seal: &RegistrySealed) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        let changes = self.0.iter().map(|(key, change)| {
            let value = match change {
                EntryChange::Added(definition) | EntryChange::Changed(definition) => {
                    let (section, id) = (key.kind.section().to_owned(), key.id.clone());
                    Some(encode(&RegistryEntryChanged { section, id, definition: definition.clone() }))
                }
                EntryChange::Removed => None,
            };
            (key.to_string().into_bytes(), value)
        });
        changes.chain([(SEALED_KEY.to_vec(), Some(encode(seal)))])
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changes");
        }
        let mut counts: BTreeMap<(u8, EntryKind), (usize, &str)> = BTreeMap::new();
        for (key, change) in &self.0 {
            let (rank, verb) = match change {
                EntryChange::Added(_) => (0, "added"),
                EntryChange::Changed(_) => (1, "changed"),
                EntryChange::Removed => (2, "removed"),
            };
            counts.entry((rank, key.kind)).or_insert((0, verb)).0 += 1;
        }
        for (index, ((_, kind), (count, verb))) in counts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let section = kind.section();
            match count {
                _ if kind.is_one_table() => write!(f, "{separator}{section} {verb}")?,
                1 => write!(f, "{separator}1 {} {verb}", section.trim_end_matches('s'))?,
                count => write!(f, "{separator}{count} {section} {verb}")?,
            }
        }
        Ok(())
    }
}
