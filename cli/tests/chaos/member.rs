//! A process of the product that is started, ended and started again.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::http::{Answer, ONE, head, open, read_answer};
use crate::merchant::Target;
use crate::process::{Process, START_DEADLINE, tail};
use crate::say;

const ANYWHERE: &str = "127.0.0.1:0";
const ASK_DEADLINE: Duration = Duration::from_secs(5);
const READY_DEADLINE: Duration = Duration::from_secs(120);

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
    /// One that does not run yet.
    pub(crate) fn new(folder: &Path, command: &'static str, number: usize, common: &[(String, String)]) -> Member {
        let name = format!("{command}-{number}");
        let folder = folder.join(&name);
        let data = folder.join("data").to_str().expect("UTF-8").to_owned();
        let own: &[(&str, &str)] = match command {
            "ingest" => &[("INGEST_DATA", &data), ("INGEST_LISTEN", ANYWHERE)],
            "processors" => {
                &[("PROCESSORS_DATA", &data), ("PROCESSORS_METRICS_LISTEN", ANYWHERE), ("PROCESSORS_INSTANCE", &name)]
            }
            "materializer" => &[("MATERIALIZER_METRICS_LISTEN", ANYWHERE)],
            other => panic!("{other} is no process that goes on"),
        };
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = common.iter().cloned().chain(own).collect();
        fs::create_dir(&folder).expect("a folder");
        Member { name, command, settings, folder, process: Mutex::default(), target: Target::default() }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was started, and not ended since.
    pub(crate) fn runs(&self) -> bool {
        self.process().is_some()
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

    /// Asks it for a path, signed.
    pub(crate) fn ask(&self, path: &str) -> io::Result<Answer> {
        let address = self.target.address().ok_or(io::ErrorKind::NotConnected)?;
        let mut stream = BufReader::new(open(address, ASK_DEADLINE)?);
        stream.get_mut().write_all(format!("{}\r\n", head(&ONE, &format!("GET {path}"), "")).as_bytes())?;
        read_answer(&mut stream)
    }

    /// What it serves at a path; nothing if it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.ask(path).ok()?;
        Some((answer.status, answer.body))
    }

    /// The sum of the samples of a metric whose names begin so; 0 if there are none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").unwrap_or_else(|| panic!("{} serves no metrics", self.name));
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits until it says that it is ready, and that it does without nothing.
    pub(crate) fn ready(&self) {
        self.says("ready");
    }

    /// Waits until it says `ready` or `degraded`.
    pub(crate) fn says(&self, status: &str) {
        self.says_meanwhile(status, Duration::from_millis(50), || {});
    }

    /// The same, and does something else so often until then.
    pub(crate) fn says_meanwhile(&self, status: &str, every: Duration, mut act: impl FnMut()) {
        let (begun, expected) = (Instant::now(), format!("{{\"status\":\"{status}\""));
        loop {
            let answer = self.get("/health/ready");
            if answer.as_ref().is_some_and(|(code, body)| *code == 200 && body.starts_with(&expected)) {
                return;
            }
            self.revive();
            let log = self.log_tail();
            assert!(begun.elapsed() < READY_DEADLINE, "{} is not {status}: {answer:?}:\n{log}", self.name);
            act();
            thread::sleep(every);
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
