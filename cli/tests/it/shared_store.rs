//! Two edges, a materializer and a shared store: the commands, and what they say when something is not as it should be.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use testkit::Cql;

use crate::installation::{Installation, Running};
use crate::support::{run, text};
use crate::up::client::{Answer, CONVERSIONS, Client, ONE};
use crate::up::cluster::Target;
use crate::up::poll;

const WAIT: Duration = Duration::from_secs(60);

/// The settings of a store in keyspaces of its own.
struct SharedStore {
    claims: String,
    model: String,
}

impl SharedStore {
    /// Keyspaces that are not made yet.
    fn named() -> SharedStore {
        SharedStore { claims: Cql::unique_keyspace(), model: Cql::unique_keyspace() }
    }

    fn settings(&self) -> [(&str, &str); 4] {
        [
            ("CQL_CONTACT_POINTS", Cql::shared().contact_point()),
            ("CQL_CLAIMS_KEYSPACE", &self.claims),
            ("CQL_KEYSPACE", &self.model),
            ("CQL_REPLICATION_FACTOR", "1"),
        ]
    }

    /// Runs a command to its end; returns its code, and what it printed and told.
    fn run(&self, installation: &Installation, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = installation.command(arguments);
        command.envs(self.settings().map(|(name, value)| (format!("CONVERSIONS_{name}"), value)));
        let output = run(command.env("CONVERSIONS_MATERIALIZER_METRICS_LISTEN", "127.0.0.1:0"), "");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn migrate(&self, installation: &Installation, expected: &str) {
        let (code, printed, told) = self.run(installation, &["migrate"]);
        assert!(code == Some(0) && printed.contains(expected), "{printed}{told}");
    }
}

fn installation() -> Installation {
    let installation = Installation::new();
    let applied = installation.run(&["apply", "--demo"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    installation
}

/// A process that listens, and a client of it.
struct Served {
    client: Client,
    _process: Running,
}

impl Served {
    fn start(installation: &Installation, command: &str, settings: &[(&str, &str)]) -> Served {
        let mut process = installation.start(command, settings);
        let url = process.url();
        let address: SocketAddr =
            url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
        Served { client: Client::new(&Target::at(address), &ONE), _process: process }
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Answer {
        self.client.get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        poll(WAIT, || match self.get("/health/ready") {
            Answer { status: 200, body, .. } if body == r#"{"status":"ready"}"# => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
    }

    /// Waits until the order is on hold, as it is in the end.
    #[track_caller]
    fn wait_hold(&mut self, order: &str) -> Value {
        poll(WAIT, || {
            let shown = self.client.conversion(order).json();
            if ["hold", "payable"].iter().any(|state| shown["state"] == *state) { Ok(shown) } else { Err(shown) }
        })
    }

    /// A sample of the metrics.
    #[track_caller]
    fn metric(&mut self, name: &str) -> u64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    }
}

fn order(id: &str) -> String {
    // In the time of the demo's click.
    let at = r#""orderStatus":"confirmed","orderedAt":"2026-06-14T09:30:00Z""#;
    format!(r#"{{"externalOrderId":"{id}","orderAmount":"100.00","currency":"NPR","clickId":"{}",{at}}}"#, ONE.click)
}

#[test]
fn what_one_edge_accepts_all_edges_know() {
    let installation = installation();
    let store = SharedStore::named();
    store.migrate(&installation, &format!("{}: migrated to 1", store.model));
    store.migrate(&installation, "are up to date");
    let settings = store.settings();
    let _processors = Served::start(&installation, "processors", &[]);
    let mut materializer = Served::start(&installation, "materializer", &settings);
    let mut edges = [0, 1].map(|_| Served::start(&installation, "ingest", &settings));
    edges.iter_mut().for_each(Served::wait_ready);

    let answers =
        edges.each_mut().map(|edge| edge.client.post(CONVERSIONS, &order("ORDER-1")).expect("an answer").json());
    assert_eq!([&answers[0]["status"], &answers[1]["status"]], ["RECEIVED", "DUPLICATE"], "{answers:?}");
    let known = edges[1].client.conversion("ORDER-1");
    assert_eq!((known.status, &known.json()["eventId"]), (200, &answers[0]["eventId"]), "{known:?}");
    let shown = edges.each_mut().map(|edge| edge.wait_hold("ORDER-1"));
    assert_eq!(shown[0]["commission"], shown[1]["commission"]);
    assert_eq!(shown[0]["timeline"][0]["cause"]["eventId"], answers[0]["eventId"]);
    materializer.wait_ready();
    assert_eq!(edges[0].metric(r#"cql_claims_total{outcome="made"}"#), 1);
    assert_eq!(edges[0].metric("cql_up"), 1);
    assert!(materializer.metric(r#"materializer_records_total{task="materializer",worker="0"}"#) > 0);
    assert!(materializer.metric("read_model_rows_total") > 0);

    // What is there is not filled again, and what is empty is, with the same.
    let (code, _, told) = store.run(&installation, &["rebuild"]);
    assert!(code == Some(1) && told.contains(&format!("keyspace {} is not empty", store.model)), "{told}");
    let rebuilt = SharedStore::named();
    rebuilt.migrate(&installation, "migrated to 1");
    let (code, printed, told) = rebuilt.run(&installation, &["rebuild", "--parallel", "2"]);
    assert!(code == Some(0) && printed.contains("conversions materializer goes on from here"), "{printed}{told}");
    let mut edge = Served::start(&installation, "ingest", &rebuilt.settings());
    edge.wait_ready();
    let (before, after) = (edges[0].client.conversion("ORDER-1"), edge.client.conversion("ORDER-1"));
    assert_eq!((before.status, before.json()), (200, after.json()));
    let again = edge.client.post(CONVERSIONS, &order("ORDER-1")).expect("an answer");
    assert_eq!(again.json()["status"], "DUPLICATE", "its claim is made good too: {again:?}");
}

#[test]
fn an_edge_accepts_while_the_store_is_away() {
    let installation = installation();
    // Nobody listens there, and nobody will: it is the port of the discard service.
    let mut edge = Served::start(&installation, "ingest", &[("CQL_CONTACT_POINTS", "127.0.0.1:9")]);
    let accepted = edge.client.post(CONVERSIONS, &order("ORDER-1")).expect("an answer");
    assert_eq!((accepted.status, &accepted.json()["status"]), (202, &"RECEIVED".into()), "{accepted:?}");
    let read = edge.client.conversion("ORDER-1");
    assert_eq!((read.status, read.header("retry-after")), (503, Some("1")), "{read:?}");
    let ready = edge.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"degraded".into()), "{ready:?}");
    assert!(ready.body.contains("the shared store is not reached yet"), "{ready:?}");
    assert_eq!(edge.metric("conversions_unclaimed_total"), 1);
    assert_eq!(edge.metric("cql_up"), 0);
}

#[test]
fn a_keyspace_of_another_log_is_refused() {
    let (first, second) = (installation(), installation());
    let store = SharedStore::named();
    store.migrate(&first, "migrated to 1");
    let _edge = Served::start(&first, "ingest", &store.settings());
    let taken = || Cql::shared().query(&[&format!("SELECT identity FROM {}.log_identity", store.model)]);
    poll(WAIT, || if taken().is_empty() { Err("it is nobody's yet") } else { Ok(()) });
    for command in ["materializer", "rebuild"] {
        let (code, _, told) = store.run(&second, &[command]);
        assert!(code == Some(1) && told.contains(&format!("keyspace {} is filled from", store.model)), "{told}");
    }
    let edge = second.start("ingest", &store.settings());
    edge.wait_for_log(&format!("keyspace {} is filled from", store.model));
}

#[test]
fn what_needs_a_store_asks_for_one_and_for_its_tables() {
    let installation = Installation::new();
    for command in ["migrate", "materializer", "rebuild"] {
        let output = installation.run(&[command]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("cql.contact_points must be given"), "{told}");
    }
    let (code, _, told) = SharedStore::named().run(&installation, &["rebuild"]);
    assert!(code == Some(1) && told.contains("run `conversions migrate`"), "{told}");
}
