//! Who sends a request: the key, the timestamp and the signature over the raw body.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use schemas::registry::{IpRange, KeyStatus, RateLimit, Registry};
use schemas::{Currency, Timestamp};
use sha2::Sha256;

use crate::body::Forgotten;
use crate::code::Code;
use crate::config::CLOCK_TOLERANCE;
use crate::error::Error;
use crate::hex;

type HmacSha256 = Hmac<Sha256>;

const SIGNATURE_BYTES: usize = 32;
/// Keys the MAC that a request with an unknown key is checked with, so that it takes as long as any other.
const NOBODYS_SECRET: &[u8] = b"sk_nobody_00000000000000000000000000";

/// The keys of a registry, each with its MAC state prepared once.
pub struct AuthTable {
    keys: HashMap<String, Key>,
    nobodys_mac: HmacSha256,
}

struct Key {
    mac: HmacSha256,
    caller: Arc<Caller>,
    status: KeyStatus,
    expires_at: Option<Timestamp>,
    merchant_approved: bool,
    allowed_ips: Vec<IpRange>,
}

/// On whose behalf a request acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The merchant.
    pub(crate) merchant_id: String,
    /// Live, or the test namespace.
    pub(crate) livemode: bool,
    /// The currency of an order that names none.
    pub(crate) currency: Currency,
    /// The key.
    pub(crate) key_id: String,
    /// Whether a signature of its is taken once only.
    pub(crate) strict_replay: bool,
    /// How many requests it may make, if there is a limit.
    pub(crate) rate_limit: Option<RateLimit>,
}

/// A request that was signed rightly.
#[derive(Debug)]
pub(crate) struct Verified {
    /// On whose behalf it acts.
    pub(crate) caller: Arc<Caller>,
    /// Its signature.
    pub(crate) signature: [u8; SIGNATURE_BYTES],
    /// When it says that it was signed.
    pub(crate) signed_at_s: i64,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("X-Api-Key is missing or names no key")]
    InvalidApiKey,
    #[error("X-Timestamp is missing: send the Unix time in seconds")]
    TimestampMissing,
    #[error("X-Timestamp is not a decimal number of Unix seconds")]
    TimestampGarbage,
    #[error(
        "X-Timestamp is {0} s behind the server's clock; at most 300 s are accepted: sign again with the present time"
    )]
    TimestampPast(i64),
    #[error("X-Timestamp is {0} s ahead of the server's clock; at most 300 s are accepted: check the sender's clock")]
    TimestampFuture(i64),
    #[error(
        "X-Signature is missing or wrong: send the hexadecimal HMAC-SHA256 of X-Timestamp, a dot and the raw body, keyed with the signing secret"
    )]
    InvalidSignature,
    #[error("the API key is disabled")]
    KeyDisabled,
    #[error("the API key is revoked")]
    KeyRevoked,
    #[error("the API key has expired")]
    KeyExpired,
    #[error("the merchant is not approved for live keys yet")]
    MerchantNotApproved,
    #[error("the API key may not be used from {}", shown_address(.0.as_ref()))]
    IpNotAllowed(Option<IpAddr>),
    #[error("the signature was taken before: sign again with the present time")]
    ReplayDetected,
    #[error("Authorization is missing or wrong: send Bearer and the service token")]
    InvalidServiceToken,
    #[error("Authorization is missing or wrong: send Bearer and the token of an administrator")]
    InvalidAdminToken,
    #[error("the administrator's token has ended: ask for another one")]
    AdminTokenExpired,
}

fn shown_address(address: Option<&IpAddr>) -> String {
    address.map_or("an address that is not known".to_owned(), ToString::to_string)
}

impl AuthError {
    /// The contract's code.
    pub(crate) fn code(self) -> &'static str {
        self.kind().word()
    }

    /// The same as one of all.
    pub(crate) fn kind(self) -> Code {
        match self {
            AuthError::InvalidApiKey => Code::InvalidApiKey,
            AuthError::TimestampMissing
            | AuthError::TimestampGarbage
            | AuthError::TimestampPast(_)
            | AuthError::TimestampFuture(_) => Code::ExpiredTimestamp,
            AuthError::InvalidSignature => Code::InvalidSignature,
            AuthError::KeyDisabled => Code::ApiKeyDisabled,
            AuthError::KeyRevoked => Code::ApiKeyRevoked,
            AuthError::KeyExpired => Code::ApiKeyExpired,
            AuthError::MerchantNotApproved => Code::MerchantNotApproved,
            AuthError::IpNotAllowed(_) => Code::IpNotAllowed,
            AuthError::ReplayDetected => Code::ReplayDetected,
            AuthError::InvalidServiceToken => Code::InvalidServiceToken,
            AuthError::InvalidAdminToken => Code::InvalidAdminToken,
            AuthError::AdminTokenExpired => Code::AdminTokenExpired,
        }
    }
}

impl AuthTable {
    /// Prepares the keys of a registry.
    ///
    /// # Panics
    /// A key names no merchant, which a registry never holds.
    #[must_use]
    pub fn new(registry: &Registry) -> AuthTable {
        let keys = registry.keys().map(|key| {
            let merchant = registry.merchant(&key.merchant_id).expect("every reference in a registry resolves");
            let caller = Caller {
                merchant_id: merchant.id.clone(),
                livemode: key.livemode,
                currency: merchant.currency,
                key_id: key.id.clone(),
                strict_replay: key.strict_replay,
                rate_limit: key.rate_limit,
            };
            let entry = Key {
                mac: mac(key.secret.expose().as_bytes()),
                caller: Arc::new(caller),
                status: key.status,
                expires_at: key.expires_at,
                merchant_approved: merchant.approved,
                allowed_ips: key.allowed_ips.clone(),
            };
            (key.id.clone(), entry)
        });
        AuthTable { keys: keys.collect(), nobodys_mac: mac(NOBODYS_SECRET) }
    }

