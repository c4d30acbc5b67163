//! What claims that edges share cost an edge: 202s a second of `conversions ingest` with a CQL server, against the same with
//! claims of its own in a folder.
//!
//! `cargo build --release -p cli && cargo run --release -p benches --bin edge_claims`, which starts a broker, a CQL server and
//! both edges. They take turns, and each has topics of its own, so that neither follows what the other is sent.

use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use benches::{Caller, EdgeProcess, Installation, median};
use clap::Parser;
use hdrhistogram::Histogram;
use testkit::{Brokers, Cql, Kafka};
use tokio::task::JoinSet;

/// In microseconds; longer than any answer may take.
const LATENCY_MAX: u64 = 60_000_000;
/// What the edge counts of reports whose claim it could not have: with any, the figures are not those of claims.
const UNCLAIMED: &str = "conversions_unclaimed_total";

#[derive(Parser)]
#[command(about = "An edge's 202s a second with shared claims and with its own")]
struct Args {
    /// Pairs of turns; one more before them warms everything up.
    #[arg(long, default_value_t = 7)]
    pairs: u32,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The program; by default the one beside this one.
    #[arg(long)]
    conversions: Option<PathBuf>,
}

/// A turn's figures: 202s a second, and latencies in microseconds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: u64,
    p50: u64,
    p99: u64,
}

fn main() {
    let args = Args::parse();
    let binary = args.conversions.clone().unwrap_or_else(benches::conversions);
    let (kafka, cql) = thread::scope(|scope| {
        let cql = scope.spawn(Cql::start_for_benchmark);
        (Kafka::start(Brokers::One), cql.join().expect("the server starts"))
    });
    let store = [("CQL_CONTACT_POINTS", cql.contact_point()), ("CQL_REPLICATION_FACTOR", "1")];
    let shared = Installation::new(&binary, &kafka, "shared-", &store);
    shared.run(&["migrate"]);
    let own = Installation::new(&binary, &kafka, "own-", &[]);
    let edges = [shared.start_edge(), own.start_edge()];

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut figures = [Vec::new(), Vec::new()];
    for pair in 0..=args.pairs {
        // Whoever is first in one pair is second in the next: what gets slower with time is the same for both.
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let time = Duration::from_secs(args.seconds);
            let found = runtime.block_on(drive(&edges[which], pair, args.connections, time));
            if pair > 0 {
                figures[which].push(found);
            }
        }
    }
    for (name, edge, figures) in [("shared claims", &edges[0], &figures[0]), ("its own", &edges[1], &figures[1])] {
        let of = |what: fn(&Figures) -> u64| median(&figures.iter().map(what).collect::<Vec<_>>());
        let [rate, p50, p99] = [of(|it| it.rate), of(|it| it.p50), of(|it| it.p99)];
        let unclaimed = runtime.block_on(edge.metric(UNCLAIMED));
        say(&format!(
            "{name:<13}: {rate:>6} 202s/s, p50 {}.{:02} ms, p99 {}.{:02} ms, {unclaimed} unclaimed",
            p50 / 1_000,
            p50 % 1_000 / 10,
            p99 / 1_000,
            p99 % 1_000 / 10,
        ));
    }
    let ratios: Vec<u64> = figures[0].iter().zip(&figures[1]).map(|(a, b)| a.rate * 100 / b.rate.max(1)).collect();
    let ratio = median(&ratios);
    say(&format!("shared to its own, by pairs {ratios:?} %: {}.{:02}", ratio / 100, ratio % 100));
}

/// Reports orders that are new for so long, on so many connections.
async fn drive(edge: &EdgeProcess, turn: u32, connections: usize, time: Duration) -> Figures {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..connections {
        let mut caller = Caller::connect(edge.address()).await;
        callers.spawn(async move {
            let mut latencies = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order");
            let mut order = 0;
            while began.elapsed() < time {
                let asked = Instant::now();
                let status = caller.report(&format!("order-{turn}-{number}-{order}")).await;
                assert_eq!(status, 202, "an order that is new is accepted");
                latencies.saturating_record(u64::try_from(asked.elapsed().as_micros()).unwrap_or(LATENCY_MAX));
                order += 1;
            }
            latencies
        });
    }
    let mut all = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order");
    for latencies in callers.join_all().await {
        all.add(latencies).expect("of the same bounds");
    }
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    Figures { rate: all.len() * 1_000 / took, p50: all.value_at_quantile(0.5), p99: all.value_at_quantile(0.99) }
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").expect("standard output takes it");
}
