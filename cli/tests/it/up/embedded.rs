//! `conversions up`: one process on the embedded log.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::TopicSpec;
use streams::embedded::{EmbeddedLog, Options};
use streams::{Message, Publisher};

use crate::support::{command, run};
use crate::up::client::{self, Client, ONE, SERVICE_TOKEN};
use crate::up::cluster::{Cluster, Folder, Target};
use crate::up::poll;
use crate::up::process::Process;
use crate::up::random::Random;
use crate::up::topics::Topics;

const QUIET_DEADLINE: Duration = Duration::from_secs(60);
const REFUSE_DEADLINE: Duration = Duration::from_secs(20);

/// `conversions up` and its data.
#[derive(Debug)]
pub(crate) struct Embedded {
    target: Target,
    /// The registry file, once there is one instead of the demo's.
    registry: Option<PathBuf>,
    process: Option<Process>,
    // Last, so that it is there until the process is gone.
    folder: Folder,
}

impl Embedded {
    /// The process id, of a running process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts with these arguments besides those that name data and address.
    pub(crate) fn restart_with(&mut self, args: &[&str]) {
        let process = self.spawn(args);
        let address = process.announced("listening on http://");
        self.process = Some(process);
        self.target.set(Some(address));
    }

    fn spawn(&self, args: &[&str]) -> Process {
        let data = self.data();
        let mut all = vec!["up", "--data", data.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"];
        all.extend(args);
        let admins = self.folder.join("admins");
        fs::write(&admins, client::admins()).expect("a file");
        fs::set_permissions(&admins, Permissions::from_mode(0o600)).expect("a mode");
        let mut command = command(&all);
        command.env("CONVERSIONS_SERVICE_TOKEN", SERVICE_TOKEN).env("CONVERSIONS_ADMIN_TOKENS_FILE", admins);
        Process::spawn(&mut command, &self.folder.log("up"))
    }

    fn registry_args(&self) -> Vec<&str> {
        match &self.registry {
            Some(file) => vec!["--registry", file.to_str().expect("UTF-8")],
            None => vec!["--demo"],
        }
    }
}

impl Cluster for Embedded {
    const ROUNDS: u64 = 50;
    const START_MS: u64 = 200;

    fn stopped() -> Embedded {
        Embedded { target: Target::default(), registry: None, process: None, folder: Folder::new() }
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn folder(&self) -> &Folder {
        &self.folder
    }

    fn apply(&mut self, registry: &str) {
        let file = self.folder.join("registry.toml");
        fs::write(&file, registry).expect("a file");
        self.registry = Some(file);
        if self.process.is_some() {
            self.stop();
            self.restart();
        }
    }

    fn restart(&mut self) {
        let process = self.spawn(&self.registry_args());
        let address = process.announced("listening on http://");
        self.process = Some(process);
        self.target.set(Some(address));
    }

    fn start_and_kill(&mut self, after: Duration) {
        let process = self.spawn(&self.registry_args());
        thread::sleep(after);
        drop(process);
    }

    fn kill(&mut self) {
        self.process.as_mut().expect("it runs").kill();
        self.target.set(None);
        self.process = None;
    }

    fn kill_some(&mut self, _: &mut Random) {
        self.kill();
    }

    fn terminate(&self) {
        self.process.as_ref().expect("it runs").terminate();
    }

    fn wait(&mut self) {
        self.process.take().expect("it runs").wait();
        self.target.set(None);
    }

    fn quiet(&self, what: &str) {
        const STILL: Duration = Duration::from_millis(400);
        let mut client = Client::new(&self.target, &ONE);
        let (mut end, mut since) = (String::new(), Instant::now());
        poll(QUIET_DEADLINE, || {
            let metrics = client.get("/metrics").expect("metrics are there").body;
            let line = metrics.lines().find(|line| line.starts_with("log_end_bytes ")).expect("the log's end is there");
            if line != end {
                (end, since) = (line.to_owned(), Instant::now());
            }
            if since.elapsed() >= STILL { Ok(()) } else { Err(format!("{what}: the log still grows: {end}")) }
        });
    }

    fn delete_state(&self) {
        assert!(self.process.is_none(), "it has to be stopped");
        fs::remove_dir_all(self.data().join("state")).expect("the state folder can be deleted");
    }

    fn topics(&self) -> Topics {
        assert!(self.process.is_none(), "it has to be stopped");
        Topics::read(&self.data().join("log"))
    }

    fn verify(&self, args: &[&str]) -> Output {
        let data = self.data();
        let all = [&["verify", "--data", data.to_str().expect("UTF-8"), "--demo"], args].concat();
        run(&mut command(&all), "")
    }

    fn what_if(&self, args: &[&str]) -> Output {
        let data = self.data();
        let all = [&["what-if", "--data", data.to_str().expect("UTF-8")], args].concat();
        run(&mut command(&all), "")
    }

    fn write(&self, topic: &TopicSpec, key: &[u8], value: &[u8]) {
        assert!(self.process.is_none(), "it has to be stopped");
        let log = EmbeddedLog::open(self.data().join("log"), Options::default()).expect("the log opens");
        let message = Message { topic: processors::topic(topic), key: key.to_vec(), value: value.to_vec() };
        log.publish(vec![message]).map(drop).expect("there is room");
        log.close().expect("the log closes");
    }

    fn parts(&self) -> String {
        format!("{} segments", files(&self.data().join("log")).len())
    }
}

/// Runs `conversions up` where it has to refuse, and returns what it said.
pub(crate) fn refused(args: &[&str]) -> Output {
    let mut up: Command = command(args);
    let mut child = up.stdin(Stdio::null()).spawn().expect("the binary starts");
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
