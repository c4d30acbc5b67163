//! The declarative registry file: TOML in, a [`Registry`] or everything that is wrong with the file out.
//!
//! `examples/registry.toml` explains every section and field.

use std::collections::BTreeMap;

use toml::de::DeTable;

use self::fields::{Document, Ids, Section};
use super::faults::Collector;
use super::{Definition, EntryKey, Faults, Registry};

pub(super) use self::canonical::{SecretField, SecretTable};

mod canonical;
mod coupons;
mod destination;
mod endpoints;
mod entries;
mod fields;
mod policies;
mod rules;

/// Most bytes of a registry file: 64 MiB.
pub const FILE_BYTES_MAX: usize = 64 << 20;

const POLICIES: Section = Section {
    name: "policies",
    fields: &[
        "click_wait",
        "lookback",
        "settlement_window",
        "return_window",
        "click_retention",
        "min_click_to_order",
        "payout_cut_off",
        "payout_minimum",
    ],
    hidden: &[],
};
const MERCHANTS: Section = Section { name: "merchants", fields: &["id", "name", "currency", "approved"], hidden: &[] };
const KEYS: Section = Section {
    name: "keys",
    fields: &[
        "id",
        "merchant",
        "secret",
        "status",
        "expires_at",
        "allowed_ips",
        "strict_replay",
        "rate_limit",
        "rate_burst",
        SecretField::ENCRYPTED,
    ],
    // The id too, because a secret is easily pasted there.
    hidden: &["id", SecretField::PLAIN, SecretField::ENCRYPTED],
};
const AFFILIATES: Section =
    Section { name: "affiliates", fields: &["id", "name", "on_hold", "own_merchants"], hidden: &[] };
const CAMPAIGNS: Section =
    Section { name: "campaigns", fields: &["id", "merchant", "lookback", "min_click_to_order"], hidden: &[] };
const LINKS: Section = Section { name: "links", fields: &["id", "campaign", "affiliate", "destination"], hidden: &[] };
const RULES: Section = Section {
    name: "rules",
    fields: &[
        "id",
        "level",
        "merchant",
        "product",
        "campaign",
        "percent",
        "fixed",
        "currency",
        "minimum",
        "cap",
        "effective_from",
        "effective_until",
    ],
    hidden: &[],
};
const CLICKS: Section = Section { name: "clicks", fields: &["id", "link", "clicked_at"], hidden: &[] };
const COUPONS: Section = Section {
    name: "coupons",
    fields: &["id", "code", "campaign", "affiliate", "effective_from", "effective_until"],
    hidden: &[],
};

const ENDPOINTS: Section = Section {
    name: "endpoints",
    fields: &[
        "id",
        "merchant",
        "livemode",
        "url",
        SecretField::PLAIN,
        SecretField::PREVIOUS,
        "disabled",
        "enabled_at",
        SecretField::ENCRYPTED,
        SecretField::PREVIOUS_ENCRYPTED,
    ],
    hidden: &["id", SecretField::PLAIN, SecretField::PREVIOUS, SecretField::ENCRYPTED, SecretField::PREVIOUS_ENCRYPTED],
};
/// What a file is told that has an encrypted secret.
const ENCRYPTED_SECRET_REFUSED: &str =
    "must be left out: only what is applied has its secrets encrypted, and a file has them as they are";

impl Registry {
    /// Reads a registry file, at most [`FILE_BYTES_MAX`] bytes of TOML.
    ///
    /// # Errors
    /// All faults of the file, each with its line: what is no TOML, or else every field that is unknown, missing,
    /// of a wrong type or out of its range, every id given twice, and every reference to an id that there is not.
    pub fn parse(text: &str) -> Result<Registry, Faults> {
        parse(text, EncryptedSecrets::Refused, |_| ()).map(|(registry, ())| registry)
    }
}

/// What becomes of the secrets that are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncryptedSecrets {
    /// They are faults: what people write has secrets as they are.
    Refused,
    /// They stay what they are, and the registry has none of their keys.
    Left,
}

/// A registry, and the entries of its file. Their text, too, is at most [`FILE_BYTES_MAX`] bytes, so that the entries
/// together are read as a file again.
pub(super) fn parse_and_split(
    text: &str,
    encrypted: EncryptedSecrets,
) -> Result<(Registry, Vec<(EntryKey, Definition)>), Faults> {
    let (registry, entries) = parse(text, encrypted, canonical::split)?;
    let bytes: usize = entries.iter().map(|(_, definition)| definition.expose().len()).sum();
    if bytes > FILE_BYTES_MAX {
        let collector = Collector::new(text);
        collector.add(0, format!("the file's entries have {bytes} bytes, must have at most {FILE_BYTES_MAX}"));
        return collector.finish(None);
    }
    Ok((registry, entries))
}

