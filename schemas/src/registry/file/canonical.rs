//! A registry file taken apart into its entries, each in the one form that its content has.

use std::borrow::Cow;
use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{Section, text_of};
use super::{AFFILIATES, CAMPAIGNS, CLICKS, COUPONS, ENDPOINTS, KEYS, LINKS, MERCHANTS, POLICIES, RULES};
use crate::registry::{Definition, EntryKey, EntryKind};

/// The entries of a document without faults. What a file says twice over, in its order, comments, quotes and spaces, is
/// lost; a section without fields says nothing and is no entry.
pub(super) fn split(document: &DeTable<'_>) -> Vec<(EntryKey, Definition)> {
    let mut entries = Vec::new();
    for kind in EntryKind::ALL {
        match document.get(section(kind).name).map(|value| value.get_ref()) {
            Some(DeValue::Table(table)) if !table.is_empty() => entries.push(entry(kind, table)),
            Some(DeValue::Array(tables)) => {
                let tables = tables.iter().filter_map(|table| table.get_ref().as_table());
                entries.extend(tables.map(|table| entry(kind, table)));
            }
            // Of a file without faults these are an empty table and an absent section.
            Some(_) | None => (),
        }
    }
    entries
}

fn section(kind: EntryKind) -> &'static Section {
    match kind {
        EntryKind::Policies => &POLICIES,
        EntryKind::Merchant => &MERCHANTS,
        EntryKind::Key => &KEYS,
        EntryKind::Affiliate => &AFFILIATES,
        EntryKind::Campaign => &CAMPAIGNS,
        EntryKind::Link => &LINKS,
        EntryKind::Rule => &RULES,
        EntryKind::Click => &CLICKS,
        EntryKind::Coupon => &COUPONS,
        EntryKind::Endpoint => &ENDPOINTS,
    }
}

fn entry(kind: EntryKind, table: &DeTable<'_>) -> (EntryKey, Definition) {
    let section = section(kind);
    let mut text = match kind.is_one_table() {
        true => format!("[{}]\n", section.name),
        false => format!("[[{}]]\n", section.name),
    };
    for field in section.fields {
        if let Some(value) = table.get(*field) {
            writeln!(text, "{field} = {}", canonical(value.get_ref())).expect("a string takes it");
        }
    }
    let id = table.get("id").and_then(|id| text_of(id.get_ref())).unwrap_or_default();
    (EntryKey { kind, id: id.into_owned() }, Definition::new(text))
}

/// A field that holds a secret as it is, and the field that stands in its place once it is encrypted.
pub(in crate::registry) struct SecretField {
    pub(in crate::registry) plain: &'static str,
    pub(in crate::registry) encrypted: &'static str,
}

impl SecretField {
    /// The present secret of a key or an endpoint.
    pub(in crate::registry) const PLAIN: &'static str = "secret";
    pub(in crate::registry) const ENCRYPTED: &'static str = "encrypted_secret";
    /// The one before, which an endpoint's messages are signed by too.
    pub(in crate::registry) const PREVIOUS: &'static str = "previous_secret";
    pub(in crate::registry) const PREVIOUS_ENCRYPTED: &'static str = "encrypted_previous_secret";

    const PRESENT: SecretField = SecretField { plain: SecretField::PLAIN, encrypted: SecretField::ENCRYPTED };
    const BEFORE: SecretField =
        SecretField { plain: SecretField::PREVIOUS, encrypted: SecretField::PREVIOUS_ENCRYPTED };

    const OF_KEYS: &'static [SecretField] = &[SecretField::PRESENT];
    pub(in crate::registry) const OF_ENDPOINTS: &'static [SecretField] = &[SecretField::PRESENT, SecretField::BEFORE];

    /// The secrets that an entry of this kind may have.
    pub(in crate::registry) fn of(kind: EntryKind) -> &'static [SecretField] {
        match kind {
            EntryKind::Key => SecretField::OF_KEYS,
            EntryKind::Endpoint => SecretField::OF_ENDPOINTS,
            EntryKind::Policies
            | EntryKind::Merchant
            | EntryKind::Affiliate
            | EntryKind::Campaign
            | EntryKind::Link
            | EntryKind::Rule
            | EntryKind::Click
            | EntryKind::Coupon => &[],
        }
    }
}

/// The table of one entry whose secrets can be put into another form.
pub(in crate::registry) struct SecretTable<'a> {
    kind: EntryKind,
    table: DeTable<'a>,
}

impl<'a> SecretTable<'a> {
    /// Reads a definition that is one table of an entry of this kind and nothing else; by another hand it may be anything.
    /// `None` too for a kind that has no secrets.
    pub(in crate::registry) fn parse(kind: EntryKind, definition: &'a Definition) -> Option<SecretTable<'a>> {
        if SecretField::of(kind).is_empty() {
            return None;
        }
        let mut document = DeTable::parse(definition.expose()).ok()?.into_inner();
        let tables = document.remove(section(kind).name).filter(|_| document.is_empty())?.into_inner();
        let DeValue::Array(tables) = tables else { return None };
        match &*tables {
            [table] => table.get_ref().as_table().cloned().map(|table| SecretTable { kind, table }),
            _ => None,
        }
    }

    /// The text of a field.
    pub(in crate::registry) fn text(&self, field: &str) -> Option<Cow<'_, str>> {
        self.table.get(field).and_then(|value| text_of(value.get_ref()))
    }

    /// Puts a text into another field.
    pub(in crate::registry) fn replace(&mut self, before: &str, field: &'static str, text: String) {
        self.table.remove(before);
        let nowhere = 0..0;
        let value = Spanned::new(nowhere.clone(), DeValue::String(Cow::Owned(text)));
        self.table.insert(Spanned::new(nowhere, Cow::Borrowed(field)), value);
    }

    /// The entry as it is now.
    pub(in crate::registry) fn definition(&self) -> Definition {
        entry(self.kind, &self.table).1
    }
}

/// A value as it is written in the one form: a text, whatever its quotes, and a bare date, which is taken as its text.
fn canonical(value: &DeValue<'_>) -> toml::Value {
    match (text_of(value), value) {
        (Some(text), _) => toml::Value::String(text.into_owned()),
        (None, DeValue::Boolean(flag)) => toml::Value::Boolean(*flag),
        (None, _) => unreachable!("every field of a registry without faults is a text, a date or a flag"),
    }
}
