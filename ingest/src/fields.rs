//! Checking the fields of an object, collecting every fault: each names its field, what came, and the remedy.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use schemas::Timestamp;
use serde_json::value::RawValue;

use crate::config::CLOCK_TOLERANCE;
use crate::json::{Kind, Object, kind, quoted, shown, string};

/// Most bytes of a `metadata` object, as it is written.
pub(crate) const METADATA_BYTES_MAX: usize = 8_192;
/// Most unknown names that are named one by one.
const UNKNOWN_NAMED_MAX: usize = 64;

/// Reads the fields of one object.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    object: Object<'a>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Begins with the fields that should not be there.
    pub(crate) fn new(object: Object<'a>) -> Reader<'a> {
        let faults = unknown(object.unknown(), object.known(), "field");
        Reader { object, faults }
    }

    /// The value of a field, if it is given and not `null`.
    pub(crate) fn raw(&self, name: &'static str) -> Option<&'a RawValue> {
        self.object.get(name)
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Notes that a field is not what it must be.
    pub(crate) fn refuse(&mut self, name: &str, must: impl Display, value: &RawValue) {
        let got = match kind(value) {
            Kind::Array | Kind::Object => kind(value).to_string(),
            Kind::Null | Kind::Boolean | Kind::Number | Kind::String => shown(value.get()).into_owned(),
        };
        self.faults.push(format!("{name} {must}; got {got}"));
    }

    /// Notes that a field is not what it must be, if it is given.
    pub(crate) fn refuse_given(&mut self, name: &'static str, must: impl Display) {
        if let Some(value) = self.raw(name) {
            self.refuse(name, must, value);
        }
    }

    /// All faults, if there are any.
    pub(crate) fn finish(self) -> Result<(), Vec<String>> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }

    /// A string of any content.
    pub(crate) fn string(&mut self, name: &'static str) -> Option<(Cow<'a, str>, &'a RawValue)> {
        let value = self.raw(name)?;
        if kind(value) != Kind::String {
            self.refuse(name, "must be a JSON string", value);
            return None;
        }
        let text = string(value);
        if text.is_none() {
            self.refuse(name, "must hold no escape that is half of a surrogate pair", value);
        }
        text.map(|text| (text, value))
    }

    /// An optional text of at most `characters_max` characters; an empty one is none.
    pub(crate) fn text(&mut self, name: &'static str, characters_max: usize) -> Option<String> {
        let (text, value) = self.string(name)?;
        if text.chars().nth(characters_max).is_some() {
            let length = text.chars().count();
            self.refuse(name, format_args!("must have at most {characters_max} characters, not {length}"), value);
            return None;
        }
        if text.is_empty() { None } else { Some(text.into_owned()) }
    }

    /// A text of 1 to `characters_max` characters that must be there.
    pub(crate) fn required_text(&mut self, name: &'static str, characters_max: usize) -> Option<String> {
        let faults = self.faults.len();
        let text = self.text(name, characters_max);
        if text.is_none() && self.faults.len() == faults {
            self.fault(format!("{name} is required: a string of 1 to {characters_max} characters"));
        }
        text
    }

    /// A whole number.
    pub(crate) fn whole(&mut self, name: &'static str, from: i64, to: i64) -> Option<i64> {
        let value = self.raw(name)?;
        let number = value.get().parse().ok().filter(|number| (from..=to).contains(number));
        if number.is_none() {
            self.refuse(name, format_args!("must be a whole number from {from} to {to}"), value);
        }
        number
    }

    /// The text of a decimal number, which is none yet.
    pub(crate) fn decimal(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let value = self.raw(name)?;
        if kind(value) == Kind::Number {
            let must = "must be a decimal string such as \"2999.00\", not a JSON number: put it in quotes";
            self.refuse(name, must, value);
            return None;
        }
        self.string(name).map(|(text, _)| text)
    }

    /// One of the words of a table.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let (text, value) = self.string(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.refuse(name, format_args!("must be one of {}", list(words)), value);
        }
        found
    }

    /// A word that an event decides: it may be left out, and may not be another.
    pub(crate) fn decided(&mut self, name: &'static str, word: &str, event: &str) {
        let Some((text, value)) = self.string(name) else { return };
        if text != word {
            self.refuse(name, format_args!("must be {word} or left out, since the event {event} says so"), value);
        }
    }

    /// An instant, not more than [`CLOCK_TOLERANCE`] after `now`.
    pub(crate) fn instant(&mut self, name: &'static str, now: Timestamp) -> Option<Timestamp> {
        self.instant_within(name, now, CLOCK_TOLERANCE, format_args!("{} s", CLOCK_TOLERANCE.as_secs()))
    }

    /// An instant, not more than `most` after `now`, which is told as `words`.
    pub(crate) fn instant_within(
        &mut self,
        name: &'static str,
        now: Timestamp,
        most: Duration,
        words: impl Display,
    ) -> Option<Timestamp> {
        let (text, value) = self.string(name)?;
        match Timestamp::parse(&text) {
            Ok(instant) if instant > now + most => {
                self.refuse(name, format_args!("must not be more than {words} after now, which is {now}"), value);
                None
            }
            Ok(instant) => Some(instant),
            Err(error) => {
                self.refuse(name, error, value);
                None
            }
        }
    }

    /// An object of at most [`METADATA_BYTES_MAX`] bytes, as the raw text sent.
    pub(crate) fn metadata(&mut self) -> Option<String> {
        let value = self.raw("metadata")?;
        if kind(value) != Kind::Object {
            self.refuse("metadata", "must be a JSON object", value);
            return None;
        }
        let bytes = value.get().len();
        if bytes > METADATA_BYTES_MAX {
            self.fault(format!("metadata must have at most {METADATA_BYTES_MAX} bytes, not {bytes}"));
            return None;
        }
        Some(value.get().to_owned())
    }
}

