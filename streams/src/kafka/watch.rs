//! What a client of librdkafka says while it works: statistics, errors and log lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::stats::KafkaStats;

/// Between two statistics of a client, in milliseconds.
const STATISTICS_INTERVAL_MS: &str = "1000";

/// A line that says the same is logged again after this long, with how often it was left out.
const REPEAT: Duration = Duration::from_secs(30);

/// So many statistics in a row that name no broker, after some that did, are a client that looks for none any more: one
/// that still does has the configured ones in them again within milliseconds.
const BARE_STATISTICS_MAX: u32 = 2;

/// The same of a client that has not named any yet: the last statistics of the one in whose place it is may come as its own.
/// It may have forgotten the configured ones before its first, which come after a second.
const BARE_AT_FIRST_MAX: u32 = 5;

/// Lines that are remembered.
const LINES_MAX: usize = 64;

/// Listens to one client. A context hands on to it what it is told.
#[derive(Debug)]
pub struct Watch {
    client: String,
    stats: Mutex<Arc<KafkaStats>>,
    lines: Mutex<Lines>,
    fatal: OnceLock<String>,
    /// Statistics in a row that named no broker.
    bare: AtomicU32,
    /// Whether any has named one.
    named: AtomicBool,
}

impl Watch {
    /// Listens to a client that log lines call `client`, and asks for its statistics.
    pub(crate) fn new(client: &str, config: &mut ClientConfig) -> Arc<Watch> {
        let watch = Arc::new(Watch::idle(client));
        watch.listen(config);
        watch
    }

    /// Asks for the statistics of a client, which may be another one than before.
    pub(crate) fn listen(&self, config: &mut ClientConfig) {
        config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
        self.bare.store(0, Ordering::Relaxed);
        self.named.store(false, Ordering::Relaxed);
    }

    /// Will listen to a client that log lines call `client`.
    pub(crate) fn idle(client: &str) -> Watch {
        Watch {
            client: client.to_owned(),
            stats: Mutex::default(),
            lines: Mutex::default(),
            fatal: OnceLock::new(),
            bare: AtomicU32::new(0),
            named: AtomicBool::new(false),
        }
    }

    /// The last statistics; all zero before the first, which come after a second.
    #[must_use]
    pub fn stats(&self) -> Arc<KafkaStats> {
        Arc::clone(&self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the client can do nothing more, if so: it has to be made anew.
    #[must_use]
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.get().map(String::as_str)
    }

    /// Whether the client has forgotten every broker and will never ask one again, though they may be there. librdkafka
    /// (2.10 to 2.13 at least, its issue 5301) comes to that by an answer that names no broker, which one gives that has
    /// just come back and is still fenced. Only another client helps.
    pub(crate) fn is_stranded(&self) -> bool {
        let max = if self.named.load(Ordering::Relaxed) { BARE_STATISTICS_MAX } else { BARE_AT_FIRST_MAX };
        self.bare.load(Ordering::Relaxed) >= max
    }

    /// For [`ClientContext::stats`].
    pub(crate) fn take_stats(&self, statistics: &Statistics) {
        let stats = Arc::new(KafkaStats::from(statistics));
        self.note_brokers(stats.brokers.len());
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    fn note_brokers(&self, known: usize) {
        if known > 0 {
            self.named.store(true, Ordering::Relaxed);
            self.bare.store(0, Ordering::Relaxed);
        } else {
            self.bare.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For [`ClientContext::error`].
    pub(crate) fn take_error(&self, error: &KafkaError, reason: &str) {
        // No error: whoever has asked for these waits for them.
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        let line = format!("{error}: {reason}");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            if self.fatal.set(line.clone()).is_ok() {
                tracing::error!(client = self.client, "kafka: {line}");
            }
        } else if let Some(left_out) = self.admit(&line) {
            tracing::warn!(client = self.client, left_out, "kafka: {line}");
        }
    }

    /// For [`ClientContext::log`]. What librdkafka calls an error is a lost connection for the most part, which it
    /// makes anew by itself.
    pub(crate) fn take_line(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let line = format!("{facility}: {line}");
        let Some(left_out) = self.admit(&line) else { return };
        let client = &self.client;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(client, left_out, "kafka: {line}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(client, left_out, "kafka: {line}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(client, left_out, "kafka: {line}"),
            RDKafkaLogLevel::Debug => tracing::debug!(client, left_out, "kafka: {line}"),
        }
    }

    fn admit(&self, line: &str) -> Option<u64> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).admit(line, Instant::now())
    }
}

/// A context for clients that need nothing but to be listened to.
#[derive(Clone, Debug)]
pub(crate) struct Watched(pub(crate) Arc<Watch>);

/// Makes a context hand on to the [`Watch`] in one of its fields.
macro_rules! watched_by {
    ($context:ty, $watch:tt) => {
        impl rdkafka::ClientContext for $context {
            fn stats(&self, statistics: rdkafka::Statistics) {
                self.$watch.take_stats(&statistics);
            }

            fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
                self.$watch.take_error(&error, reason);
            }

            fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, line: &str) {
                self.$watch.take_line(level, facility, line);
            }
        }
    };
}
pub(super) use watched_by;

