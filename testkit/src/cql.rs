//! CQL servers by `docker/local/cql`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::ports::Slot;
use crate::script;

/// Each table takes about a megabyte of the heap, and the tests of a process make hundreds: with the script's own 512 MB the
/// server ends towards the end of them.
const SHARED_JAVA_OPTS: &str = "-Xms256m -Xmx1536m -XX:TieredStopAtLevel=1";

/// What a server keeps when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All that it acknowledged.
    Acknowledged,
    /// Perhaps nothing. Tables are made in a fraction of the time, and writes are faster.
    Nothing,
}

/// A real CQL server (Apache Cassandra, one node), empty at the start, on ports of its own. Its data centre is
/// `datacenter1`.
///
/// When it is dropped it is killed and its data are removed. If the test process is killed, a watchdog does the same
/// within a second.
#[derive(Debug)]
pub struct Cql {
    slot: Slot,
    folder: PathBuf,
    keeps: Keeps,
    /// Lines of its configuration besides those of all servers.
    more: String,
    /// Options of its JVM, if not the script's own.
    java_opts: Option<&'static str>,
    contact_point: String,
}

impl Cql {
    /// Starts a server, and waits until it answers: 5 to 10 s. It keeps through [`Cql::kill`] what it acknowledged.
    ///
    /// # Panics
    /// If it does not start; the message has the script's output, the end of the server's log included.
    #[must_use]
    pub fn start() -> Cql {
        Cql::start_that(Keeps::Acknowledged, "", None)
    }

    /// Starts a server as [`Cql::start`] does, for a benchmark: with more heap and all of the JIT, which a test does not live
    /// long enough for.
    ///
    /// # Panics
    /// As [`Cql::start`].
    #[must_use]
    pub fn start_for_benchmark() -> Cql {
        Cql::start_that(Keeps::Acknowledged, "", Some("-Xms1g -Xmx1g"))
    }

    /// Starts a server with these lines in its `cassandra.yaml` besides those of all servers, such as a login. It is not to be
    /// killed, as [`Cql::shared`].
    ///
    /// # Panics
    /// As [`Cql::start`].
    #[must_use]
    pub fn start_with(more: &str) -> Cql {
        Cql::start_that(Keeps::Nothing, more, Some(SHARED_JAVA_OPTS))
    }

    /// One server for all tests of this process that disturb nobody: it is started by the first that asks, and never to
    /// be killed, since it would keep nothing. Each test makes keyspaces named by [`Cql::unique_keyspace`].
    ///
    /// # Panics
    /// As [`Cql::start`].
    #[must_use]
    pub fn shared() -> &'static Cql {
        static SHARED: OnceLock<Cql> = OnceLock::new();
        SHARED.get_or_init(|| Cql::start_with(""))
    }

    fn start_that(keeps: Keeps, more: &str, java_opts: Option<&'static str>) -> Cql {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("cql-{}-{}", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = script::root().join("target/testkit").join(name);
        let (more, contact_point) = (more.to_owned(), String::new());
        let mut cql = Cql { slot: Slot::take(), folder, keeps, more, java_opts, contact_point };
        cql.run(&["start", "--clean", "--owner", &process::id().to_string()]);
        cql.contact_point = cql.run(&["contact-point"]).trim_end().to_owned();
        cql
    }

    /// A name for a keyspace that no other caller in this process gets.
    #[must_use]
    pub fn unique_keyspace() -> String {
        static GIVEN: AtomicU32 = AtomicU32::new(0);
        format!("t{}", GIVEN.fetch_add(1, Ordering::Relaxed))
    }

    /// Where clients connect, as `127.0.0.1:20000`.
    #[must_use]
    pub fn contact_point(&self) -> &str {
        &self.contact_point
    }

    /// The server's folder: configuration, data and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills the server with SIGKILL: its data are what a crash leaves. Nothing happens if it is down.
    ///
    /// # Panics
    /// If it is the shared one, or one of [`Cql::start_with`].
    pub fn kill(&self) {
        assert_eq!(self.keeps, Keeps::Acknowledged, "a server that keeps nothing is killed: start one of your own");
        self.run(&["kill"]);
    }

    /// Starts the server if it is down, with its data, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    pub fn start_again(&self) {
        self.run(&["start", "--owner", &process::id().to_string()]);
    }

    /// Freezes the server (SIGSTOP): its connections stay open, and nothing answers.
    ///
    /// # Panics
    /// If it is down.
    pub fn stall(&self) {
        self.run(&["stall"]);
    }

    /// Lets a stalled server go on.
    ///
    /// # Panics
    /// As [`Cql::stall`].
    pub fn resume(&self) {
        self.run(&["resume"]);
    }

    /// Runs statements by another client, one after the other; returns the rows, each as a line of `name=value`s in
    /// Python's spelling.
    ///
    /// # Panics
    /// If one fails.
    pub fn query(&self, statements: &[&str]) -> String {
        self.run(&[&["query"], statements].concat())
    }

    fn run(&self, arguments: &[&str]) -> String {
        script::output(self.command().args(arguments)).unwrap_or_else(|message| panic!("{message}"))
    }

    fn command(&self) -> Command {
        let mut command = script::command("cql");
        command.env("CQL_LOCAL_DIR", &self.folder);
        command.env("CQL_LOCAL_PORT", self.slot.nodes().to_string());
        command.env("CQL_LOCAL_STORAGE_PORT", self.slot.storage().to_string());
        command.env("CQL_LOCAL_MORE", &self.more);
        if self.keeps == Keeps::Nothing {
            command.env("CQL_LOCAL_THROWAWAY", "1").env("CQL_LOCAL_COMMITLOG", "periodic");
        }
        if let Some(java_opts) = self.java_opts {
            command.env("CQL_LOCAL_JAVA_OPTS", java_opts);
        }
        command
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        // The log goes with the folder, and it is what tells why a test failed.
        let log = if thread::panicking() { script::log_end("the server", &self.folder.join("log")) } else { None };
        let cleaned = script::output(self.command().arg("clean"));
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(log.unwrap_or_default().as_bytes());
        // A panic here would abort the process and hide the test's own.
        if let Err(message) = cleaned {
            let _ = writeln!(stderr, "testkit: the CQL server may still run: {message}");
        }
    }
}
