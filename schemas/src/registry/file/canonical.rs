//! A registry file taken apart into its entries, each in the one form that its content has.

use std::fmt::Write;

use toml::de::{DeTable, DeValue};

use super::fields::{Section, text_of};
use super::{AFFILIATES, CAMPAIGNS, CLICKS, COUPONS, KEYS, LINKS, MERCHANTS, POLICIES, RULES};
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

/// A value as it is written in the one form: a text, whatever its quotes, and a bare date, which is taken as its text.
fn canonical(value: &DeValue<'_>) -> toml::Value {
    match (text_of(value), value) {
        (Some(text), _) => toml::Value::String(text.into_owned()),
        (None, DeValue::Boolean(flag)) => toml::Value::Boolean(*flag),
        (None, _) => unreachable!("every field of a registry without faults is a text, a date or a flag"),
    }
}
