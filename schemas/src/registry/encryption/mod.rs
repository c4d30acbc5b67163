//! Signing secrets as they stand on the topic: encrypted by AES-256-GCM under a master key, and bound to the key and the
//! merchant that they are of, so that one that is moved to another key opens nothing.
//!
//! ```text
//! aes-256-gcm:MASTER-KEY-ID:HEX      HEX is the nonce of 12 bytes, the ciphertext, and the tag of 16 bytes
//! ```

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

pub use self::entries::{EncryptionError, Keep, Unreadable};
use super::Secret;

mod entries;

/// Bytes of a nonce: one that is used for two secrets under one master key would give both away.
pub const NONCE_BYTES: usize = NONCE_LEN;
/// Most master keys at once: the present one, and those that secrets are still encrypted under.
const MASTER_KEYS_MAX: usize = 8;

const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const ALGORITHM: &str = "aes-256-gcm";

/// A master key, told apart by an id that is made of it and tells nothing of it.
struct MasterKey {
    id: String,
    key: LessSafeKey,
}

/// The master keys of an installation. The first encrypts; all of them decrypt. Neither `Debug` nor anything else prints more
/// than their ids.
#[derive(Default)]
pub struct MasterKeys(Vec<MasterKey>);

/// Why a text is no master keys. Never says what the text is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeysError {
    /// There is none in it.
    #[error("has no master key")]
    Empty,
    /// One of them is no key.
    #[error("has something in place {0} that is not the 64 hexadecimal digits of a master key")]
    NoKey(usize),
    /// One is there twice.
    #[error("has the master key {0} twice")]
    Twice(String),
    /// There are too many.
    #[error("has more than {MASTER_KEYS_MAX} master keys: encrypt the secrets under the first, and drop the others")]
    TooMany,
}

/// Why a secret was not decrypted. Never says what the secret is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecryptError {
    /// It is not what this version writes.
    #[error("is not encrypted in a form that is known")]
    Form,
    /// Its master key is not there.
    #[error("is encrypted under master key {needed}, and {}", which_are_given(.given))]
    OtherMasterKey {
        /// The id of its master key.
        needed: String,
        /// The ids of those that are there.
        given: Vec<String>,
    },
    /// Its master key is there and does not open it.
    #[error("cannot be decrypted with master key {0}: it was changed, or encrypted for another key or merchant")]
    Refused(String),
}

fn which_are_given(ids: &[String]) -> String {
    match ids {
        [] => "none is given".to_owned(),
        [id] => format!("{id} is given"),
        ids => format!("{} are given", ids.join(", ")),
    }
}

/// Whose a secret is, which its ciphertext is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) merchant_id: &'a str,
    pub(super) key_id: &'a str,
}

impl MasterKeys {
    /// Reads master keys of 64 hexadecimal digits each, with spaces, line breaks or commas between them; the first is the one
    /// that encrypts.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<MasterKeys, MasterKeysError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index == MASTER_KEYS_MAX {
                return Err(MasterKeysError::TooMany);
            }
            let bytes = bytes_of_hex(word).and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            let key = MasterKey::new(&bytes.ok_or(MasterKeysError::NoKey(index + 1))?);
            if keys.iter().any(|other| other.id == key.id) {
                return Err(MasterKeysError::Twice(key.id));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(MasterKeysError::Empty) } else { Ok(MasterKeys(keys)) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids, that of the one that encrypts first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| &*key.id)
    }

    /// Encrypts under the first, if there is one.
    pub(super) fn encrypt(&self, owner: Owner<'_>, secret: &str, nonce: [u8; NONCE_BYTES]) -> Option<String> {
        let MasterKey { id, key } = self.0.first()?;
        let mut bytes = secret.as_bytes().to_vec();
        let (aad, sealing) = (Aad::from(associated(id, owner)), Nonce::assume_unique_for_key(nonce));
        let tag = key.seal_in_place_separate_tag(sealing, aad, &mut bytes).expect("a secret is far below GCM's bound");
        Some(format!("{ALGORITHM}:{id}:{}{}{}", hex(&nonce), hex(&bytes), hex(tag.as_ref())))
    }

    /// Decrypts with the one that it was encrypted under.
    pub(super) fn decrypt(&self, owner: Owner<'_>, encrypted: &str) -> Result<Secret, DecryptError> {
        let (id, digits) = parts(encrypted).ok_or(DecryptError::Form)?;
        let MasterKey { key, .. } = self.0.iter().find(|key| key.id == id).ok_or_else(|| {
            DecryptError::OtherMasterKey { needed: id.to_owned(), given: self.ids().map(str::to_owned).collect() }
        })?;
        let bytes = bytes_of_hex(digits).ok_or(DecryptError::Form)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(DecryptError::Form)?;
        let (aad, nonce) = (Aad::from(associated(id, owner)), Nonce::assume_unique_for_key(*nonce));
        let mut ciphertext = ciphertext.to_vec();
        let refused = || DecryptError::Refused(id.to_owned());
        let plain = key.open_in_place(nonce, aad, &mut ciphertext).map_err(|_| refused())?;
        String::from_utf8(plain.to_vec()).map(Secret::new).map_err(|_| refused())
    }

    /// Whether a secret is encrypted under the first of them.
    pub(super) fn is_current(&self, encrypted: &str) -> bool {
        parts(encrypted).is_some_and(|(id, _)| self.ids().next() == Some(id))
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeys({})", self.ids().collect::<Vec<_>>().join(", "))
    }
}

impl MasterKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> MasterKey {
        let mut hash = Sha256::new();
        hash.update(b"conversions master key\n");
        hash.update(bytes);
        let id = hex(&hash.finalize()[..ID_BYTES]);
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("a key of 32 bytes");
        MasterKey { id, key: LessSafeKey::new(key) }
    }
}

