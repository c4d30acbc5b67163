//! The parameters of a query string, checked as the fields of a body are: every fault is collected.

use std::collections::BTreeSet;
use std::fmt::Display;

use percent_encoding::percent_decode_str;
use schemas::Timestamp;

use crate::fields::{list, unknown};
use crate::json::{quoted, shown};

/// The parameters of one request, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Parameters {
    known: &'static [&'static str],
    values: Vec<Option<String>>,
    faults: Vec<String>,
}

impl Parameters {
    /// Takes a query string apart. Names and values are percent-decoded; a plus sign is one, so that an instant with
    /// its offset may be written as it is.
    pub(crate) fn parse(query: &str, known: &'static [&'static str]) -> Parameters {
        let mut parameters = Parameters { known, values: vec![None; known.len()], faults: Vec::new() };
        let (mut strangers, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode_str(name).decode_utf8_lossy();
            let Some(index) = known.iter().position(|known| *known == name) else {
                strangers.insert(name);
                continue;
            };
            let decoded = percent_decode_str(value).decode_utf8();
            let text = decoded.as_deref().map_or_else(|_| value.to_owned(), str::to_owned);
            if decoded.is_err() {
                parameters.refuse(known[index], "must be percent-encoded UTF-8", &text);
            }
            if parameters.values[index].replace(text).is_some() {
                repeated.insert(known[index]);
            }
        }
        let repeated = repeated.into_iter().map(|name| format!("{name} is given more than once: give it once"));
        parameters.faults.extend(repeated);
        parameters.faults.extend(unknown(&strangers, known, "parameter"));
        parameters
    }

    /// The text of a parameter, if it is given.
    pub(crate) fn text(&self, name: &'static str) -> Option<String> {
        let index = self.known.iter().position(|known| *known == name).expect("only known parameters are asked for");
        self.values[index].clone()
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Notes that a parameter is not what it must be.
    pub(crate) fn refuse(&mut self, name: &str, must: impl Display, text: &str) {
        self.faults.push(format!("{name} {must}; got {}", shown(&quoted(text))));
    }

    /// One of the words of a table.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.refuse(name, format_args!("must be one of {}", list(words)), &text);
        }
        found
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str, from: usize, to: usize) -> Option<usize> {
        let text = self.text(name)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (from..=to).contains(number));
        if number.is_none() {
            self.refuse(name, format_args!("must be a whole number from {from} to {to}"), &text);
        }
        number
    }

    /// An instant.
    pub(crate) fn instant(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let instant = Timestamp::parse(&text);
        instant.map_err(|error| self.refuse(name, error, &text)).ok()
    }

    /// All faults, if there are any.
    pub(crate) fn finish(self) -> Result<(), Vec<String>> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}
