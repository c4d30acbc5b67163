use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::super::scenario::{Phase, Scenario};
use super::*;
use crate::sign::{self, Signer};

/// A server that accepts everything, and answers nothing for a second once it was asked for so long.
fn stalling_server(stalls_after: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stalled = Arc::new(Mutex::new(None::<std::time::Instant>));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, stalled) = (stream.expect("a connection"), Arc::clone(&stalled));
            thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                // The requests are small, and one comes after the answer to the one before.
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    let begun = *stalled.lock().expect("no panic").get_or_insert_with(std::time::Instant::now);
                    let since = begun.elapsed();
                    if since >= stalls_after && since < stalls_after + Duration::from_secs(1) {
                        thread::sleep(stalls_after + Duration::from_secs(1) - since);
                    }
                    let body = r#"{"status":"RECEIVED"}"#;
                    let answer = format!("HTTP/1.1 202 X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn shared(address: SocketAddr, change: impl FnOnce(&mut Scenario)) -> Arc<Shared> {
    let mut scenario = Scenario::example();
    scenario.phases = vec![Phase { name: "even".into(), seconds: 2, from: 200, to: 200 }];
    // Such a server has no commissions, so no order is followed to one.
    (scenario.shares.no_click, scenario.shares.unknown_click, scenario.shares.late_click) = (1_000, 0, 0);
    (scenario.shares.duplicate, scenario.shares.conflict, scenario.shares.updates) = (0, 0, 0);
    change(&mut scenario);
    let now = sign::now();
    let key = Key { id: "live_pk_x".into(), signer: Signer::new("sk_live_x") };
    let keys = vec![key; usize::try_from(scenario.merchants).expect("small")];
    let plan = Plan::new(scenario, now);
    Arc::new(Shared {
        book: Book::new(plan.schedule().groups(), plan.scenario().batch.into(), 0, 1),
        clock: Clock::new(now, now),
        plan,
        recorder: Recorder::default(),
        process: 0,
        processes: 1,
        address,
        keys,
        service: None,
        under_way: AtomicU64::new(0),
        idle: Mutex::default(),
    })
}

#[tokio::test]
async fn a_stalled_server_shows_in_the_latencies_of_all_who_would_have_asked_meanwhile() {
    let shared = shared(stalling_server(Duration::from_millis(500)), |scenario| scenario.client.connections = 4);
    run(&shared).await;
    let tally = shared.recorder.tally();
    let latency = tally.latency(Kind::Report);
    assert_eq!((latency.len(), tally.counts.shed), (400, 0));
    // Half of the two seconds' requests were meant for the second in which nobody was answered, and so waited for half of
    // it in the middle. Counted from when they were really sent, all but four would have taken no time.
    let slow = latency.count_between(500_000, u64::MAX);
    assert!((80..=130).contains(&slow), "{slow}");
    assert!(latency.value_at_quantile(0.999) > 900_000, "{}", latency.value_at_quantile(0.999));
}

#[tokio::test]
async fn at_its_bound_it_says_so() {
    let shared = shared(stalling_server(Duration::from_millis(500)), |scenario| {
        scenario.client.connections = 2;
        scenario.client.queue = 10;
    });
    run(&shared).await;
    let tally = shared.recorder.tally();
    assert!(tally.counts.shed > 100, "{:?}", tally.counts);
    assert_eq!(tally.counts.shed + tally.latency(Kind::Report).len(), 400);
    let sent = shared.book.orders().filter(|order| shared.book.read(*order).sent()).count();
    assert_eq!(u64::try_from(sent).expect("small"), tally.counts.requests);
}
