//! The process under test: started, killed, started again on the same data.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::command;
use crate::up::client::{Client, ONE};
use crate::up::poll;
use crate::up::topics::Topics;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(40);
const QUIET_DEADLINE: Duration = Duration::from_secs(60);
const REFUSE_DEADLINE: Duration = Duration::from_secs(20);

/// Where clients find the process; nowhere while it is down, since its port may then be somebody else's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target(Arc<Mutex<Option<SocketAddr>>>);

impl Target {
    /// The address, while there is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// `conversions up --demo` and its data.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    target: Target,
    process: Option<Process>,
}

/// Killed when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cluster {
    /// Starts on an empty data folder.
    pub(crate) fn start() -> Cluster {
        let mut cluster = Cluster::stopped();
        cluster.restart();
        cluster
    }

    /// An empty data folder and no process.
    pub(crate) fn stopped() -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        Cluster { folder, target: Target::default(), process: None }
    }

    /// Where clients find it.
    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// The address, of a running process.
    pub(crate) fn address(&self) -> SocketAddr {
        self.target.address().expect("it runs")
    }

    /// The process id, of a running process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts on the data there is, and waits until it listens.
    pub(crate) fn restart(&mut self) {
        self.restart_with(&["--demo"]);
    }

    /// Starts with these arguments besides those that name data and address.
    pub(crate) fn restart_with(&mut self, args: &[&str]) {
        let mut process = self.spawn(args);
        let mut stdout = BufReader::new(process.0.stdout.take().expect("a pipe"));
        let (sender, announced) = sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // A pipe that nobody reads could stop the process.
            let _ = io::copy(&mut stdout, &mut io::sink());
        });
        let line = announced.recv_timeout(START_DEADLINE).expect("it says in time where it listens");
        let address = line.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it announced {line:?}; its log:\n{}", self.log_tail()));
        self.process = Some(process);
        self.target.set(Some(address));
    }

    /// Starts it and kills it so long after, wherever its start has come to.
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        let process = self.spawn(&["--demo"]);
        thread::sleep(after);
        drop(process);
    }

    fn spawn(&self, args: &[&str]) -> Process {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("a file");
        let data = self.data();
        let mut all = vec!["up", "--data", data.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut up = up_command(&all);
        Process(up.stdin(Stdio::null()).stderr(log).spawn().expect("the binary starts"))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.0.kill().expect("it can be killed");
        self.target.set(None);
        process.0.wait().expect("it is gone");
    }

    /// Asks it to end, and leaves it running.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIGTERM to {pid}: {sent}");
    }

    /// Waits for the end of a process that was asked to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        let ended = poll(STOP_DEADLINE, || process.0.try_wait().expect("a child").ok_or("it still runs"));
        self.target.set(None);
        ended
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let ended = self.wait();
        assert_eq!(ended.code(), Some(0), "it ended with {ended}; its log:\n{}", self.log_tail());
    }

    /// Waits until nothing more is written to the log: every processor has done what there was to do.
    pub(crate) fn quiet(&self, run: &str) {
        const STILL: Duration = Duration::from_millis(400);
        let mut client = Client::new(&self.target, &ONE);
        let (mut end, mut since) = (String::new(), Instant::now());
        poll(QUIET_DEADLINE, || {
            let metrics = client.get("/metrics").expect("metrics are there").body;
            let line = metrics.lines().find(|line| line.starts_with("log_end_bytes ")).expect("the log's end is there");
            if line != end {
                (end, since) = (line.to_owned(), Instant::now());
            }
            if since.elapsed() >= STILL { Ok(()) } else { Err(format!("{run}: the log still grows: {end}")) }
        });
    }

    /// Deletes what is derived from the log, of a stopped process.
    pub(crate) fn delete_state(&self) {
        assert!(self.process.is_none(), "it has to be stopped");
        fs::remove_dir_all(self.data().join("state")).expect("the state folder can be deleted");
    }

    /// Everything that the log of a stopped process holds.
    pub(crate) fn topics(&self) -> Topics {
        assert!(self.process.is_none(), "it has to be stopped");
        Topics::read(&self.data().join("log"))
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the process said")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the process's log ends:\n{}", self.log_tail());
        }
    }
}

/// Runs `conversions up` where it has to refuse, and returns what it said.
pub(crate) fn refused(args: &[&str]) -> Output {
    let mut child = up_command(args).stdin(Stdio::null()).spawn().expect("the binary starts");
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > REFUSE_DEADLINE {
            let _ = child.kill();
            panic!("it was to refuse {args:?}: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it ended")
}

/// The binary with an environment that nobody's shell has a part in.
fn up_command(args: &[&str]) -> Command {
    let mut up = command(args);
    for variable in ["DATA", "LISTEN", "REGISTRY", "DEMO", "LOG_RETENTION", "LOG_FORMAT"] {
        up.env_remove(format!("CONVERSIONS_{variable}"));
    }
    up
}

/// Taken by tests that load both cores and by those that measure time, so that they do not meet.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files below a folder with their contents, by path.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let contents = fs::read(&path).expect("a file");
            found.push((path, contents));
        }
    }
    found.sort();
    found
}

/// Changes one byte of a file; done twice, it is as before.
pub(crate) fn flip(path: &Path, byte: u64) {
    use std::os::unix::fs::FileExt;
    let file: File = OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut at = [0];
    file.read_exact_at(&mut at, byte).expect("the byte is there");
    file.write_all_at(&[!at[0]], byte).expect("written");
}
