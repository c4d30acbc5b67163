//! `conversions ingest` and `conversions processors`: several processes on a real broker.

use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use crate::installation::{Installation, PARTITIONS};
use crate::support::text;
use crate::up::client::{Client, ONE};
use crate::up::cluster::{Cluster, Folder, Target};
use crate::up::kafka_log::KafkaLog;
use crate::up::poll;
use crate::up::process::Process;
use crate::up::random::Random;
use crate::up::topics::Topics;

/// Processes that share the partitions.
const PROCESSORS: usize = 2;
/// Places for them, for tests that start more.
const PROCESSORS_MAX: usize = 3;
const QUIET_DEADLINE: Duration = Duration::from_secs(60);
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// One edge and some processors, with topics of their own on the broker that all tests share.
#[derive(Debug)]
pub(crate) struct OnKafka {
    target: Target,
    edge: Option<Process>,
    processors: [Option<Process>; PROCESSORS_MAX],
    installation: Installation,
    // Last, so that it is there until the processes are gone.
    folder: Folder,
}

impl OnKafka {
    /// Starts one more edge, beside the cluster's own, and waits until it listens. It ends when it is dropped.
    pub(crate) fn another_edge(&self) -> (Target, Process) {
        let edge = self.spawn_edge("ingest-2");
        (Target::at(edge.announced("listening on http://")), edge)
    }

    /// Starts an edge and a single process of processors.
    pub(crate) fn start_alone(&mut self) {
        self.add_processors(0);
        let edge = self.spawn_edge("ingest");
        self.target.set(Some(edge.announced("listening on http://")));
        self.edge = Some(edge);
    }

    /// Starts one more process of processors, and waits until it has restored the partitions that it got.
    pub(crate) fn add_processors(&mut self, number: usize) {
        let processors = self.spawn_processors(number);
        wait_until_ready(processors.announced("metrics on http://"));
        self.processors[number] = Some(processors);
    }

    /// Ends a process of processors for good.
    pub(crate) fn retire_processors(&mut self, number: usize) {
        let processors = self.processors[number].take().expect("it runs");
        processors.retire();
        processors.wait();
    }

    fn spawn_edge(&self, name: &str) -> Process {
        let mut command = self.installation.command(&["ingest"]);
        command.env("CONVERSIONS_INGEST_LISTEN", "127.0.0.1:0");
        command.env("CONVERSIONS_INGEST_DATA", self.folder.join(name));
        Process::spawn(&mut command, &self.folder.log(name))
    }

    fn spawn_processors(&self, number: usize) -> Process {
        let name = processors_name(number);
        let mut command = self.installation.command(&["processors"]);
        command.env("CONVERSIONS_PROCESSORS_METRICS_LISTEN", "127.0.0.1:0");
        command.env("CONVERSIONS_PROCESSORS_INSTANCE", &name);
        command.env("CONVERSIONS_PROCESSORS_DATA", self.folder.join(&name));
        Process::spawn(&mut command, &self.folder.log(&name))
    }

    /// Starts what does not run; returns where the processors that were started tell how they are, and the edge if it
    /// was started.
    fn spawn_missing(&mut self) -> (Vec<usize>, bool) {
        let started: Vec<usize> = (0..PROCESSORS).filter(|number| self.processors[*number].is_none()).collect();
        for number in &started {
            self.processors[*number] = Some(self.spawn_processors(*number));
        }
        let edge_missing = self.edge.is_none();
        if edge_missing {
            self.edge = Some(self.spawn_edge("ingest"));
        }
        (started, edge_missing)
    }

    fn running(&self) -> impl Iterator<Item = &Process> {
        self.edge.iter().chain(self.processors.iter().flatten())
    }

    fn kill_edge(&mut self) {
        if let Some(edge) = &mut self.edge {
            edge.kill();
            self.target.set(None);
            self.edge = None;
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
        let processes = self.edge.take().into_iter().chain(self.processors.iter_mut().filter_map(Option::take));
        processes.map(Process::ended).collect()
    }
}

fn processors_name(number: usize) -> String {
    format!("processors-{}", number + 1)
}

/// Waits until a process says that every partition it has is restored.
fn wait_until_ready(address: SocketAddr) {
    let mut client = Client::new(&Target::at(address), &ONE);
    poll(READY_DEADLINE, || match client.get("/health/ready") {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("{address}: {answer:?}")),
        Err(error) => Err(format!("{address}: {error}")),
    });
}

impl Cluster for OnKafka {
    // A start joins groups and takes seconds.
    const ROUNDS: u64 = 12;
    const START_MS: u64 = 1_000;

    fn stopped() -> OnKafka {
        let cluster = OnKafka {
            target: Target::default(),
            edge: None,
            processors: [const { None }; PROCESSORS_MAX],
            installation: Installation::new(),
            folder: Folder::new(),
        };
        let applied = cluster.installation.run(&["apply", "--demo"]);
        assert!(applied.status.success(), "{}", text(&applied.stderr));
        cluster
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn restart(&mut self) {
        let (started, edge_started) = self.spawn_missing();
        if edge_started {
            let address = self.edge.as_ref().expect("just started").announced("listening on http://");
            self.target.set(Some(address));
        }
        for number in started {
            let processors = self.processors[number].as_ref().expect("just started");
            wait_until_ready(processors.announced("metrics on http://"));
        }
    }

    fn start_and_kill(&mut self, after: Duration) {
        let (started, edge_started) = self.spawn_missing();
        thread::sleep(after);
        for number in started {
            self.processors[number] = None;
        }
        if edge_started {
            self.edge = None;
        }
    }

    fn kill(&mut self) {
        self.kill_edge();
        self.processors = [const { None }; PROCESSORS_MAX];
    }

    fn kill_some(&mut self, random: &mut Random) {
        // A bit for each process.
        let victims = 1 + random.below((1 << (PROCESSORS + 1)) - 1);
        for number in (0..PROCESSORS).filter(|number| victims & (1 << number) != 0) {
            self.processors[number] = None;
        }
        if victims & (1 << PROCESSORS) != 0 {
            self.kill_edge();
        }
    }

    fn terminate(&self) {
        self.running().for_each(Process::terminate);
    }

    fn wait(&mut self) {
        self.edge.take().into_iter().for_each(Process::wait);
        self.target.set(None);
        self.processors.iter_mut().filter_map(Option::take).for_each(Process::wait);
    }

    fn quiet(&self, run: &str) {
        const STILL: Duration = Duration::from_millis(400);
        let mut log = self.log();
        let mut since = Instant::now();
        poll(QUIET_DEADLINE, || {
            let grown = log.read_more() > 0;
            let behind = log.behind();
            if grown || !behind.is_empty() {
                since = Instant::now();
            }
            if since.elapsed() >= STILL { Ok(()) } else { Err(format!("{run}: not yet processed: {behind:?}")) }
        });
    }

    fn delete_state(&self) {
        assert!(self.running().next().is_none(), "it has to be stopped");
        fs::remove_dir_all(self.folder.join("ingest")).expect("the edge's folder can be deleted");
        for number in 0..PROCESSORS {
            fs::remove_dir_all(self.folder.join(&processors_name(number))).expect("the state folder can be deleted");
        }
    }

    fn topics(&self) -> Topics {
        assert!(self.running().next().is_none(), "it has to be stopped");
        self.log().topics()
    }

    fn parts(&self) -> String {
        format!("{PARTITIONS} partitions")
    }
}
