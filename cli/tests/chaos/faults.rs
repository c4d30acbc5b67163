//! What goes wrong: edges, processors and brokers, one of each kind at a time, at seeded random moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::member::Member;
use crate::random::Random;
use crate::say;
use crate::stack::{SESSION_TIMEOUT, Stack, TRANSACTION_TIMEOUT};

/// Goes on with faults of every kind until `stop`, and heals each; how many there were.
pub(crate) fn rage(stack: &Stack, seed: u64, stop: &AtomicBool) -> usize {
    thread::scope(|scope| {
        let edges = scope.spawn(|| until(stop, &mut Random::new(seed, 10), |random| edge(stack, random)));
        let processors = scope.spawn(|| until(stop, &mut Random::new(seed, 11), |random| processor(stack, random)));
        let brokers = scope.spawn(|| until(stop, &mut Random::new(seed, 12), |random| broker(stack, random)));
        [edges, processors, brokers].map(|it| it.join().expect("every fault was healed")).iter().sum()
    })
}

fn until(stop: &AtomicBool, random: &mut Random, mut fault: impl FnMut(&mut Random)) -> usize {
    let mut faults = 0;
    while !stop.load(Ordering::Relaxed) {
        pause(random, 2_000, 9_000);
        fault(random);
        faults += 1;
    }
    faults
}

fn pause(random: &mut Random, from_ms: u64, until_ms: u64) {
    thread::sleep(Duration::from_millis(from_ms + random.below(until_ms - from_ms)));
}

fn edge(stack: &Stack, random: &mut Random) {
    let number = random.index(2);
    let member = &stack.edges[number];
    match random.below(10) {
        0..4 => killed(member, random, number),
        4..7 => {
            say(&format!("edge {}: frozen", number + 1));
            member.freeze();
            pause(random, 500, 6_000);
            member.thaw();
            member.revive();
        }
        _ => ended(member, random, number),
    }
}

fn processor(stack: &Stack, random: &mut Random) {
    let number = random.index(2);
    let member = &stack.processors[number];
    match random.below(10) {
        0..4 => killed(member, random, number),
        4..7 => {
            say(&format!("processors {}: frozen beyond its session and its transaction", number + 1));
            member.freeze();
            let gone = SESSION_TIMEOUT.max(TRANSACTION_TIMEOUT);
            thread::sleep(gone);
            pause(random, 500, 3_000);
            member.thaw();
            pause(random, 500, 3_000);
            member.revive();
        }
        _ => ended(member, random, number),
    }
}

fn killed(member: &Member, random: &mut Random, number: usize) {
    let forget = random.percent(25);
    say(&format!("{} {}: killed{}", member.command(), number + 1, if forget { ", its data deleted" } else { "" }));
    member.kill(forget);
    pause(random, 100, 2_000);
    member.start();
}

fn ended(member: &Member, random: &mut Random, number: usize) {
    // Processors leave their group on SIGUSR1 only; to an edge an interrupt is the same as a termination.
    let other = if member.command() == "processors" { Signal::USR1 } else { Signal::INT };
    let signal = random.pick(&[Signal::TERM, other]);
    say(&format!("{} {}: ended by {signal:?}", member.command(), number + 1));
    member.end(signal);
    pause(random, 0, 1_000);
    member.start();
}

fn broker(stack: &Stack, random: &mut Random) {
    let node = u32::try_from(random.below(3)).expect("a small number") + 1;
    match random.below(10) {
        0..4 => {
            say(&format!("broker {node}: killed"));
            stack.kafka.kill(node);
            pause(random, 500, 3_000);
            stack.kafka.start_node(node);
        }
        4..7 => {
            say(&format!("broker {node}: stalled"));
            stack.kafka.stall(node);
            pause(random, 1_000, 10_000);
            stack.kafka.resume(node);
        }
        _ => {
            say(&format!("broker {node}: stopped"));
            stack.kafka.stop(node);
            pause(random, 500, 3_000);
            stack.kafka.start_node(node);
        }
    }
    // The next may be away only when this one has all records again.
    pause(random, 4_000, 9_000);
}
