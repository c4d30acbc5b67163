//! What exactly-once costs: the production driver and the `orders` processor on Kafka's transactions, against the same
//! with transactions off.
//!
//! `cargo run --release -p benches --bin transactions`, which starts a broker of its own. Each run has topics of its own
//! with the same reports in them; the two kinds take turns.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use benches::{PlainSession, median, publish, report};
use clap::Parser;
use processors::Orders;
use schemas::registry::Registry;
use schemas::topics::{CATALOGUE, Cleanup};
use streams::kafka::{
    Admin, Connection, KafkaPublisher, KafkaSession, KafkaStores, PublisherOptions, SessionOptions, TopicWanted, Work,
};
use streams::log::Limits;
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Driver, Processor, Session, SystemClock};
use testkit::{Brokers, Kafka};

/// Between two commits at least, while there is work.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(about = "Exactly-once against the same driver with transactions off")]
struct Args {
    /// Pairs of runs.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Orders of each run.
    #[arg(long, default_value_t = 100_000)]
    orders: u64,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 6)]
    partitions: u32,
}

fn main() {
    let args = Args::parse();
    let kafka = Kafka::start(Brokers::One);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..=args.pairs {
        let on = run(&kafka, &args, &format!("on-{pair}-"), transactional);
        let off = run(&kafka, &args, &format!("off-{pair}-"), plain);
        // The first pair warms the broker up.
        if pair > 0 {
            say(&format!("pair {pair}: {on} orders/s with transactions, {off} without"));
            with.push(on);
            without.push(off);
        }
    }
    let (on, off) = (median(&with), median(&without));
    say(&format!("medians of {}: {on} and {off} orders/s, ratio {}.{:02}", args.pairs, on / off, on * 100 / off % 100));
}

/// Orders a second, from the first step to the last.
fn run(kafka: &Kafka, args: &Args, prefix: &str, work: fn(&Measured<'_>) -> Duration) -> u64 {
    let connection = Connection::new(kafka.bootstrap(), prefix);
    create(&connection, args.partitions);
    let publisher = KafkaPublisher::open(&connection, "reports", PublisherOptions::default()).expect("a publisher");
    publish(&publisher, (0..args.orders).map(report)).expect("the reports are written");
    let folder = tempfile::tempdir().expect("a folder");
    let processor = Orders::new(Arc::new(Registry::parse(REGISTRY).expect("a registry")));
    let took = work(&Measured { kafka, connection: &connection, prefix, args, processor, folder: folder.path() });
    let millis = u64::try_from(took.as_millis()).expect("less than a million years").max(1);
    args.orders * 1_000 / millis
}

const REGISTRY: &str = "[[merchants]]\nid = \"mer_one\"\nname = \"One\"\n";

struct Measured<'a> {
    kafka: &'a Kafka,
    connection: &'a Connection,
    prefix: &'a str,
    args: &'a Args,
    processor: Orders,
    folder: &'a Path,
}

fn transactional(of: &Measured<'_>) -> Duration {
    let options = SessionOptions { commit_interval: COMMIT_INTERVAL, ..SessionOptions::default() };
    let work = Work { processor: of.processor.name(), inputs: of.processor.inputs(), worker: "one".to_owned() };
    let stop = Arc::new(AtomicBool::new(false));
    drive(of, KafkaSession::open(of.connection, &work, options, stop).expect("a session"))
}

fn plain(of: &Measured<'_>) -> Duration {
    let (name, inputs) = (of.processor.name(), of.processor.inputs());
    let session =
        PlainSession::open(of.kafka.bootstrap(), of.prefix, name, &inputs, of.args.partitions, COMMIT_INTERVAL);
    drive(of, session.expect("a session"))
}

fn drive(of: &Measured<'_>, session: impl Session) -> Duration {
    let name = of.processor.name();
    let state = StateFolder::open(&of.folder.join("state"), 64 << 20).expect("the state opens");
    let inner = FolderStores::new(state, Path::new(""), name, of.processor.state_version());
    let stores = KafkaStores::new(inner, &of.folder.join("stamps"), name, of.prefix, WAIT, Arc::new(SystemClock));
    let stores = Box::new(stores.expect("stores"));
    let mut driver = Driver::new(of.processor.clone(), session, stores, Arc::new(SystemClock), Limits::default());
    let progress = driver.progress();
    let mut begun = None;
    let opened = Instant::now();
    while progress.records.load(Ordering::Relaxed) < of.args.orders {
        assert!(opened.elapsed() < WAIT * 5, "the records are not processed");
        driver.turn().expect("a step");
        // Joining and restoring are not part of it, nor is the first step, which waits for connections.
        if begun.is_none() && progress.steps.load(Ordering::Relaxed) > 0 {
            begun = Some((Instant::now(), progress.records.load(Ordering::Relaxed)));
        }
    }
    let (begun, before) = begun.expect("there were steps");
    let share = of.args.orders.saturating_sub(before).max(1);
    // As if all had been after the first step.
    begun.elapsed() * u32::try_from(of.args.orders * 1_000 / share).expect("a small number") / 1_000
}

fn create(connection: &Connection, partitions: u32) {
    let wanted: Vec<TopicWanted> = CATALOGUE
        .iter()
        .map(|spec| TopicWanted {
            name: spec.name.to_owned(),
            partitions,
            replication: Some(1),
            configs: BTreeMap::from([(
                "cleanup.policy".to_owned(),
                match spec.cleanup {
                    Cleanup::Retain { .. } => "delete".to_owned(),
                    Cleanup::Compact => "compact".to_owned(),
                },
            )]),
        })
        .collect();
    let admin = Admin::open(connection, "transactions").expect("a client");
    admin.create(&wanted, WAIT).expect("the topics are made");
}

fn say(line: &str) {
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
