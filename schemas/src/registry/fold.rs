//! The registry as the topic's records make it, one after the other.

use std::sync::Arc;

use super::entry::EntryKeyError;
use super::file::EncryptedSecrets;
use super::{Definition, Entries, EntryKey, FILE_BYTES_MAX, MasterKeys, Registry, Unreadable};
use crate::codec::{self, DecodeError};
use crate::records::{RegistryEntryChanged, RegistrySealed};

/// The key of the record that ends each change of the registry; no entry has it.
pub const SEALED_KEY: &[u8] = b"sealed";

/// Most bytes that are folded: a registry, and while it is replaced another that has no entry in common with it.
const FOLDED_BYTES_MAX: usize = 2 * FILE_BYTES_MAX;

/// The entries that stand after the records of the topic so far.
///
/// A reader folds every record from the topic's beginning, and asks for the [`Fold::registry`] after a seal. It goes on
/// after an error too: a compacted topic still has seals whose entries are partly overwritten, and a record that is
/// refused is missed by the seals after it until another takes its place. So what counts is the last seal of the topic.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    entries: Entries,
    bytes: usize,
    seal: Option<RegistrySealed>,
}

/// What becomes of the secrets of a registry that is read.
#[derive(Clone, Copy, Debug)]
pub enum Secrets<'a> {
    /// They are decrypted: if one cannot be, there is no registry.
    Decrypt(&'a MasterKeys),
    /// Those that are encrypted are left so, and the registry has none of their keys: for who lets nobody in.
    Leave,
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Folded {
    /// An entry, or the removal of one: nothing to be read before the next seal.
    Entry,
    /// A seal: [`Fold::registry`] says what it made.
    Seal,
}

/// Why a record does not fold, or why what is folded is no registry. Never says what a definition holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The record is neither an entry nor a seal.
    #[error("a record of the registry has a key that is none: {0}")]
    Key(#[from] EntryKeyError),
    /// The record's value is not what its key says.
    #[error("the registry's record {key} does not decode: {error}")]
    Undecodable {
        /// The record's key.
        key: String,
        /// Why not.
        error: DecodeError,
    },
    /// The record speaks of another entry than its key.
    #[error("the registry's record {key} defines another entry")]
    WrongKey {
        /// The record's key.
        key: String,
    },
    /// There are more entries than a registry may have.
    #[error("the registry's record {key} takes its entries past {FOLDED_BYTES_MAX} bytes: remove entries")]
    TooLarge {
        /// The record's key.
        key: String,
    },
    /// No change has ended so far.
    #[error("the topic has no sealed registry yet: apply a registry file")]
    Unsealed,
    /// The entries that stand are not those that were sealed.
    #[error(
        "version {version} of the registry was sealed over {expected} entries, and the {found} that were read are not \
         the same: apply the registry file again"
    )]
    Incomplete {
        /// The seal's version.
        version: i64,
        /// How many entries it was made over.
        expected: i64,
        /// How many stand.
        found: usize,
    },
    /// The entries are those that were sealed, and secrets of them cannot be decrypted.
    #[error("version {version} of the registry cannot be read: {unreadable}")]
    Unreadable {
        /// The seal's version.
        version: i64,
        /// Which, and why.
        unreadable: Unreadable,
    },
    /// The entries are those that were sealed, and no registry.
    #[error("version {version} of the registry has faults: {}", faults.join("; "))]
    Faulty {
        /// The seal's version.
        version: i64,
        /// The first of them, each with its entry.
        faults: Vec<String>,
    },
}

impl Fold {
    /// Folds one record: an entry, the removal of one, or a seal.
    ///
    /// # Errors
    /// The record is refused. An entry that it would have replaced counts as missing, so that the outcome is the same
    /// whether compaction has left the former one or not.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Folded, FoldError> {
        if key == SEALED_KEY {
            self.seal = None;
            self.seal = value.map(decode_seal).transpose()?;
            return Ok(Folded::Seal);
        }
        let key = EntryKey::parse(key)?;
        if let Some(former) = self.entries.remove(&key) {
            self.bytes -= former.expose().len();
        }
        if let Some(value) = value {
            let definition = decode_entry(&key, value)?;
            let bytes = self.bytes + definition.expose().len();
            if bytes > FOLDED_BYTES_MAX {
                return Err(FoldError::TooLarge { key: key.shown() });
            }
            self.bytes = bytes;
            self.entries.insert(key, definition);
        }
        Ok(Folded::Entry)
    }

    /// The registry as of the last seal, checked like a file; asked for right after it, before the next entry.
    ///
    /// # Errors
    /// There is no seal, or what stands is not what was sealed, or a secret of it cannot be decrypted, or it is no registry.
    pub fn registry(&self, secrets: Secrets<'_>) -> Result<Arc<Registry>, FoldError> {
        let seal = self.seal.as_ref().ok_or(FoldError::Unsealed)?;
        let RegistrySealed { version, entries: expected, .. } = *seal;
        if self.entries.seal(version, seal.at) != *seal {
            return Err(FoldError::Incomplete { version, expected, found: self.entries.len() });
        }
        let registry = match secrets {
            Secrets::Decrypt(keys) => {
                let decrypted = self.entries.decrypted(keys);
                let decrypted = decrypted.map_err(|unreadable| FoldError::Unreadable { version, unreadable })?;
                decrypted.registry(EncryptedSecrets::Refused)
            }
            Secrets::Leave => self.entries.registry(EncryptedSecrets::Left),
        };
        registry.map(Arc::new).map_err(|faults| FoldError::Faulty { version, faults })
    }

    /// The entries that stand, which the next change differs from.
    #[must_use]
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The last seal, if there is one.
    #[must_use]
    pub fn seal(&self) -> Option<&RegistrySealed> {
        self.seal.as_ref()
    }
}

fn decode_entry(key: &EntryKey, value: &[u8]) -> Result<Definition, FoldError> {
    let decoded = codec::decode::<RegistryEntryChanged>(value);
    let entry = decoded.map_err(|error| FoldError::Undecodable { key: key.shown(), error })?;
    match (&*entry.section, &entry.id) == (key.kind.section(), &key.id) {
        true => Ok(entry.definition),
        false => Err(FoldError::WrongKey { key: key.shown() }),
    }
}

fn decode_seal(value: &[u8]) -> Result<RegistrySealed, FoldError> {
    codec::decode(value).map_err(|error| FoldError::Undecodable { key: "sealed".to_owned(), error })
}
