//! Everything goes wrong at once, under load, and the books are right in the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::Brokers;

use crate::check::check_after_faults;
use crate::faults::rage;
use crate::member::Member;
use crate::sender::Senders;
use crate::stack::Stack;
use crate::{alone, number, say, seed};

const SENDERS: u64 = 96;
/// Two minutes on two cores: the faults, not the cores, decide how fast it is. By hand ten times as many are no hour.
const ORDERS: u64 = 10_000;

#[test]
fn nothing_is_lost_or_done_twice_in_a_storm() {
    let _alone = alone();
    let (seed, orders) = (seed(), number("CONVERSIONS_ORDERS").unwrap_or(ORDERS));
    let run = format!("CONVERSIONS_SEED={seed} CONVERSIONS_ORDERS={orders}");
    say(&run);
    let stack = Stack::start(Brokers::Three, &[]);
    let (begun, stop) = (Instant::now(), AtomicBool::new(false));
    let senders = Senders::start(&stack.targets(), &stack.facts, seed, SENDERS, orders);
    let faults = thread::scope(|scope| {
        let raging = scope.spawn(|| rage(&stack, seed, &stop));
        let mut applied = false;
        while !senders.is_done() && !raging.is_finished() {
            if !applied && senders.drawn() > orders * 2 / 5 {
                stack.apply_late_clicks();
                applied = true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(applied, "{run}: the late clicks came");
        raging.join().expect("every fault was healed")
    });
    let (answered, failures) = senders.finish();
    assert!(failures > 0, "{run}: no request was cut off, so nothing was shown");
    say(&format!("{run}: {faults} faults in {:?}; {answered} answered, {failures} failed", begun.elapsed()));
    stack.processors.iter().chain(&stack.edges).for_each(Member::ready);
    check_after_faults(&stack, &run);
    stack.processors.iter().chain(&stack.edges).for_each(|member| member.end(Signal::TERM));
}
