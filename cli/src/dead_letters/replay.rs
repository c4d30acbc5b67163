//! `conversions dead-letters replay`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use schemas::records::DeadLetter;
use schemas::topics::TopicSpec;
use streams::kafka::{Connection, KafkaPublisher, PublisherOptions};
use streams::{Message, Publisher};

use super::value;
use crate::error::CliError;
use crate::settings::ConfigArg;

/// Most records that are replayed at once: all are read before the first is written.
const LETTERS_MAX: usize = 100;

/// Write records back to the topics they came from, under their own keys.
///
/// Nothing remembers what was replayed. To replay a record of an order or a click twice is harmless: what is known
/// already changes nothing. A record that is refused again becomes another dead letter.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The dead letters, as `list` has them under LETTER; at most 100.
    #[arg(value_name = "LETTER", required = true)]
    offsets: Vec<u64>,
    /// Write the bytes of this file in the place of the value of the one record.
    #[arg(long, value_name = "FILE", conflicts_with = "json_file")]
    value_file: Option<PathBuf>,
    /// Write this JSON, in the form of `show` and encoded by the schema, in the place of the value of the one record.
    #[arg(long, value_name = "FILE")]
    json_file: Option<PathBuf>,
    /// Write a value that no processor can decode, too.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &ReplayArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    let is_mended = args.value_file.is_some() || args.json_file.is_some();
    if is_mended && args.offsets.len() > 1 {
        return Err(CliError::Usage("--value-file and --json-file mend one dead letter: name no other".to_owned()));
    }
    if args.offsets.len() > LETTERS_MAX {
        return Err(CliError::Usage(format!("at most {LETTERS_MAX} dead letters are replayed at once: name fewer")));
    }
    let connection = super::connect(&args.config)?;
    let reader = super::open(&connection)?;
    let mut messages = Vec::new();
    for offset in &args.offsets {
        messages.push((*offset, message(args, *offset, super::letter(&reader, *offset)?)?));
    }
    write(&connection, messages, runtime)?;
    Ok(ExitCode::SUCCESS)
}

/// What is written for a dead letter.
fn message(args: &ReplayArgs, offset: u64, letter: DeadLetter) -> Result<Message, CliError> {
    let spec = value::input(&letter.topic).ok_or_else(|| {
        CliError::Failed(format!(
            "dead letter {offset} cannot be replayed: it came from {:?}, which is no topic that a processor reads",
            letter.topic
        ))
    })?;
    let value = match (&args.value_file, &args.json_file) {
        (Some(path), _) => read(path, spec)?,
        (None, Some(path)) => {
            let text = String::from_utf8(read(path, spec)?)
                .map_err(|_| CliError::Failed(format!("{} must be text in UTF-8", path.display())))?;
            value::encode(spec, &text).map_err(|error| CliError::Failed(format!("{} {error}", path.display())))?
        }
        (None, None) => letter.value,
    };
    if !args.force
        && let Err(error) = value::decode(spec, &value)
    {
        return Err(CliError::Failed(format!(
            "dead letter {offset} would be refused again by {}: {error}; mend it with --json-file or --value-file, or \
             use --force",
            letter.processor
        )));
    }
    Ok(Message { topic: processors::topic(spec), key: letter.key, value })
}

/// Reads a file that fits into a message of the topic.
fn read(path: &Path, spec: &TopicSpec) -> Result<Vec<u8>, CliError> {
    let shown = path.display();
    let cannot = |error: io::Error| CliError::Failed(format!("cannot read {shown}: {error}"));
    let (mut bytes, bytes_max) = (Vec::new(), u64::from(spec.message_bytes_max));
    File::open(path).map_err(cannot)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match bytes.len() as u64 > bytes_max {
        true => {
            Err(CliError::Failed(format!("{shown} must have at most {bytes_max} bytes, which {} takes", spec.name)))
        }
        false => Ok(bytes),
    }
}

/// Writes them one after the other, and prints where each went.
fn write(
    connection: &Connection,
    messages: Vec<(u64, Message)>,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), CliError> {
    let publisher = KafkaPublisher::open(connection, "dead-letters", PublisherOptions::default())
        .map_err(|error| CliError::Failed(format!("Kafka: {error}")))?;
    for (offset, message) in messages {
        let topic = message.topic.name;
        let written = publisher.publish(vec![message]).map(|pending| runtime.block_on(pending)).and_then(|ack| ack);
        let ack = written.map_err(|error| {
            CliError::Failed(format!("dead letter {offset} was not replayed, nor any named after it: {error}"))
        })?;
        // Whoever reads it has gone: the records are to be written all the same.
        let _ = writeln!(io::stdout().lock(), "dead letter {offset} to {topic}/{} at {}", ack.partition, ack.offset);
    }
    Ok(())
}
