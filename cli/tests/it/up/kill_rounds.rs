//! `kill -9` at seeded random moments under load: nothing that was answered is lost, and nothing is there twice.

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::up::audit::audit;
use crate::up::client::{Client, ONE, TWO};
use crate::up::cluster::{Cluster, Target, alone, on_each_cluster};
use crate::up::load::Load;
use crate::up::orders::Order;
use crate::up::poll;
use crate::up::random::Random;

on_each_cluster!(kills_lose_nothing);

const CLIENTS: u64 = 6;
const NEW_ORDERS_A_ROUND: i64 = 250;
const SAMPLE: usize = 10;
/// Longer than the demo's click wait and settlement window together, on a machine that has other work.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

fn kills_lose_nothing<C: Cluster>() {
    let _alone = alone();
    let seed = number("CONVERSIONS_SEED").unwrap_or_else(fresh_seed);
    let rounds = number("CONVERSIONS_ROUNDS").unwrap_or(C::ROUNDS).max(2);
    let run = format!("CONVERSIONS_SEED={seed} CONVERSIONS_ROUNDS={rounds}");
    say(&run);
    let mut random = Random::new(seed, 0);
    let mut cluster = C::start();
    let load = Load::start(&cluster.target(), seed, CLIENTS);
    for round in 1..=rounds {
        load.allow(NEW_ORDERS_A_ROUND);
        thread::sleep(Duration::from_millis(20 + random.below(381)));
        if round == rounds / 2 {
            cluster.kill();
            cluster.delete_state();
        } else {
            cluster.kill_some(&mut random);
        }
        revive(&mut cluster, &mut random);
        assert!(!load.is_broken(), "{run}: round {round}: a client got a wrong answer");
        // Known at once after the restart, and not only when something has caught up.
        for order in load.sample(&mut random, SAMPLE) {
            let answer = Client::new(&cluster.target(), order.merchant).conversion(&order.id);
            let fault = order.fault(&answer);
            assert!(fault.is_none(), "{run}: after round {round}: {}", fault.unwrap_or_default());
        }
    }
    let (orders, requests, failures) = load.finish();
    assert!(failures > 0, "{run}: no request was cut off, so nothing was shown");
    settle(&cluster.target(), &orders, &run);
    cluster.quiet(&run);
    cluster.stop();
    let topics = cluster.topics();
    audit(&topics, &orders, &run);
    cluster.verified(orders.len(), &run);
    say(&format!(
        "{run}: {} orders, {requests} requests answered, {failures} attempts failed; in {} {} reports, {} \
         transitions, {} ledger entries",
        orders.len(),
        cluster.parts(),
        topics.reports.len(),
        topics.transitions.len(),
        topics.entries.len(),
    ));
}

/// Starts it again; now and then it is first killed while it starts, or as soon as it listens.
fn revive<C: Cluster>(cluster: &mut C, random: &mut Random) {
    match random.below(4) {
        0 => cluster.start_and_kill(Duration::from_millis(random.below(C::START_MS))),
        1 => {
            cluster.restart();
            thread::sleep(Duration::from_millis(random.below(20)));
            cluster.kill_some(random);
        }
        _ => {}
    }
    cluster.restart();
}

/// Waits until every order has come to its end, and asks for each.
fn settle(target: &Target, orders: &[Order], run: &str) {
    let begun = Instant::now();
    let waiting = Mutex::new(orders.iter().collect::<Vec<_>>());
    let work = || {
        let mut clients: BTreeMap<&str, Client> =
            [&ONE, &TWO].map(|merchant| (merchant.id, Client::new(target, merchant))).into();
        loop {
            let Some(order) = waiting.lock().expect("no thread died").pop() else { return };
            let client = clients.get_mut(order.merchant.id).expect("there are two merchants");
            poll(SETTLE_DEADLINE.saturating_sub(begun.elapsed()), || {
                let answer = client.conversion(&order.id);
                let fault = order.fault(&answer);
                assert!(fault.is_none(), "{run}: at the end: {}", fault.unwrap_or_default());
                order.unsettled(&answer).map_or(Ok(()), |why| Err(format!("{run}: {why}")))
            });
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

fn fresh_seed() -> u64 {
    crate::up::client::unix_seconds() ^ (u64::from(std::process::id()) << 32)
}

#[expect(clippy::print_stderr, reason = "a run that fails is done again with the seed printed here")]
fn say(text: &str) {
    eprintln!("{text}");
}
