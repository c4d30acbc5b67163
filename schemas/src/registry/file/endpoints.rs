//! Endpoints of webhooks.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::destination::check_url;
use super::fields::Fields;
use super::{ENCRYPTED_SECRET_REFUSED, EncryptedSecrets, Known, SecretField};
use crate::Timestamp;
use crate::ids::check_name;
use crate::registry::encryption::has_form;
use crate::registry::{ENDPOINTS_OF_A_MERCHANT_MAX, Endpoint, Secret};

/// Bytes of a signing secret, as Standard Webhooks has them.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// How many endpoints each merchant has in each mode so far.
pub(super) type Counts = BTreeMap<(String, bool), usize>;

pub(super) fn endpoint<'a>(
    fields: &Fields<'a>,
    known: &mut Known<'a>,
    encrypted: EncryptedSecrets,
    counts: &mut Counts,
) -> Option<Endpoint> {
    let id = known.endpoints.declare(fields, check_name);
    let merchant_id = known.merchants.reference(fields, "merchant");
    let livemode = fields.flag("livemode", true);
    let url = fields.required_as("url", |text| check_url(text).map(|()| text.to_owned()));
    let secrets = secrets(fields, encrypted);
    let disabled = fields.flag("disabled", false);
    let enabled_at = fields.optional_as("enabled_at", Timestamp::parse);
    if let Some(merchant_id) = &merchant_id {
        let count = counts.entry((merchant_id.clone(), livemode)).or_default();
        *count += 1;
        if *count > ENDPOINTS_OF_A_MERCHANT_MAX {
            let remedy = format!("must not have more than {ENDPOINTS_OF_A_MERCHANT_MAX} endpoints in one mode");
            fields.refuse_present("merchant", remedy);
        }
    }
    Some(Endpoint { id: id?, merchant_id: merchant_id?, livemode, url: url?, secrets: secrets?, disabled, enabled_at })
}

/// The secrets that are there as they are. Those that are encrypted are left, or are faults.
fn secrets(fields: &Fields<'_>, encrypted: EncryptedSecrets) -> Option<Vec<Secret>> {
    let mut secrets = Vec::new();
    let mut faulty = false;
    for SecretField { plain, encrypted: field } in SecretField::OF_ENDPOINTS {
        match (fields.has(field), encrypted) {
            (true, EncryptedSecrets::Refused) => fields.refuse_present(field, ENCRYPTED_SECRET_REFUSED),
            (true, EncryptedSecrets::Left) => {
                let check = |text: &str| {
                    if has_form(text) { Ok(()) } else { Err("must be an encrypted secret of a known form") }
                };
                fields.optional_as(field, check);
                fields.refuse_present(plain, format_args!("must not be there beside {field}"));
            }
            // Only the first must be there.
            (false, _) if fields.has(plain) || secrets.is_empty() && !faulty && *plain == SecretField::PLAIN => {
                match fields.required_as(plain, secret) {
                    Some(secret) => secrets.push(secret),
                    None => faulty = true,
                }
            }
            (false, _) => {}
        }
    }
    (!faulty).then_some(secrets)
}

fn secret(text: &str) -> Result<Secret, String> {
    let bytes = text.strip_prefix("whsec_").and_then(|base64| STANDARD.decode(base64).ok());
    match bytes {
        Some(bytes) if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) => Ok(Secret::new(text.to_owned())),
        Some(_) | None => Err(format!(
            "must be whsec_ and the Base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, such as \
             `openssl rand -base64 32` prints"
        )),
    }
}
