//! The token of a service of the operator's own, which is nobody's key.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::auth::AuthError;

const CHARACTERS_MIN: usize = 32;
const CHARACTERS_MAX: usize = 256;
const SCHEME: &str = "Bearer ";
/// What the MACs are of: they are compared, and not the tokens, so that the time taken tells nothing of the token.
const MESSAGE: &[u8] = b"service token";

/// What a service shows to record clicks. Neither `Debug` nor anything else prints it.
#[derive(Clone)]
pub struct ServiceToken([u8; 32]);

/// Why a text is no service token. Never says what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {CHARACTERS_MIN} to {CHARACTERS_MAX} visible ASCII characters, such as `openssl rand -hex 32` prints")]
pub struct ServiceTokenError;

impl ServiceToken {
    /// Takes a token.
    ///
    /// # Errors
    /// It is none.
    pub fn new(token: &str) -> Result<ServiceToken, ServiceTokenError> {
        let fits = (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&token.len());
        if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ServiceTokenError);
        }
        Ok(ServiceToken(mac(token.as_bytes()).finalize().into_bytes().into()))
    }

    /// Whether a request shows it.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), AuthError> {
        let matches = mac(bearer(headers)).verify_slice(&self.0).is_ok();
        if matches { Ok(()) } else { Err(AuthError::InvalidServiceToken) }
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken(…)")
    }
}

/// The token that a request shows; an empty one, which is nobody's, if it shows none.
pub(crate) fn bearer(headers: &HeaderMap) -> &[u8] {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(SCHEME.len()));
    let token = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME.as_bytes())).map(|(_, token)| token);
    token.unwrap_or_default()
}

fn mac(token: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token).expect("HMAC takes keys of any length");
    mac.update(MESSAGE);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn check(header: Option<&str>, expected: bool) {
        let token = ServiceToken::new(TOKEN).expect("a token");
        let headers = header.map(|value| (AUTHORIZATION, value.parse().expect("a header"))).into_iter().collect();
        assert_eq!(token.check(&headers).is_ok(), expected, "{header:?}");
    }

    #[test]
    fn the_token_and_nothing_like_it() {
        check(Some(&format!("Bearer {TOKEN}")), true);
        check(Some(&format!("bearer {TOKEN}")), true);
        for header in [
            TOKEN.to_owned(),
            format!("Basic {TOKEN}"),
            format!("Bearer  {TOKEN}"),
            format!("Bearer {TOKEN}0"),
            format!("Bearer {}", &TOKEN[1..]),
            format!("Bearer {}", TOKEN.to_uppercase()),
            "Bearer ".to_owned(),
            "Bearer".to_owned(),
            String::new(),
        ] {
            check(Some(&header), false);
        }
        check(None, false);
    }

    #[test]
    fn a_token_cannot_be_guessed_nor_seen() {
        for (token, fits) in [
            (TOKEN.to_owned(), true),
            (TOKEN[1..].to_owned(), false),
            ("x".repeat(256), true),
            ("x".repeat(257), false),
            (format!("{TOKEN} "), false),
            (format!("{TOKEN}\n"), false),
            (format!("{TOKEN}é"), false),
        ] {
            assert_eq!(ServiceToken::new(&token).is_ok(), fits, "{token}");
        }
        let token = ServiceToken::new(TOKEN).expect("a token");
        assert_eq!(format!("{token:?}"), "ServiceToken(…)");
    }
}
