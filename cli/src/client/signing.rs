//! The signing secret and what is made with it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::CliError;

/// Where the secret is looked for when no file is named.
pub(crate) const SECRET_VARIABLE: &str = "CONVERSIONS_SECRET";
/// Most bytes of a secret: a longer file is some other file.
const SECRET_BYTES_MAX: usize = 1_024;

/// Signs requests. The keyed state is prepared once, so that a request pays for its own bytes only; the secret itself
/// is not kept, and `Debug` shows nothing.
#[derive(Clone)]
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// Takes the secret from the file, or else from the environment.
    ///
    /// # Errors
    /// There is none, or it cannot be one. The message never repeats what was read.
    pub(crate) fn load(file: Option<&Path>) -> Result<Signer, CliError> {
        let (text, from) = match file {
            Some(path) => (read_secret(path)?, format!("the file {}", path.display())),
            None => {
                let text = std::env::var(SECRET_VARIABLE).map_err(|_| {
                    CliError::Usage(format!(
                        "there is no signing secret: set {SECRET_VARIABLE} in the environment or name its file with --secret-file"
                    ))
                })?;
                (text, SECRET_VARIABLE.to_owned())
            }
        };
        let secret = text.trim();
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CliError::Usage(format!(
                "{from} holds no signing secret: it must hold the text that begins with sk_ and nothing else"
            )));
        }
        Ok(Signer::new(secret))
    }

    /// A signer of this secret.
    pub(crate) fn new(secret: &str) -> Signer {
        let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        Signer { keyed }
    }

    /// The signature of a body at a time: lowercase hex HMAC-SHA256 over `"{unix_seconds}.{body}"`.
    pub(crate) fn sign(&self, unix_seconds: u64, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(unix_seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        hex(&mac.finalize().into_bytes())
    }
}

/// The idempotency key of a body for an endpoint: a digest, so that sending the same again, now or tomorrow, has the
/// same key, and a corrected body for the same order has another one rather than a refusal.
pub(crate) fn idempotency_key(path: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(path.as_bytes());
    digest.update(b"\n");
    digest.update(body);
    hex(&digest.finalize())
}

fn read_secret(path: &Path) -> Result<String, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::Usage(format!(
            "cannot read the secret file {} ({error}): check the path and its mode",
            path.display()
        ))
    };
    let mut text = String::new();
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_mul(2);
    std::fs::File::open(path).map_err(unreadable)?.take(limit).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0F)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // printf '%s.%s' 1781429400 '{"a":1}' | openssl dgst -sha256 -hmac sk_live_xxxxxxxxxxxxxxxxxxxxxxxx -r
        let signer = Signer::new("sk_live_xxxxxxxxxxxxxxxxxxxxxxxx");
        assert_eq!(
            signer.sign(1_781_429_400, br#"{"a":1}"#),
            "59160452b4e430002f05110a10360d6313df15f921ed78dd1b148e520f62282a"
        );
        assert_eq!(signer.sign(1_781_429_400, b""), "0a510c831cda83f9cdf5b5b48616520ee41ceeaa4cf6125348fb202683b58fff");
    }

    #[test]
    fn nothing_shows_the_secret() {
        let signer = Signer::new("sk_live_hunter2");
        assert_eq!(format!("{signer:?}"), "Signer(…)");
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, b"sk_live_hunter2 and more\n").expect("written");
        let error = Signer::load(Some(file.path())).expect_err("two words are no secret");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_may_end_with_a_line_break() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, b"sk_live_hunter2\r\n").expect("written");
        let loaded = Signer::load(Some(file.path())).expect("a secret");
        assert_eq!(loaded.sign(1, b"x"), Signer::new("sk_live_hunter2").sign(1, b"x"));
    }

    #[test]
    fn idempotency_keys_follow_the_body() {
        let key = idempotency_key("/a", b"{}");
        assert_eq!(key, idempotency_key("/a", b"{}"));
        assert_ne!(key, idempotency_key("/a", b"{ }"));
        assert_ne!(key, idempotency_key("/b", b"{}"));
        assert!(key.len() <= 255 && key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
