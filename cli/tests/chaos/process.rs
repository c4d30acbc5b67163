//! One process of the product: started, signalled, killed.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take: an edge has to catch up first, perhaps while a broker is away.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(90);
const END_DEADLINE: Duration = Duration::from_secs(60);

/// Killed when it is dropped, also while it is frozen.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it said that it serves HTTP.
    pub(crate) address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts the binary with an environment of these settings alone, and waits for the line that says where it serves;
    /// `None` if it ends or is silent instead. Its log is appended to `log`.
    pub(crate) fn start(args: &[&str], settings: &[(String, String)], log: &Path) -> Option<Process> {
        let mut child = command(args, settings, log).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        // From here on it ends with the test.
        let mut process = Process { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (sender, announced) = sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // A pipe that nobody reads could stop the process.
            let _ = io::copy(&mut stdout, &mut io::sink());
        });
        let line = announced.recv_timeout(START_DEADLINE).ok()?;
        process.address = line.trim().split_once(" on http://")?.1.parse().ok()?;
        Some(process)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is a child that was not waited for");
    }

    /// Waits for the end of a process that was asked to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait().expect("a child") {
                return ended;
            }
            assert!(begun.elapsed() < END_DEADLINE, "process {} still runs after {END_DEADLINE:?}", self.child.id());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// The memory it has in RAM, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is there");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib / 1024
    }
}

/// Runs a command of the binary to its end; its output, or what it said if it did not pass.
pub(crate) fn run(args: &[&str], settings: &[(String, String)], log: &Path) -> Result<String, String> {
    let output = command(args, settings, log).stdout(Stdio::piped()).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{args:?}: {}\n{said}{}", output.status, tail(log))) }
}

fn command(args: &[&str], settings: &[(String, String)], log: &Path) -> Command {
    let log = OpenOptions::new().create(true).append(true).open(log).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_conversions"));
    command.env_clear().envs(settings.iter().map(|(name, value)| (format!("CONVERSIONS_{name}"), value)));
    command.args(args).stdin(Stdio::null()).stderr(log);
    command
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 25;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
