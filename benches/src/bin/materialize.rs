//! What the read model in CQL takes: the production writer in batches, as the materializer has them, against the same
//! writer with one record at a time and as many requests at once.
//!
//! `cargo run --release -p benches --bin materialize`, which starts a server of its own. The kinds take turns, each in
//! keyspaces of its own. A core's rate is rows by the processor time that this process took, and by
//! that of the server too.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use benches::{Lives, median};
use clap::Parser;
use store::cql::{Cql, Options, Writer, migrate};
use streams::Record;
use tokio::task::JoinSet;

/// A batch of the materializer.
const BATCH: usize = 500;
/// Ticks of the processor time that Linux tells, in a second.
const TICKS: u64 = 100;

#[derive(Parser)]
#[command(about = "The writer of the read model, in batches and record by record")]
struct Args {
    /// Pairs of runs; one more before them warms the server up.
    #[arg(long, default_value_t = 3)]
    pairs: u32,
    /// Orders of each run, each with all of its life.
    #[arg(long, default_value_t = 3_000)]
    orders: u64,
}

/// How records are written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Batches,
    OneByOne,
}

/// A run's figures, each by the second.
#[derive(Clone, Copy, Debug)]
struct Figures {
    records: u64,
    rows: u64,
    requests: u64,
    rows_by_core: u64,
    rows_by_core_with_server: u64,
}

fn main() {
    let args = Args::parse();
    let server = testkit::Cql::start_for_benchmark();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut batches, mut one_by_one) = (Vec::new(), Vec::new());
    for pair in 0..=args.pairs {
        for (kind, figures) in [(Kind::Batches, &mut batches), (Kind::OneByOne, &mut one_by_one)] {
            let records = Arc::new(Lives::new(args.orders).records());
            let found = runtime.block_on(run(&server, kind, &records));
            if pair > 0 {
                say(&format!("pair {pair}, {kind:?}: {found:?}"));
                figures.push(found);
            }
        }
    }
    let of = |figures: &[Figures], what: fn(&Figures) -> u64| median(&figures.iter().map(what).collect::<Vec<_>>());
    for (name, figures) in [("batches", &batches), ("record by record", &one_by_one)] {
        say(&format!(
            "{name}: {} records/s, {} rows/s in {} requests/s; {} rows a second of a core, {} with the server's",
            of(figures, |it| it.records),
            of(figures, |it| it.rows),
            of(figures, |it| it.requests),
            of(figures, |it| it.rows_by_core),
            of(figures, |it| it.rows_by_core_with_server),
        ));
    }
    let ratio = of(&batches, |it| it.records) * 100 / of(&one_by_one, |it| it.records).max(1);
    say(&format!("records/s in batches to record by record: {}.{:02}", ratio / 100, ratio % 100));
}

async fn run(server: &testkit::Cql, kind: Kind, records: &Arc<Vec<Record>>) -> Figures {
    let keyspace = testkit::Cql::unique_keyspace();
    let options = Options {
        contact_points: vec![server.contact_point().to_owned()],
        claims_keyspace: format!("{keyspace}_claims"),
        keyspace,
        replication_factor: 1,
        ..Options::default()
    };
    migrate(&options).await.expect("migrated");
    let at_once = options.writes_in_flight_max;
    let cql = Cql::open(options).expect("the options make sense");
    cql.wait_up().await;
    let writer = Writer::new(&cql);
    let (began, ours, servers) = (Instant::now(), ticks("self"), ticks(&pid(server)));
    match kind {
        Kind::Batches => {
            for batch in records.chunks(BATCH) {
                writer.write(batch).await.expect("written");
            }
        }
        Kind::OneByOne => one_by_one(&writer, records, at_once).await,
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    let (ours, servers) = ((ticks("self") - ours).max(1), ticks(&pid(server)) - servers);
    let stats = writer.stats();
    assert_eq!((stats.records, stats.skipped), (records.len() as u64, 0), "all are sound");
    let by_second = |count: u64| count * 1_000 / took_ms;
    Figures {
        records: by_second(stats.records),
        rows: by_second(stats.rows),
        requests: by_second(stats.requests),
        rows_by_core: stats.rows * TICKS / ours,
        rows_by_core_with_server: stats.rows * TICKS / (ours + servers),
    }
}

async fn one_by_one(writer: &Writer, records: &Arc<Vec<Record>>, at_once: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (writer, records, next) = (writer.clone(), records.clone(), next.clone());
        workers.spawn(async move {
            while let Some(record) = records.get(next.fetch_add(1, Ordering::Relaxed)) {
                writer.write(std::slice::from_ref(record)).await.expect("written");
            }
        });
    }
    workers.join_all().await;
}

/// The processor time that a process took: fields 14 and 15 of its `stat`, after a name that may have spaces.
fn ticks(process: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux, and a process that lives");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

fn pid(server: &testkit::Cql) -> String {
    let path = server.folder().join("pid");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split_whitespace().next().expect("a number").to_owned()
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").expect("standard output takes it");
}
