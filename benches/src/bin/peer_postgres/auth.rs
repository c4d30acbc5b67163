//! Who signs a request, and whether the signature is right.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use schemas::Timestamp;
use schemas::registry::{KeyStatus, Registry};
use sha2::Sha256;

use crate::request::Refused;

/// How far a timestamp may be off, in seconds.
const TOLERANCE_SECONDS: i64 = 300;
const SIGNATURE_DIGITS: usize = 64;

/// A key, ready to check signatures with.
pub(crate) struct Key {
    pub(crate) merchant_id: String,
    pub(crate) livemode: bool,
    keyed: Hmac<Sha256>,
    usable: Result<(), &'static str>,
}

/// All keys by id.
pub(crate) struct Keys(HashMap<String, Key>);

impl Keys {
    pub(crate) fn of(registry: &Registry) -> Keys {
        let key = |key: &schemas::registry::ApiKey| {
            let approved =
                registry.merchant(&key.merchant_id).is_some_and(|merchant| merchant.approved || !key.livemode);
            let usable = match key.status {
                KeyStatus::Disabled => Err("API_KEY_DISABLED"),
                KeyStatus::Revoked => Err("API_KEY_REVOKED"),
                KeyStatus::Active if !approved => Err("MERCHANT_NOT_APPROVED"),
                KeyStatus::Active => Ok(()),
            };
            let keyed = Hmac::new_from_slice(key.secret.expose().as_bytes()).expect("HMAC takes a key of any length");
            (key.id.clone(), Key { merchant_id: key.merchant_id.clone(), livemode: key.livemode, keyed, usable })
        };
        Keys(registry.keys().map(key).collect())
    }

    /// The key that signed a request with this body, received now.
    pub(crate) fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<&Key, Refused> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key =
            header("x-api-key").and_then(|id| self.0.get(id)).ok_or_else(|| Refused::unsigned("INVALID_API_KEY"))?;
        let text = header("x-timestamp").unwrap_or_default();
        let seconds: i64 = text.parse().map_err(|_| Refused::unsigned("EXPIRED_TIMESTAMP"))?;
        if (now.seconds() - seconds).abs() > TOLERANCE_SECONDS {
            return Err(Refused::unsigned("EXPIRED_TIMESTAMP"));
        }
        let signature = header("x-signature").and_then(digest).ok_or_else(|| Refused::unsigned("INVALID_SIGNATURE"))?;
        let mut mac = key.keyed.clone();
        mac.update(text.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| Refused::unsigned("INVALID_SIGNATURE"))?;
        key.usable.map_err(Refused::unsigned)?;
        Ok(key)
    }
}

fn digest(text: &str) -> Option<[u8; SIGNATURE_DIGITS / 2]> {
    let mut bytes = [0; SIGNATURE_DIGITS / 2];
    if text.len() != SIGNATURE_DIGITS || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The wall clock.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock, by which requests are dated")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
