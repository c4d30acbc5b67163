//! A server that is killed, starts again, or does not answer, while edges claim.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use store::cql::{Cql, CqlClaims, Health, Options, migrate};
use store::{Claim, ClaimError, Claims};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::common::{claim, id, report};
use crate::cql::{PATIENCE, open, options, runtime, say, session, two_edges, wait_up};

/// The longest a claim may take to say that it knows nothing, beside the time it was given.
const SLACK: Duration = Duration::from_secs(2);
/// A server that has answered for somebody else is found by all within this, on a machine that has other things to do.
const HEALS_WITHIN: Duration = Duration::from_secs(15);

/// As in production, except for a server on a slow machine.
fn production(server: &testkit::Cql) -> Options {
    let Options { request_timeout, claim_timeout, .. } = Options::default();
    Options { request_timeout: 2 * request_timeout, claim_timeout: 2 * claim_timeout, ..options(server) }
}

/// Orders claimed at both edges at once, over and over, until it is stopped.
#[derive(Clone, Default)]
struct Load {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    /// Who was told to be first.
    first: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    unknown: Arc<AtomicU64>,
    longest_ms: Arc<AtomicU64>,
}

impl Load {
    async fn run(self, edges: [CqlClaims; 2]) {
        while !self.stop.load(Ordering::Relaxed) {
            let order = format!("A-{}", self.next.fetch_add(1, Ordering::Relaxed));
            let [one, two] = &edges;
            tokio::join!(self.claim(one, &order, "one"), self.claim(two, &order, "two"));
            // Whoever is told at once that the server is away has a request to answer before the next.
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn claim(&self, edge: &CqlClaims, order: &str, name: &str) {
        let event = format!("cnvevt_{order}_{name}");
        let began = Instant::now();
        match edge.claim_conversion(id(order), &claim(&report(order, &event), 1)).await {
            Ok(Claim::Claimed) => {
                self.first.lock().expect("whole").entry(order.to_owned()).or_default().push(event);
            }
            Ok(Claim::Taken(other)) => assert_ne!(other.event_id, event),
            Err(ClaimError(_)) => drop(self.unknown.fetch_add(1, Ordering::Relaxed)),
        }
        self.longest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn firsts(&self) -> usize {
        self.first.lock().expect("whole").len()
    }

    /// Waits until so many more orders have somebody who is first.
    async fn advance(&self, orders: usize) {
        let goal = self.firsts() + orders;
        let began = Instant::now();
        while self.firsts() < goal {
            assert!(began.elapsed() < PATIENCE, "{} of {goal}", self.firsts());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How long a claim takes to say that the server is away: the time that half of many take at most, since a thread may be
/// kept from running for longer than any of them.
async fn time_to_refuse(edge: &CqlClaims) -> Duration {
    let mut times = Vec::new();
    for number in 0..101 {
        let (order, began) = (format!("B-{number}"), Instant::now());
        let told = edge.claim_conversion(id(&order), &claim(&report(&order, "cnvevt_1"), 1)).await;
        assert!(told.is_err_and(|error| error.to_string().contains("away")));
        times.push(began.elapsed());
    }
    times.sort();
    times[50]
}

async fn wait_away(cql: &Cql) {
    let began = Instant::now();
    while !matches!(cql.health(), Health::Away { .. }) {
        assert!(began.elapsed() < PATIENCE, "{}", cql.health());
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_server_killed_under_load_is_found_again_and_nobody_is_told_wrong() {
    let server = testkit::Cql::start();
    runtime().block_on(async {
        let options = production(&server);
        migrate(&options).await.expect("migrated");
        let cqls = [open(&options).await, open(&options).await];
        let edges = [CqlClaims::new(&cqls[0]), CqlClaims::new(&cqls[1])];
        let load = Load::default();
        let mut workers = JoinSet::new();
        (0..32).for_each(|_| drop(workers.spawn(load.clone().run(edges.clone()))));
        load.advance(300).await;
        for round in 0..2 {
            server.kill();
            wait_away(&cqls[0]).await;
            wait_away(&cqls[1]).await;
            let refused = time_to_refuse(&edges[0]).await;
            assert!(refused < Duration::from_millis(5), "round {round}: {refused:?}");
            // One that has never seen the server finds it as well, and does not wait for it to begin.
            let began = Instant::now();
            let late = Cql::open(options.clone()).expect("the options make sense");
            assert!(began.elapsed() < Duration::from_secs(1));
            assert!(matches!(late.health(), Health::Connecting { .. }), "{}", late.health());
            // Longer than the driver's first tries, so that it is in its long pauses.
            sleep(Duration::from_secs(5)).await;
            thread::scope(|scope| drop(scope.spawn(|| server.start_again()).join()));
            let began = Instant::now();
            for cql in [&cqls[0], &cqls[1], &late] {
                wait_up(cql).await;
            }
            say(&format!("round {round}: refused within {refused:?}, found {:?} after it was ready", began.elapsed()));
            assert!(began.elapsed() < HEALS_WITHIN, "{:?}", began.elapsed());
            load.advance(300).await;
        }
        load.stop.store(true, Ordering::Relaxed);
        while let Some(done) = workers.join_next().await {
            done.expect("no panic");
        }
        let longest = Duration::from_millis(load.longest_ms.load(Ordering::Relaxed));
        assert!(longest < options.claim_timeout + SLACK, "{longest:?}");
        assert!(load.unknown.load(Ordering::Relaxed) > 0, "nothing went wrong");
        check(&options, &load).await;
        let stats = edges.map(|edge| edge.stats());
        say(&format!("{stats:?}"));
    });
}

/// Of each order one at most was told that it is first, and that is whom its row names.
async fn check(options: &Options, load: &Load) {
    let session = session(options).await;
    let text = format!("SELECT claimed_by FROM {}.conversion_claims WHERE conversion_id = ?", options.claims_keyspace);
    let select = session.prepare(text).await.expect("prepared");
    let first = load.first.lock().expect("whole").clone();
    for (order, events) in &first {
        assert_eq!(events.len(), 1, "{order}: {events:?}");
        let rows = session.execute_unpaged(&select, (&id(order).0[..],)).await.expect("read").into_rows_result();
        let (claimed_by,) = rows.expect("rows").single_row::<(String,)>().expect("the row that was answered is there");
        assert_eq!(claimed_by, events[0], "{order}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_bounded_time() {
    let server = testkit::Cql::start();
    runtime().block_on(async {
        let options = production(&server);
        let [edge, _other] = two_edges(&options).await;
        let cql = open(&options).await;
        let edge_of_it = CqlClaims::new(&cql);
        let hasty = open(&options).await;
        server.stall();
        // Callers who leave before there is an answer, or a time-out, have not got one either.
        for number in 0..10 {
            let (claims, report) = (CqlClaims::new(&hasty), report("D", &format!("cnvevt_{number}")));
            let told = timeout(Duration::from_millis(150), claims.claim_conversion(id("D"), &claim(&report, 1))).await;
            assert!(!matches!(told, Ok(Ok(_))), "the server is stalled");
        }
        assert!(matches!(hasty.health(), Health::Away { .. }), "{}", hasty.health());
        let mut callers = JoinSet::new();
        for number in 0..500 {
            let edge = if number % 2 == 0 { edge.clone() } else { edge_of_it.clone() };
            callers.spawn(async move {
                let (order, began) = (format!("A-{number}"), Instant::now());
                let told = edge.claim_conversion(id(&order), &claim(&report(&order, "cnvevt_1"), 1)).await;
                (told.is_err(), began.elapsed())
            });
        }
        let told = callers.join_all().await;
        assert!(told.iter().all(|(unknown, _)| *unknown), "the server is stalled");
        let longest = told.iter().map(|(_, took)| *took).max().unwrap_or_default();
        say(&format!("500 at once: the last knows nothing after {longest:?}"));
        assert!(longest < options.claim_timeout + SLACK, "{longest:?}");
        wait_away(&cql).await;
        let refused = time_to_refuse(&edge_of_it).await;
        assert!(refused < Duration::from_millis(5), "{refused:?}");
        sleep(Duration::from_secs(4)).await;
        server.resume();
        let began = Instant::now();
        wait_up(&cql).await;
        say(&format!("found {:?} after it went on", began.elapsed()));
        assert!(began.elapsed() < HEALS_WITHIN, "{:?}", began.elapsed());
        let claimed = edge_of_it.claim_conversion(id("C"), &claim(&report("C", "cnvevt_1"), 1)).await;
        assert_eq!(claimed.expect("answered"), Claim::Claimed);
    });
}
