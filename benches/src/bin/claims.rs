//! What a claim costs in CQL: conditional writes, against plain ones of as much.
//!
//! `cargo run --release -p benches --bin claims`, which starts a server of its own. What is measured goes through the
//! production code, with its bound on conditional writes at once; the kinds take turns.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::median;
use clap::Parser;
use hdrhistogram::Histogram;
use schemas::Timestamp;
use schemas::ids::OrderKey;
use store::cql::{Cql, CqlClaims, Options, migrate};
use store::{Claim, Claims, ConversionClaim, Fingerprint, IdempotencyScope};
use tokio::task::JoinSet;

const CONCURRENCIES: [usize; 3] = [1, 32, 128];
const MERCHANT: &str = "mer_one";
const USED_AT: Timestamp = Timestamp(1_781_429_400_000);
/// In microseconds; longer than any answer may take.
const LATENCY_MAX: u64 = 60_000_000;

#[derive(Parser)]
#[command(about = "Claims in CQL against plain writes")]
struct Args {
    /// Turns of each kind at each concurrency; one more before them warms the server up.
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A claim on an order that nobody has claimed.
    First,
    /// A claim on an order that is claimed.
    Second,
    /// A use of an idempotency key: a plain write.
    Plain,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::First, Kind::Second, Kind::Plain];

    fn name(self) -> &'static str {
        match self {
            Kind::First => "claim, first",
            Kind::Second => "claim, second",
            Kind::Plain => "plain write",
        }
    }
}

/// A turn's figures.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: u64,
    p50: u64,
    p99: u64,
    failed: u64,
}

fn main() {
    let args = Args::parse();
    let server = testkit::Cql::start_for_benchmark();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let claims = open(&server).await;
        let mut orders = 0;
        for concurrency in CONCURRENCIES {
            let mut figures = [Vec::new(), Vec::new(), Vec::new()];
            for turn in 0..=args.turns {
                for (kind, figures) in Kind::ALL.into_iter().zip(&mut figures) {
                    let time = Duration::from_secs(if turn == 0 { 1 } else { args.seconds });
                    let found = measure(&claims, kind, concurrency, time, &mut orders).await;
                    if turn > 0 {
                        figures.push(found);
                    }
                }
            }
            tell(concurrency, &figures);
        }
    });
}

async fn open(server: &testkit::Cql) -> CqlClaims {
    let options = Options {
        contact_points: vec![server.contact_point().to_owned()],
        replication_factor: 1,
        request_timeout: Duration::from_secs(10),
        claim_timeout: Duration::from_secs(20),
        ..Options::default()
    };
    migrate(&options).await.expect("migrated");
    let cql = Cql::open(options).expect("the options make sense");
    cql.wait_up().await;
    CqlClaims::new(&cql)
}

/// Asks for so long, so many at once. `orders` counts those that nobody has claimed before; a second claim is of one of
/// those of the turn before.
async fn measure(claims: &CqlClaims, kind: Kind, concurrency: usize, time: Duration, orders: &mut u64) -> Figures {
    let next = Arc::new(AtomicU64::new(if kind == Kind::First { *orders } else { 0 }));
    let (bound, began) = (*orders, Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let (claims, next) = (claims.clone(), next.clone());
        workers.spawn(async move {
            let mut latencies = Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order");
            let mut failed = 0;
            while began.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let number = if kind == Kind::First { number } else { number % bound };
                let asked = Instant::now();
                let answered = ask(&claims, kind, number).await;
                latencies.saturating_record(u64::try_from(asked.elapsed().as_micros()).unwrap_or(LATENCY_MAX));
                failed += u64::from(!answered);
            }
            (latencies, failed)
        });
    }
    let mut all = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order");
    let mut failed = 0;
    for (latencies, unanswered) in workers.join_all().await {
        all.add(latencies).expect("of the same bounds");
        failed += unanswered;
    }
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    if kind == Kind::First {
        *orders = next.load(Ordering::Relaxed);
    }
    let (p50, p99) = (all.value_at_quantile(0.5), all.value_at_quantile(0.99));
    Figures { rate: all.len() * 1_000 / took, p50, p99, failed }
}

/// Whether there was the answer that was to be expected.
async fn ask(claims: &CqlClaims, kind: Kind, number: u64) -> bool {
    let order = format!("order-{number}");
    let id = OrderKey { merchant_id: MERCHANT, livemode: true, external_order_id: &order }.conversion_id();
    let fingerprint = Fingerprint { whole: number, fields: [7; 8] };
    let event = |event_id: String| ConversionClaim { event_id, fingerprint, partition: 0, offset: number };
    match kind {
        Kind::First => {
            let told = claims.claim_conversion(id, &event(format!("cnvevt_{number:032x}"))).await;
            matches!(told, Ok(Claim::Claimed))
        }
        Kind::Second => {
            let told = claims.claim_conversion(id, &event(format!("another_{number:031x}"))).await;
            matches!(told, Ok(Claim::Taken(_)))
        }
        Kind::Plain => {
            let scope = IdempotencyScope { merchant_id: MERCHANT.to_owned(), livemode: true };
            claims.remember_idempotency(&scope, &order, [7; 16], USED_AT).await.is_ok()
        }
    }
}

fn tell(concurrency: usize, figures: &[Vec<Figures>; 3]) {
    let of = |figures: &[Figures], what: fn(&Figures) -> u64| median(&figures.iter().map(what).collect::<Vec<_>>());
    let plain = of(&figures[2], |figures| figures.rate).max(1);
    for (kind, figures) in Kind::ALL.into_iter().zip(figures) {
        let rate = of(figures, |figures| figures.rate);
        let [p50, p99] = [of(figures, |figures| figures.p50), of(figures, |figures| figures.p99)];
        let failed: u64 = figures.iter().map(|figures| figures.failed).sum();
        let ratio = rate * 100 / plain;
        say(&format!(
            "{concurrency:>3} at once, {:<13}: {rate:>6}/s ({}.{:02} of plain), p50 {}.{:02} ms, p99 {}.{:02} ms, {failed} failed",
            kind.name(),
            ratio / 100,
            ratio % 100,
            p50 / 1_000,
            p50 % 1_000 / 10,
            p99 / 1_000,
            p99 % 1_000 / 10,
        ));
    }
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").expect("standard output takes it");
}
