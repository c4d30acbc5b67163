//! Settings from a TOML file.

use schemas::registry::shown;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::faults::{FaultList, HIDDEN, shown_client};
use super::table::{CLIENT, Setting, TABLE, find};
use super::value::Value;
use super::{Found, Settings};
use crate::settings::table::Kind;

/// Reads the file's settings; what is faulty is left out.
pub(super) fn read(text: &str, settings: &mut Settings, faults: &mut FaultList<'_>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // Only the message: the error's own Display quotes the line, which may hold a secret.
        let origin = faults.origin(error.span().map_or(text.len(), |span| span.start));
        faults.add(&origin, format!("must be valid TOML: {}", error.message().escape_debug()));
    }
    if errors.is_empty() {
        Reader { text, settings, faults }.table("", document.get_ref());
    }
}

struct Reader<'a, 'f> {
    text: &'a str,
    settings: &'a mut Settings,
    faults: &'a mut FaultList<'f>,
}

impl Reader<'_, '_> {
    /// Reads a table whose fields' names begin with `prefix`.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let (below, at) = (format!("{name}."), key.span().start);
            let is_section = CLIENT.starts_with(&below) || TABLE.iter().any(|setting| setting.name.starts_with(&below));
            match (value.get_ref(), find(&name)) {
                (_, Some(setting)) => self.setting(setting, value),
                (DeValue::Table(table), None) if is_section || name.starts_with(CLIENT) => self.table(&below, table),
                (_, None) if is_section => {
                    let origin = self.faults.origin(at);
                    self.faults.add(&origin, format!("{name} must be one table, written [{name}]"));
                }
                (_, None) => match name.strip_prefix(CLIENT) {
                    Some(client) => self.client(client, at, value),
                    None => self.unknown(&name, at),
                },
            }
        }
    }

    fn unknown(&mut self, name: &str, at: usize) {
        let section = name.split('.').next().unwrap_or_default();
        let known: Vec<&str> =
            TABLE.iter().filter(|setting| setting.parts().0 == section).map(|setting| setting.name).collect();
        let remedy = if known.is_empty() {
            let mut sections: Vec<&str> = TABLE.iter().map(|setting| setting.parts().0).collect();
            sections.dedup();
            format!("sections are {}", sections.join(", "))
        } else {
            format!("must be one of {}", known.join(", "))
        };
        let origin = self.faults.origin(at);
        self.faults.add(&origin, format!("there is no setting {}: {remedy}", shown(name)));
    }

    fn setting(&mut self, setting: &'static Setting, value: &Spanned<DeValue<'_>>) {
        let origin = self.faults.origin(value.span().start);
        match parse(setting, value.get_ref()) {
            Ok(parsed) => {
                self.settings.values.insert(setting.name, Found { value: Some(parsed), origin });
            }
            Err(remedy) => {
                let given = match value.get_ref() {
                    _ if matches!(setting.kind, Kind::Secret) => HIDDEN.to_owned(),
                    DeValue::String(text) => shown(text),
                    _ => shown(self.text.get(value.span()).unwrap_or_default()),
                };
                self.faults.add(&origin, format!("{} {given} {remedy}", setting.name));
                // Known from here on, so that what is relative to it adds no further fault.
                self.settings.values.insert(setting.name, Found { value: None, origin });
            }
        }
    }

    fn client(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let origin = self.faults.origin(at);
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let message = format!("{CLIENT}{name} must be a text in quotes, a whole number, true or false");
                self.faults.add(&origin, message);
                return;
            }
        };
        let again = format!("{CLIENT}{name} {} is given twice: drop one", shown_client(name, &text));
        if self.settings.client.insert(name.to_owned(), Found { value: text, origin: origin.clone() }).is_some() {
            self.faults.add(&origin, again);
        }
    }
}

/// Reads the value of a setting; the error is the remedy.
fn parse(setting: &Setting, value: &DeValue<'_>) -> Result<Value, String> {
    match (setting.kind, value) {
        (Kind::Bytes(..) | Kind::Count(..), DeValue::Integer(number)) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            // A number too long for 64 bits is out of every range, as is one that is negative.
            setting.kind.parse(&parsed.map_or(number.to_string(), |parsed| parsed.to_string()))
        }
        (Kind::Count(..), _) => Err(format!("must be {}, without quotes", setting.kind.description())),
        (_, DeValue::String(text)) => setting.kind.parse(text),
        _ => Err(format!("must be a text in quotes: {}", setting.kind.description())),
    }
}
