//! Sends jobs off when they are meant to be sent, whatever has become of those before: an open loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use super::engine::Shared;
use super::job::{Action, Job};
use super::plan::{Click, Order};

/// Most follow-ups and repeats that wait for their time.
const PENDING_MAX: usize = 4_000_000;
/// How often it is looked whether everything has come to an end.
const LOOK: Duration = Duration::from_millis(5);

/// A job that is due at some time, in microseconds from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: u64,
    pub(super) job: Job,
}

/// The schedule of one process, as it comes to pass. It runs on a thread of its own, since a runtime's timers are no finer
/// than a millisecond.
#[derive(Debug)]
pub(super) struct Pacer {
    shared: Arc<Shared>,
    queue: Sender<Job>,
    again: Receiver<Due>,
    pending: BinaryHeap<Reverse<Due>>,
    next_group: u64,
}

impl Pacer {
    pub(super) fn new(shared: Arc<Shared>, queue: Sender<Job>, again: Receiver<Due>) -> Pacer {
        let next_group = shared.process;
        Pacer { shared, queue, again, pending: BinaryHeap::new(), next_group }
    }

    /// Runs until everything was sent and answered.
    pub(super) fn run(mut self) {
        let groups = self.shared.plan.schedule().groups();
        let mut next_time = self.shared.plan.schedule().time_of(self.next_group);
        loop {
            // Read before the repeats are: a request that ended since has left its repeat there.
            let under_way = self.shared.under_way();
            while let Ok(due) = self.again.try_recv() {
                self.wait_for(due);
            }
            let now = self.shared.clock.micros();
            while self.next_group < groups && next_time <= now {
                self.arrive(self.next_group, next_time);
                self.next_group += self.shared.processes;
                next_time = self.shared.plan.schedule().time_of(self.next_group);
            }
            while let Some(Reverse(due)) = self.pending.peek().copied().filter(|Reverse(due)| due.at <= now) {
                self.pending.pop();
                self.send(due.job);
            }
            let arriving = (self.next_group < groups).then_some(next_time);
            let next = self.pending.peek().map(|Reverse(due)| due.at).into_iter().chain(arriving).min();
            if next.is_none() && under_way == 0 && self.shared.under_way() == 0 {
                return;
            }
            let until =
                next.map_or(Duration::MAX, |at| self.shared.clock.at(at).saturating_duration_since(Instant::now()));
            match self.again.recv_timeout(until.min(LOOK)) {
                Ok(due) => self.wait_for(due),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A group's orders are meant to be sent now; and what follows of each at its time, whenever the report is answered.
    fn arrive(&mut self, group: u64, intended: u64) {
        let orders = self.shared.plan.orders_of(group);
        self.shared.recorder.count(|counts| counts.intended += orders.end - orders.start);
        if !self.send(Job { intended, action: Action::Report { group }, attempt: 0 }) {
            return;
        }
        for number in orders {
            self.shared.book.set_sent(number);
            let order = self.shared.plan.order(number);
            if !order.group.forged {
                follow_ups(&order, |delay, action| {
                    let job = Job { intended: intended + delay, action, attempt: 0 };
                    self.wait_for(Due { at: job.intended, job });
                });
            }
        }
    }

    fn wait_for(&mut self, due: Due) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push(Reverse(due));
        } else {
            self.shared.shed(due.job);
        }
    }

    /// Whether there was room for it.
    fn send(&mut self, job: Job) -> bool {
        self.shared.begin();
        let sent = self.queue.try_send(job).is_ok();
        if !sent {
            self.shared.end();
            self.shared.shed(job);
        }
        sent
    }
}

/// What is sent of an order after its report, and how many microseconds after.
fn follow_ups(order: &Order, mut each: impl FnMut(u64, Action)) {
    let number = order.number;
    if let Some(delay) = order.duplicate {
        each(delay, Action::Duplicate { order: number });
    }
    if let Some(delay) = order.conflict {
        each(delay, Action::Conflict { order: number });
    }
    if let Click::Late(delay) = order.click {
        each(delay, Action::Click { order: number });
    }
    for (place, update) in order.updates.iter().enumerate() {
        each(update.delay, Action::Update { order: number, place });
    }
}
