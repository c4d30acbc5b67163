//! Everything that is wrong with the settings, wherever they come from.

use schemas::registry::{Collector, shown};
use streams::kafka::is_secret;

use super::Origin;

/// What is shown for a value that may be a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// Gathers faults of the file, of the environment, and of what is in neither.
pub(super) struct FaultList<'a> {
    file: Collector<'a>,
    others: Vec<String>,
}

impl<'a> FaultList<'a> {
    pub(super) fn new(text: &'a str) -> FaultList<'a> {
        FaultList { file: Collector::new(text), others: Vec::new() }
    }

    /// Records what is wrong with a setting from `origin`; the message begins with the setting's name.
    pub(super) fn add(&mut self, origin: &Origin, message: String) {
        match origin {
            Origin::Default => self.others.push(message),
            Origin::File { at, .. } => self.file.add(*at, message),
            Origin::Environment(variable) => self.others.push(format!("{variable}: {message}")),
        }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.file.is_empty() && self.others.is_empty()
    }

    /// The place of a byte of the file.
    pub(super) fn origin(&self, at: usize) -> Origin {
        Origin::File { at, line: self.file.line(at) }
    }

    /// The value, if nothing is wrong; otherwise every fault, a line each, those of the file first.
    pub(super) fn finish<T>(self, value: T) -> Result<T, String> {
        match self.file.finish(Some(value)) {
            Ok(value) if self.others.is_empty() => Ok(value),
            Ok(_) => Err(self.others.join("\n")),
            Err(faults) => Err(std::iter::once(faults.to_string()).chain(self.others).collect::<Vec<_>>().join("\n")),
        }
    }
}

/// The value of a client setting as a fault or a page shows it.
pub(super) fn shown_client(name: &str, value: &str) -> String {
    if is_secret(name) { HIDDEN.to_owned() } else { shown(value) }
}
