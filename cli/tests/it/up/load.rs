//! Clients that send orders, repeats and statuses for as long as they are let, and keep a book of what was answered.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::up::client::{Answer, CONVERSIONS, Client, ONE, ORDER_STATUS, TWO};
use crate::up::cluster::Target;
use crate::up::orders::{Click, Order};
use crate::up::random::Random;

/// Far below the bound at which further conflicts of one order become dead letters.
const CONFLICTS_MAX: u32 = 20;

/// So long that the log of a full run has more than one segment.
const NOTE_CHARACTERS: usize = 1_000;

/// What the clients share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// How many new orders may still be sent, so that a fast machine does not send without an end.
    allowance: AtomicI64,
    book: Mutex<Vec<Order>>,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients, whose choices follow from the seed.
    pub(crate) fn start(target: &Target, seed: u64, clients: u64) -> Load {
        let shared = Arc::new(Shared::default());
        let begin = |number| {
            let random = Random::new(seed, 1 + number);
            let clients = [&ONE, &TWO].map(|merchant| Client::new(target, merchant));
            let mut sender = Sender { shared: Arc::clone(&shared), number, next: 0, random, clients };
            thread::spawn(move || sender.run())
        };
        Load { threads: (0..clients).map(begin).collect(), shared }
    }

    /// Lets the clients send so many more new orders.
    pub(crate) fn allow(&self, orders: i64) {
        self.shared.allowance.store(orders, Ordering::Relaxed);
    }

    /// Orders that were answered 202, picked at random.
    pub(crate) fn sample(&self, random: &mut Random, count: usize) -> Vec<Order> {
        let book = self.shared.book();
        if book.is_empty() {
            return Vec::new();
        }
        (0..count).map(|_| book[random.index(book.len())].clone()).collect()
    }

    /// Whether a client has ended, which it does by itself only if an answer was wrong.
    pub(crate) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Lets every client end what it is at; returns the book, and the numbers of requests answered and of failed attempts.
    pub(crate) fn finish(self) -> (Vec<Order>, u64, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("every answer to this client was right");
        }
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let book = self.shared.book().clone();
        (book, counted(&self.shared.requests), counted(&self.shared.failures))
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Vec<Order>> {
        self.book.lock().expect("no client died while it wrote")
    }
}

struct Sender {
    shared: Arc<Shared>,
    number: u64,
    next: u64,
    random: Random,
    clients: [Client; 2],
}

impl Sender {
    fn run(&mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let known = {
                let book = self.shared.book();
                (!book.is_empty()).then(|| {
                    let index = self.random.index(book.len());
                    (index, book[index].clone())
                })
            };
            match (self.random.below(100), known) {
                (50..70, Some((_, order))) => self.send_again(&order),
                (70..75, Some((index, order))) => self.send_differing(index, &order),
                (75..100, Some((index, order))) => self.send_status(index, &order),
                _ => self.send_new(),
            }
        }
        let failures = self.clients.iter().map(|client| client.failures).sum();
        self.shared.failures.fetch_add(failures, Ordering::Relaxed);
    }

    fn send_new(&mut self) {
        if self.shared.allowance.fetch_sub(1, Ordering::Relaxed) <= 0 {
            thread::sleep(Duration::from_millis(2));
            return;
        }
        let mut order = self.draw();
        if self.random.percent(10) {
            let status = self.random.pick(&["delivered", "cancelled", "paid"]);
            let answer = self.send(&order, ORDER_STATUS, &order.status_body(status), None);
            assert_status(&order, &answer, &["ACCEPTED", "DUPLICATE"]);
            order.updates.insert(status);
        }
        let key = self.random.percent(50).then(|| order.id.clone());
        let answer = self.send(&order, CONVERSIONS, &order.body(), key.as_deref());
        // DUPLICATE answers a repeat whose first attempt was recorded and not answered.
        assert_status(&order, &answer, &["RECEIVED", "DUPLICATE"]);
        self.shared.book().push(order);
    }

    fn draw(&mut self) -> Order {
        let random = &mut self.random;
        self.next += 1;
        let id = format!("K-{}-{}", self.number, self.next);
        let merchant = if random.percent(75) { &ONE } else { &TWO };
        let amount_minor = i64::try_from(random.below(1_000_000)).expect("a small number");
        Order {
            click: match random.below(100) {
                0..70 => Click::Own,
                70..84 => Click::Missing,
                84..94 => Click::Unknown,
                _ => Click::Foreign,
            },
            product: random.pick(&[Some("SKU-RED-42"), Some("SKU-ZERO"), Some("SKU-OTHER"), None]),
            status: random.pick(&["confirmed", "confirmed", "pending", "delivered", "cancelled"]),
            note_characters: NOTE_CHARACTERS,
            ..Order::new(merchant, id, amount_minor)
        }
    }

    fn send_again(&mut self, order: &Order) {
        let answer = self.send(order, CONVERSIONS, &order.body(), None);
        assert_status(order, &answer, &["DUPLICATE"]);
    }

    fn send_differing(&mut self, index: usize, order: &Order) {
        if order.conflicts >= CONFLICTS_MAX {
            return;
        }
        let answer = self.send(order, CONVERSIONS, &order.body_with(order.amount_minor + 1), None);
        assert_status(order, &answer, &["DUPLICATE"]);
        self.shared.book()[index].conflicts += 1;
    }

    fn send_status(&mut self, index: usize, order: &Order) {
        let statuses = ["delivered", "delivered", "delivered", "cancelled", "paid", "commission_approved", "refunded"];
        let status = self.random.pick(&statuses);
        let answer = self.send(order, ORDER_STATUS, &order.status_body(status), None);
        let is_known = order.updates.contains(status);
        assert_status(order, &answer, if is_known { &["DUPLICATE"] } else { &["ACCEPTED", "DUPLICATE"] });
        self.shared.book()[index].updates.insert(status);
    }

    fn send(&mut self, order: &Order, path: &str, body: &str, key: Option<&str>) -> Answer {
        let client = &mut self.clients[usize::from(order.merchant == &TWO)];
        let answer = client.settle(path, body, key);
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

#[track_caller]
fn assert_status(order: &Order, answer: &Answer, expected: &[&str]) {
    let json = answer.json();
    let status = json["status"].as_str().unwrap_or_default();
    assert!(answer.status == 202 && expected.contains(&status), "{order:?}: {expected:?} expected: {answer:?}");
}
