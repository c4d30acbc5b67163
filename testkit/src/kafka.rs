//! Kafka clusters by `docker/local/kafka`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::certificates::{Authority, Issued};
use crate::ports::Slot;
use crate::proxy::Proxy;
use crate::script;

const SESSION: &str = "KAFKA_LOCAL_SESSION_MS";

/// How many brokers a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brokers {
    /// One: replication 1.
    One,
    /// Three: replication 3, of which 2 must be in sync, so that one may be away.
    Three,
}

/// A cluster of real brokers, empty at the start, on ports of its own. Nodes are numbered from 1.
///
/// When it is dropped its nodes are killed and their data is removed. If the test process is killed, a watchdog does the
/// same within a second.
#[derive(Debug)]
pub struct Kafka {
    slot: Slot,
    folder: PathBuf,
    brokers: Brokers,
    bootstrap: String,
    /// Where clients are sent, if not to the broker itself.
    advertised_port: Option<u16>,
    /// Lines of the nodes' configuration besides those of all clusters.
    more: String,
    /// How its JVMs are started, if not as for a test.
    java_opts: Option<&'static str>,
}

impl Kafka {
    /// Starts a cluster, and waits until each node answers: about 3 s for one, 8 s for three.
    ///
    /// # Panics
    /// If it does not start; the message has the script's output, the ends of the nodes' logs included.
    #[must_use]
    pub fn start(brokers: Brokers) -> Kafka {
        Kafka::start_on(Slot::take(), brokers, None, String::new(), None)
    }

