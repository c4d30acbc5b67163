//! `conversions dead-letters list`.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use schemas::Timestamp;
use schemas::records::DeadLetter;
use schemas::topics::DEAD_LETTERS;
use serde::Serialize;
use streams::kafka::{Connection, KafkaReader};
use streams::log::Limits;
use streams::{Clock, LogError, SystemClock};

use super::plain;
use crate::args::in_minutes;
use crate::error::CliError;
use crate::patience::{Patience, STEP};
use crate::settings::ConfigArg;

const HEAD: [&str; 5] = ["LETTER", "REFUSED AT", "BY", "RECORD", "REASON"];

/// List dead letters, the oldest first, without what the records hold.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those refused since: an instant such as 2026-06-14T09:30:00Z, or how long ago: 90m, 36h or 30d.
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Since>,
    /// Most that are listed: the newest.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Instant(Timestamp),
    AgoMs(i64),
}

/// What is listed of a dead letter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    partition: u32,
    offset: u64,
    refused_at: String,
    processor: String,
    topic: String,
    record_partition: i32,
    record_offset: i64,
    reason: String,
}

pub(super) fn run(args: &ListArgs) -> Result<ExitCode, CliError> {
    let connection = super::connect(&args.config)?;
    let since = match args.since {
        None => Timestamp(i64::MIN),
        Some(Since::Instant(at)) => at,
        Some(Since::AgoMs(ms)) => Timestamp(SystemClock.now_ms().saturating_sub(ms)),
    };
    let rows = read(&connection, since, args.limit as usize).map_err(|error| super::failed(&error))?;
    // Whoever reads it has gone: as with any pipe, that is how it ends.
    let _ = if args.json { print_json(&rows) } else { print_table(&rows) };
    Ok(ExitCode::SUCCESS)
}

/// The newest `limit` of those refused since; what is no dead letter is passed over, with a warning.
fn read(connection: &Connection, since: Timestamp, limit: usize) -> Result<VecDeque<Row>, LogError> {
    let topic = processors::topic(&DEAD_LETTERS);
    let mut reader = KafkaReader::open(connection, "dead-letters", &[topic], &BTreeMap::new())?;
    let (mut rows, mut patience) = (VecDeque::new(), Patience::new());
    while !reader.caught_up() {
        let records = reader.next(&Limits::default(), STEP)?;
        for record in &records {
            let letter: DeadLetter = match schemas::decode(&record.value) {
                Ok(letter) => letter,
                Err(error) => {
                    tracing::warn!(offset = record.offset, "passed over, since it is no dead letter: {error}");
                    continue;
                }
            };
            if letter.at < since {
                continue;
            }
            if rows.len() == limit {
                rows.pop_front();
            }
            rows.push_back(Row {
                partition: record.partition,
                offset: record.offset,
                refused_at: letter.at.to_string(),
                processor: letter.processor,
                topic: letter.topic,
                record_partition: letter.partition,
                record_offset: letter.offset,
                reason: letter.reason,
            });
        }
        patience.heard(records.len(), DEAD_LETTERS.name)?;
    }
    Ok(rows)
}

fn print_json(rows: &VecDeque<Row>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}

fn print_table(rows: &VecDeque<Row>) -> io::Result<()> {
    let cells = |row: &Row| {
        let record = format!("{}/{} at {}", row.topic, row.record_partition, row.record_offset);
        [row.offset.to_string(), row.refused_at.clone(), row.processor.clone(), record, row.reason.clone()]
            .map(|cell| plain(&cell))
    };
    let lines: Vec<[String; 5]> = [HEAD.map(str::to_owned)].into_iter().chain(rows.iter().map(cells)).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    let mut out = io::stdout().lock();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn parse_since(text: &str) -> Result<Since, String> {
    let unusable = || "must be an instant such as 2026-06-14T09:30:00Z, or how long ago: 90m, 36h or 30d".to_owned();
    if let Ok(at) = Timestamp::parse(text) {
        return Ok(Since::Instant(at));
    }
    let (number, minutes_each) = in_minutes::<i64>(text).ok_or_else(unusable)?;
    let number: u32 = number.parse().map_err(|_| unusable())?;
    Ok(Since::AgoMs(i64::from(number) * minutes_each * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since() {
        assert_eq!(parse_since("2026-06-14T09:30:00Z"), Ok(Since::Instant(Timestamp(1_781_429_400_000))));
        assert_eq!(parse_since("90m"), Ok(Since::AgoMs(5_400_000)));
        assert_eq!(parse_since("30d"), Ok(Since::AgoMs(30 * 86_400_000)));
        for bad in ["", "d", "30", "-1d", "1.5h", "2026-06-14", "30é", "99999999999d"] {
            assert!(parse_since(bad).is_err(), "{bad}");
        }
    }
}
