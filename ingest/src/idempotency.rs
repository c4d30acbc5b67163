//! The idempotency key of a request.

use axum::http::HeaderMap;
use schemas::records::IdempotencyUse;
use sha2::{Digest, Sha256};

use crate::json::{quoted, shown};

const NAMES: [&str; 2] = ["x-idempotency-key", "idempotency-key"];
const EVENT_ID: [&str; 1] = ["x-external-event-id"];
/// Most characters of a key, and of an event's id.
pub(crate) const CHARACTERS_MAX: usize = 255;

/// A key and what it stands for: the body it came with or, as the id of a shop's event, an event about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    /// The key as sent.
    pub(crate) key: String,
    /// The first 128 bits of SHA-256 over that: of a body, over its raw bytes.
    pub(crate) body_digest: [u8; 16],
}

impl IdempotencyKey {
    /// The key of a request, if it has one, under either of its two names.
    ///
    /// # Errors
    /// It is no key, or there are two different ones.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Result<Option<IdempotencyKey>, String> {
        let differ = "X-Idempotency-Key and Idempotency-Key differ: send one of them";
        let key = header_key(headers, &NAMES, "X-Idempotency-Key", differ)?;
        Ok(key.map(|key| IdempotencyKey { key, body_digest: digest(&[body]) }))
    }

    /// The same as a key of a route that is none of conversions: each has keys of its own, remembered with its name. A key as
    /// sent has no NUL, so no key of a conversion is one of these.
    pub(crate) fn on_route(self, route: &str) -> IdempotencyKey {
        IdempotencyKey { key: format!("{route}\0{}", self.key), body_digest: self.body_digest }
    }

    /// The id of a shop's event, as the key of what the event says of an order: its name and the order's id. So a delivery
    /// with another body is still the same one, and an id that was used for another order is told from it.
    pub(crate) fn of_event(event_id: &str, event: &str, external_order_id: &str) -> IdempotencyKey {
        let body_digest = digest(&[b"event\0", event.as_bytes(), b"\0", external_order_id.as_bytes()]);
        IdempotencyKey { key: format!("event\0{event_id}"), body_digest }
    }

    /// The id of a shop's event.
    ///
    /// # Errors
    /// It is missing, or no id, or there are two different ones.
    pub(crate) fn event_id(headers: &HeaderMap) -> Result<String, String> {
        let differ = "X-External-Event-Id is given twice with different values: send one of them";
        let id = header_key(headers, &EVENT_ID, "X-External-Event-Id", differ)?;
        id.ok_or_else(|| format!("X-External-Event-Id is required: 1 to {CHARACTERS_MAX} visible ASCII characters"))
    }

    /// Its use, as it stands in the record of what came under it.
    pub(crate) fn used(&self) -> IdempotencyUse {
        let body_digest = format!("{:032x}", u128::from_be_bytes(self.body_digest));
        IdempotencyUse { key: self.key.clone(), body_digest }
    }
}

/// What the headers of these names say, which must be one thing.
fn header_key(
    headers: &HeaderMap,
    names: &[&'static str],
    shown_name: &str,
    differ: &str,
) -> Result<Option<String>, String> {
    let mut values = names.iter().flat_map(|name| headers.get_all(*name));
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(differ.to_owned());
    }
    let fits = (1..=CHARACTERS_MAX).contains(&first.len()) && first.as_bytes().iter().all(u8::is_ascii_graphic);
    let key = String::from_utf8_lossy(first.as_bytes()).into_owned();
    if !fits {
        let got = quoted(&key);
        let got = shown(&got);
        return Err(format!("{shown_name} must be 1 to {CHARACTERS_MAX} visible ASCII characters; got {got}"));
    }
    Ok(Some(key))
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()[..16].try_into().expect("SHA-256 has 32 bytes")
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
