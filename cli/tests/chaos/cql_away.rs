//! The CQL server is away: edges go on answering 202, say what they do without, and all comes right by itself once it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::Cql;

use crate::check::{check, check_read_model};
use crate::http::{Answer, CONVERSIONS, ONE};
use crate::member::Member;
use crate::merchant::{Caller, Kind};
use crate::random::Random;
use crate::stack::Stack;
use crate::{alone, say};

const KILLED: Duration = Duration::from_secs(30);
const STALLED: Duration = Duration::from_secs(8);
/// How long the callers go on after it is back.
const AFTER: Duration = Duration::from_secs(3);
const CALLERS: usize = 32;
/// Between two reports of a caller: all that comes while the server is away has to be written to it after that.
const PAUSE: Duration = Duration::from_millis(500);
/// What a report may cost that its claim cannot be had for (`ingest.store_deadline`).
const STORE_DEADLINE: Duration = Duration::from_secs(1);
/// The same, and what the log takes on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Reports before and after, and those that are looked at through both edges.
const REPORTS: usize = 100;
/// What an outage may cost an edge or a materializer in memory.
const MEMORY_MIB_MAX: u64 = 64;
/// A server that has just started, on a machine that is full, takes minutes for what came while it was away.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn without_the_cql_server_edges_accept_and_recover() {
    let _alone = alone();
    let stack = Stack::start_with_cql(&[]);
    outage(&stack, "killed", KILLED, Cql::kill, Cql::start_again);
    outage(&stack, "stalled", STALLED, Cql::stall, Cql::resume);
    check(&stack, "CQL server away");
    check_read_model(&stack, "CQL server away", CATCH_UP_DEADLINE);
    stack.end();
}

/// What the callers saw.
#[derive(Debug, Default)]
struct Seen {
    /// How long each answer took.
    waits: Vec<Duration>,
    /// The last order of each caller.
    orders: Vec<String>,
}

fn caller(stack: &Stack, number: usize, patience: Duration) -> Caller {
    let stream = u64::try_from(number).expect("a small number");
    let edges = stack.targets();
    Caller::new(&edges[number % 2..=number % 2], patience, Random::new(0, stream), &stack.facts)
}

/// A confirmed order.
fn report(id: &str) -> Value {
    json!({
        "externalOrderId": id, "orderAmount": "100.00", "orderStatus": "confirmed", "clickId": ONE.click,
        "orderedAt": "2026-06-14T09:30:00Z", "metadata": {"note": "-".repeat(200)},
    })
}

fn outage(stack: &Stack, how: &str, away: Duration, leave: fn(&Cql), come_back: fn(&Cql)) {
    let mut merchant = caller(stack, 0, ANSWER_WITHIN);
    for number in 0..REPORTS {
        merchant.settle(&ONE, Kind::Report, &report(&format!("{how}-before-{number}")), 0);
    }
    let known = format!("{how}-before-0");
    let watched = || stack.edges.iter().chain(&stack.materializers[..1]);
    let before: Vec<u64> = watched().map(Member::resident_mib).collect();
    let unclaimed = || stack.edges.iter().map(|edge| edge.metric("conversions_unclaimed_total")).sum::<u64>();
    let (unclaimed_before, is_over) = (unclaimed(), AtomicBool::new(false));
    let seen = thread::scope(|scope| {
        let reporting = |number| {
            scope.spawn({
                let is_over = &is_over;
                move || report_until(stack, how, number, is_over)
            })
        };
        let callers: Vec<_> = (0..CALLERS).map(reporting).collect();
        thread::sleep(AFTER);
        leave(stack.cql());
        let begun = Instant::now();
        stack.edges.iter().for_each(|edge| edge.says("degraded"));
        say(&format!("{how}: degraded after {:?}", begun.elapsed()));
        let mut most = before.clone();
        while begun.elapsed() < away {
            most.iter_mut().zip(watched()).for_each(|(most, member)| *most = (*most).max(member.resident_mib()));
            stack.edges.iter().for_each(|edge| refuses_to_read(how, edge, &known));
            thread::sleep(Duration::from_millis(250));
        }
        say(&format!("{how}: {before:?} MiB before, at most {most:?} MiB"));
        for (before, most) in before.iter().zip(most) {
            assert!(most < before + MEMORY_MIB_MAX, "{how}: one grew from {before} MiB to {most} MiB");
        }
        come_back(stack.cql());
        let begun = Instant::now();
        stack.edges.iter().for_each(Member::ready);
        say(&format!("{how}: ready {:?} after it was back", begun.elapsed()));
        thread::sleep(AFTER);
        is_over.store(true, Ordering::Relaxed);
        let ended = callers.into_iter().map(|it| it.join().expect("every answer to this caller was right"));
        ended.fold(Seen::default(), |mut all, one| {
            all.waits.extend(one.waits);
            all.orders.extend(one.orders);
            all
        })
    });
    let unclaimed = unclaimed() - unclaimed_before;
    assert!(unclaimed > CALLERS as u64, "{how}: only {unclaimed} reports were unclaimed, so nothing was shown");
    within_bounds(how, seen.waits, unclaimed);
    read_alike(stack, how, &seen.orders);
}

