//! `festival run`: starts what is to be started, has the load sent, and puts together what came of it.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use clap::{ArgGroup, Args};
use schemas::Timestamp;

use super::ask;
use super::clock::Clock;
use super::faults::Faults;
use super::generator::{Line, Task};
use super::installation::{Installation, Parts, Start, binary};
use super::processes::{Processes, Said};
use super::registry;
use super::report::{Head, Report};
use super::scenario::Scenario;
use super::tally::Tally;
use super::timeline::Timeline;
use super::verify::{Finding, Outcome};
use super::watch::{Progress, resident_kib};
use crate::sign;

/// Time for the processes to start before the first order is meant to be sent.
const LEAD: Duration = Duration::from_millis(1_500);
const LOOK: Duration = Duration::from_millis(200);
const SERVICE_TOKEN_BYTES_MAX: u64 = 1_024;

/// Rehearse a scenario, against a server or against one that is started for it.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("server").required(true).args(["url", "start"]))]
pub(super) struct RunArgs {
    /// A scenario that is shipped (smoke, dashain, retry-storm, late-clicks, broker-loss, soak), or a file.
    scenario: String,
    /// The server, such as http://10.0.0.7:8080. It has to run on the registry.
    #[arg(long, requires = "registry")]
    url: Option<String>,
    /// The registry that `festival registry` wrote for this scenario.
    #[arg(long, value_name = "FILE", conflicts_with = "start")]
    registry: Option<PathBuf>,
    /// Start a server, with a registry of its own and empty.
    #[arg(long, value_enum)]
    start: Option<Start>,
    /// Processes that send the load.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    processes: u64,
    /// Where festival.html, festival.json and the logs of what is started go; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "target/festival")]
    report: PathBuf,
    /// The binary to start; the one beside this one if left out.
    #[arg(long, value_name = "FILE", requires = "start")]
    conversions: Option<PathBuf>,
    /// A file with the token with which a service records clicks, for a scenario with late ones.
    #[arg(long, value_name = "FILE", conflicts_with = "start")]
    service_token_file: Option<PathBuf>,
    /// Another process of this machine whose memory is reported.
    #[arg(long, value_name = "NAME=PID", value_parser = parse_watched)]
    watch: Vec<(String, u32)>,
    /// The server is several edges of which each has claims of its own: an order may be RECEIVED by more than one.
    #[arg(long)]
    several_edges: bool,
}

fn parse_watched(text: &str) -> Result<(String, u32), String> {
    let named = text.split_once('=').and_then(|(name, pid)| Some((name.to_owned(), pid.parse().ok()?)));
    named
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "must be a name and a process id, such as ingest=1234".to_owned())
}

/// Where the load goes.
struct Server {
    address: SocketAddr,
    registry: PathBuf,
    service_token: Option<String>,
    installation: Option<Installation>,
}

