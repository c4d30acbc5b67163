//! The registry as entries: what the file holds, and what stands on the topic.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::file::EncryptedSecrets;
use super::{Definition, EntryKey, Faults, Registry, file};
use crate::Timestamp;
use crate::records::RegistrySealed;

/// Most faults that are told of entries that are no registry.
const FAULTS_TOLD_MAX: usize = 10;

/// The entries of a registry, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<EntryKey, Definition>);

impl Entries {
    /// Takes a registry file apart. The same content gives the same entries, whatever its order, comments and spaces.
    ///
    /// # Errors
    /// All faults of the file, as [`Registry::parse`] tells them.
    pub fn parse(text: &str) -> Result<Entries, Faults> {
        let (_, entries) = file::parse_and_split(text, EncryptedSecrets::Refused)?;
        Ok(Entries(entries.into_iter().collect()))
    }

    /// An entry's definition.
    #[must_use]
    pub fn get(&self, key: &EntryKey) -> Option<&Definition> {
        self.0.get(key)
    }

    /// All entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&EntryKey, &Definition)> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: the registry of an empty file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record that ends the change which makes these entries the registry.
    #[must_use]
    pub fn seal(&self, version: i64, at: Timestamp) -> RegistrySealed {
        let entries = i64::try_from(self.len()).unwrap_or(i64::MAX);
        RegistrySealed { version, entries, digest: self.digest(), at }
    }

    pub(super) fn insert(&mut self, key: EntryKey, definition: Definition) {
        self.0.insert(key, definition);
    }

    pub(super) fn remove(&mut self, key: &EntryKey) -> Option<Definition> {
        self.0.remove(key)
    }

    /// SHA-256 over the entries, in hexadecimal, as the schema of [`RegistrySealed`] says.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, definition) in &self.0 {
            for part in [&*key.to_string(), definition.expose()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The registry that the entries make, read by the reader of the file.
    ///
    /// # Errors
    /// What is wrong with them, each fault with its entry: they came from another version of this code, or by another
    /// hand.
    pub(super) fn registry(&self, encrypted: EncryptedSecrets) -> Result<Registry, Vec<String>> {
        let mut text = String::new();
        for definition in self.0.values() {
            text.push_str(definition.expose());
            // By another hand it may lack the end of its last line, and must not run into the next.
            if !definition.expose().ends_with('\n') {
                text.push('\n');
            }
        }
        let (registry, found) = file::parse_and_split(&text, encrypted).map_err(|faults| self.by_entry(&faults))?;
        // What no key names, no record would ever change or remove.
        let mut found = found.iter().map(|(key, _)| key);
        if let Some(foreign) = found.clone().find(|key| self.get(key).is_none()) {
            return Err(vec![format!("{}: defined under another entry's key", foreign.shown())]);
        }
        match self.0.keys().find(|key| found.next() != Some(*key)) {
            Some(key) => Err(vec![format!("{}: its definition is not one table of its own", key.shown())]),
            None => Ok(registry),
        }
    }

    /// The faults with the entries they are in, whose lines nobody sees.
    fn by_entry(&self, faults: &Faults) -> Vec<String> {
        let mut ends = Vec::with_capacity(self.len());
        let mut line = 0;
        for (key, definition) in &self.0 {
            line += definition.expose().lines().count().max(1);
            ends.push((line, key));
        }
        let told = faults.as_slice().iter().take(FAULTS_TOLD_MAX).map(|fault| {
            let entry = ends.get(ends.partition_point(|(end, _)| *end < fault.line));
            entry.map_or_else(|| fault.message.clone(), |(_, key)| format!("{}: {}", key.shown(), fault.message))
        });
        told.collect()
    }
}
