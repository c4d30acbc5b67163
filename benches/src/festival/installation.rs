//! The pipeline that is rehearsed, if it is started here: `conversions up`, or an edge and processors on a Kafka of its own.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tempfile::TempDir;
use testkit::{Brokers, Kafka, MASTER_KEY};

use super::ask::health;

const START_DEADLINE: Duration = Duration::from_secs(60);
const ANYWHERE: &str = "127.0.0.1:0";

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Start {
    /// `conversions up`.
    Embedded,
    /// `conversions ingest` and `conversions processors` on one broker.
    Kafka,
}

impl Start {
    pub(super) fn name(self) -> &'static str {
        match self {
            Start::Embedded => "embedded",
            Start::Kafka => "kafka",
        }
    }
}

/// What its processes are started with.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// `conversions`.
    pub(super) binary: &'a Path,
    pub(super) registry: &'a Path,
    /// Where logs are left.
    pub(super) report: &'a Path,
    pub(super) service_token: Option<&'a str>,
}

/// Running processes, which are killed with this, and their data removed.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) address: SocketAddr,
    processes: Vec<Process>,
    pub(super) kafka: Option<Arc<Kafka>>,
    /// Last, so that it is there until the processes are gone.
    _data: TempDir,
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    /// Starts one, with its data in the folder of the report, which is on a disk.
    pub(super) fn start(start: Start, parts: Parts<'_>) -> Result<Installation, String> {
        let data = tempfile::Builder::new().prefix("data-").tempdir_in(parts.report);
        let data = data.map_err(|error| format!("no folder for data in {}: {error}", parts.report.display()))?;
        match start {
            Start::Embedded => embedded(parts, data),
            Start::Kafka => on_kafka(parts, data),
        }
    }

    /// Process ids, by name.
    pub(super) fn pids(&self) -> Vec<(String, u32)> {
        self.processes.iter().map(|process| (process.name.to_owned(), process.child.id())).collect()
    }

    /// Fails if a process has ended.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for Process { name, child } in &mut self.processes {
            if let Some(status) = child.try_wait().map_err(|error| format!("{name}: {error}"))? {
                return Err(format!("{name} ended with {status}: see {name}.log in the folder of the report"));
            }
        }
        Ok(())
    }
}

fn embedded(parts: Parts<'_>, data: TempDir) -> Result<Installation, String> {
    let mut command = conversions(parts, ["up", "--listen", ANYWHERE]);
    command.arg("--registry").arg(parts.registry).arg("--data").arg(data.path().join("up"));
    if let Some(token) = parts.service_token {
        command.env("CONVERSIONS_SERVICE_TOKEN", token);
    }
    let (up, address) = spawn("up", &mut command, parts.report, "listening on http://")?;
    Ok(Installation { address, processes: vec![up], kafka: None, _data: data })
}

fn on_kafka(parts: Parts<'_>, data: TempDir) -> Result<Installation, String> {
    let kafka = Kafka::start(Brokers::One);
    let settings = [
        ("KAFKA_BOOTSTRAP", OsStr::new(kafka.bootstrap()).to_owned()),
        ("TOPICS_PARTITIONS", "6".into()),
        ("TOPICS_REPLICATION_FACTOR", "1".into()),
        ("TOPICS_MIN_INSYNC_REPLICAS", "1".into()),
        ("REGISTRY_MASTER_KEY", MASTER_KEY.into()),
        ("INGEST_LISTEN", ANYWHERE.into()),
        ("INGEST_DATA", data.path().join("ingest").into()),
        ("PROCESSORS_METRICS_LISTEN", ANYWHERE.into()),
        ("PROCESSORS_DATA", data.path().join("processors").into()),
        ("PROCESSORS_INSTANCE", "festival".into()),
    ];
    let command = |name: &str| {
        let mut command = conversions(parts, [name]);
        command.envs(settings.iter().map(|(name, value)| (format!("CONVERSIONS_{name}"), value)));
        command
    };
    finish(command("topics").arg("--create"))?;
    finish(command("apply").arg("--registry").arg(parts.registry))?;
    let (processors, serves) = spawn("processors", &mut command("processors"), parts.report, "metrics on http://")?;
    let mut ingest = command("ingest");
    if let Some(token) = parts.service_token {
        ingest.env("CONVERSIONS_INGEST_SERVICE_TOKEN", token);
    }
    let (ingest, address) = spawn("ingest", &mut ingest, parts.report, "listening on http://")?;
    wait_until_ready("processors", serves)?;
    wait_until_ready("ingest", address)?;
    Ok(Installation { address, processes: vec![ingest, processors], kafka: Some(Arc::new(kafka)), _data: data })
}

/// The binary beside this one, unless another is named.
pub(super) fn binary(named: Option<&Path>) -> Result<PathBuf, String> {
    let beside = || env::current_exe().ok().map(|this| this.with_file_name("conversions"));
    let path = named.map(Path::to_owned).or_else(beside).filter(|path| path.is_file());
    path.ok_or_else(|| {
        let named = named.map(|path| format!(" at {}", path.display())).unwrap_or_default();
        format!("there is no conversions{named}: build it with `cargo build --release`, or name it with --conversions")
    })
}

/// A command in an environment that the shell's settings have no part in.
fn conversions<'a>(parts: Parts<'_>, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(parts.binary);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVERSIONS_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{:?}: {}", command.get_args(), String::from_utf8_lossy(&output.stderr)))
}

/// Starts a process, and waits for its first line, which is `before` and its address.
fn spawn(
    name: &'static str,
    command: &mut Command,
    report: &Path,
    before: &str,
) -> Result<(Process, SocketAddr), String> {
    let failed = |error: std::io::Error| format!("{name} cannot be started: {error}");
    let path = report.join(format!("{name}.log"));
    let log = File::create(&path).map_err(failed)?;
    let child = command.stdout(Stdio::piped()).stderr(log).spawn().map_err(failed)?;
    let mut process = Process { name, child };
    let mut stdout = BufReader::new(process.child.stdout.take().expect("it was asked for"));
    let (sender, announced) = sync_channel(1);
    thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = sender.send(line);
        // A pipe that nobody reads could stop the process.
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    let line = announced.recv_timeout(START_DEADLINE).unwrap_or_default();
    let address = line.trim().strip_prefix(before).and_then(|address| address.parse().ok());
    let log = || fs::read_to_string(&path).unwrap_or_default();
    Ok((process, address.ok_or_else(|| format!("{name} did not start: {line:?}\n{}", log()))?))
}

fn wait_until_ready(name: &str, address: SocketAddr) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match health(address) {
            Ok(200) => return Ok(()),
            other if begun.elapsed() > START_DEADLINE => return Err(format!("{name} is not ready: {other:?}")),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}
