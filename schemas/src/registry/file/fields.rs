//! Reading the tables of a registry file, fault by fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::registry::faults::{Collector, HIDDEN, shown};

/// A section of the file and the fields its tables may have.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
    /// Those of them whose values no fault shows.
    pub(super) hidden: &'static [&'static str],
}

/// The file as parsed TOML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    table: &'a DeTable<'a>,
    collector: &'a Collector<'a>,
}

impl<'a> Document<'a> {
    /// Takes a document; every section that is none of `known` is a fault.
    pub(super) fn new(table: &'a DeTable<'a>, known: &[&Section], collector: &'a Collector<'a>) -> Document<'a> {
        for name in table.keys() {
            if known.iter().all(|section| section.name != name.get_ref()) {
                let names: Vec<&str> = known.iter().map(|section| section.name).collect();
                let message = format!("section {} must be one of {}", shown(name.get_ref()), names.join(", "));
                collector.add(name.span().start, message);
            }
        }
        Document { table, collector }
    }

    /// The one table of a section, if the file has it.
    pub(super) fn table(&self, section: &'static Section) -> Option<Fields<'a>> {
        let value = self.table.get(section.name)?;
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("{} must be one table, written [{0}]", section.name);
            self.collector.add(value.span().start, message);
            return None;
        };
        Some(Fields::new(section, table, value.span().start, self.collector))
    }

    /// The tables of a section, in the order of the file.
    pub(super) fn tables(&self, section: &'static Section) -> Vec<Fields<'a>> {
        let Some(value) = self.table.get(section.name) else { return Vec::new() };
        let wrong = |value: &Spanned<DeValue<'_>>| {
            let message = format!("{} must be tables, each written [[{0}]]", section.name);
            self.collector.add(value.span().start, message);
        };
        let DeValue::Array(array) = value.get_ref() else {
            wrong(value);
            return Vec::new();
        };
        let table = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => Some(Fields::new(section, table, value.span().start, self.collector)),
            _ => {
                wrong(value);
                None
            }
        };
        array.iter().filter_map(table).collect()
    }
}

/// The text of a field, and where it is.
#[derive(Debug)]
pub(super) struct Text<'a> {
    field: &'static str,
    pub(super) value: Cow<'a, str>,
    pub(super) at: usize,
}

/// The fields of one table. What is wrong with one becomes a fault and reads as `None`.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    section: &'static Section,
    table: &'a DeTable<'a>,
    /// The table's header, where a missing field is reported.
    at: usize,
    collector: &'a Collector<'a>,
}

