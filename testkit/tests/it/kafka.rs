//! Clusters: their faults, and that nothing is left of them.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Brokers, Kafka};

/// Tells the test below that it is the process to be killed.
const VICTIM: &str = "TESTKIT_VICTIM";

/// Does the broker answer an ApiVersions request?
fn answers(address: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
        stream.read_exact(&mut [0; 4])
    };
    ask().is_ok()
}

/// Processes with `folder` in their arguments: the nodes of a cluster and its watchdog.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder)).collect()
}

/// Waits until nothing is left of a cluster.
fn assert_gone(folder: &Path, within: Duration) {
    let start = Instant::now();
    loop {
        let left = processes_of(folder);
        if left.is_empty() && !folder.exists() {
            return;
        }
        assert!(start.elapsed() < within, "after {within:?} there are {left:?}; folder: {}", folder.exists());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn one_broker_with_faults() {
    let kafka = Kafka::start(Brokers::One);
    let (address, folder) = (kafka.bootstrap().to_owned(), kafka.folder().to_owned());
    assert!(address.starts_with("127.0.0.1:") && answers(&address), "{address}");
    kafka.topics(&["--create", "--topic", "kept", "--partitions", "2"]);

    kafka.kill(1);
    assert!(!answers(&address), "killed");
    kafka.start_node(1);
    assert_eq!(kafka.topics(&["--list"]).trim(), "kept");

    kafka.stall(1);
    assert!(!answers(&address), "stalled");
    kafka.resume(1);
    assert!(answers(&address), "resumed");

    kafka.stall(1);
    kafka.stop(1);
    assert!(!answers(&address), "a stalled node is stopped too");
    kafka.start_all();
    assert!(answers(&address));

    assert_eq!(processes_of(&folder).len(), 2, "node and watchdog: {:?}", processes_of(&folder));
    drop(kafka);
    assert_gone(&folder, Duration::ZERO);
}

#[test]
fn three_brokers_spare_one() {
    let kafka = Kafka::start(Brokers::Three);
    let nodes: Vec<String> = kafka.bootstrap().split(',').map(str::to_owned).collect();
    assert_eq!(nodes.len(), 3);
    kafka.kill(2);
    assert_eq!(nodes.iter().map(|node| answers(node)).collect::<Vec<_>>(), [true, false, true]);
    kafka.topics(&["--create", "--topic", "a", "--partitions", "1", "--replication-factor", "2"]);
    let shown = kafka.topics(&["--describe", "--topic", "a"]);
    assert!(shown.contains("min.insync.replicas=2"), "{shown}");
    kafka.start_node(2);
    assert!(nodes.iter().all(|node| answers(node)));
}

#[test]
fn shared_is_one() {
    let (one, two) = (Kafka::shared(), Kafka::shared());
    assert!(answers(one.bootstrap()));
    assert_eq!(one.bootstrap(), two.bootstrap());
    assert_ne!(Kafka::unique_prefix(), Kafka::unique_prefix());
}

#[test]
fn faults_name_what_is_wrong() {
    let refused = std::panic::catch_unwind(|| Kafka::shared().kill(4)).unwrap_err();
    let message = refused.downcast_ref::<String>().unwrap();
    assert!(message.contains("there is no node 4"), "{message}");
}

/// Runs itself as a process of its own that starts a broker, and kills that process.
#[test]
fn killed_owner_leaves_nothing() {
    if env::var_os(VICTIM).is_some() {
        let kafka = Kafka::start(Brokers::One);
        writeln!(std::io::stdout(), "\nfolder {}", kafka.folder().display()).unwrap();
        thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut victim = Command::new(env::current_exe().unwrap());
    victim.args(["--exact", "kafka::killed_owner_leaves_nothing", "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.find_map(|line| line.strip_prefix("folder ").map(str::to_owned));
    let folder = folder.expect("the victim starts a broker");
    let folder = Path::new(&folder);
    let before = processes_of(folder);
    // Not reaped at first: a zombie counts as gone.
    victim.kill().unwrap();
    assert_eq!(before.len(), 2, "node and watchdog: {before:?}");
    assert_gone(folder, Duration::from_secs(10));
    victim.wait().unwrap();
}