    /// Starts one broker, to which clients come through a proxy: it tells them the proxy's port. The tools that are run
    /// here come through it too.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_behind_proxy() -> (Kafka, Proxy) {
        let slot = Slot::take();
        let proxy = Proxy::start(slot.proxy(), slot.nodes());
        let port = slot.proxy();
        (Kafka::start_on(slot, Brokers::One, Some(port), String::new(), None), proxy)
    }

    /// Starts one broker that clients come to in two ways more: with a login, by SASL's `PLAIN` and in the clear
    /// ([`Kafka::login`]), or over TLS ([`Kafka::tls`]), where the broker shows this certificate and wants one of the same
    /// authority.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_guarded(username: &str, password: &str, broker: &Issued, authority: &Authority) -> Kafka {
        let slot = Slot::take();
        let [node, login, tls] = [slot.nodes(), slot.login(), slot.tls()];
        let clients = format!("PLAINTEXT://127.0.0.1:{node},LOGIN://127.0.0.1:{login},TLS://127.0.0.1:{tls}");
        let more = format!(
            "listeners={clients},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={clients}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL\n\
             listener.name.login.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.login.plain.sasl.jaas.config={module} required user_{username}=\"{password}\";\n\
             listener.name.tls.ssl.keystore.type=PEM\n\
             listener.name.tls.ssl.keystore.location={keystore}\n\
             listener.name.tls.ssl.truststore.type=PEM\n\
             listener.name.tls.ssl.truststore.location={truststore}\n\
             listener.name.tls.ssl.client.auth=required\n",
            controller = slot.controllers(),
            module = "org.apache.kafka.common.security.plain.PlainLoginModule",
            keystore = broker.both_file.display(),
            truststore = authority.ca_file().display(),
        );
        Kafka::start_on(slot, Brokers::One, None, more, None)
    }

    /// Starts one broker for a benchmark: with more heap and all of the JIT, which a test does not live long enough for.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_for_benchmark() -> Kafka {
        Kafka::start_on(Slot::take(), Brokers::One, None, String::new(), Some("-Xmx1g"))
    }

    fn start_on(
        slot: Slot,
        brokers: Brokers,
        advertised_port: Option<u16>,
        more: String,
        java_opts: Option<&'static str>,
    ) -> Kafka {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("kafka-{}-{}", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = script::root().join("target/testkit").join(name);
        let mut kafka = Kafka { slot, folder, brokers, bootstrap: String::new(), advertised_port, more, java_opts };
        let count = match brokers {
            Brokers::One => "1",
            Brokers::Three => "3",
        };
        kafka.run(&["start", "--clean", "--brokers", count, "--owner", &process::id().to_string()]);
        kafka.bootstrap = kafka.run(&["bootstrap"]).trim_end().to_owned();
        kafka
    }

    /// One broker for all tests of this process that disturb nobody: it is started by the first that asks. Each test
    /// names its topics and groups with a [`Kafka::unique_prefix`] of its own.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start(Brokers::One))
    }

    /// A prefix that no other caller in this process gets, of letters that a topic's name may have.
    #[must_use]
    pub fn unique_prefix() -> String {
        static GIVEN: AtomicU32 = AtomicU32::new(0);
        format!("t{}-", GIVEN.fetch_add(1, Ordering::Relaxed))
    }

    /// The value of `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The same for clients that log in, of [`Kafka::start_guarded`].
    #[must_use]
    pub fn login(&self) -> String {
        format!("127.0.0.1:{}", self.slot.login())
    }

    /// The same for clients that speak TLS.
    #[must_use]
    pub fn tls(&self) -> String {
        format!("127.0.0.1:{}", self.slot.tls())
    }

    /// The folder of the cluster: configuration, data and log of node `i` are in `node-i`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills a node with SIGKILL: its data is what a crash leaves. Nothing happens if it is down.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn kill(&self, node: u32) {
        self.run(&["kill", &node.to_string()]);
    }

    /// Stops a node in good order, which hands its leaderships over first.
    ///
    /// # Panics
    /// As [`Kafka::kill`].
    pub fn stop(&self, node: u32) {
        self.run(&["stop", &node.to_string()]);
    }

    /// Starts a node that is down, with its data, and waits until it answers. A killed one comes back only when its
    /// session has run out. Of three nodes one other must be up, since two elect the controller.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start_node(&self, node: u32) {
        self.run(&["start", "--owner", &process::id().to_string(), &node.to_string()]);
    }

    /// Starts every node that is down, all at once.
    ///
    /// # Panics
    /// As [`Kafka::start_node`].
    pub fn start_all(&self) {
        self.run(&["start", "--owner", &process::id().to_string()]);
    }

    /// Freezes a node (SIGSTOP): its connections stay open, and nothing answers.
    ///
    /// # Panics
    /// If the node is down, or there is none such.
    pub fn stall(&self, node: u32) {
        self.run(&["stall", &node.to_string()]);
    }

    /// Lets a stalled node go on.
    ///
    /// # Panics
    /// As [`Kafka::stall`].
    pub fn resume(&self, node: u32) {
        self.run(&["resume", &node.to_string()]);
    }

    /// Runs Kafka's own topic command, as in `topics(&["--create", "--topic", "a", "--partitions", "4"])`; returns what
    /// it prints. It takes a second or two: an admin client is quicker.
    ///
    /// # Panics
    /// If the command fails.
    pub fn topics(&self, arguments: &[&str]) -> String {
        self.run(&[&["topics"], arguments].concat())
    }

    /// Runs the main class of any other of Kafka's own tools, with `--bootstrap-server` and these arguments; returns what
    /// it prints.
    ///
    /// # Panics
    /// If the tool fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        self.run(&[&["tool", class, "--bootstrap-server", &self.bootstrap], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> String {
        script::output(self.command().args(arguments)).unwrap_or_else(|message| panic!("{message}"))
    }

    /// The last lines of each node's log.
    fn log_ends(&self) -> String {
        let logs = (1..=3).map(|node| (format!("node {node}"), self.folder.join(format!("node-{node}/log"))));
        logs.filter_map(|(of, path)| script::log_end(&of, &path)).collect()
    }

    fn command(&self) -> Command {
        let mut command = script::command("kafka");
        command.env("KAFKA_LOCAL_DIR", &self.folder);
        command.env("KAFKA_LOCAL_PORT", self.slot.nodes().to_string());
        command.env("KAFKA_LOCAL_CONTROLLER_PORT", self.slot.controllers().to_string());
        command.env("KAFKA_LOCAL_MORE", &self.more);
        if let Some(java_opts) = self.java_opts {
            command.env("KAFKA_LOCAL_JAVA_OPTS", java_opts);
        }
        if let Some(port) = self.advertised_port {
            command.env("KAFKA_LOCAL_ADVERTISED_PORT", port.to_string());
        }
        // Three brokers on few cores miss heartbeats while other things are built, and would be fenced alive.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        if self.brokers == Brokers::Three && cores < 4 && env::var_os(SESSION).is_none() {
            command.env(SESSION, "6000");
        }
        command
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // The log goes with the folder, and it is what tells why a test failed.
        let logs = if thread::panicking() { self.log_ends() } else { String::new() };
        let cleaned = script::output(self.command().arg("clean"));
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(logs.as_bytes());
        // A panic here would abort the process and hide the test's own.
        if let Err(message) = cleaned {
            let _ = writeln!(stderr, "testkit: the brokers may still run: {message}");
        }
    }
}
