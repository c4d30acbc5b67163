//! `conversions verify`: whether what was written follows from what was reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use schemas::Timestamp;
use schemas::topics::{
    CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CONVERSIONS, LEDGER_ENTRIES, PAYOUT_REPORTS, SETTLEMENTS, TopicSpec,
};
use verify::Options;

use crate::args::parse_duration;
use crate::error::CliError;
use crate::settings::ConfigArg;

mod embedded;
mod kafka;
mod print;

/// The consumers of facts, and what each reads.
const CONSUMERS: [(&str, &[TopicSpec]); 3] = [
    ("orders", &[CONVERSIONS, CLICK_VERDICTS, SETTLEMENTS]),
    ("clicks", &[CLICKS, CLICK_LOOKUPS]),
    ("ledger", &[LEDGER_ENTRIES, PAYOUT_REPORTS]),
];

/// Check the topics, or an embedded log: work every conversion, commission and balance out again from the facts, and tell
/// each difference. Writes nothing.
///
/// It reads up to where the log ends when it begins, also of a log that is in use. Facts that are not processed yet are
/// pending, and no difference; so are orders of which the log has lost a part by retention, and conversions that were
/// attributed under a registry that the topic no longer has. How many there are is told.
///
/// A timer that is due within the tolerance of the instant of judgement may have fired or not.
///
/// The code is 0 if there is no difference, 1 if there are some, and 2 if the log could not be read. It takes 1.1 KB of
/// memory an order, and more with many updates.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Check the embedded log of `conversions up` in this folder, instead of topics on Kafka. It may be running.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A registry file that the log was written under, as often as there were: needed with `--data`. On Kafka it is
    /// for registries that the topic no longer has. Nobody knows when each was in force, so any may be what an order
    /// was under.
    #[arg(long, value_name = "FILE")]
    registry: Vec<PathBuf>,
    /// The registry of `conversions up --demo` is one of them.
    #[arg(long)]
    demo: bool,
    /// The instant to judge as of, such as 2026-06-14T09:30:00Z; by default now, of an embedded log the last change in it.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Timestamp>,
    /// How far clocks may be off, and how late a timer may fire and a registry be taken over.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    tolerance: Duration,
    /// Most differences that are listed; all are counted.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    limit: u32,
    /// Dead letters are differences too.
    #[arg(long)]
    strict: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How far a consumer was in a partition, of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    consumer: &'static str,
    topic: &'static str,
    partition: u32,
    committed: u64,
    end: u64,
}

/// What was read, and what was found in it.
#[derive(Debug)]
struct Outcome {
    report: verify::Report,
    progress: Vec<Progress>,
    /// Partitions that do not begin at their beginning.
    lost: BTreeSet<(u16, u32)>,
}

/// Runs to the end; the code says whether there are differences.
pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let outcome = match &args.data {
        Some(data) => embedded::verify(args, data),
        None => kafka::verify(args),
    };
    // That it is wrong is the code 1: what was to be checked could not be read.
    let outcome = outcome.map_err(|error| match error {
        CliError::Failed(why) => CliError::Unread(why),
        other => other,
    })?;
    let clean = outcome.report.differences_total == 0 && !(args.strict && outcome.report.counts.dead_letters > 0);
    // Whoever reads it has gone: as with any pipe, that is how it ends.
    let _ = if args.json { print::json(&outcome, clean) } else { print::text(&outcome, clean) };
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl VerifyArgs {
    fn options(&self, lost: &BTreeSet<(u16, u32)>) -> Options {
        Options {
            tolerance_ms: i64::try_from(self.tolerance.as_millis()).unwrap_or(i64::MAX),
            listed_max: self.limit as usize,
            concurrent: false,
            compacted: false,
            lost: lost.clone(),
        }
    }
}

/// How far each consumer is, by what it committed and where the last record stands: what comes after that, such as the
/// end of a transaction, is nothing to process.
fn progress(committed: &BTreeMap<(u16, u32), u64>, ends: &BTreeMap<(u16, u32), u64>) -> Vec<Progress> {
    let of = |(&(number, partition), &committed): (&(u16, u32), &u64)| {
        let consumers = CONSUMERS.iter().flat_map(|(consumer, topics)| topics.iter().map(move |it| (*consumer, it)));
        let (consumer, topic) = consumers.into_iter().find(|(_, topic)| topic.number == number)?;
        let end = ends.get(&(number, partition)).copied().unwrap_or(0);
        Some(Progress { consumer, topic: topic.name, partition, committed, end })
    };
    committed.iter().filter_map(of).collect()
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}
