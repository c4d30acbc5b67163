//! Signatures, as merchants make them, and the clock that they are made by.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use schemas::Timestamp;
use sha2::Sha256;

/// Signs requests; the secret itself is not kept, and `Debug` shows nothing.
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
    pub(crate) fn new(secret: &str) -> Signer {
        Signer { keyed: Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length") }
    }

    /// The signature of a body at a time.
    pub(crate) fn sign(&self, unix_seconds: u64, body: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut mac = self.keyed.clone();
        mac.update(unix_seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let mut text = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            text.push(DIGITS[usize::from(byte >> 4)].into());
            text.push(DIGITS[usize::from(byte & 15)].into());
        }
        text
    }
}

/// The wall clock.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock, which a merchant signs by")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_openssl_signs() {
        let signed = Signer::new("key").sign(1_700_000_000, b"{\"a\":1}");
        assert_eq!(signed, "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
    }
}