/// Whether a text has the form of an encrypted secret, whatever it holds.
pub(super) fn has_form(text: &str) -> bool {
    parts(text).is_some_and(|(_, digits)| bytes_of_hex(digits).is_some())
}

/// The id of the master key, and the digits.
fn parts(encrypted: &str) -> Option<(&str, &str)> {
    encrypted.strip_prefix(ALGORITHM)?.strip_prefix(':')?.split_once(':')
}

/// What a ciphertext is bound to: each part after its length, so that no two owners have the same.
fn associated(master_key_id: &str, owner: Owner<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [ALGORITHM, master_key_id, owner.merchant_id, owner.key_id] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner<'_> = Owner { merchant_id: "m", key_id: "live_pk_k" };
    const SECRET: &str = "sk_live_0123456789abcdef";

    fn keys(bytes: &[u8]) -> MasterKeys {
        let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}").repeat(KEY_BYTES)).collect();
        MasterKeys::parse(&words.join("\n")).expect("master keys")
    }

    fn encrypted(keys: &MasterKeys) -> String {
        keys.encrypt(OWNER, SECRET, [7; NONCE_BYTES]).expect("there is a master key")
    }

    #[test]
    fn a_text_is_master_keys_or_it_is_said_what_is_wrong() {
        let word = |digit: &str| digit.repeat(64);
        let ids: Vec<String> = MasterKeys::parse(&format!(" {},{}\n", word("a"), word("B")))
            .expect("two")
            .ids()
            .map(str::to_owned)
            .collect();
        assert_eq!(ids.len(), 2);
        assert!(ids.iter().all(|id| id.len() == 2 * ID_BYTES) && ids[0] != ids[1], "{ids:?}");
        let many = |count: usize| (0..count).map(|n| format!("{n:064x}")).collect::<Vec<_>>().join(" ");
        assert!(MasterKeys::parse(&many(MASTER_KEYS_MAX)).is_ok());
        for (text, expected) in [
            (String::new(), MasterKeysError::Empty),
            (" ,\n".to_owned(), MasterKeysError::Empty),
            (word("a")[1..].to_owned(), MasterKeysError::NoKey(1)),
            (format!("{} {}g", word("a"), &word("b")[1..]), MasterKeysError::NoKey(2)),
            (format!("{0}\n{0}", word("a")), MasterKeysError::Twice(ids[0].clone())),
            (many(MASTER_KEYS_MAX + 1), MasterKeysError::TooMany),
        ] {
            let error = MasterKeys::parse(&text).expect_err(&text);
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("aaaa"), "{error}");
        }
        assert!(!format!("{:?}", keys(&[0xaa])).contains("aaaa"));
    }

    #[test]
    fn what_is_encrypted_is_decrypted_by_its_master_key_alone() {
        let (old, new) = (keys(&[1]), keys(&[2]));
        let text = encrypted(&old);
        assert!(has_form(&text) && !text.contains(SECRET) && !text.contains(&hex(SECRET.as_bytes())), "{text}");
        assert_eq!(old.decrypt(OWNER, &text), Ok(Secret::new(SECRET.to_owned())));
        assert_eq!(keys(&[2, 1]).decrypt(OWNER, &text), Ok(Secret::new(SECRET.to_owned())), "any of them decrypts");
        assert!(old.is_current(&text) && !keys(&[2, 1]).is_current(&text));
        let (old_id, new_id) = (old.ids().next().expect("one"), new.ids().next().expect("one"));
        for (keys, given) in
            [(&new, format!("{new_id} is given")), (&MasterKeys::default(), "none is given".to_owned())]
        {
            let error = keys.decrypt(OWNER, &text).expect_err("another master key").to_string();
            assert_eq!(error, format!("is encrypted under master key {old_id}, and {given}"));
        }
        assert_eq!(MasterKeys::default().encrypt(OWNER, SECRET, [0; NONCE_BYTES]), None);
        assert_ne!(text, old.encrypt(OWNER, SECRET, [8; NONCE_BYTES]).expect("encrypted"), "another nonce");
    }

    #[test]
    fn a_ciphertext_is_bound_to_its_key_its_merchant_and_every_bit_of_it() {
        let keys = keys(&[1]);
        let text = encrypted(&keys);
        let id = keys.ids().next().expect("one");
        for owner in [
            Owner { merchant_id: "n", ..OWNER },
            Owner { key_id: "live_pk_l", ..OWNER },
            Owner { merchant_id: "ml", key_id: "ive_pk_k" },
        ] {
            assert_eq!(keys.decrypt(owner, &text), Err(DecryptError::Refused(id.to_owned())), "{owner:?}");
        }
        let digits = format!("{ALGORITHM}:{id}:").len();
        for at in digits..text.len() {
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(keys.decrypt(OWNER, &changed), Err(DecryptError::Refused(id.to_owned())), "digit {at}");
        }
        for short in [digits, digits + 2, digits + 2 * NONCE_BYTES - 2, text.len() - 1] {
            assert_eq!(keys.decrypt(OWNER, &text[..short]), Err(DecryptError::Form), "{short}");
        }
        assert_eq!(keys.decrypt(OWNER, &text[..text.len() - 2]), Err(DecryptError::Refused(id.to_owned())));
        for text in ["", SECRET, "aes-256-gcm", "aes-256-gcm:", "aes-128-gcm:a:00", &format!("{text}g0")] {
            assert_eq!(keys.decrypt(OWNER, text), Err(DecryptError::Form), "{text}");
        }
    }
}
