//! The command line: what is shared by the commands. Each command's own arguments stand next to its code.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Orders in, commissions out: the affiliate-commerce pipeline and its tools.
#[derive(Debug, Parser)]
#[command(name = "conversions", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// How to log.
    #[command(flatten)]
    pub(crate) logging: Logging,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a registry file the registry on Kafka, for every edge and processor that runs on it.
    Apply(crate::registry::apply::ApplyArgs),
    /// Look at the records that could not be processed, and send them once more, as they were or mended.
    DeadLetters(crate::dead_letters::DeadLettersArgs),
    /// Run everything in one process: the HTTP edge, the processors, the ledger and the read API.
    Up(crate::up::args::UpArgs),
    /// Sign and send one conversion, or a stream of them (one JSON object a line).
    Send(crate::send::SendArgs),
    /// Run the HTTP edge on Kafka.
    Ingest(crate::ingest::IngestArgs),
    /// Write the shared read model from the topics, and make claims good that their edge could not make.
    Materializer(crate::materializer::MaterializerArgs),
    /// Make the keyspaces and tables of the shared store, or bring them up to date.
    Migrate(crate::migrate::MigrateArgs),
    /// Run the state machines on Kafka: orders, clicks, the ledger and webhooks.
    Processors(crate::processors::ProcessorsArgs),
    /// Fill an empty keyspace of the shared store with what the topics have by now.
    Rebuild(crate::rebuild::RebuildArgs),
    /// Encrypt the secrets of the registry on Kafka anew, under the first of the master keys.
    Reencrypt(crate::registry::reencrypt::ReencryptArgs),
    /// Print every setting of the commands that run on Kafka: its value and where it comes from.
    Settings(crate::settings::command::SettingsArgs),
    /// Show the topics in Kafka, whether each is as it must be, and make those that are missing.
    Topics(crate::topics::TopicsArgs),
    /// Work every conversion, commission and balance out again from the facts in the log, and tell each difference.
    Verify(crate::verify::VerifyArgs),
    /// Follow an order: print its timeline as it happens.
    Watch(crate::watch::WatchArgs),
    /// Work past orders out under other rules, and print what they would have paid more or less.
    WhatIf(crate::what_if::WhatIfArgs),
    /// Send merchants' webhooks, as the processors say when.
    Webhooks(crate::webhooks::WebhooksArgs),
}

/// Logging, which goes to stderr so that stdout stays for results. What the CQL driver says of a server that is away, lines a
/// second, the store says once.
#[derive(Args, Debug)]
pub(crate) struct Logging {
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "CONVERSIONS_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// What is logged, such as `info` or `warn,ingest=debug`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        default_value = "info,fjall=warn,lsm_tree=warn,scylla=off",
        env = "RUST_LOG"
    )]
    pub(crate) log: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Whom to talk to and as whom. The signing secret has no flag: a command line is visible to every user of a machine
/// and stays in the shell's history.
#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The server, such as `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", env = "CONVERSIONS_TO")]
    pub(crate) to: String,
    /// The public key id (`live_pk_…` or `test_pk_…`). Its signing secret is read from the environment variable
    /// `CONVERSIONS_SECRET` or from `--secret-file`.
    #[arg(long, value_name = "ID", env = "CONVERSIONS_KEY")]
    pub(crate) key: String,
    /// A file that holds the signing secret and nothing else; preferred to `CONVERSIONS_SECRET`.
    #[arg(long, value_name = "PATH")]
    pub(crate) secret_file: Option<PathBuf>,
    /// How often a request is sent again after a 5xx, a 429, a connection error or a time-out.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) retries: u32,
    /// How long one attempt may take: `500ms`, `10s`, `2m`, or a number of seconds.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// Parses `250ms`, `10s`, `2m` or a plain number of seconds; zero is refused, since nothing can be done in no time.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_each: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return Err("must be a whole number with a unit: 250ms, 10s or 2m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "must begin with a whole number, such as 10s".to_owned())?;
    let millis = number.checked_mul(millis_each).filter(|millis| (1..=86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| "must be more than nothing and at most a day".to_owned())
}

/// Divides `90m`, `36h` or `30d` into what stands for the number, and how many minutes each of them has.
pub(crate) fn in_minutes<N: From<u16>>(text: &str) -> Option<(&str, N)> {
    match text.split_at_checked(text.len().saturating_sub(1))? {
        (number, "m") => Some((number, N::from(1))),
        (number, "h") => Some((number, N::from(60))),
        (number, "d") => Some((number, N::from(24 * 60))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        for bad in ["", "0", "0s", "-1s", "1.5s", "1h", "s", "10 s", "99999999999999999999", "90000s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret() {
        let argv = ["conversions", "watch", "--to", "http://x", "--key", "live_pk_x", "--secret", "sk_live_x", "ORDER"];
        let refused = Cli::try_parse_from(argv).expect_err("there is no such flag").to_string();
        assert!(!refused.contains("sk_live_x"), "{refused}");
        let argv = ["conversions", "watch", "--to", "http://x", "--key", "live_pk_x", "--secret=sk_live_x", "ORDER"];
        let refused = Cli::try_parse_from(argv).expect_err("there is no such flag").to_string();
        assert!(!refused.contains("sk_live_x"), "{refused}");
    }
}
