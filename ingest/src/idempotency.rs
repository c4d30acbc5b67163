//! The idempotency key of a request.

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::json::{quoted, shown};

const NAMES: [&str; 2] = ["x-idempotency-key", "idempotency-key"];
const CHARACTERS_MAX: usize = 255;

/// A key and the body it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    /// The key as sent.
    pub(crate) key: String,
    /// The first 128 bits of SHA-256 over the raw body.
    pub(crate) body_digest: [u8; 16],
}

impl IdempotencyKey {
    /// The key of a request, if it has one, under either of its two names.
    ///
    /// # Errors
    /// It is no key, or there are two different ones.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Result<Option<IdempotencyKey>, String> {
        let mut values = NAMES.iter().flat_map(|name| headers.get_all(*name));
        let Some(first) = values.next() else { return Ok(None) };
        if values.any(|other| other != first) {
            return Err("X-Idempotency-Key and Idempotency-Key differ: send one of them".to_owned());
        }
        let fits = (1..=CHARACTERS_MAX).contains(&first.len()) && first.as_bytes().iter().all(u8::is_ascii_graphic);
        let key = String::from_utf8_lossy(first.as_bytes()).into_owned();
        if !fits {
            let got = quoted(&key);
            return Err(format!(
                "X-Idempotency-Key must be 1 to {CHARACTERS_MAX} visible ASCII characters; got {}",
                shown(&got)
            ));
        }
        let digest = Sha256::digest(body);
        let body_digest = digest[..16].try_into().expect("SHA-256 has 32 bytes");
        Ok(Some(IdempotencyKey { key, body_digest }))
    }

    /// The digest in hexadecimal.
    pub(crate) fn body_digest_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.body_digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], expected: Result<Option<&str>, &str>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        let found = IdempotencyKey::of(&map, b"{}").map(|key| key.map(|key| key.key));
        assert_eq!(found.as_ref().map(Option::as_deref).map_err(String::as_str), expected, "{headers:?}");
    }

    #[test]
    fn keys_at_and_past_their_limits() {
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        let must = "X-Idempotency-Key must be 1 to 255 visible ASCII characters; got";
        check(&[], Ok(None));
        check(&[("x-idempotency-key", "a")], Ok(Some("a")));
        check(&[("idempotency-key", "~!")], Ok(Some("~!")));
        check(&[("x-idempotency-key", &longest)], Ok(Some(&longest)));
        check(&[("x-idempotency-key", "a"), ("idempotency-key", "a")], Ok(Some("a")));
        let differ = Err("X-Idempotency-Key and Idempotency-Key differ: send one of them");
        check(&[("x-idempotency-key", "a"), ("idempotency-key", "b")], differ);
        check(&[("x-idempotency-key", ""), ("idempotency-key", "b")], differ);
        check(&[("x-idempotency-key", "a"), ("x-idempotency-key", "b")], differ);
        check(&[("x-idempotency-key", "")], Err(&format!("{must} \"\"")));
        check(&[("x-idempotency-key", "a b")], Err(&format!("{must} \"a b\"")));
        check(&[("x-idempotency-key", "é")], Err(&format!("{must} \"é\"")));
        check(&[("x-idempotency-key", &too_long)], Err(&format!("{must} \"{}…", "k".repeat(39))));
    }
}
