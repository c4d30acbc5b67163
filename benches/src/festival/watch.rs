//! What is seen of a run while it goes on: memory, and a line for who looks.

use std::fs;
use std::io::{self, IsTerminal, Write};

use super::tally::{Kind, Tally, Tick};

/// Without a terminal a line is written this often, in seconds.
const LINES_APART: u64 = 10;

/// The resident memory of a process in KiB, if it runs.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The line of progress, on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    told: u64,
    last: Tally,
}

impl Progress {
    pub(super) fn start() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), told: 0, last: Tally::default() }
    }

    /// Takes in what a process measured.
    pub(super) fn add(&mut self, tick: &Tick) {
        self.last.add(tick);
    }

    /// Tells of the time since the last line, if that is long enough ago.
    pub(super) fn tell(&mut self, second: u64, total: &Tally, under_way: u64) {
        let since = second.saturating_sub(self.told);
        if since < if self.terminal { 1 } else { LINES_APART } {
            return;
        }
        let (last, latency) = (&self.last.counts, self.last.latency(Kind::Report));
        let millis = |quantile| super::report::millis(latency.value_at_quantile(quantile));
        let of = |quantile| if latency.is_empty() { "-".to_owned() } else { millis(quantile) };
        let errors: u64 =
            self.last.codes.iter().filter(|(code, _)| !code.starts_with('2')).map(|(_, times)| times).sum();
        self.write(&format!(
            "{second:>5} s  {:>6} of {:>6} orders/s  p50 {}  p99 {}  under way {under_way}  errors/s {}  shed {}",
            last.accepted / since,
            last.intended / since,
            of(0.5),
            of(0.99),
            errors / since,
            total.counts.shed,
        ));
        self.told = second;
        self.last = Tally::default();
    }

    /// Tells how far the check is.
    pub(super) fn tell_checked(&mut self, second: u64, right: u64) {
        if second.saturating_sub(self.told) >= if self.terminal { 1 } else { LINES_APART } {
            self.write(&format!("{second:>5} s  checking: {right} orders are right"));
            self.told = second;
        }
    }

    /// Tells something that happened.
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}{text}", if self.terminal { "\r\x1b[K" } else { "" });
    }

    /// Leaves the terminal's line free.
    pub(super) fn finish(self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn write(&self, line: &str) {
        // Progress that nobody sees is none.
        let _ = if self.terminal { write!(io::stderr(), "\r\x1b[K{line}") } else { writeln!(io::stderr(), "{line}") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_process() {
        assert!(resident_kib(std::process::id()).is_some_and(|kib| kib > 100));
        assert_eq!(resident_kib(u32::MAX), None);
    }
}
