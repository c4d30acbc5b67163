//! The progress bar: on stderr, and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::Report;
use super::verdict::Done;

/// How often the text is made anew: a bar is for eyes.
const EVERY: u64 = 64;

/// A progress bar, or nothing when stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over an input of this many bytes, or a counter when nobody knows how many.
    pub(super) fn start(input_bytes: Option<u64>) -> Progress {
        let template = match input_bytes {
            Some(_) => "{bar:24} {percent:>3} %  {msg}  {elapsed}, {eta} to go",
            None => "{spinner} {msg}  {elapsed}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(input_bytes, ProgressDrawTarget::stderr()).with_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Progress { bar }
    }

    /// Shows one more object.
    pub(super) fn add(&self, done: &Done, report: &Report) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.inc(done.bytes);
        if report.total() < EVERY || report.total().is_multiple_of(EVERY) {
            self.bar.set_message(report.line());
        }
    }

    /// Takes the bar away, so that the summary stands alone.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
