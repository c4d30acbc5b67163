//! A process under test.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use crate::up::poll;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(40);

/// Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Its first line.
    announced: Receiver<String>,
}

impl Process {
    /// Starts it, with its stderr appended to a file.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Process {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a file");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, announced) = sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // A pipe that nobody reads could stop the process.
            let _ = io::copy(&mut stdout, &mut io::sink());
        });
        Process { child, announced }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its first line, which is `before` and its address.
    pub(crate) fn announced(&self, before: &str) -> SocketAddr {
        let line = self.announced.recv_timeout(START_DEADLINE).expect("it says in time where it listens");
        let address = line.trim().strip_prefix(before).and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("it announced {line:?}"))
    }

    /// Sends SIGKILL, and does not wait for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Asks it to end, and leaves it running.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to end for good, and leaves it running.
    pub(crate) fn retire(&self) {
        self.signal("-USR1");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success(), "{signal} to {pid}: {sent}");
    }

    /// Waits until it has ended, which it has to do in order.
    pub(crate) fn wait(self) {
        let ended = self.ended();
        assert_eq!(ended.code(), Some(0), "it ended with {ended}");
    }

    /// Waits until it has ended, however that is.
    pub(crate) fn ended(mut self) -> ExitStatus {
        poll(STOP_DEADLINE, || self.child.try_wait().expect("a child").ok_or("it still runs"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
