//! The processors' job as a Kafka Streams application, of `benches/peers/kafka-streams`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::topics::{CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CONVERSIONS, LEDGER_ENTRIES, TopicSpec};
use streams::Topic;
use streams::kafka::{Connection, Extents};

use super::Outcome;
use super::process::Process;

const WAIT: Duration = Duration::from_secs(60);
/// The application's id, after the prefix: the group that it reads as.
const GROUP: &str = "kafka-streams";
/// The product's groups, and what each reads.
const GROUPS: [(&str, &[TopicSpec]); 3] =
    [("orders", &[CONVERSIONS, CLICK_VERDICTS]), ("clicks", &[CLICKS, CLICK_LOOKUPS]), ("ledger", &[LEDGER_ENTRIES])];

/// What the application is told.
#[derive(Clone, Copy, Debug)]
pub struct StreamsApp<'a> {
    /// The brokers.
    pub bootstrap: &'a str,
    /// What the names of topics begin with.
    pub prefix: &'a str,
    /// The product's registry file.
    pub registry: &'a Path,
    /// Where its stores are.
    pub state: &'a Path,
    /// Between two commits.
    pub commit_interval: Duration,
    /// Threads, each with tasks of its own.
    pub threads: u32,
}

impl StreamsApp<'_> {
    /// Builds it if need be, starts it on these cores, and waits until it runs.
    ///
    /// # Errors
    /// There is no JDK or Maven, or it does not start.
    pub fn start(&self, cores: &str) -> Outcome<Process> {
        let mut command = Command::new("java");
        // As an operator on a small machine has it: a heap of a fixed size, the collector that such a heap is given, and Avro's
        // generated coders.
        command.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.apache.avro.specific.use_custom_coders=true"]);
        command.arg("-cp").arg(class_path()?).arg("conversions.peer.Peer");
        command.args(["--bootstrap", self.bootstrap, "--prefix", self.prefix]);
        command.arg("--registry").arg(self.registry).arg("--state").arg(self.state);
        command.args(["--threads", &self.threads.to_string()]);
        command.args(["--commit-ms", &self.commit_interval.as_millis().to_string()]);
        let process = Process::start("Kafka Streams", &command, cores)?;
        if process.said == "running" { Ok(process) } else { Err(format!("Kafka Streams said {:?}", process.said)) }
    }
}

/// Writes the offsets that the application has committed down for the product's groups, since `conversions verify` judges what
/// these have processed. It is to have ended in good order, which commits what it has done.
///
/// # Errors
/// The brokers do not answer.
pub fn hand_over(bootstrap: &str, prefix: &str) -> Outcome<()> {
    let connection = Connection::new(bootstrap, prefix);
    let extents = Extents::open(&connection, "benches").map_err(|error| format!("Kafka: {error}"))?;
    for (group, topics) in GROUPS {
        let topics: Vec<Topic> = topics.iter().map(processors::topic).collect();
        let committed = extents.group(GROUP, &topics, WAIT).map_err(|error| format!("Kafka: {error}"))?;
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in committed {
            let name = topics.iter().find(|it| it.id == topic).map(|it| connection.topic(*it)).unwrap_or_default();
            let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            offsets.add_partition_offset(&name, partition.cast_signed(), offset).map_err(|error| error.to_string())?;
        }
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", connection.name(group))
            .create()
            .map_err(|error| error.to_string())?;
        consumer.commit(&offsets, CommitMode::Sync).map_err(|error| format!("the offsets of {group}: {error}"))?;
    }
    Ok(())
}

/// Builds the application if anything of it has changed; the class path it is run with.
fn class_path() -> Outcome<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/kafka-streams/build");
    let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
    if !output.status.success() {
        return Err(format!("{} failed: see what it said above", script.display()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