watched_by!(Watched, 0);

impl ConsumerContext for Watched {}

/// The lines of late, so that a broker that is down for an hour is not told of ten thousand times.
#[derive(Debug, Default)]
struct Lines(BTreeMap<String, Line>);

#[derive(Debug)]
struct Line {
    logged: Instant,
    left_out: u64,
}

impl Lines {
    /// Whether a line is to be logged, and how many like it were left out before. Lines are alike up to the bracket
    /// in which librdkafka puts times and counts.
    fn admit(&mut self, line: &str, now: Instant) -> Option<u64> {
        let alike = line.split(" (").next().unwrap_or(line);
        if let Some(known) = self.0.get_mut(alike) {
            if now.duration_since(known.logged) < REPEAT {
                known.left_out += 1;
                return None;
            }
            let left_out = known.left_out;
            *known = Line { logged: now, left_out: 0 };
            return Some(left_out);
        }
        if self.0.len() >= LINES_MAX {
            self.0.retain(|_, known| now.duration_since(known.logged) < REPEAT);
        }
        // As many different lines in half a minute say no more than the first of them.
        if self.0.len() >= LINES_MAX {
            return None;
        }
        self.0.insert(alike.to_owned(), Line { logged: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_no_broker_any_more_is_stranded() {
        let watch = Watch::idle("test");
        let check = |known: usize, expected: bool| {
            watch.note_brokers(known);
            assert_eq!(watch.is_stranded(), expected, "after {known}");
        };
        for (known, expected) in [(0, false), (0, false), (3, false), (0, false), (1, false), (0, false), (0, true)] {
            check(known, expected);
        }
        check(0, true);
        check(2, false);
        watch.note_brokers(0);
        watch.listen(&mut ClientConfig::new());
        // Another client, which may never have heard of one.
        for left in (0..5).rev() {
            check(0, left == 0);
        }
    }

    #[test]
    fn a_line_is_logged_once_in_a_while_and_counted_meanwhile() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let down = |ms: u32| format!("FAIL: b:9092/1: Connection refused (after {ms}ms in state CONNECT)");
        assert_eq!(lines.admit(&down(0), start), Some(0));
        for ms in 1..1_000 {
            assert_eq!(lines.admit(&down(ms), start + Duration::from_millis(ms.into())), None);
        }
        assert_eq!(lines.admit("FAIL: b:9092/2: Connection refused (after 3ms)", start), Some(0), "another broker");
        assert_eq!(lines.admit(&down(5), start + REPEAT), Some(999));
        assert_eq!(lines.admit(&down(5), start + REPEAT * 2), Some(0));
    }

    #[test]
    fn different_lines_are_bounded_too() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let logged = (0..10_000).filter(|n| lines.admit(&format!("line {n}"), start).is_some()).count();
        assert_eq!(logged, LINES_MAX);
        assert_eq!(lines.admit("line 9999", start + REPEAT), Some(0), "the old ones are forgotten");
    }
}
