//! Merchants at work: many orders open at once, each taken a step further at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::json;

use crate::facts::Facts;
use crate::merchant::{Caller, IMPATIENT, Kind, Target};
use crate::orders::{Order, Step};
use crate::random::Random;

/// Orders that are sent until [`Senders::stop`]. Twice as many is still a number.
pub(crate) const UNLIMITED: u64 = u64::MAX / 2;
/// So many orders of one sender are open at once.
const OPEN_MAX: usize = 12;

/// Running senders.
#[derive(Debug)]
pub(crate) struct Senders {
    threads: Vec<JoinHandle<(u64, u64)>>,
    drawn: Arc<AtomicU64>,
}

impl Senders {
    /// Starts so many, which send so many orders together. Of what they draw, only how many orders each gets is not
    /// decided by the seed.
    pub(crate) fn start(edges: &[Target; 2], facts: &Arc<Facts>, seed: u64, senders: u64, orders: u64) -> Senders {
        let drawn = Arc::new(AtomicU64::new(0));
        let begin = |number: u64| {
            let caller = |stream| Caller::new(edges, IMPATIENT, Random::new(seed, stream), facts);
            let callers = [caller(1_000 + number), caller(2_000 + number)];
            let random = Random::new(seed, 3_000 + number);
            let drawn = Arc::clone(&drawn);
            let mut sender = Sender { number, next: 0, orders, drawn, random, callers, open: Vec::new() };
            thread::spawn(move || sender.run())
        };
        Senders { threads: (0..senders).map(begin).collect(), drawn }
    }

    /// How many orders were begun.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }

    /// Lets them begin no more orders; those that are open go on to their end.
    pub(crate) fn stop(&self) {
        self.drawn.fetch_max(UNLIMITED, Ordering::Relaxed);
    }

    /// Whether all have ended, or one that got a wrong answer has.
    pub(crate) fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for their end; how many requests were answered, and how many attempts failed.
    pub(crate) fn finish(self) -> (u64, u64) {
        let ended = self.threads.into_iter().map(|it| it.join().expect("every answer to this sender was right"));
        ended.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

struct Sender {
    number: u64,
    next: u64,
    /// How many all senders together may begin.
    orders: u64,
    drawn: Arc<AtomicU64>,
    random: Random,
    callers: [Caller; 2],
    open: Vec<Order>,
}

impl Sender {
    fn run(&mut self) -> (u64, u64) {
        loop {
            let is_room = self.open.len() < OPEN_MAX;
            if is_room && self.drawn.fetch_add(1, Ordering::Relaxed) < self.orders {
                self.next += 1;
                self.open.push(Order::draw(&mut self.random, &format!("C-{}-{}", self.number, self.next)));
            } else if self.open.is_empty() {
                let of = |count: fn(&Caller) -> u64| self.callers.iter().map(count).sum();
                return (of(|caller| caller.answered), of(|caller| caller.failures));
            }
            let index = self.random.index(self.open.len());
            match self.open[index].steps.pop_front() {
                Some(step) => self.take(index, step),
                None => drop(self.open.swap_remove(index)),
            }
        }
    }

    fn take(&mut self, index: usize, step: Step) {
        let (order, edge) = (&mut self.open[index], self.random.index(2));
        let [one, two] = &mut self.callers;
        let merchant = order.merchant;
        match step {
            Step::Click(link) => order.report["clickId"] = json!(one.click(merchant, link)),
            Step::Report => one.settle(merchant, Kind::Report, &order.report, edge),
            Step::Differing => one.settle(merchant, Kind::Report, &order.differing(), edge),
            Step::Status(body) => one.settle(merchant, Kind::Status, &body, edge),
            Step::Twice | Step::Raced => {
                let raced = matches!(step, Step::Raced);
                let other = if raced { order.differing() } else { order.report.clone() };
                thread::scope(|scope| {
                    scope.spawn(|| two.settle(merchant, Kind::Report, &other, 1 - edge));
                    one.settle(merchant, Kind::Report, &order.report, edge);
                });
            }
        }
    }
}