impl<'a> Fields<'a> {
    fn new(section: &'static Section, table: &'a DeTable<'a>, at: usize, collector: &'a Collector<'a>) -> Fields<'a> {
        for name in table.keys().filter(|name| !section.fields.contains(&name.get_ref().as_ref())) {
            let known = section.fields.join(", ");
            let message = format!("{} field {} must be one of {known}", section.name, shown(name.get_ref()));
            collector.add(name.span().start, message);
        }
        Fields { section, table, at, collector }
    }

    /// Whether the field is there, faulty or not.
    pub(super) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    /// The text of a field that may be absent. A bare TOML date and time is taken as its text.
    pub(super) fn text(&self, field: &'static str) -> Option<Text<'a>> {
        let value = self.table.get(field)?;
        let at = value.span().start;
        let Some(text) = text_of(value.get_ref()) else {
            self.wrong_type(field, value, value.get_ref(), "a text in quotes");
            return None;
        };
        Some(Text { field, value: text, at })
    }

    /// The text of a field that must be there.
    pub(super) fn required(&self, field: &'static str) -> Option<Text<'a>> {
        if !self.has(field) {
            self.missing(field, "must be given");
        }
        self.text(field)
    }

    /// A field that may be absent, as `parse` reads it.
    pub(super) fn optional_as<T, E: Display>(
        &self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.parse(&self.text(field)?, parse)
    }

    /// A field that must be there, as `parse` reads it.
    pub(super) fn required_as<T, E: Display>(
        &self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.parse(&self.required(field)?, parse)
    }

    /// A `true` or `false`, or `default` if the field is absent.
    pub(super) fn flag(&self, field: &'static str, default: bool) -> bool {
        match self.table.get(field).map(|value| (value, value.get_ref())) {
            None => default,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((value, other)) => {
                self.wrong_type(field, value, other, "true or false");
                default
            }
        }
    }

    /// The line, from 1, that a byte of the file is on.
    pub(super) fn line(&self, at: usize) -> usize {
        self.collector.line(at)
    }

    /// What `parse` makes of a text; its error is the remedy that the fault names.
    pub(super) fn parse<T, E: Display>(&self, text: &Text<'_>, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        parse(&text.value).map_err(|remedy| self.refuse(text, remedy)).ok()
    }

    /// Reports a value with what it must be.
    pub(super) fn refuse(&self, text: &Text<'_>, remedy: impl Display) {
        let hidden = self.section.hidden.contains(&text.field);
        let shown = if hidden { HIDDEN.to_owned() } else { shown(&text.value) };
        let message = format!("{}.{} {shown} {remedy}", self.section.name, text.field);
        self.collector.add(text.at, message);
    }

    /// Reports a field that should not be there, if it is.
    pub(super) fn refuse_present(&self, field: &'static str, remedy: impl Display) {
        if let Some(value) = self.table.get(field) {
            self.collector.add(value.span().start, format!("{}.{field} {remedy}", self.section.name));
        }
    }

    /// Reports a field that should be there.
    pub(super) fn missing(&self, field: &str, remedy: impl Display) {
        self.collector.add(self.at, format!("{}.{field} {remedy}", self.section.name));
    }

    fn wrong_type(&self, field: &str, value: &Spanned<DeValue<'_>>, found: &DeValue<'_>, expected: &str) {
        let kind = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{}.{field} is {kind}, must be {expected}", self.section.name);
        self.collector.add(value.span().start, message);
    }
}

/// The text that a value is read as: a bare TOML date and time is taken as its text.
pub(super) fn text_of<'a>(value: &'a DeValue<'_>) -> Option<Cow<'a, str>> {
    match value {
        DeValue::String(text) => Some(Cow::Borrowed(text.as_ref())),
        DeValue::Datetime(instant) => Some(Cow::Owned(instant.to_string())),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The ids of a section and where each was first given.
#[derive(Debug)]
pub(super) struct Ids<'a> {
    section: &'static str,
    first: BTreeMap<Cow<'a, str>, usize>,
}

impl<'a> Ids<'a> {
    pub(super) fn new(section: &Section) -> Ids<'a> {
        Ids { section: section.name, first: BTreeMap::new() }
    }

    /// Takes the id of a table. A faulty one is known from then on too, so that references to it add no further faults.
    pub(super) fn declare<E: Display>(
        &mut self,
        fields: &Fields<'a>,
        check: impl FnOnce(&str) -> Result<(), E>,
    ) -> Option<String> {
        let text = fields.required("id")?;
        let valid = fields.parse(&text, check).is_some();
        if let Some(first) = self.first.get(&text.value) {
            let line = fields.line(*first);
            fields.refuse(&text, format_args!("must be unique, but is the id on line {line} too"));
            return None;
        }
        self.first.insert(text.value.clone(), text.at);
        valid.then(|| text.value.into_owned())
    }

    /// Whether it is an id of this section.
    pub(super) fn has(&self, id: &str) -> bool {
        self.first.contains_key(id)
    }

    /// The value of a field that must be an id of this section.
    pub(super) fn reference(&self, fields: &Fields<'_>, field: &'static str) -> Option<String> {
        fields.required_as(field, |id| match self.first.contains_key(id) {
            true => Ok(id.to_owned()),
            false => Err(format!("must be the id of one of the [[{}]]", self.section)),
        })
    }
}
