//! What tests run on: the processes of one installation, with data of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use schemas::topics::TopicSpec;

use crate::support::text;
use crate::up::random::Random;
use crate::up::topics::Topics;

/// Lines of each process's log that a failed test shows.
const LOG_LINES: usize = 30;

/// Everything from the edge to the ledger on one log, under the demo's registry unless another is applied: started, killed, started again on the
/// same data.
///
/// A test is written once, for any cluster; [`on_each_cluster`] makes one of it for each.
pub(crate) trait Cluster: Sized {
    /// How often the kill test kills, if nobody says otherwise.
    const ROUNDS: u64;
    /// About how long a start takes, in milliseconds: one that is to be killed halfway is killed within it.
    const START_MS: u64;
    /// How many edges are behind the address: a report that reaches several at once may be in the log for each.
    const EDGES: usize = 1;

    /// Nothing that runs, and no data.
    fn stopped() -> Self;

    /// Where clients find the edge.
    fn target(&self) -> Target;

    /// Where everything is that its processes write: data and logs.
    fn folder(&self) -> &Folder;

    /// Makes this the registry in the demo's place, and waits until every edge that runs is under it. Where the registry is a
    /// file that is read at start, what runs is started again.
    fn apply(&mut self, registry: &str);

    /// Starts what does not run, on the data there is, and waits until it listens and its state is restored.
    fn restart(&mut self);

    /// Starts what does not run and kills it so long after, wherever its start has come to.
    fn start_and_kill(&mut self, after: Duration);

    /// `kill -9` of all that runs.
    fn kill(&mut self);

    /// `kill -9` of a part that the seed chooses, at least one process.
    fn kill_some(&mut self, random: &mut Random);

    /// Asks all that runs to end, and leaves it running.
    fn terminate(&self);

    /// Waits for what was asked to end, which has to end in order.
    fn wait(&mut self);

    /// Waits until every processor has done what there was to do, and nothing more is written to the log.
    fn quiet(&self, run: &str);

    /// Deletes all that is derived from the log, where nothing runs.
    fn delete_state(&self);

    /// Everything that the log holds, where nothing runs.
    fn topics(&self) -> Topics;

    /// Runs `conversions verify` on the log, with these arguments besides those that say where it is.
    fn verify(&self, args: &[&str]) -> Output;

    /// Runs `conversions what-if` on the log, likewise.
    fn what_if(&self, args: &[&str]) -> Output;

    /// Writes a record to the log past every check, where nothing runs.
    fn write(&self, topic: &TopicSpec, key: &[u8], value: &[u8]);

    /// In how many parts the log is, as in `3 segments`.
    fn parts(&self) -> String;

    /// Starts with no data.
    fn start() -> Self {
        let mut cluster = Self::stopped();
        cluster.restart();
        cluster
    }

    /// The address, of a running edge.
    fn address(&self) -> SocketAddr {
        self.target().address().expect("it runs")
    }

    /// Ends it in order.
    fn stop(&mut self) {
        self.terminate();
        self.wait();
    }

    /// Checks that `conversions verify` has judged so many orders and found nothing; `run` says which run it is.
    fn verified(&self, orders: usize, run: &str) {
        let output = self.verify(&["--json", "--strict"]);
        let (said, log) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{run}: conversions verify: {said}\n{log}");
        let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let judged = [&found["orders"], &found["judged"], &found["conversions"], &found["pending"]];
        assert_eq!(judged, [orders, orders, orders, 0], "{run}: conversions verify: {said}");
    }
}

/// Makes a test of each function, which takes the cluster as its type, on each cluster: `embedded::NAME`, `kafka::NAME` and
/// `kafka_cql::NAME`.
macro_rules! on_each_cluster {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[test]
                fn $test() {
                    super::$test::<$crate::up::embedded::Embedded>();
                }
            )+
        }
        mod kafka {
            $(
                #[test]
                fn $test() {
                    super::$test::<$crate::up::kafka::OnKafka>();
                }
            )+
        }
        mod kafka_cql {
            $(
                #[test]
                fn $test() {
                    super::$test::<$crate::up::kafka::OnKafkaAndCql>();
                }
            )+
        }
    };
}
pub(crate) use on_each_cluster;

/// Where clients find the edge; nowhere while it is down, since its port may then be somebody else's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target(Arc<Mutex<Option<SocketAddr>>>);

impl Target {
    /// A place that is known.
    pub(crate) fn at(address: SocketAddr) -> Target {
        Target(Arc::new(Mutex::new(Some(address))))
    }

    /// The address, while there is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// The folder of a cluster: the data of its processes, and their logs, whose ends a failed test shows.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    /// Where something is in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The files in it, however deep, with what they hold.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut files, mut folders) = (Vec::new(), vec![self.0.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), fs::read(&path).expect("a file"))),
                }
            }
        }
        files
    }

    /// The file that a process's stderr goes to.
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.join(&format!("{process}.log"))
    }

    fn log_ends(&self) -> String {
        let entries = fs::read_dir(self.0.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut logs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        logs.sort();
        logs.iter().map(|log| format!("{} ends:\n{}\n", name(log), end(log))).collect()
    }
}

impl Drop for Folder {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the processes said")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log_ends());
        }
    }
}

fn name(log: &Path) -> String {
    log.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn end(log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Taken by tests that load both cores and by those that measure time, so that they do not meet.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
