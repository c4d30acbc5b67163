//! The topics in the cluster against the catalogue: `conversions topics`, and what other commands ask before they run.

mod table;
mod wanted;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use schemas::topics::CATALOGUE;
use streams::kafka::{Admin, Connection, ReachError, TopicDescription, TopicWanted, contradictions};

use crate::error::CliError;
use crate::settings::{ConfigArg, Settings};

/// How long the brokers may take to answer one question.
const WAIT: Duration = Duration::from_secs(15);
/// Between two looks for topics that were just made.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Show the topics in Kafka, whether each is as it must be, and make those that are missing.
#[derive(Args, Debug)]
pub(crate) struct TopicsArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Make the topics that are missing. A topic that is there is never changed.
    #[arg(long)]
    create: bool,
}

/// A topic of the catalogue, and what the cluster has.
#[derive(Debug)]
pub(crate) struct Surveyed {
    wanted: TopicWanted,
    found: Option<TopicDescription>,
    /// A sentence for each thing that is not as wanted.
    against: Vec<String>,
}

impl Surveyed {
    /// Whether it is there, and the broker that was asked for its settings has heard of it: one that has not is answered for by
    /// rdkafka with none, without the broker's error.
    fn is_known(&self) -> bool {
        self.found.as_ref().is_some_and(|found| !found.configs.is_empty())
    }
}

/// Prints the topics, and makes those that are missing if that is asked for; the code is success exactly if all are as
/// wanted.
pub(crate) fn run(args: &TopicsArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    let (admin, _) = open(&connection)?;
    let mut topics = survey(&admin, &settings)?;
    if args.create {
        let missing: Vec<TopicWanted> =
            topics.iter().filter(|topic| topic.found.is_none()).map(|topic| topic.wanted.clone()).collect();
        admin.create(&missing, WAIT).map_err(failed)?;
        topics = survey_made(&admin, &settings)?;
    }
    // Whoever read them has gone: the exit code still tells.
    let _ = table::print(&connection, &topics, &mut io::stdout().lock());
    check(&topics).map(|()| ExitCode::SUCCESS)
}

/// Opens a client for topics, once the brokers have answered, and says what tells this installation from all others.
///
/// # Errors
/// They do not answer, or do not let us in, with what to look at.
fn open(connection: &Connection) -> Result<(Admin, String), CliError> {
    let identity = connection.reach(WAIT).map_err(|error| CliError::Failed(unreachable(&error)))?;
    Ok((Admin::open(connection, "conversions-topics").map_err(failed)?, identity))
}

/// Waits for the brokers, refuses to run on topics that are not as they must be, and says what tells this installation
/// from all others.
///
/// # Errors
/// As [`open`], [`survey`] and [`check`].
pub(crate) fn reach(connection: &Connection, settings: &Settings) -> Result<String, CliError> {
    let (admin, identity) = open(connection)?;
    check(&survey(&admin, settings)?)?;
    Ok(identity)
}

/// What the cluster has of the catalogue.
///
/// # Errors
/// The brokers do not answer or refuse.
fn survey(admin: &Admin, settings: &Settings) -> Result<Vec<Surveyed>, CliError> {
    let names: Vec<&str> = CATALOGUE.iter().map(|topic| topic.name).collect();
    let mut found = admin.describe(&names, WAIT).map_err(failed)?;
    let surveyed = CATALOGUE.iter().map(|spec| {
        let wanted = wanted::wanted(spec, settings);
        let found = found.iter().position(|topic| topic.name == spec.name).map(|at| found.swap_remove(at));
        let against = match &found {
            Some(found) => contradictions(&wanted, found),
            None => vec![format!("topic {} is missing: make it with conversions topics --create", spec.name)],
        };
        Surveyed { wanted, found, against }
    });
    Ok(surveyed.collect())
}

/// A survey in which every topic is known: brokers learn of one that was made a moment after another broker has it.
fn survey_made(admin: &Admin, settings: &Settings) -> Result<Vec<Surveyed>, CliError> {
    let deadline = Instant::now() + WAIT;
    loop {
        let topics = survey(admin, settings)?;
        if topics.iter().all(Surveyed::is_known) || Instant::now() >= deadline {
            return Ok(topics);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether a command may run on these topics. All that are read by key have one number of partitions in the settings, so
/// that those of a processor's inputs and its changelog are equal.
///
/// # Errors
/// Every topic that is missing or contradicts the catalogue, a line each.
fn check(topics: &[Surveyed]) -> Result<(), CliError> {
    let against: Vec<&str> = topics.iter().flat_map(|topic| &topic.against).map(String::as_str).collect();
    if against.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed(format!("the topics are not as they must be:\n{}", against.join("\n"))))
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("Kafka: {error}"))
}

fn unreachable(error: &ReachError) -> String {
    let remedy = match error {
        ReachError::Settings(_) => "check the settings under kafka.client",
        ReachError::Login(_) => {
            "check kafka.client.sasl.mechanism, kafka.client.sasl.username and kafka.client.sasl.password \
             (CONVERSIONS_KAFKA_CLIENT_SASL_PASSWORD)"
        }
        ReachError::Tls(_) => {
            "check kafka.client.security.protocol, kafka.client.ssl.ca.location, and kafka.client.ssl.certificate.location if \
             the brokers ask for certificates"
        }
        ReachError::Silent(_) => {
            "check kafka.bootstrap and kafka.client.security.protocol, and that the brokers can be reached from here"
        }
    };
    format!("Kafka: {error}: {remedy}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_topic_is_known_once_its_settings_are() {
        let check = |configs: Option<&[(&str, &str)]>, expected: bool| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let found = configs.map(|configs| TopicDescription {
                name: "clicks".to_owned(),
                partitions: 6,
                replication: 3,
                configs: configs.iter().map(owned).collect(),
            });
            let wanted =
                TopicWanted { name: "clicks".to_owned(), partitions: 6, replication: None, configs: BTreeMap::new() };
            assert_eq!(Surveyed { wanted, found, against: Vec::new() }.is_known(), expected, "{configs:?}");
        };
        check(None, false);
        check(Some(&[]), false);
        check(Some(&[("retention.ms", "1")]), true);
    }
}
