//! From one processors' process to three and back, under load: no partition pauses for long, and nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::up::audit::audit;
use crate::up::client::{CONVERSIONS, Client, ONE};
use crate::up::cluster::{Cluster, Target, alone};
use crate::up::kafka::OnKafka;
use crate::up::load::Load;
use crate::up::orders::Order;
use crate::up::poll;

/// How much longer an order may wait for its commission while partitions move than while none does: what the pause of a partition
/// comes to.
const PAUSE_MAX_MS: u64 = 3_000;
const PROBES: usize = 4;
/// Orders that a second of load brings.
const ORDERS_A_SECOND: i64 = 200;

#[test]
fn from_one_process_to_three_and_back() {
    let _alone = alone();
    let mut cluster = OnKafka::stopped();
    cluster.start_alone();
    let load = Load::start(&cluster.target(), 7, 4);
    let (over, longest_ms) = (AtomicBool::new(false), AtomicU64::new(0));
    let probes = thread::scope(|scope| {
        let (over, longest_ms) = (&over, &longest_ms);
        let ends = SetWhenDropped(over);
        let target = cluster.target();
        let probes: Vec<_> = (0..PROBES)
            .map(|number| {
                let target = target.clone();
                scope.spawn(move || probe(&target, number, over, longest_ms))
            })
            .collect();
        let mut step = |what: &str, work: &mut dyn FnMut(&mut OnKafka)| {
            load.allow(2 * ORDERS_A_SECOND);
            work(&mut cluster);
            thread::sleep(Duration::from_secs(2));
            let longest_ms = longest_ms.swap(0, Ordering::Relaxed);
            say(&format!("{what}: the longest wait for a commission was {longest_ms} ms"));
            longest_ms
        };
        // What this machine takes for an order at all: with a broker that has just started, and whatever else runs.
        let at_rest_ms = step("one process", &mut |_| {});
        let mut moves = |what: &str, work: &mut dyn FnMut(&mut OnKafka)| {
            let longest_ms = step(what, work);
            let max_ms = PAUSE_MAX_MS + at_rest_ms;
            assert!(longest_ms <= max_ms, "{what}: an order waited {longest_ms} ms, and {at_rest_ms} ms at rest");
        };
        moves("a second one", &mut |cluster| cluster.add_processors(1));
        moves("a third one", &mut |cluster| cluster.add_processors(2));
        moves("two of three", &mut |cluster| cluster.retire_processors(2));
        moves("one of two", &mut |cluster| cluster.retire_processors(1));
        drop(ends);
        probes.into_iter().flat_map(|probe| probe.join().expect("no probe fails")).collect::<Vec<Order>>()
    });
    let (mut orders, _, _) = load.finish();
    orders.extend(probes);
    let mut client = Client::new(&cluster.target(), &ONE);
    for order in orders.iter().filter(|order| order.merchant.id == ONE.id) {
        poll(Duration::from_secs(60), || order.unsettled(&client.conversion(&order.id)).map_or(Ok(()), Err));
    }
    cluster.quiet("scaling");
    cluster.stop();
    audit(&cluster.topics(), &orders, "scaling");
}

/// Ends the probes also when the test fails, which would otherwise wait for them.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Sends one order after the other, each once the one before has its commission.
fn probe(target: &Target, number: usize, over: &AtomicBool, longest_ms: &AtomicU64) -> Vec<Order> {
    let mut client = Client::new(target, &ONE);
    let mut orders = Vec::new();
    while !over.load(Ordering::Acquire) {
        let id = format!("PROBE-{number}-{}", orders.len());
        let order = Order { product: Some("SKU-RED-42"), ..Order::new(&ONE, id, 299_900) };
        let answer = client.settle(CONVERSIONS, &order.body(), None);
        assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("RECEIVED")), "{answer:?}");
        let sent = Instant::now();
        poll(Duration::from_secs(30), || {
            let conversion = client.conversion(&order.id).json();
            // Seen while it waits, too: a step of the test looks at the longest so far.
            longest_ms.fetch_max(u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            if conversion["commission"].is_object() { Ok(()) } else { Err(format!("no commission: {conversion}")) }
        });
        orders.push(order);
        thread::sleep(Duration::from_millis(20));
    }
    orders
}

#[expect(clippy::print_stderr, reason = "what was measured is told, also of a test that passes")]
fn say(text: &str) {
    eprintln!("{text}");
}