    /// Whose key a request names, before anything about it is known to be true.
    pub(crate) fn named(&self, headers: &HeaderMap) -> Option<&Caller> {
        self.key(headers).map(|key| &*key.caller)
    }

    /// The MAC that the body of a request with an unknown key is checked with, for when the body is not kept.
    pub(crate) fn strangers_mac(&self, headers: &HeaderMap) -> StrangersMac {
        StrangersMac { check: Check::begin(&self.nobodys_mac, timestamp(headers)), signature: signature(headers) }
    }

    fn key(&self, headers: &HeaderMap) -> Option<&Key> {
        headers.get("x-api-key").and_then(|id| self.keys.get(id.to_str().ok()?))
    }

    /// Checks key, timestamp, signature and then the key's status and from where it is used, so that only who signs
    /// rightly learns of it.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
        address: Option<IpAddr>,
    ) -> Result<Verified, AuthError> {
        let (key, timestamp, signature) = (self.key(headers), timestamp(headers), signature(headers));

        // The MAC is computed whatever else is wrong, so that the time taken tells nothing.
        let mut check = Check::begin(key.map_or(&self.nobodys_mac, |key| &key.mac), timestamp);
        check.see(body);
        let matches = check.matches(signature.as_ref());

        let key = key.ok_or(AuthError::InvalidApiKey)?;
        let signed_at_s = check_timestamp(timestamp, now)?;
        let signature = signature.filter(|_| matches).ok_or(AuthError::InvalidSignature)?;
        key.check_status(now)?;
        key.check_address(address)?;
        Ok(Verified { caller: Arc::clone(&key.caller), signature, signed_at_s })
    }
}

/// A signature while it is checked: all the work that tells a right one from a wrong one.
struct Check(HmacSha256);

impl Check {
    fn begin(mac: &HmacSha256, timestamp: &[u8]) -> Check {
        let mut check = Check(mac.clone());
        check.see(timestamp);
        check.see(b".");
        check
    }

    fn see(&mut self, bytes: &[u8]) {
        #[cfg(test)]
        tests::count_bytes(bytes.len());
        self.0.update(bytes);
    }

    /// Compares in a time that tells nothing, also with a signature that is not there.
    fn matches(self, signature: Option<&[u8; SIGNATURE_BYTES]>) -> bool {
        #[cfg(test)]
        tests::count_comparison();
        let same = self.0.verify_slice(signature.unwrap_or(&[0; SIGNATURE_BYTES])).is_ok();
        same && signature.is_some()
    }
}

/// A MAC that nobody has the key of.
pub(crate) struct StrangersMac {
    check: Check,
    signature: Option<[u8; SIGNATURE_BYTES]>,
}

impl Forgotten for StrangersMac {
    fn see(&mut self, bytes: &[u8]) {
        self.check.see(bytes);
    }

    fn end(self: Box<Self>) -> Error {
        let _never = self.check.matches(self.signature.as_ref());
        AuthError::InvalidApiKey.into()
    }
}

impl Key {
    fn check_status(&self, now: Timestamp) -> Result<(), AuthError> {
        match self.status {
            KeyStatus::Active => {}
            KeyStatus::Disabled => return Err(AuthError::KeyDisabled),
            KeyStatus::Revoked => return Err(AuthError::KeyRevoked),
        }
        if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthError::KeyExpired);
        }
        if self.caller.livemode && !self.merchant_approved {
            return Err(AuthError::MerchantNotApproved);
        }
        Ok(())
    }

    fn check_address(&self, address: Option<IpAddr>) -> Result<(), AuthError> {
        let is_in = |address| self.allowed_ips.iter().any(|range| range.contains(address));
        if self.allowed_ips.is_empty() || address.is_some_and(is_in) {
            Ok(())
        } else {
            Err(AuthError::IpNotAllowed(address))
        }
    }
}

impl fmt::Debug for AuthTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthTable({} keys)", self.keys.len())
    }
}

fn timestamp(headers: &HeaderMap) -> &[u8] {
    headers.get("x-timestamp").map_or(&[][..], |value| value.as_bytes())
}

fn signature(headers: &HeaderMap) -> Option<[u8; SIGNATURE_BYTES]> {
    headers.get("x-signature").and_then(|value| hex::decode(value.as_bytes()))
}

fn mac(secret: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(secret).expect("HMAC takes keys of any length")
}

/// The seconds of a timestamp.
fn check_timestamp(text: &[u8], now: Timestamp) -> Result<i64, AuthError> {
    const DIGITS_MAX: usize = 15;
    if text.is_empty() {
        return Err(AuthError::TimestampMissing);
    }
    if text.len() > DIGITS_MAX || !text.iter().all(u8::is_ascii_digit) {
        return Err(AuthError::TimestampGarbage);
    }
    let sent = text.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (behind, tolerance) = (now.seconds() - sent, CLOCK_TOLERANCE.as_secs().cast_signed());
    if behind > tolerance {
        Err(AuthError::TimestampPast(behind))
    } else if behind < -tolerance {
        Err(AuthError::TimestampFuture(-behind))
    } else {
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