/// Reports orders, each once, until it is over; each is accepted in time.
fn report_until(stack: &Stack, how: &str, number: usize, is_over: &AtomicBool) -> Seen {
    let mut merchant = caller(stack, number, ANSWER_WITHIN * 2);
    let mut seen = Seen::default();
    while !is_over.load(Ordering::Relaxed) {
        let order = format!("{how}-{number}-{}", seen.waits.len());
        let asked = Instant::now();
        let answer = merchant.once(&ONE, Kind::Report, &report(&order)).expect("it answers");
        let took = asked.elapsed();
        assert!(answer.status == 202 && took < ANSWER_WITHIN, "{how}: order {order}: {answer:?} after {took:?}");
        seen.waits.push(took);
        seen.orders = vec![order];
        thread::sleep(PAUSE);
    }
    seen
}

/// Neither a conversion nor a list can be had, and the edge says so.
fn refuses_to_read(how: &str, edge: &Member, order: &str) {
    for path in [format!("{CONVERSIONS}/{order}"), CONVERSIONS.to_owned()] {
        let answer = ask(edge, &path);
        let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(answer.status == 503 && retry_after.is_some(), "{how}: {path}: {answer:?}");
    }
}

fn ask(edge: &Member, path: &str) -> Answer {
    edge.ask(path).unwrap_or_else(|error| panic!("{} answers {path}: {error}", edge.name()))
}

/// So few waited for the claims at all that the store was known to be away, and not found out by each.
fn within_bounds(how: &str, mut waits: Vec<Duration>, unclaimed: u64) {
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    say(&format!(
        "{how}: {} reports, {unclaimed} unclaimed; p50 {:?}, p99 {:?}, slowest {:?}",
        waits.len(),
        at(50),
        at(99),
        at(100)
    ));
    // Until the store counts as away, an edge waits for it once before the publish and once for the claim.
    assert!(at(99) < 2 * STORE_DEADLINE, "{how}: p99 is {:?}", at(99));
}

/// Both edges show the same of each order, once the read model has caught up.
fn read_alike(stack: &Stack, how: &str, orders: &[String]) {
    for order in orders {
        let begun = Instant::now();
        loop {
            let shown = stack.edges.each_ref().map(|edge| ask(edge, &format!("{CONVERSIONS}/{order}")));
            let settled = |answer: &Answer| answer.status == 200 && answer.json()["commission"]["amount"] == "50.00";
            if shown.iter().all(settled) && shown[0].body == shown[1].body {
                break;
            }
            assert!(begun.elapsed() < CATCH_UP_DEADLINE, "{how}: order {order}: {shown:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
