//! A process that was frozen for so long that others took its place, and then goes on.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::Brokers;

use crate::check::check;
use crate::member::Member;
use crate::sender::{Senders, UNLIMITED};
use crate::stack::{PARTITIONS, SESSION_TIMEOUT, Stack, TRANSACTION_TIMEOUT};
use crate::{alone, say, seed};

const SENDERS: u64 = 4;
const ROUNDS: usize = 3;
/// `orders`, `clicks`, `ledger` and `webhooks`.
const PROCESSORS: u64 = 4;
const TAKEOVER_DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn a_zombie_writes_nothing_and_comes_back() {
    let _alone = alone();
    let seed = seed();
    let run = format!("CONVERSIONS_SEED={seed}");
    let stack = Stack::start(Brokers::One, &[]);
    let senders = Senders::start(&stack.targets(), &stack.facts, seed, SENDERS, UNLIMITED);
    let mut fenced = 0;
    for round in 0..ROUNDS {
        let (zombie, other) = (&stack.processors[round % 2], &stack.processors[1 - round % 2]);
        balanced(zombie, other);
        let before = zombie.metric("processor_fencings_total");
        zombie.freeze();
        // Its transaction is aborted by the brokers by then, and its place is another's.
        thread::sleep(SESSION_TIMEOUT.max(TRANSACTION_TIMEOUT) + Duration::from_secs(2));
        takeover(&run, other);
        zombie.thaw();
        thread::sleep(Duration::from_secs(2));
        if zombie.revive() {
            fenced += 1;
        } else {
            fenced += zombie.metric("processor_fencings_total") - before;
        }
        stack.processors.iter().for_each(Member::ready);
    }
    assert!(fenced > 0, "{run}: no zombie was fenced, so nothing was shown");
    senders.stop();
    let (answered, _) = senders.finish();
    say(&format!("{run}: {fenced} fencings in {ROUNDS} rounds; {answered} answered"));
    check(&stack, &run);
    stack.processors.iter().chain(&stack.edges).for_each(|member| member.end(Signal::TERM));
}

/// Waits until both processes have work.
fn balanced(one: &Member, other: &Member) {
    let begun = Instant::now();
    while [one, other].iter().any(|member| member.metric("processor_partitions_ready") == 0) {
        assert!(begun.elapsed() < TAKEOVER_DEADLINE, "each has partitions");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until this process has every partition, and goes on with its work.
fn takeover(run: &str, member: &Member) {
    let begun = Instant::now();
    loop {
        let ready = member.metric("processor_partitions_ready");
        if ready == PROCESSORS * PARTITIONS {
            break;
        }
        assert!(
            begun.elapsed() < TAKEOVER_DEADLINE,
            "{run}: {ready} partitions were taken over; {}",
            member.log_tail()
        );
        thread::sleep(Duration::from_millis(100));
    }
    let steps = member.metric("processor_steps_total");
    while member.metric("processor_steps_total") == steps {
        assert!(begun.elapsed() < TAKEOVER_DEADLINE, "{run}: nothing is processed; {}", member.log_tail());
        thread::sleep(Duration::from_millis(100));
    }
}
