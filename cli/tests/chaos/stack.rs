//! The product on a real Kafka, and perhaps on a real CQL server: two processes of each kind, each with a folder and settings
//! of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::{Brokers, Cql, Kafka, MASTER_KEY};

use crate::facts::Facts;
use crate::member::Member;
use crate::merchant::Target;
use crate::orders::{LATE_CLICKS, late_click};
use crate::process::{run, tail};
use crate::{say, say_failures};

const PREFIX: &str = "chaos-";
/// Partitions of every topic that is read by key.
pub(crate) const PARTITIONS: u64 = 6;
/// How long a frozen process is waited for before others take over its partitions.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a frozen process's transaction stays open.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The keyspace of the read model, and that of the claims.
pub(crate) const KEYSPACES: [&str; 2] = ["chaos", "chaos_claims"];
const APPLY_DEADLINE: Duration = Duration::from_secs(120);

/// Servers, processes of ours, and the facts that merchants note.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The edges.
    pub(crate) edges: [Member; 2],
    /// The processors' processes.
    pub(crate) processors: [Member; 2],
    /// Those who write the read model, where there is a CQL server.
    pub(crate) materializers: [Member; 2],
    /// The brokers.
    pub(crate) kafka: Kafka,
    cql: Option<Cql>,
    /// What was sent and answered.
    pub(crate) facts: Arc<Facts>,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

impl Stack {
    /// Brokers with topics and a registry, and no process of the product yet, under these settings besides our own.
    pub(crate) fn new(brokers: Brokers, more: &[(&str, &str)]) -> Stack {
        Stack::on(Kafka::start(brokers), brokers, None, more)
    }

    /// The same with every process started and ready.
    pub(crate) fn start(brokers: Brokers, more: &[(&str, &str)]) -> Stack {
        let stack = Stack::new(brokers, more);
        stack.start_and_ready(stack.processors.iter().chain(&stack.edges));
        stack
    }

    /// One broker and a CQL server that the edges share, with every process but the second materializer started and ready.
    pub(crate) fn start_with_cql(more: &[(&str, &str)]) -> Stack {
        let (kafka, cql) = thread::scope(|scope| {
            let cql = scope.spawn(Cql::start);
            (Kafka::start(Brokers::One), cql.join().expect("the server starts"))
        });
        let stack = Stack::on(kafka, Brokers::One, Some(cql), more);
        run(&["migrate"], &stack.settings, &stack.log()).unwrap_or_else(|why| panic!("{why}"));
        stack.start_and_ready(stack.processors.iter().chain(&stack.edges).chain(&stack.materializers[..1]));
        stack
    }

    fn on(kafka: Kafka, brokers: Brokers, cql: Option<Cql>, more: &[(&str, &str)]) -> Stack {
        let folder = tempfile::tempdir().expect("a folder");
        let (replication, in_sync) = match brokers {
            Brokers::One => ("1", "1"),
            Brokers::Three => ("3", "2"),
        };
        let kafka_settings = [
            ("KAFKA_BOOTSTRAP", kafka.bootstrap()),
            ("KAFKA_PREFIX", PREFIX),
            ("REGISTRY_MASTER_KEY", MASTER_KEY),
            ("TOPICS_PARTITIONS", &PARTITIONS.to_string()),
            ("TOPICS_REPLICATION_FACTOR", replication),
            ("TOPICS_MIN_INSYNC_REPLICAS", in_sync),
            ("PROCESSORS_SESSION_TIMEOUT", &format!("{}s", SESSION_TIMEOUT.as_secs())),
            ("PROCESSORS_TRANSACTION_TIMEOUT", &format!("{}s", TRANSACTION_TIMEOUT.as_secs())),
        ];
        let cql_settings = cql.iter().flat_map(|cql| {
            let [keyspace, claims_keyspace] = KEYSPACES;
            [
                ("CQL_CONTACT_POINTS", cql.contact_point()),
                ("CQL_KEYSPACE", keyspace),
                ("CQL_CLAIMS_KEYSPACE", claims_keyspace),
                ("CQL_REPLICATION_FACTOR", "1"),
            ]
        });
        let settings = kafka_settings.iter().copied().chain(cql_settings).chain(more.iter().copied());
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>();
        let member = |command, number| Member::new(folder.path(), command, number, &settings);
        let edges = [member("ingest", 1), member("ingest", 2)];
        let processors = [member("processors", 1), member("processors", 2)];
        let materializers = [member("materializer", 1), member("materializer", 2)];
        let facts = Arc::new(Facts::create(folder.path()));
        let stack = Stack { edges, processors, materializers, kafka, cql, facts, settings, folder };
        run(&["topics", "--create"], &stack.settings, &stack.log()).unwrap_or_else(|why| panic!("{why}"));
        stack.apply("");
        stack
    }

    fn start_and_ready<'a>(&self, members: impl Iterator<Item = &'a Member> + Clone) {
        members.clone().for_each(Member::start);
        members.for_each(Member::ready);
    }

    /// The CQL server, where there is one.
    pub(crate) fn cql(&self) -> &Cql {
        self.cql.as_ref().expect("it was started with one")
    }

    /// Runs a command to its end, under these settings besides its own; what it printed.
    pub(crate) fn run(&self, args: &[&str], more: &[(&str, &str)]) -> String {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings: Vec<_> = self.settings.iter().cloned().chain(more).collect();
        run(args, &settings, &self.log()).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Ends whatever runs, in order.
    pub(crate) fn end(&self) {
        let members = self.edges.iter().chain(&self.processors).chain(&self.materializers);
        members.filter(|member| member.runs()).for_each(|member| member.end(Signal::TERM));
    }

    /// Applies the registry with the clicks that come late.
    pub(crate) fn apply_late_clicks(&self) {
        let click = |number| {
            let id = late_click(number);
            // Every third is of the time of the orders themselves, so that some orders are before it.
            let hour = if number % 3 == 0 { "09:30:00Z" } else { "08:00:00Z" };
            format!("\n[[clicks]]\nid = \"{id}\"\nlink = \"demo\"\nclicked_at = \"2026-06-14T{hour}\"\n")
        };
        self.apply(&(0..LATE_CLICKS).map(click).collect::<String>());
    }

    /// An operator tries again while a broker is away.
    fn apply(&self, more: &str) {
        let (text, begun) = (format!("{}{more}", include_str!("registry.toml")), Instant::now());
        let path = self.folder.path().join("registry.toml");
        fs::write(&path, &text).expect("written");
        let path = path.to_str().expect("UTF-8");
        while let Err(why) = run(&["apply", "--registry", path], &self.settings, &self.log()) {
            assert!(begun.elapsed() < APPLY_DEADLINE, "{why}");
            thread::sleep(Duration::from_millis(500));
        }
        self.facts.registry(&text);
    }

    /// Where merchants find the edges.
    pub(crate) fn targets(&self) -> [Target; 2] {
        [self.edges[0].target.clone(), self.edges[1].target.clone()]
    }

    /// The prefix of every topic's name.
    pub(crate) fn prefix(&self) -> &'static str {
        PREFIX
    }

    /// A folder for what a test writes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("commands.log")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if thread::panicking() {
            for member in self.processors.iter().chain(&self.edges).chain(&self.materializers) {
                say(&format!("{}'s log ends:\n{}", member.name(), member.log_tail()));
            }
            say(&format!("the commands' log ends:\n{}", tail(&self.log())));
            self.folder.disable_cleanup(true);
            say(&format!("logs, data and facts are kept in {}", self.folder().display()));
            say_failures();
        }
    }
}
