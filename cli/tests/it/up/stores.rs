//! Where the edges of an installation on Kafka have their claims and their read model.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use testkit::{Cql, Kafka};

use crate::installation::Installation;
use crate::support::text;
use crate::up::kafka_log::End;

/// One of the two.
pub(crate) trait Store: Debug {
    /// How many edges a cluster has. Several are behind one address.
    const EDGES: usize;
    /// Processes that write the read model.
    const MATERIALIZERS: usize;
    /// How often the kill test kills.
    const ROUNDS: u64;

    /// An empty one.
    fn create(installation: &Installation) -> Self;

    /// More variables for every process.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// What of the log it does not have yet, as it says itself.
    fn behind(&self, ends: &[End]) -> Vec<String>;

    /// Holds it against all that the log holds, where nothing runs.
    fn check(&self, installation: &Installation);
}

/// Each edge has its own, in its folder.
#[derive(Debug)]
pub(crate) struct EachItsOwn;

impl Store for EachItsOwn {
    const EDGES: usize = 1;
    const MATERIALIZERS: usize = 0;
    // A start joins groups and takes seconds.
    const ROUNDS: u64 = 12;

    fn create(_: &Installation) -> EachItsOwn {
        EachItsOwn
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn behind(&self, _: &[End]) -> Vec<String> {
        Vec::new()
    }

    fn check(&self, _: &Installation) {}
}

/// All share one, in keyspaces of their own on the server that all tests share.
#[derive(Debug)]
pub(crate) struct Shared {
    keyspace: String,
    claims_keyspace: String,
}

impl Store for Shared {
    const EDGES: usize = 2;
    const MATERIALIZERS: usize = 1;
    const ROUNDS: u64 = 8;

    fn create(installation: &Installation) -> Shared {
        let keyspace = Cql::unique_keyspace();
        let store = Shared { claims_keyspace: format!("{keyspace}_claims"), keyspace };
        let mut migrate = installation.command(&["migrate"]);
        let migrated = migrate.envs(variables(store.settings())).output().expect("the binary starts");
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        store
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        [
            ("CQL_CONTACT_POINTS", Cql::shared().contact_point()),
            ("CQL_KEYSPACE", &self.keyspace),
            ("CQL_CLAIMS_KEYSPACE", &self.claims_keyspace),
            ("CQL_REPLICATION_FACTOR", "1"),
            // A busy machine is no reason to do without a claim, which a test would see.
            ("CQL_REQUEST_TIMEOUT", "5s"),
            ("INGEST_STORE_DEADLINE", "5s"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    fn behind(&self, ends: &[End]) -> Vec<String> {
        let select = format!("SELECT topic, partition, next_offset FROM {}.positions", self.keyspace);
        let rows = Cql::shared().query(&[&select]);
        let written = |end: &&End| {
            rows.lines().any(|row| {
                let place = format!("topic='{}'  partition={}  next_offset=", end.topic.name, end.partition);
                row.strip_prefix(&place).and_then(|next| next.parse::<u64>().ok()) >= Some(end.next)
            })
        };
        ends.iter().filter(|end| !written(end)).map(|end| format!("{end:?}")).collect()
    }

    fn check(&self, installation: &Installation) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/read_model.py");
        let mut python = Command::new(testkit::python());
        // No compiled files beside the sources.
        python.arg("-B").arg(script);
        python.args(["--bootstrap", Kafka::shared().bootstrap(), "--prefix", &installation.prefix]);
        python.args(["--contact-point", Cql::shared().contact_point()]);
        python.args(["--keyspace", &self.keyspace, "--claims-keyspace", &self.claims_keyspace]);
        let output = python.output().expect("Python runs");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

/// Settings as variables of the environment.
pub(crate) fn variables(settings: Vec<(&'static str, String)>) -> impl Iterator<Item = (String, String)> {
    settings.into_iter().map(|(name, value)| (format!("CONVERSIONS_{name}"), value))
}
