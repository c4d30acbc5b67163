//! `conversions ingest`, `conversions processors` and `conversions materializer`: several processes on a real broker, and
//! perhaps on a real CQL server.

use std::fs;
use std::net::SocketAddr;
use std::process::{ExitStatus, Output};
use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::{BALANCES, COMMISSIONS, CONVERSIONS, LEDGER_ENTRIES, TRANSITIONS, TopicSpec};

use crate::installation::{Installation, PARTITIONS};
use crate::support::text;
use crate::up::client::{Client, ONE};
use crate::up::cluster::{Cluster, Folder, Target};
use crate::up::forwarder::Forwarder;
use crate::up::kafka_log::{End, KafkaLog};
use crate::up::poll;
use crate::up::process::Process;
use crate::up::random::Random;
use crate::up::stores::{EachItsOwn, Shared, Store, variables};
use crate::up::topics::Topics;

/// Processes that share the partitions.
const PROCESSORS: usize = 2;
/// Places for them, for tests that start more.
const PROCESSORS_MAX: usize = 3;
const QUIET_DEADLINE: Duration = Duration::from_secs(60);
const READY_DEADLINE: Duration = Duration::from_secs(60);
const APPLY_DEADLINE: Duration = Duration::from_secs(20);
/// How the first line of an edge begins.
const LISTENS: &str = "listening on http://";
/// How that of the others begins.
const SERVES: &str = "metrics on http://";
const ANYWHERE: &str = "127.0.0.1:0";

/// What the read model is made of, and claims are made good from.
const MATERIALIZED: [TopicSpec; 5] = [CONVERSIONS, TRANSITIONS, COMMISSIONS, LEDGER_ENTRIES, BALANCES];

/// On Kafka, with one edge that has a store of its own.
pub(crate) type OnKafka = Processes<EachItsOwn>;
/// On Kafka and CQL, with edges that share a store.
pub(crate) type OnKafkaAndCql = Processes<Shared>;

/// Edges, processors and perhaps materializers, with topics of their own on the broker that all tests share.
#[derive(Debug)]
pub(crate) struct Processes<S> {
    target: Target,
    edges: Vec<Edge>,
    /// Before several edges.
    forwarder: Option<Forwarder>,
    processors: [Option<Process>; PROCESSORS_MAX],
    materializers: Vec<Option<Process>>,
    installation: Installation,
    store: S,
    // Last, so that it is there until the processes are gone.
    folder: Folder,
}

/// An edge, and where it is.
#[derive(Debug, Default)]
struct Edge {
    target: Target,
    process: Option<Process>,
}

impl Edge {
    fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
            self.target.set(None);
            self.process = None;
        }
    }
}

/// What was started just now, by number.
#[derive(Debug)]
struct Started {
    edges: Vec<usize>,
    processors: Vec<usize>,
    materializers: Vec<usize>,
}

impl<S: Store> Processes<S> {
    /// Starts one more edge, beside the cluster's own, and waits until it listens. It ends when it is dropped.
    pub(crate) fn another_edge(&self) -> (Target, Process) {
        let edge = self.spawn_edge(S::EDGES);
        (Target::at(edge.announced(LISTENS)), edge)
    }

    /// The addresses of the edges, past the one before them.
    pub(crate) fn edges(&self) -> Vec<Target> {
        self.edges.iter().map(|edge| edge.target.clone()).collect()
    }

    /// Starts the edges and a single process of processors.
    pub(crate) fn start_alone(&mut self) {
        self.add_processors(0);
        for number in 0..S::EDGES {
            self.edges[number].process = Some(self.spawn_edge(number));
            self.edge_listens(number);
        }
        self.open();
    }

    /// Starts one more process of processors, and waits until it has restored the partitions that it got.
    pub(crate) fn add_processors(&mut self, number: usize) {
        let processors = self.spawn_processors(number);
        wait_until_ready(processors.announced(SERVES));
        self.processors[number] = Some(processors);
    }

    /// Ends a process of processors for good.
    pub(crate) fn retire_processors(&mut self, number: usize) {
        let processors = self.processors[number].take().expect("it runs");
        processors.retire();
        processors.wait();
    }

    /// Starts a sender of webhooks that may send to this machine, and waits until it reads. It ends when it is dropped.
    pub(crate) fn start_webhooks(&self) -> Process {
        let settings = [("WEBHOOKS_METRICS_LISTEN", ANYWHERE), ("WEBHOOKS_ALLOW_PRIVATE_ADDRESSES", "yes")];
        let sender = self.spawn("webhooks", "webhooks", &settings);
        wait_until_ready(sender.announced(SERVES));
        sender
    }