/// What is said of names that no field, or whatever else `what` is, of a request has.
pub(crate) fn unknown(names: &BTreeSet<Cow<'_, str>>, known: &[&'static str], what: &str) -> Vec<String> {
    let told = |name: &Cow<'_, str>| {
        let remedy = match nearest(name, known) {
            Some(known) => format!("did you mean {known}?"),
            None => "remove it".to_owned(),
        };
        format!("{} is not a {what} of this request: {remedy}", shown(&quoted(name)))
    };
    let mut faults: Vec<String> = names.iter().take(UNKNOWN_NAMED_MAX).map(told).collect();
    let unnamed = names.len().saturating_sub(UNKNOWN_NAMED_MAX);
    if unnamed > 0 {
        faults.push(format!("{unnamed} more {what}s are not {what}s of this request: remove them"));
    }
    faults
}

/// The words of a table, for a message.
pub(crate) fn list<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

/// The known name that an unknown one was probably meant to be.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const DISTANCE_MAX: usize = 2;
    const CHARACTERS_MAX: usize = 40;
    let plain = |text: &str| -> Vec<char> {
        let letters = text.chars().filter(|character| character.is_alphanumeric());
        letters.take(CHARACTERS_MAX).map(|character| character.to_ascii_lowercase()).collect()
    };
    let name = plain(name);
    let distances = known.iter().map(|known| (distance(&name, &plain(known)), *known));
    let (distance, known) = distances.min()?;
    // A short name is near to everything: what is kept of it must outweigh what differs.
    if distance <= DISTANCE_MAX && 2 * distance < name.len() { Some(known) } else { None }
}

/// Levenshtein's distance: how many characters to insert, delete or replace.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(nearest(name, crate::conversion::FIELDS), expected, "{name}");
    }

    #[test]
    fn near_names_are_found() {
        check("click_id", Some("clickId"));
        check("ClickID", Some("clickId"));
        check("clikId", Some("clickId"));
        check("order-amount", Some("orderAmount"));
        check("curency", Some("currency"));
        check("externalOrderID ", Some("externalOrderId"));
        check("orderedat", Some("orderedAt"));
        check("note", None);
        check("", None);
        check("id", None);
        check(&"x".repeat(10_000), None);
    }
}
