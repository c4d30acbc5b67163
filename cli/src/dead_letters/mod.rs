//! `conversions dead-letters`: what could not be processed, on Kafka, and how it gets another chance.

mod list;
mod replay;
mod show;
mod value;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use schemas::records::DeadLetter;
use schemas::topics::DEAD_LETTERS;
use streams::LogError;
use streams::kafka::{Connection, RecordReader};

use crate::error::CliError;
use crate::settings::{ConfigArg, Settings};
use crate::topics;

/// The partition of the topic, of which there is one.
const PARTITION: u32 = 0;
/// How long the brokers may take to give one record.
const READ_WAIT: Duration = Duration::from_secs(30);

/// Look at the records that could not be processed, and send them once more, as they were or mended.
#[derive(Args, Debug)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, the oldest first, without what the records hold.
    List(list::ListArgs),
    /// Show one dead letter with the record's key and value, which may hold personal data.
    Show(show::ShowArgs),
    /// Write records back to the topics they came from, under their own keys.
    ///
    /// Nothing remembers what was replayed. To replay a record of an order or a click twice is harmless: what is known
    /// already changes nothing. A record that is refused again becomes another dead letter.
    Replay(replay::ReplayArgs),
}

/// Runs the action.
pub(crate) fn run(args: &DeadLettersArgs, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::List(args) => list::run(args),
        Action::Show(args) => show::run(args),
        Action::Replay(args) => replay::run(args, runtime),
    }
}

/// How to reach Kafka, whose topics are as they must be.
fn connect(config: &ConfigArg) -> Result<Connection, CliError> {
    let settings = Settings::load(config)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    Ok(connection)
}

/// The dead letter at an offset.
fn letter(reader: &RecordReader, offset: u64) -> Result<DeadLetter, CliError> {
    let topic = processors::topic(&DEAD_LETTERS);
    let record = match reader.read(topic, PARTITION, offset, Instant::now() + READ_WAIT) {
        Ok(record) => record,
        Err(LogError::Gone { first, .. }) => {
            return Err(CliError::Failed(format!("dead letter {offset} is gone: the oldest kept is {first}")));
        }
        Err(error) => return Err(failed(&error)),
    };
    let record = record.ok_or_else(|| {
        CliError::Failed(format!(
            "there is no dead letter {offset}: conversions dead-letters list shows which there are"
        ))
    })?;
    schemas::decode(&record.value)
        .map_err(|error| CliError::Failed(format!("what stands at {offset} is no dead letter: {error}")))
}

fn open(connection: &Connection) -> Result<RecordReader, CliError> {
    RecordReader::open(connection, "dead-letters").map_err(|error| failed(&error))
}

fn failed(error: &LogError) -> CliError {
    CliError::Failed(format!("Kafka: {error}"))
}

/// A text from a record as a terminal may be given it: control characters escaped.
fn plain(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}
