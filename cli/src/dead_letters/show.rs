//! `conversions dead-letters show`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use schemas::records::DeadLetter;
use serde_json::{Value, json};

use super::{PARTITION, plain, value};
use crate::error::CliError;
use crate::settings::ConfigArg;

/// Show one dead letter with the record's key and value, which may hold personal data.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The dead letter, as `list` has it under LETTER.
    #[arg(value_name = "LETTER")]
    offset: u64,
    /// Print one JSON object on one line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> Result<ExitCode, CliError> {
    let connection = super::connect(&args.config)?;
    let letter = super::letter(&super::open(&connection)?, args.offset)?;
    let text = if args.json { machine(args.offset, &letter) } else { human(args.offset, &letter) };
    // Whoever reads it has gone: as with any pipe, that is how it ends.
    let _ = writeln!(io::stdout().lock(), "{text}");
    Ok(ExitCode::SUCCESS)
}

/// The value as its record, if it decodes.
fn decoded(letter: &DeadLetter) -> Option<Value> {
    value::decode(value::input(&letter.topic)?, &letter.value).ok()
}

fn machine(offset: u64, letter: &DeadLetter) -> String {
    let value = decoded(letter);
    let value_hex = value.is_none().then(|| hex(&letter.value));
    json!({
        "partition": PARTITION,
        "offset": offset,
        "refusedAt": letter.at.to_string(),
        "processor": letter.processor,
        "topic": letter.topic,
        "recordPartition": letter.partition,
        "recordOffset": letter.offset,
        "reason": letter.reason,
        "message": letter.message,
        "key": text(&letter.key),
        "keyHex": hex(&letter.key),
        "value": value,
        "valueHex": value_hex,
    })
    .to_string()
}

fn human(offset: u64, letter: &DeadLetter) -> String {
    let key = text(&letter.key).map_or_else(|| format!("{} (hexadecimal)", hex(&letter.key)), str::to_owned);
    let value = match decoded(letter) {
        Some(value) => {
            let pretty = serde_json::to_string_pretty(&value).expect("a value is JSON");
            pretty.lines().map(|line| format!("\n{}", plain(line))).collect()
        }
        None if letter.value.is_empty() => "(empty)".to_owned(),
        None => format!("{} (hexadecimal)", hex(&letter.value)),
    };
    let lines = [
        ("letter", offset.to_string()),
        ("refused", format!("{} by {}", letter.at, letter.processor)),
        ("record", format!("{}/{} at {}", letter.topic, letter.partition, letter.offset)),
        ("reason", format!("{}: {}", letter.reason, letter.message)),
        ("key", key),
    ];
    let lines: String = lines.iter().map(|(name, text)| format!("{name:8} {}\n", plain(text))).collect();
    format!("{lines}{:8} {value}", "value")
}

/// The bytes as text, if they are one without control characters.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
