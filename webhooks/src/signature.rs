//! Signatures by Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use schemas::registry::Secret;
use sha2::Sha256;

/// What the secrets' texts begin with.
const PREFIX: &str = "whsec_";

/// The value of the header `webhook-signature`: `v1,` and Base64 of HMAC-SHA256 over `id.timestamp.body`, by each secret, with
/// a space between them. A secret that is no `whsec_` and Base64 gives none; the registry has no such secret.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> =
        secrets.iter().filter_map(|secret| sign_by(secret, id, timestamp, body)).map(|it| format!("v1,{it}")).collect();
    signatures.join(" ")
}

fn sign_by(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    /// The vector of the libraries of Standard Webhooks.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_vector() {
        let signed = sign(&[secret(KEY)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, SIGNATURE);
    }

    #[test]
    fn each_secret_signs() {
        let other = secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        let sign = |secrets: &[Secret]| sign(secrets, "id", 1, b"{}");
        let (one, two) = (sign(&[secret(KEY)]), sign(std::slice::from_ref(&other)));
        assert_ne!(one, two);
        assert_eq!(sign(&[secret(KEY), other]), format!("{one} {two}"));
        assert_eq!(sign(&[]), "");
        assert_eq!(sign(&[secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), secret("whsec_?")]), "");
    }

    #[test]
    fn every_part_is_signed() {
        let secrets = [secret(KEY)];
        let first = sign(&secrets, "id", 1, b"{}");
        for other in [sign(&secrets, "ie", 1, b"{}"), sign(&secrets, "id", 2, b"{}"), sign(&secrets, "id", 1, b"{ }")] {
            assert_ne!(first, other);
        }
    }
}
