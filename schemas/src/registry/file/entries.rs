//! Merchants, keys, affiliates, campaigns, links and clicks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::destination::check_destination;
use super::fields::{Fields, Ids, Text};
use super::policies::{LOOKBACK, MIN_CLICK_TO_ORDER, in_range};
use super::{ENCRYPTED_SECRET_REFUSED, EncryptedSecrets, Known, SecretField};
use crate::ids::check_name;
use crate::records::ClickRecorded;
use crate::registry::encryption::has_form;
use crate::registry::limits::{ip_ranges, rate, requests};
use crate::registry::{Affiliate, ApiKey, Campaign, KeyStatus, Link, Merchant, RateLimit, Secret};
use crate::{Currency, Timestamp};

/// Most characters of a merchant's or an affiliate's name.
const DISPLAY_NAME_CHARACTERS_MAX: usize = 200;
/// Most characters of a click id, as the edge takes it.
const CLICK_ID_CHARACTERS_MAX: usize = 128;
/// Most merchants that are an affiliate's own.
const OWN_MERCHANTS_MAX: usize = 16;
const SECRET_CHARACTERS_MIN: usize = 16;
const SECRET_CHARACTERS_MAX: usize = 256;
const DEFAULT_CURRENCY: &str = "NPR";

pub(super) fn merchant<'a>(fields: &Fields<'a>, known: &mut Known<'a>) -> Option<Merchant> {
    let id = known.merchants.declare(fields, check_name);
    let name = fields.required_as("name", display_name);
    let currency = match fields.has("currency") {
        true => fields.optional_as("currency", Currency::parse),
        false => Currency::parse(DEFAULT_CURRENCY).ok(),
    };
    let approved = fields.flag("approved", true);
    Some(Merchant { id: id?, name: name?, currency: currency?, approved })
}

/// The secrets so far.
pub(super) struct Secrets<'a> {
    pub(super) encrypted: EncryptedSecrets,
    /// Where each was first given.
    pub(super) first: BTreeMap<Cow<'a, str>, usize>,
}

/// A key, unless its secret is encrypted and left so.
pub(super) fn key<'a>(fields: &Fields<'a>, known: &mut Known<'a>, secrets: &mut Secrets<'a>) -> Option<ApiKey> {
    let id = known.keys.declare(fields, |id| check_key_id(id).map(drop));
    let livemode = id.as_deref().and_then(|id| check_key_id(id).ok());
    let merchant_id = known.merchants.reference(fields, "merchant");
    let secret = match (fields.has(SecretField::ENCRYPTED), secrets.encrypted) {
        (true, EncryptedSecrets::Left) => {
            left(fields);
            None
        }
        (true, EncryptedSecrets::Refused) => {
            fields.refuse_present(SecretField::ENCRYPTED, ENCRYPTED_SECRET_REFUSED);
            None
        }
        (false, _) => {
            let text = fields.required(SecretField::PLAIN);
            text.and_then(|text| secret(fields, text, livemode, &mut secrets.first))
        }
    };
    let status = match fields.has("status") {
        true => fields.optional_as("status", key_status),
        false => Some(KeyStatus::Active),
    };
    let expires_at = fields.optional_as("expires_at", Timestamp::parse);
    // A faulty list is a fault of the file, so that it does not stand for one that lets everybody in.
    let allowed_ips = fields.optional_as("allowed_ips", ip_ranges).unwrap_or_default();
    let strict_replay = fields.flag("strict_replay", false);
    let rate_limit = rate_limit(fields);
    Some(ApiKey {
        id: id?,
        merchant_id: merchant_id?,
        livemode: livemode?,
        secret: secret?,
        status: status?,
        expires_at,
        allowed_ips,
        strict_replay,
        rate_limit,
    })
}

/// Checks what can be said of a secret that is encrypted.
fn left(fields: &Fields<'_>) {
    let check = |text: &str| if has_form(text) { Ok(()) } else { Err("must be an encrypted secret of a known form") };
    fields.optional_as(SecretField::ENCRYPTED, check);
    fields.refuse_present(SecretField::PLAIN, "must not be there beside encrypted_secret");
}

/// A burst that is not given is what the rate allows in its one second or minute.
fn rate_limit(fields: &Fields<'_>) -> Option<RateLimit> {
    let burst = fields.optional_as("rate_burst", requests);
    if !fields.has("rate_limit") {
        fields.refuse_present("rate_burst", "must come with a rate_limit");
    }
    let (per_minute, number) = fields.optional_as("rate_limit", rate)?;
    Some(RateLimit { per_minute, burst: burst.unwrap_or(number) })
}

pub(super) fn affiliate<'a>(fields: &Fields<'a>, known: &mut Known<'a>) -> Option<Affiliate> {
    let id = known.affiliates.declare(fields, check_name);
    let name = fields.required_as("name", display_name);
    let on_hold = fields.flag("on_hold", false);
    let own_merchants = fields.optional_as("own_merchants", |text| own_merchants(text, &known.merchants));
    Some(Affiliate { id: id?, name: name?, on_hold, own_merchants: own_merchants.unwrap_or_default() })
}

