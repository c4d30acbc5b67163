//! The only broker is away for half a minute: the edge says so in time, keeps within its bounds, and recovers by itself.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Brokers, Kafka};

use crate::check::check;
use crate::http::ONE;
use crate::member::Member;
use crate::merchant::{Caller, Kind};
use crate::random::Random;
use crate::stack::Stack;
use crate::{alone, say};

const AWAY: Duration = Duration::from_secs(30);
/// More reports at once, each waiting for the log, than the queue takes.
const CALLERS: usize = 96;
const QUEUE_MESSAGES_MAX: &str = "300";
/// What the edge promises (`ingest.request_deadline`), and a second for a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(11);
const RECOVERY_DEADLINE: Duration = Duration::from_secs(30);
const REPORTS: usize = 100;
/// Longer than the registry's windows: then the processors have nothing more to do.
const IDLE_AFTER: Duration = Duration::from_secs(8);
/// What an outage may cost in memory: the queue of 300 messages of 8 KiB, their requests, and librdkafka's buffers.
const MEMORY_MIB_MAX: u64 = 64;

#[test]
fn without_a_broker_the_edge_says_so_and_recovers() {
    let _alone = alone();
    let stack = Stack::start(Brokers::One, &[("INGEST_QUEUE_MESSAGES_MAX", QUEUE_MESSAGES_MAX)]);
    outage(&stack, "stalled", |kafka| kafka.stall(1), |kafka| kafka.resume(1));
    outage(&stack, "killed", |kafka| kafka.kill(1), |kafka| kafka.start_node(1));
    check(&stack, "broker away");
    stack.processors.iter().chain(&stack.edges).for_each(|member| member.end(Signal::TERM));
}

fn caller(stack: &Stack, number: usize) -> Caller {
    let stream = u64::try_from(number).expect("a small number");
    Caller::new(&stack.targets()[..1], ANSWER_WITHIN * 2, Random::new(0, stream), &stack.facts)
}

/// A confirmed order with all the metadata that there may be.
fn report(id: &str) -> Value {
    json!({
        "externalOrderId": id, "orderAmount": "100.00", "orderStatus": "confirmed", "clickId": ONE.click,
        "orderedAt": "2026-06-14T09:30:00Z", "metadata": {"note": "-".repeat(8_000)},
    })
}

fn outage(stack: &Stack, how: &str, leave: fn(&Kafka), come_back: fn(&Kafka)) {
    let edge = &stack.edges[0];
    let mut merchant = caller(stack, 0);
    for number in 0..REPORTS {
        merchant.settle(&ONE, Kind::Report, &report(&format!("{how}-before-{number}")), 0);
    }
    // The only broker may, when it is killed in the middle of a transaction, say that it has aborted it and leave it open on
    // some partitions (Kafka 4.3; kafka-transactions.sh find-hanging): no client can go on then, and none is tested by it.
    thread::sleep(IDLE_AFTER);
    let before = edge.resident_mib();
    leave(&stack.kafka);
    let begun = Instant::now();
    let (refused, slowest) = thread::scope(|scope| {
        let callers: Vec<_> =
            (0..CALLERS).map(|number| scope.spawn(move || refused(stack, how, number, begun))).collect();
        let mut most = before;
        while begun.elapsed() < AWAY {
            most = most.max(edge.resident_mib());
            let (status, _) = edge.get("/health/live").expect("it goes on answering");
            assert_eq!(status, 200, "{how}: it is alive");
            thread::sleep(Duration::from_millis(250));
        }
        say(&format!("{how}: {before} MiB before, at most {most} MiB"));
        assert!(most < before + MEMORY_MIB_MAX, "{how}: it grew from {before} MiB to {most} MiB");
        come_back(&stack.kafka);
        let ended = callers.into_iter().map(|it| it.join().expect("every answer to this caller was right"));
        ended.fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1.max(one.1)))
    });
    assert!(refused > CALLERS, "{how}: only {refused} reports were refused, so nothing was shown");
    let begun = Instant::now();
    for number in 0..REPORTS {
        merchant.settle(&ONE, Kind::Report, &report(&format!("{how}-after-{number}")), 0);
    }
    assert!(begun.elapsed() < RECOVERY_DEADLINE, "{how}: it took {:?} to recover", begun.elapsed());
    say(&format!("{how}: {refused} refused, the slowest in {slowest:?}; {REPORTS} after it in {:?}", begun.elapsed()));
    stack.processors.iter().for_each(Member::ready);
}

/// Reports orders for as long as the broker is away, each once; how many were refused, and the longest wait.
fn refused(stack: &Stack, how: &str, number: usize, begun: Instant) -> (usize, Duration) {
    let mut merchant = caller(stack, 1 + number);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < AWAY {
        let body = report(&format!("{how}-{number}-{refused}"));
        let asked = Instant::now();
        let answer = merchant.once(&ONE, Kind::Report, &body).expect("it answers");
        slowest = slowest.max(asked.elapsed());
        assert!(asked.elapsed() < ANSWER_WITHIN, "{how}: {:?} for {answer:?}", asked.elapsed());
        match answer.status {
            503 => assert!(answer.header("retry-after").is_some(), "{how}: {answer:?}"),
            // The broker may still, or again, be there.
            status => assert_eq!(status, 202, "{how}: {answer:?}"),
        }
        refused += usize::from(answer.status == 503);
        thread::sleep(Duration::from_millis(50));
    }
    (refused, slowest)
}
