//! The product on a real Kafka: two edges and two processor processes, each with a folder and settings of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::{Brokers, Kafka};

use crate::facts::Facts;
use crate::http::{ONE, head, open, read_answer};
use crate::merchant::Target;
use crate::orders::{LATE_CLICKS, late_click};
use crate::process::{Process, START_DEADLINE, run, tail};
use crate::{say, say_failures};

const PREFIX: &str = "chaos-";
/// Partitions of every topic that is read by key.
pub(crate) const PARTITIONS: u64 = 6;
/// How long a frozen process is waited for before others take over its partitions.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a frozen process's transaction stays open.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
const READY_DEADLINE: Duration = Duration::from_secs(120);
const APPLY_DEADLINE: Duration = Duration::from_secs(120);

/// A process that is started, ended and started again.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    command: &'static str,
    settings: Vec<(String, String)>,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
    /// Where it serves HTTP, while it is up.
    pub(crate) target: Target,
}

impl Member {
    fn new(folder: &Path, command: &'static str, number: usize, common: &[(String, String)]) -> Member {
        let name = format!("{command}-{number}");
        let folder = folder.join(&name);
        let data = folder.join("data").to_str().expect("UTF-8").to_owned();
        let (own, serves) = match command {
            "ingest" => ("INGEST", "INGEST_LISTEN"),
            _ => ("PROCESSORS", "PROCESSORS_METRICS_LISTEN"),
        };
        let mut settings = common.to_vec();
        settings.push((format!("{own}_DATA"), data));
        settings.push((serves.to_owned(), "127.0.0.1:0".to_owned()));
        settings.push(("PROCESSORS_INSTANCE".to_owned(), name.clone()));
        fs::create_dir(&folder).expect("a folder");
        Member { name, command, settings, folder, process: Mutex::default(), target: Target::default() }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command that it runs.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// Starts it on what data it has. As a supervisor would, it tries again if the process gives up while a broker is
    /// away.
    pub(crate) fn start(&self) {
        let begun = Instant::now();
        loop {
            if let Some(process) = Process::start(&[self.command], &self.settings, &self.log()) {
                self.target.set(Some(process.address));
                *self.process() = Some(process);
                return;
            }
            assert!(begun.elapsed() < START_DEADLINE, "{} does not start; its log:\n{}", self.name, self.log_tail());
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Starts it again if it has ended by itself; whether it had.
    pub(crate) fn revive(&self) -> bool {
        let ended = self.process().as_mut().and_then(Process::ended);
        if let Some(ended) = ended {
            say(&format!("{} ended by itself: {ended}; its log:\n{}", self.name, self.log_tail()));
            self.kill(false);
            self.start();
        }
        ended.is_some()
    }

    /// `kill -9`, and perhaps its data goes too.
    pub(crate) fn kill(&self, forget: bool) {
        self.target.set(None);
        drop(self.process().take().expect("it runs"));
        if forget {
            // What it had is a cache; it may have died before it made the folder.
            let _ = fs::remove_dir_all(self.folder.join("data"));
        }
    }

    /// Asks it to end by this signal; it has to end in order.
    pub(crate) fn end(&self, signal: Signal) {
        let mut process = self.process().take().expect("it runs");
        process.signal(signal);
        let ended = process.wait();
        self.target.set(None);
        assert_eq!(ended.code(), Some(0), "{} ended with {ended}; its log:\n{}", self.name, self.log_tail());
    }

    /// Freezes it (SIGSTOP): its connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.process().as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.process().as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// The memory it has in RAM, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        self.process().as_ref().expect("it runs").resident_mib()
    }

    /// What it serves at a path without a signature; nothing if it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{BufReader, Write};
        let mut stream = BufReader::new(open(self.target.address()?, Duration::from_secs(5)).ok()?);
        stream.get_mut().write_all(format!("{}\r\n", head(&ONE, &format!("GET {path}"), "")).as_bytes()).ok()?;
        let answer = read_answer(&mut stream).ok()?;
        Some((answer.status, answer.body))
    }

    /// The sum of the samples of a metric whose names begin so; 0 if there are none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").unwrap_or_else(|| panic!("{} serves no metrics", self.name));
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(&self) {
        let begun = Instant::now();
        loop {
            let answer = self.get("/health/ready");
            if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
                return;
            }
            self.revive();
            assert!(begun.elapsed() < READY_DEADLINE, "{} is not ready: {answer:?}:\n{}", self.name, self.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("stderr.log")
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

/// Brokers, edges and processors, and the facts that merchants note.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The edges.
    pub(crate) edges: [Member; 2],
    /// The processors' processes.
    pub(crate) processors: [Member; 2],
    /// The brokers.
    pub(crate) kafka: Kafka,
    /// What was sent and answered.
    pub(crate) facts: Arc<Facts>,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

impl Stack {
    /// Brokers with topics and a registry, and no process of the product yet, under these settings besides our own.
    pub(crate) fn new(brokers: Brokers, more: &[(&str, &str)]) -> Stack {
        let (kafka, folder) = (Kafka::start(brokers), tempfile::tempdir().expect("a folder"));
        let (replication, in_sync) = match brokers {
            Brokers::One => ("1", "1"),
            Brokers::Three => ("3", "2"),
        };
        let settings = [
            ("KAFKA_BOOTSTRAP", kafka.bootstrap()),
            ("KAFKA_PREFIX", PREFIX),
            ("TOPICS_PARTITIONS", &PARTITIONS.to_string()),
            ("TOPICS_REPLICATION_FACTOR", replication),
            ("TOPICS_MIN_INSYNC_REPLICAS", in_sync),
            ("PROCESSORS_SESSION_TIMEOUT", &format!("{}s", SESSION_TIMEOUT.as_secs())),
            ("PROCESSORS_TRANSACTION_TIMEOUT", &format!("{}s", TRANSACTION_TIMEOUT.as_secs())),
        ];
        let settings = settings.iter().chain(more);
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let member = |command, number| Member::new(folder.path(), command, number, &settings);
        let edges = [member("ingest", 1), member("ingest", 2)];
        let processors = [member("processors", 1), member("processors", 2)];
        let facts = Arc::new(Facts::create(folder.path()));
        let stack = Stack { edges, processors, kafka, facts, settings, folder };
        run(&["topics", "--create"], &stack.settings, &stack.log()).unwrap_or_else(|why| panic!("{why}"));
        stack.apply("");
        stack
    }

    /// The same with every process started and ready.
    pub(crate) fn start(brokers: Brokers, more: &[(&str, &str)]) -> Stack {
        let stack = Stack::new(brokers, more);
        stack.processors.iter().chain(&stack.edges).for_each(Member::start);
        stack.processors.iter().chain(&stack.edges).for_each(Member::ready);
        stack
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
            for member in self.processors.iter().chain(&self.edges) {
                say(&format!("{}'s log ends:\n{}", member.name, member.log_tail()));
            }
            say(&format!("the commands' log ends:\n{}", tail(&self.log())));
            self.folder.disable_cleanup(true);
            say(&format!("logs, data and facts are kept in {}", self.folder().display()));
            say_failures();
        }
    }
}