/// Reads a file, and of one without faults also what `also` takes from its document.
fn parse<T>(
    text: &str,
    encrypted: EncryptedSecrets,
    also: impl FnOnce(&DeTable<'_>) -> T,
) -> Result<(Registry, T), Faults> {
    let collector = Collector::new(text);
    if text.len() > FILE_BYTES_MAX {
        collector.add(0, format!("the file has {} bytes, must have at most {FILE_BYTES_MAX}", text.len()));
        return collector.finish(None);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let registry = if errors.is_empty() {
        Some(read(document.get_ref(), encrypted, &collector))
    } else {
        for error in errors {
            // Only the message: the error's own Display quotes the line, which may hold a secret.
            let at = error.span().map_or(text.len(), |span| span.start);
            collector.add(at, format!("must be valid TOML: {}", error.message().escape_debug()));
        }
        None
    };
    let registry = collector.finish(registry)?;
    Ok((registry, also(document.get_ref())))
}

/// The ids of all sections so far, for references to them.
struct Known<'a> {
    merchants: Ids<'a>,
    keys: Ids<'a>,
    affiliates: Ids<'a>,
    campaigns: Ids<'a>,
    links: Ids<'a>,
    rules: Ids<'a>,
    clicks: Ids<'a>,
    coupons: Ids<'a>,
    endpoints: Ids<'a>,
}

/// Reads every section, each after those it refers to. What is faulty is left out.
fn read<'a>(table: &'a DeTable<'a>, encrypted: EncryptedSecrets, collector: &'a Collector<'a>) -> Registry {
    let sections =
        [&POLICIES, &MERCHANTS, &KEYS, &AFFILIATES, &CAMPAIGNS, &LINKS, &RULES, &CLICKS, &COUPONS, &ENDPOINTS];
    let document = Document::new(table, &sections, collector);
    let known = &mut Known {
        merchants: Ids::new(&MERCHANTS),
        keys: Ids::new(&KEYS),
        affiliates: Ids::new(&AFFILIATES),
        campaigns: Ids::new(&CAMPAIGNS),
        links: Ids::new(&LINKS),
        rules: Ids::new(&RULES),
        clicks: Ids::new(&CLICKS),
        coupons: Ids::new(&COUPONS),
        endpoints: Ids::new(&ENDPOINTS),
    };

    let merchants = document.tables(&MERCHANTS).into_iter().filter_map(|fields| entries::merchant(&fields, known));
    let merchants = merchants.map(|merchant| (merchant.id.clone(), merchant)).collect();
    let mut secrets = entries::Secrets { encrypted, first: BTreeMap::new() };
    let keys = document.tables(&KEYS).into_iter().filter_map(|fields| entries::key(&fields, known, &mut secrets));
    let keys = keys.map(|key| (key.id.clone(), key)).collect();
    let affiliates = document.tables(&AFFILIATES).into_iter().filter_map(|fields| entries::affiliate(&fields, known));
    let affiliates = affiliates.map(|affiliate| (affiliate.id.clone(), affiliate)).collect();
    let policies = document.table(&POLICIES);
    let payouts = policies.as_ref().and_then(policies::payouts);
    let policies = policies::policies(policies);
    let campaigns = document.tables(&CAMPAIGNS).into_iter();
    let campaigns = campaigns.filter_map(|fields| entries::campaign(&fields, known, policies.click_retention));
    let campaigns = campaigns.map(|campaign| (campaign.id.clone(), campaign)).collect();
    let links = document.tables(&LINKS).into_iter().filter_map(|fields| entries::link(&fields, known));
    let links = links.map(|link| (link.id.clone(), link)).collect();
    let rules = document.tables(&RULES).into_iter().filter_map(|fields| rules::rule(&fields, known)).collect();
    let clicks = document.tables(&CLICKS);
    let clicks = clicks.iter().filter_map(|fields| entries::click(fields, known, &links, &campaigns)).collect();
    let mut held = coupons::Held::new();
    let coupons = document.tables(&COUPONS).into_iter();
    let coupons = coupons.filter_map(|fields| coupons::coupon(&fields, known, &campaigns, &mut held)).collect();
    let mut counts = endpoints::Counts::new();
    let endpoints = document.tables(&ENDPOINTS).into_iter();
    let endpoints =
        endpoints.filter_map(|fields| endpoints::endpoint(&fields, known, encrypted, &mut counts)).collect();

    Registry { policies, payouts, merchants, keys, affiliates, campaigns, links, rules, clicks, coupons, endpoints }
}