/// Runs a scenario; whether everything came out as it must.
pub(super) fn run(args: &RunArgs) -> Result<bool, String> {
    let scenario = Scenario::load(&args.scenario)?;
    if args.start != Some(Start::Kafka) {
        Faults::new(&scenario.faults, None)?;
    }
    let folder = |error: io::Error| format!("cannot make the folder {}: {error}", args.report.display());
    fs::create_dir_all(&args.report).map_err(folder)?;
    // The registry of what is started goes with it: its secrets are nobody's afterwards.
    let secrets = tempfile::Builder::new().prefix("registry-").tempdir_in(&args.report).map_err(folder)?;
    let mut server = server(args, &scenario, secrets.path())?;
    if let Some(token) = server.service_token.as_deref().filter(|_| scenario.shares.late_click > 0) {
        ask::records_clicks(server.address, token)?;
    }
    let kafka = server.installation.as_ref().and_then(|installation| installation.kafka.clone());
    let mut faults = Faults::new(&scenario.faults, kafka)?;
    let began = sign::now() + LEAD;
    let processes = Processes::start(&tasks(args, &scenario, &server, began))?;
    let clock = Clock::new(began, sign::now());
    let watched: Vec<(String, u32)> = args
        .watch
        .iter()
        .cloned()
        .chain(server.installation.as_ref().map(Installation::pids).unwrap_or_default())
        .chain(processes.pids())
        .collect();
    let phases = scenario.phases.iter().map(|phase| phase.seconds).sum();
    let mut run = Run::new(phases, args.processes);
    while !run.is_over() || !faults.is_over() {
        match processes.said().recv_timeout(LOOK) {
            Ok((number, said)) => run.take(number, said)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if run.is_over() => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Disconnected) => return Err("the generators are gone".to_owned()),
        }
        if let Some(installation) = &mut server.installation {
            installation.check()?;
        }
        if let Some(happened) = faults.step(clock.micros())? {
            run.progress.note(happened);
        }
        run.look(clock.micros() / 1_000_000, &watched);
    }
    let shown = args.start.map_or_else(|| args.url.clone().unwrap_or_default(), |start| start.name().to_owned());
    let head = Head { scenario: scenario.name, server: shown, began, processes: args.processes, seconds: phases };
    let report = run.end(head, args.several_edges);
    report.write(&args.report)?;
    say(&format!("{}\n  see {}", report.summary(), args.report.join("festival.html").display()));
    Ok(report.is_right())
}

fn say(text: &str) {
    // The exit code tells the outcome to who does not read.
    let _ = writeln!(io::stdout(), "{text}");
}

fn server(args: &RunArgs, scenario: &Scenario, secrets: &Path) -> Result<Server, String> {
    let late = scenario.shares.late_click > 0;
    if let Some(start) = args.start {
        let registry = secrets.join("registry.toml");
        registry::write(scenario, &registry, sign::now())?;
        let service_token = late.then(registry::secret).transpose()?;
        let binary = binary(args.conversions.as_deref())?;
        let parts = Parts {
            binary: &binary,
            registry: &registry,
            report: &args.report,
            service_token: service_token.as_deref(),
        };
        let installation = Installation::start(start, parts)?;
        return Ok(Server { address: installation.address, registry, service_token, installation: Some(installation) });
    }
    let address = resolve(args.url.as_deref().unwrap_or_default())?;
    let registry = args.registry.clone().unwrap_or_default();
    let service_token = match &args.service_token_file {
        Some(path) => Some(service_token(path)?),
        None if late => return Err("the scenario has late clicks: give --service-token-file".to_owned()),
        None => None,
    };
    // Found out before anything is started.
    registry::read(scenario, &registry)?;
    Ok(Server { address, registry, service_token, installation: None })
}

fn service_token(path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| format!("cannot read the service token {}: {error}", path.display());
    if fs::metadata(path).map_err(failed)?.len() > SERVICE_TOKEN_BYTES_MAX {
        return Err(format!("{} holds no service token: it is too long", path.display()));
    }
    Ok(fs::read_to_string(path).map_err(failed)?.trim().to_owned())
}

fn resolve(url: &str) -> Result<SocketAddr, String> {
    let unusable =
        || format!("--url must be http:// with a host and a port, such as http://127.0.0.1:8080, not {url:?}");
    let host = url.strip_prefix("http://").map(|host| host.trim_end_matches('/')).ok_or_else(unusable)?;
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    with_port.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(unusable)
}

fn tasks(args: &RunArgs, scenario: &Scenario, server: &Server, epoch: Timestamp) -> Vec<Task> {
    let task = |process| Task {
        scenario: scenario.clone(),
        epoch,
        process,
        processes: args.processes,
        address: server.address,
        registry: server.registry.clone(),
        service_token: server.service_token.clone(),
    };
    (0..args.processes).map(task).collect()
}

/// What has come of a run so far.
struct Run {
    progress: Progress,
    timeline: Timeline,
    total: Tally,
    outcome: Outcome,
    /// Of each process: requests that are not settled, orders found right, and whether it has come to its end.
    under_way: Vec<u64>,
    checked: Vec<u64>,
    ended: Vec<bool>,
    looked: Option<u64>,
}