fn own_merchants(text: &str, merchants: &Ids<'_>) -> Result<BTreeSet<String>, String> {
    let mut own = BTreeSet::new();
    for id in text.split(',').map(str::trim) {
        if !merchants.has(id) {
            return Err("must be ids of [[merchants]] with commas, such as \"himal-outdoor, tokyo-tea\"".to_owned());
        }
        if !own.insert(id.to_owned()) {
            return Err(format!("must have {id} once"));
        }
    }
    if own.len() > OWN_MERCHANTS_MAX {
        return Err(format!("must have at most {OWN_MERCHANTS_MAX} merchants"));
    }
    Ok(own)
}

pub(super) fn campaign<'a>(fields: &Fields<'a>, known: &mut Known<'a>, retention: Duration) -> Option<Campaign> {
    let id = known.campaigns.declare(fields, check_name);
    let merchant_id = known.merchants.reference(fields, "merchant");
    let lookback = fields.optional_as("lookback", |text| match in_range(text, LOOKBACK)? {
        lookback if lookback > retention => Err("must be at most policies.click_retention (default 120d)".to_owned()),
        lookback => Ok(lookback),
    });
    let min_click_to_order = fields.optional_as("min_click_to_order", |text| in_range(text, MIN_CLICK_TO_ORDER));
    Some(Campaign { id: id?, merchant_id: merchant_id?, lookback, min_click_to_order })
}

pub(super) fn link<'a>(fields: &Fields<'a>, known: &mut Known<'a>) -> Option<Link> {
    let id = known.links.declare(fields, check_name);
    let campaign_id = known.campaigns.reference(fields, "campaign");
    let affiliate_id = known.affiliates.reference(fields, "affiliate");
    let destination = fields.required_as("destination", |text| check_destination(text).map(|()| text.to_owned()));
    Some(Link { id: id?, campaign_id: campaign_id?, affiliate_id: affiliate_id?, destination: destination? })
}

/// Merchant, campaign and affiliate of a click are those of its link.
pub(super) fn click<'a>(
    fields: &Fields<'a>,
    known: &mut Known<'a>,
    links: &BTreeMap<String, Link>,
    campaigns: &BTreeMap<String, Campaign>,
) -> Option<ClickRecorded> {
    let click_id = known.clicks.declare(fields, check_click_id);
    let link_id = known.links.reference(fields, "link");
    let clicked_at = fields.required_as("clicked_at", Timestamp::parse);
    let link = links.get(link_id.as_deref()?)?;
    Some(ClickRecorded {
        click_id: click_id?,
        merchant_id: campaigns.get(&link.campaign_id)?.merchant_id.clone(),
        campaign_id: link.campaign_id.clone(),
        affiliate_id: link.affiliate_id.clone(),
        link_id,
        clicked_at: clicked_at?,
    })
}

fn display_name(text: &str) -> Result<String, String> {
    let fits = (1..=DISPLAY_NAME_CHARACTERS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) && !text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to {DISPLAY_NAME_CHARACTERS_MAX} characters, not all blank, without control characters"))
}

fn check_click_id(text: &str) -> Result<(), String> {
    let fits = (1..=CLICK_ID_CHARACTERS_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("must be 1 to {CLICK_ID_CHARACTERS_MAX} visible ASCII characters"))
}

/// Whether the key is a live one.
fn check_key_id(text: &str) -> Result<bool, &'static str> {
    let parts = [("live_pk_", true), ("test_pk_", false)];
    let mode = parts.iter().find_map(|(prefix, livemode)| Some((text.strip_prefix(prefix)?, *livemode)));
    match mode {
        Some((rest, livemode)) if check_name(rest).is_ok() => Ok(livemode),
        Some(_) | None => Err("must be live_pk_ or test_pk_ and 1 to 64 letters, digits, '_' or '-'"),
    }
}

fn key_status(text: &str) -> Result<KeyStatus, &'static str> {
    match text {
        "active" => Ok(KeyStatus::Active),
        "disabled" => Ok(KeyStatus::Disabled),
        "revoked" => Ok(KeyStatus::Revoked),
        _ => Err("must be active, disabled or revoked"),
    }
}

/// Checks a secret, for a key whose mode is known unless its id is faulty.
fn secret<'a>(
    fields: &Fields<'a>,
    text: Text<'a>,
    livemode: Option<bool>,
    secrets: &mut BTreeMap<Cow<'a, str>, usize>,
) -> Option<Secret> {
    let secret = fields.parse(&text, |value| check_secret(value, livemode).map(|()| Secret::new(value.to_owned())));
    // One secret for two merchants would let either sign as the other.
    if let Some(first) = secrets.get(&text.value) {
        let line = fields.line(*first);
        fields.refuse(&text, format_args!("must be another than that of the key on line {line}"));
        return None;
    }
    secrets.insert(text.value, text.at);
    secret
}

fn check_secret(text: &str, livemode: Option<bool>) -> Result<(), String> {
    let (prefixes, named): (&[&str], &str) = match livemode {
        Some(true) => (&["sk_live_"], "sk_live_, as the key is a live one,"),
        Some(false) => (&["sk_test_"], "sk_test_, as the key is a test one,"),
        None => (&["sk_live_", "sk_test_"], "sk_live_ or sk_test_"),
    };
    let fits = (SECRET_CHARACTERS_MIN..=SECRET_CHARACTERS_MAX).contains(&text.len());
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && visible && prefixes.iter().any(|prefix| text.starts_with(prefix)) {
        return Ok(());
    }
    Err(format!(
        "must begin with {named} and have {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} visible ASCII characters"
    ))
}
