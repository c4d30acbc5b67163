//! The entries of a registry with their secrets encrypted, and decrypted again.

use std::borrow::Cow;
use std::fmt;

use super::{DecryptError, MasterKeys, NONCE_BYTES, Owner};
use crate::registry::file::{SecretField, SecretTable};
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
    /// An entry with a secret does not say whose it is, so there is nothing to bind its secret to.
    #[error("{0} is not one table with its id and its merchant")]
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
            let table = SecretTable::parse(key.kind, stands)?;
            let mut encrypted = SecretField::of(key.kind).iter().filter_map(|field| table.text(field.encrypted));
            let is_current = |text: Cow<'_, str>| keys.is_current(&text);
            // One that stands as it is, written before there was encryption, is not kept.
            let plain = SecretField::of(key.kind).iter().any(|field| table.text(field.plain).is_some());
            (!plain && (keep == Keep::Readable || encrypted.all(is_current))).then(|| stands.clone())
        };
        let mut entries = Entries::default();
        let mut bytes = 0;
        for (key, definition) in self.iter() {
            let written = match with_plain_secret(key, definition) {
                Some(table) => kept(key, definition).or_else(|| encrypted(key.kind, table, keys, &mut nonces)),
                None => Some(definition.clone()),
            };
            let written = written.ok_or_else(|| EncryptionError::NoKey(key.shown()))?;
            bytes += written.expose().len();
            entries.insert(key.clone(), written);
        }
        if bytes > FILE_BYTES_MAX { Err(EncryptionError::TooLarge { bytes }) } else { Ok(entries) }
    }

    /// The entries with every secret that is encrypted as it is; what has no secret stays, faulty or not.
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
        let plain = |(key, definition): (&EntryKey, &Definition)| {
            let table = SecretTable::parse(key.kind, definition)?;
            Some(SecretField::of(key.kind).iter().filter(|field| table.text(field.plain).is_some()).count())
        };
        self.iter().filter_map(plain).sum()
    }
}

fn with_plain_secret<'a>(key: &EntryKey, definition: &'a Definition) -> Option<SecretTable<'a>> {
    let table = SecretTable::parse(key.kind, definition)?;
    let is_plain = |field: &SecretField| table.text(field.plain).is_some();
    SecretField::of(key.kind).iter().any(is_plain).then_some(table)
}

/// What a secret is bound to besides its merchant: a key's to the key, an endpoint's to the endpoint and the field. No
/// key's id has a slash.
fn bound_to(kind: EntryKind, id: &str, field: &SecretField) -> String {
    match kind {
        EntryKind::Key => id.to_owned(),
        other => format!("{}/{id}/{}", other.section(), field.plain),
    }
}

fn encrypted(
    kind: EntryKind,
    mut table: SecretTable<'_>,
    keys: &MasterKeys,
    nonces: &mut impl FnMut() -> [u8; NONCE_BYTES],
) -> Option<Definition> {
    let (id, merchant_id) = (table.text("id")?.into_owned(), table.text("merchant")?.into_owned());
    for field in SecretField::of(kind) {
        let Some(secret) = table.text(field.plain) else { continue };
        let owner = Owner { merchant_id: &merchant_id, key_id: &bound_to(kind, &id, field) };
        let text = keys.encrypt(owner, &secret, nonces())?;
        table.replace(field.plain, field.encrypted, text);
    }
    Some(table.definition())
}

/// An entry with its secrets decrypted; `None` if it has none that is encrypted.
fn decrypted(key: &EntryKey, definition: &Definition, keys: &MasterKeys) -> Option<Result<Definition, DecryptError>> {
    let mut table = SecretTable::parse(key.kind, definition)?;
    let (id, merchant_id) = (table.text("id")?.into_owned(), table.text("merchant")?.into_owned());
    let mut found = false;
    for field in SecretField::of(key.kind) {
        // One that has both is a fault of the registry, which its reader tells.
        if table.text(field.plain).is_some() {
            continue;
        }
        let Some(text) = table.text(field.encrypted) else { continue };
        let owner = Owner { merchant_id: &merchant_id, key_id: &bound_to(key.kind, &id, field) };
        match keys.decrypt(owner, &text) {
            Ok(secret) => table.replace(field.encrypted, field.plain, secret.expose().to_owned()),
            Err(error) => return Some(Err(error)),
        }
        found = true;
    }
    found.then(|| Ok(table.definition()))
}
