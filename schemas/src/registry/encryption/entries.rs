//! The entries of a registry with their secrets encrypted, and decrypted again.

use std::fmt;

use super::{DecryptError, MasterKeys, NONCE_BYTES, Owner};
use crate::registry::file::KeyTable;
use crate::registry::{Definition, Entries, EntryKey, EntryKind, FILE_BYTES_MAX};

/// Most entries that are told of.
const TOLD_MAX: usize = 10;

/// Which of the encrypted secrets that stand on the topic are kept as they are, if they are the same secrets. Encrypted anew, a
/// secret is another text each time, and so a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those that one of the master keys decrypts; all that stand must be such.
    Readable,
    /// Of those only the ones under the first master key.
    Current,
    /// None, and those that stand need not be readable: for when their master key is lost, and the file has the secrets.
    Nothing,
}

/// Why the secrets were not encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// There is no master key.
    #[error("there is no master key, and secrets are not written as they are")]
    NoMasterKey,
    /// What stands is not readable.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// An entry of a key does not say whose it is, so there is nothing to bind its secret to.
    #[error("{0} is not one table of a key with its merchant")]
    NoKey(String),
    /// The entries would be no registry any more.
    #[error("with their secrets encrypted the entries have {bytes} bytes, must have at most {FILE_BYTES_MAX}")]
    TooLarge {
        /// What they would have.
        bytes: usize,
    },
}

/// Entries whose secrets were not decrypted, each with the reason. Never says what a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(Vec<(EntryKey, DecryptError)>);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, error)) in self.0.iter().take(TOLD_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}the secret of {} {error}", key.shown())?;
        }
        match self.0.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Entries {
    /// The entries as they are written: every secret encrypted, or as it stands already.
    ///
    /// `nonces` are drawn by chance, one for each secret.
    ///
    /// # Errors
    /// There is no master key, or what stands is not readable and is to be kept, or there is too much of it.
    pub fn encrypted(
        &self,
        keys: &MasterKeys,
        standing: &Entries,
        keep: Keep,
        mut nonces: impl FnMut() -> [u8; NONCE_BYTES],
    ) -> Result<Entries, EncryptionError> {
        if keys.is_empty() {
            return Err(EncryptionError::NoMasterKey);
        }
        let decrypted = match keep {
            Keep::Readable | Keep::Current => standing.decrypted(keys)?,
            Keep::Nothing => Entries::default(),
        };
        let kept = |key: &EntryKey, definition: &Definition| {
            let stands = standing.get(key).filter(|_| decrypted.get(key) == Some(definition))?;
            let table = KeyTable::parse(stands)?;
            let encrypted = table.text(KeyTable::ENCRYPTED)?;
            (keep == Keep::Readable || keys.is_current(&encrypted)).then(|| stands.clone())
        };
        let mut entries = Entries::default();
        let mut bytes = 0;
        for (key, definition) in self.iter() {
            let written = match key_with_secret(key, definition) {
                Some(table) => kept(key, definition).or_else(|| encrypted(table, keys, nonces())),
                None => Some(definition.clone()),
            };
            let written = written.ok_or_else(|| EncryptionError::NoKey(key.shown()))?;
            bytes += written.expose().len();
            entries.insert(key.clone(), written);
        }
        if bytes > FILE_BYTES_MAX { Err(EncryptionError::TooLarge { bytes }) } else { Ok(entries) }
    }

    /// The entries with every secret that is encrypted as it is; what is no entry of a key stays, faulty or not.
    ///
    /// # Errors
    /// Every secret that cannot be decrypted.
    pub fn decrypted(&self, keys: &MasterKeys) -> Result<Entries, Unreadable> {
        let (mut entries, mut unreadable) = (Entries::default(), Vec::new());
        for (key, definition) in self.iter() {
            let written = match decrypted(key, definition, keys) {
                Some(Ok(decrypted)) => decrypted,
                Some(Err(error)) => {
                    unreadable.push((key.clone(), error));
                    continue;
                }
                None => definition.clone(),
            };
            entries.insert(key.clone(), written);
        }
        if unreadable.is_empty() { Ok(entries) } else { Err(Unreadable(unreadable)) }
    }

    /// How many secrets are there as they are, as a version without encryption wrote them.
    #[must_use]
    pub fn plain_secrets(&self) -> usize {
        self.iter().filter(|(key, definition)| key_with_secret(key, definition).is_some()).count()
    }
}

fn key_table<'a>(key: &EntryKey, definition: &'a Definition) -> Option<KeyTable<'a>> {
    if key.kind == EntryKind::Key { KeyTable::parse(definition) } else { None }
}

fn key_with_secret<'a>(key: &EntryKey, definition: &'a Definition) -> Option<KeyTable<'a>> {
    key_table(key, definition).filter(|table| table.text(KeyTable::PLAIN).is_some())
}

fn encrypted(table: KeyTable<'_>, keys: &MasterKeys, nonce: [u8; NONCE_BYTES]) -> Option<Definition> {
    let (id, merchant, secret) = (table.text("id")?, table.text("merchant")?, table.text(KeyTable::PLAIN)?);
    let text = keys.encrypt(Owner { merchant_id: &merchant, key_id: &id }, &secret, nonce)?;
    Some(table.with(KeyTable::PLAIN, KeyTable::ENCRYPTED, text))
}

/// The entry of a key with its secret decrypted; `None` if it has none that is encrypted, or is no key.
fn decrypted(key: &EntryKey, definition: &Definition, keys: &MasterKeys) -> Option<Result<Definition, DecryptError>> {
    let table = key_table(key, definition)?;
    // One that has both is a fault of the registry, which its reader tells.
    if table.text(KeyTable::PLAIN).is_some() {
        return None;
    }
    let (id, merchant, text) = (table.text("id")?, table.text("merchant")?, table.text(KeyTable::ENCRYPTED)?);
    let secret = keys.decrypt(Owner { merchant_id: &merchant, key_id: &id }, &text);
    Some(secret.map(|secret| table.with(KeyTable::ENCRYPTED, KeyTable::PLAIN, secret.expose().to_owned())))
}
