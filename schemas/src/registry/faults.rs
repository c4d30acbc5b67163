//! What is wrong with a file that people write, line by line.

use std::cell::{OnceCell, RefCell};
use std::fmt;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line it is on, from 1.
    pub line: usize,
    /// The field, its value unless that may be a secret, and what it must be; without a line break.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Everything that is wrong with a file, by line. Never empty; prints one line a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults, by line.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Gathers faults while a text is read. Shared by all its readers, hence the interior mutability.
#[derive(Debug)]
pub struct Collector<'a> {
    text: &'a str,
    found: RefCell<Vec<(usize, String)>>,
    line_starts: OnceCell<Vec<usize>>,
}

impl<'a> Collector<'a> {
    /// Nothing is wrong with `text` yet.
    #[must_use]
    pub fn new(text: &'a str) -> Collector<'a> {
        Collector { text, found: RefCell::default(), line_starts: OnceCell::new() }
    }

    /// Records a fault at a byte of the text.
    pub fn add(&self, at: usize, message: String) {
        self.found.borrow_mut().push((at, message));
    }

    /// Whether no fault was found so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// The line, from 1, that a byte of the text is on.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        let starts = self.line_starts.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect()
        });
        starts.partition_point(|start| *start <= at)
    }

    /// The value that was read, if no fault was found.
    ///
    /// # Errors
    /// The faults.
    ///
    /// # Panics
    /// If there is neither a value nor a fault.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        let mut found = self.found.take();
        match value {
            Some(value) if found.is_empty() => return Ok(value),
            Some(_) => (),
            None => assert!(!found.is_empty(), "what cannot be read has a fault"),
        }
        found.sort();
        let faults = found.into_iter().map(|(at, message)| Fault { line: self.line(at), message });
        Err(Faults(faults.collect()))
    }
}

/// Most characters of a value that a fault shows.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// What stands in a fault for a value that may be a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// A text as a fault shows it: quoted, escaped, cut, and hidden if there may be a secret in it, because a secret is
/// easily put into another field by mistake and faults end in logs.
#[must_use]
pub fn shown(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if ["sk_live", "sk_test", "whsec_"].iter().any(|secret| lower.contains(secret)) {
        return HIDDEN.to_owned();
    }
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