impl Run {
    fn new(phases: u64, processes: u64) -> Run {
        let count = usize::try_from(processes).expect("bounded");
        Run {
            progress: Progress::start(),
            timeline: Timeline::new(phases),
            total: Tally::default(),
            outcome: Outcome::default(),
            under_way: vec![0; count],
            checked: vec![0; count],
            ended: vec![false; count],
            looked: None,
        }
    }

    fn is_over(&self) -> bool {
        self.ended.iter().all(|ended| *ended)
    }

    fn take(&mut self, process: usize, said: Said) -> Result<(), String> {
        match said {
            Said::Line(Line::Tick(tick)) => {
                self.timeline.add(&tick);
                self.progress.add(&tick);
                self.total.add(&tick);
                self.under_way[process] = tick.under_way;
            }
            Said::Line(Line::Checked(right)) => self.checked[process] = right,
            Said::Line(Line::End(outcome)) => {
                self.outcome.merge(outcome);
                self.ended[process] = true;
            }
            Said::Ended(None) => {}
            Said::Ended(Some(why)) => return Err(format!("generator {}: {why}", process + 1)),
        }
        Ok(())
    }

    /// Looks at memory and tells how it goes, once a second.
    fn look(&mut self, second: u64, watched: &[(String, u32)]) {
        if self.looked.replace(second) == Some(second) {
            return;
        }
        for (name, pid) in watched {
            if let Some(kib) = resident_kib(*pid) {
                self.timeline.memory(second, name, kib);
            }
        }
        let right: u64 = self.checked.iter().sum();
        if right == 0 {
            self.progress.tell(second, &self.total, self.under_way.iter().sum());
        } else {
            self.progress.tell_checked(second, right);
        }
    }

    fn end(mut self, head: Head, several_edges: bool) -> Report {
        let counts = &self.total.counts;
        let mut all = |what: &str, expected: &str, times: u64| {
            let [order, merchant] = ["all", "all"].map(str::to_owned);
            let finding =
                Finding { order, merchant, what: what.into(), expected: expected.into(), found: times.to_string() };
            self.outcome.add(finding, times);
        };
        if counts.refused > 0 {
            all("refused", "0: the generator sends what the contract allows; see the answers", counts.refused);
        }
        if counts.received_twice > 0 && !several_edges {
            all("RECEIVED twice", "0: of one order only the first report is RECEIVED", counts.received_twice);
        }
        if counts.accepted == 0 {
            all("nothing accepted", "an order at least", counts.intended.max(1));
        }
        self.progress.finish();
        Report::new(head, &self.total, self.timeline.points(), self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert_eq!(resolve("http://127.0.0.1:8080/"), Ok(SocketAddr::from(([127, 0, 0, 1], 8080))));
        assert_eq!(resolve("http://127.0.0.1"), Ok(SocketAddr::from(([127, 0, 0, 1], 80))));
        for bad in ["", "127.0.0.1:8080", "https://127.0.0.1", "http://", "http://127.0.0.1:x"] {
            assert!(resolve(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_watched("ingest=7"), Ok(("ingest".to_owned(), 7)));
        assert!(["ingest", "=7", "ingest=x"].into_iter().all(|bad| parse_watched(bad).is_err()));
    }

    #[test]
    fn a_run_with_a_refusal_is_wrong() {
        let head = || Head { scenario: "x".into(), server: "y".into(), began: Timestamp(0), processes: 1, seconds: 1 };
        let run = |change: fn(&mut Run)| {
            let mut run = Run::new(1, 1);
            run.total.counts.accepted = 5;
            change(&mut run);
            run
        };
        assert!(run(|_| ()).end(head(), false).is_right());
        assert!(!run(|run| run.total.counts.refused = 1).end(head(), false).is_right());
        assert!(!run(|run| run.total.counts.accepted = 0).end(head(), false).is_right());
        let twice = |run: &mut Run| run.total.counts.received_twice = 1;
        assert!(!run(twice).end(head(), false).is_right());
        assert!(run(twice).end(head(), true).is_right());
    }
}
