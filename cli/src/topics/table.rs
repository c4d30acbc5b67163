//! The table that `conversions topics` prints.

use std::io::{self, Write};

use streams::kafka::Connection;

use super::Surveyed;

const HEAD: [&str; 7] = ["TOPIC", "PARTITIONS", "REPLICAS", "CLEANUP", "KEPT", "MIN IN-SYNC", "STATE"];

/// Writes a line a topic: what the cluster has, or what it should have where the topic is missing.
pub(super) fn print(connection: &Connection, topics: &[Surveyed], out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<[String; 7]> = topics.iter().map(|topic| row(connection, topic)).collect();
    let head = HEAD.map(str::to_owned);
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(connection: &Connection, topic: &Surveyed) -> [String; 7] {
    let (wanted, found) = (&topic.wanted, topic.found.as_ref());
    let configs = found.map_or(&wanted.configs, |found| &found.configs);
    let config = |name: &str| configs.get(name).map_or("", String::as_str);
    let kept = match config("cleanup.policy").contains("compact") {
        true => "last of each key".to_owned(),
        false => days(config("retention.ms")),
    };
    let state = match (found, topic.against.len()) {
        (None, _) => "missing".to_owned(),
        (Some(_), 0) => "as wanted".to_owned(),
        (Some(_), faults) => format!("contradicts in {faults}"),
    };
    [
        connection.name(&wanted.name),
        found.map_or(wanted.partitions, |found| found.partitions).to_string(),
        found
            .map(|found| found.replication)
            .or(wanted.replication)
            .map_or(String::new(), |replicas| replicas.to_string()),
        config("cleanup.policy").to_owned(),
        kept,
        config("min.insync.replicas").to_owned(),
        state,
    ]
}

/// Milliseconds as days, or as they are where they are no whole days.
fn days(millis: &str) -> String {
    const DAY_MS: i64 = 86_400_000;
    match millis.parse::<i64>() {
        Ok(-1) => "for ever".to_owned(),
        Ok(millis) if millis >= DAY_MS && millis % DAY_MS == 0 => format!("{} days", millis / DAY_MS),
        Ok(_) | Err(_) => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention() {
        for (millis, expected) in [("7776000000", "90 days"), ("-1", "for ever"), ("1000", "1000 ms"), ("x", "x ms")] {
            assert_eq!(days(millis), expected);
        }
    }
}