    fn spawn_edge(&self, number: usize) -> Process {
        let name = format!("ingest-{}", number + 1);
        self.spawn("ingest", &name, &[("INGEST_LISTEN", ANYWHERE), ("INGEST_DATA", &self.data(&name))])
    }

    fn spawn_processors(&self, number: usize) -> Process {
        let name = processors_name(number);
        let settings = [
            ("PROCESSORS_METRICS_LISTEN", ANYWHERE),
            ("PROCESSORS_INSTANCE", &name),
            ("PROCESSORS_DATA", &self.data(&name)),
        ];
        self.spawn("processors", &name, &settings)
    }

    fn spawn_materializer(&self, number: usize) -> Process {
        let name = format!("materializer-{}", number + 1);
        self.spawn("materializer", &name, &[("MATERIALIZER_METRICS_LISTEN", ANYWHERE)])
    }

    fn spawn(&self, command: &str, name: &str, settings: &[(&'static str, &str)]) -> Process {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let mut command = self.installation.command(&[command]);
        command.envs(variables(self.store.settings().into_iter().chain(settings).collect()));
        Process::spawn(&mut command, &self.folder.log(name))
    }

    fn data(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Starts what does not run.
    fn spawn_missing(&mut self) -> Started {
        let edges: Vec<usize> = (0..S::EDGES).filter(|number| self.edges[*number].process.is_none()).collect();
        let processors: Vec<usize> = (0..PROCESSORS).filter(|number| self.processors[*number].is_none()).collect();
        let materializers: Vec<usize> =
            (0..S::MATERIALIZERS).filter(|number| self.materializers[*number].is_none()).collect();
        for number in &processors {
            self.processors[*number] = Some(self.spawn_processors(*number));
        }
        for number in &edges {
            self.edges[*number].process = Some(self.spawn_edge(*number));
        }
        for number in &materializers {
            self.materializers[*number] = Some(self.spawn_materializer(*number));
        }
        Started { edges, processors, materializers }
    }

    /// Waits until an edge listens and has all that it works with; only then clients are sent to it.
    fn edge_listens(&self, number: usize) {
        let Edge { target, process } = &self.edges[number];
        let address = process.as_ref().expect("just started").announced(LISTENS);
        wait_until_ready(address);
        target.set(Some(address));
    }

    /// Clients may come.
    fn open(&self) {
        let address = match &self.forwarder {
            Some(forwarder) => Some(forwarder.address()),
            None => self.edges[0].target.address(),
        };
        self.target.set(address);
    }

    fn running(&self) -> impl Iterator<Item = &Process> {
        let edges = self.edges.iter().filter_map(|edge| edge.process.as_ref());
        edges.chain(self.processors.iter().flatten()).chain(self.materializers.iter().flatten())
    }

    /// Takes all that runs.
    fn take_running(&mut self) -> Vec<Process> {
        self.target.set(None);
        self.edges.iter().for_each(|edge| edge.target.set(None));
        let edges = self.edges.iter_mut().filter_map(|edge| edge.process.take());
        let others = self.processors.iter_mut().chain(&mut self.materializers).filter_map(Option::take);
        edges.chain(others).collect()
    }

    /// Kills this one of all processes; the edges are the last.
    fn kill_one(&mut self, number: usize) {
        if number < PROCESSORS {
            self.processors[number] = None;
        } else if number < PROCESSORS + S::MATERIALIZERS {
            self.materializers[number - PROCESSORS] = None;
        } else {
            self.edges[number - PROCESSORS - S::MATERIALIZERS].kill();
            if self.edges.iter().all(|edge| edge.process.is_none()) {
                self.target.set(None);
            }
        }
    }

    fn log(&self) -> KafkaLog {
        KafkaLog::open(&self.installation)
    }

    /// Starts it, asks it to end so long after, wherever its start has come to, and waits for that.
    pub(crate) fn start_and_terminate(&mut self, after: Duration) -> Vec<ExitStatus> {
        self.spawn_missing();
        thread::sleep(after);
        self.terminate();
        self.take_running().into_iter().map(Process::ended).collect()
    }
}

fn processors_name(number: usize) -> String {
    format!("processors-{}", number + 1)
}

/// Waits until a process says that every partition it has is restored, and that it does without nothing.
fn wait_until_ready(address: SocketAddr) {
    let mut client = Client::new(&Target::at(address), &ONE);
    poll(READY_DEADLINE, || match client.get("/health/ready") {
        Ok(answer) if answer.status == 200 && answer.json()["status"] == "ready" => Ok(()),
        Ok(answer) => Err(format!("{address}: {answer:?}")),
        Err(error) => Err(format!("{address}: {error}")),
    });
}

impl<S: Store> Cluster for Processes<S> {
    const ROUNDS: u64 = S::ROUNDS;
    const START_MS: u64 = 1_000;
    const EDGES: usize = S::EDGES;

    fn stopped() -> Processes<S> {
        let installation = Installation::new();
        let edges: Vec<Edge> = (0..S::EDGES).map(|_| Edge::default()).collect();
        let targets = || edges.iter().map(|edge| edge.target.clone()).collect();
        let cluster = Processes {
            target: Target::default(),
            forwarder: (S::EDGES > 1).then(|| Forwarder::start(targets())),
            edges,
            processors: [const { None }; PROCESSORS_MAX],
            materializers: (0..S::MATERIALIZERS).map(|_| None).collect(),
            store: S::create(&installation),
            installation,
            folder: Folder::new(),
        };
        let applied = cluster.installation.run(&["apply", "--demo"]);
        assert!(applied.status.success(), "{}", text(&applied.stderr));
        cluster
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
        let applied = self.installation.run(&["apply", "--registry", file.to_str().expect("UTF-8")]);
        assert!(applied.status.success(), "{}", text(&applied.stderr));
        let (version, _) = self.installation.registry();
        let line = format!("registry_version {version}");
        for edge in self.edges.iter().filter(|edge| edge.process.is_some()) {
            let mut client = Client::new(&edge.target, &ONE);
            poll(APPLY_DEADLINE, || {
                let metrics = client.get("/metrics").map_err(|error| error.to_string())?.body;
                if metrics.lines().any(|found| found == line) { Ok(()) } else { Err(format!("no {line}")) }
            });
        }
    }

    fn restart(&mut self) {
        let started = self.spawn_missing();
        for number in &started.edges {
            self.edge_listens(*number);
        }
        self.open();
        for number in started.processors {
            wait_until_ready(self.processors[number].as_ref().expect("just started").announced(SERVES));
        }
        for number in started.materializers {
            wait_until_ready(self.materializers[number].as_ref().expect("just started").announced(SERVES));
        }
    }

    fn start_and_kill(&mut self, after: Duration) {
        let started = self.spawn_missing();
        thread::sleep(after);
        for number in started.processors {
            self.processors[number] = None;
        }
        for number in started.materializers {
            self.materializers[number] = None;
        }
        for number in started.edges {
            self.edges[number].process = None;
        }
    }

    fn kill(&mut self) {
        for number in 0..PROCESSORS + S::MATERIALIZERS + S::EDGES {
            self.kill_one(number);
        }
        self.processors = [const { None }; PROCESSORS_MAX];
    }

    fn kill_some(&mut self, random: &mut Random) {
        let all = PROCESSORS + S::MATERIALIZERS + S::EDGES;
        // A bit for each process.
        let victims = 1 + random.below((1 << all) - 1);
        for number in (0..all).filter(|number| victims & (1 << number) != 0) {
            self.kill_one(number);
        }
    }

    fn terminate(&self) {
        self.running().for_each(Process::terminate);
    }

    fn wait(&mut self) {
        self.take_running().into_iter().for_each(Process::wait);
    }

    fn quiet(&self, run: &str) {
        const STILL: Duration = Duration::from_millis(400);
        let mut log = self.log();
        let mut since = Instant::now();
        poll(QUIET_DEADLINE, || {
            let grown = log.read_more() > 0;
            let behind = log.behind();
            let ends: Vec<End> = log.ends(&MATERIALIZED);
            if grown || !behind.is_empty() {
                since = Instant::now();
            }
            if since.elapsed() < STILL {
                return Err(format!("{run}: not yet processed: {behind:?}"));
            }
            let unwritten = self.store.behind(&ends);
            if unwritten.is_empty() { Ok(()) } else { Err(format!("{run}: not yet in the read model: {unwritten:?}")) }
        });
    }

    fn delete_state(&self) {
        assert!(self.running().next().is_none(), "it has to be stopped");
        // With a shared store an edge has no folder, and what is derived elsewhere is not its to delete.
        let names =
            (0..S::EDGES).map(|number| format!("ingest-{}", number + 1)).chain((0..PROCESSORS).map(processors_name));
        for folder in names.map(|name| self.folder.join(&name)).filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).expect("the state folder can be deleted");
        }
    }

    fn topics(&self) -> Topics {
        assert!(self.running().next().is_none(), "it has to be stopped");
        self.store.check(&self.installation);
        self.log().topics()
    }

    fn verify(&self, args: &[&str]) -> Output {
        self.installation.run(&[&["verify"], args].concat())
    }

    fn what_if(&self, args: &[&str]) -> Output {
        self.installation.run(&[&["what-if"], args].concat())
    }

    fn write(&self, topic: &TopicSpec, key: &[u8], value: &[u8]) {
        self.installation.write(topic, key, value);
    }

    fn parts(&self) -> String {
        format!("{PARTITIONS} partitions")
    }
}
