//! What happened, a line for each event, for whoever compares two runs or looks into one.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

/// The last lines, and a hash of all of them.
#[derive(Debug)]
pub(super) struct History {
    hasher: DefaultHasher,
    lines: VecDeque<String>,
    lines_max: usize,
}

impl History {
    pub(super) fn new(lines_max: usize) -> History {
        History { hasher: DefaultHasher::new(), lines: VecDeque::new(), lines_max }
    }

    pub(super) fn line(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        let mut text =
            if self.lines.len() < self.lines_max { None } else { self.lines.pop_front() }.unwrap_or_default();
        text.clear();
        let _ = write!(text, "{}.{:06} {line}", at.as_secs(), at.subsec_micros());
        self.hasher.write(text.as_bytes());
        self.hasher.write_u8(b'\n');
        if self.lines_max > 0 {
            self.lines.push_back(text);
        }
    }

    /// Of all lines so far: the same build and the same choices give the same.
    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
