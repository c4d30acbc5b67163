//! Orders that are reported over HTTP: as fast as connections take them, or at a rate that nothing slows down.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::Outcome;
use crate::edge::Caller;
use crate::shop::{self, Order, Shops};

/// In microseconds; longer than any answer may take.
const LATENCY_MAX: u64 = 60_000_000;
/// Between two looks whether an order has its commission: whoever looks more often slows down what it looks at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The same of an order that is followed, as a part of its lag until then: those that are late would else be asked for ever more
/// often at once, and be late for being asked for.
const LOOK_EVERY_PART: u32 = 20;
/// How long an order that is followed may take.
const FOLLOW_MAX: Duration = Duration::from_secs(60);

/// How orders are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends the next when it has its answer: what can be taken at most.
    Closed,
    /// So many a second, whatever the answers do. A latency counts from when a request was meant to be sent.
    Open {
        /// Requests a second.
        rate: u64,
    },
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Where it goes.
    pub address: SocketAddr,
    /// Whose orders.
    pub shops: Shops,
    /// Only of this merchant, if of one.
    pub merchant: Option<u64>,
    /// Tells the orders of one load from those of another.
    pub run: &'a str,
    /// Connections, each with one request at a time.
    pub connections: u64,
    /// How long.
    pub time: Duration,
    /// How fast.
    pub pace: Pace,
    /// One order in so many is asked for until it has its commission.
    pub follow: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Orders that were answered 202; nothing else was answered.
    pub orders: u64,
    /// From the first to the last answer.
    pub took: Duration,
    /// In microseconds.
    pub latencies: Histogram<u64>,
    /// From the 202 to when the order was read with its commission, in microseconds, of those that were followed.
    pub lags: Histogram<u64>,
    /// Orders that were to be followed while whoever follows was busy with another.
    pub unfollowed: u64,
    /// Orders of each merchant.
    groups: Vec<u64>,
}

impl Sent {
    /// 202s a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let micros = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.orders * 1_000_000 / micros
    }

    /// In microseconds.
    #[must_use]
    pub fn p99(&self) -> u64 {
        self.latencies.value_at_quantile(0.99)
    }
}

impl Load<'_> {
    /// Merchants that take part. Each has connections and orders of its own.
    fn groups(&self) -> u64 {
        self.merchant.map_or(self.shops.merchants, |_| 1)
    }

    fn merchant(&self, group: u64) -> u64 {
        self.merchant.unwrap_or(group)
    }

    /// Sends it.
    ///
    /// # Errors
    /// An order was not accepted.
    ///
    /// # Panics
    /// If nobody listens.
    pub async fn send(&self) -> Outcome<Sent> {
        let groups = self.groups();
        let shared = Arc::new((0..groups).map(|_| Group::default()).collect::<Vec<Group>>());
        let mut lanes = Vec::new();
        // Each merchant has as many connections as the others.
        let connections = self.connections.next_multiple_of(groups);
        for number in 0..connections {
            let group = number % groups;
            let (key, signer) = shop::key(self.merchant(group));
            let caller = Caller::connect_as(self.address, key.clone(), signer.clone()).await;
            let mut follower = None;
            if self.follow.is_some() {
                follower = Some(Follower::start(Caller::connect_as(self.address, key, signer).await));
            }
            let orders =
                Orders { shops: self.shops, merchant: self.merchant(group), group, groups, run: self.run.to_owned() };
            lanes.push(Lane {
                orders,
                caller,
                shared: Arc::clone(&shared),
                pace: self.pace,
                time: self.time,
                follow: self.follow,
                follower,
            });
        }
        let (mut senders, begun) = (JoinSet::new(), Instant::now());
        if let Pace::Open { rate } = self.pace {
            let (shared, time) = (Arc::clone(&shared), self.time);
            thread::spawn(move || let_go(&shared, rate, begun, time, connections / groups));
        }
        for lane in lanes {
            senders.spawn(lane.work(begun));
        }
        let (mut latencies, mut lags, mut followers) = (histogram(), histogram(), Vec::new());
        for sent in senders.join_all().await {
            let (of_lane, follower) = sent?;
            latencies.add(of_lane).expect("of the same bounds");
            followers.extend(follower);
        }
        let (took, mut unfollowed) = (begun.elapsed(), 0);
        for follower in followers {
            unfollowed += follower.missed;
            lags.add(follower.end().await?).expect("of the same bounds");
        }
        let groups = shared.iter().map(|group| group.next.load(Ordering::Relaxed)).collect();
        Ok(Sent { orders: latencies.len(), took, latencies, lags, unfollowed, groups })
    }

    /// Waits until each of the orders has its commission, and compares what the pipeline says of it with what it must be. The
    /// instant at which the last ones were seen to have theirs.
    ///
    /// # Errors
    /// One is wrong, or has none by the deadline.
    pub async fn settle(&self, sent: &Sent, deadline: Instant) -> Outcome<Instant> {
        // When the last ones have theirs, no others wait, but for those that are checked afterwards anyway. They are asked
        // for one after the other, since whoever is measured answers beside its work.
        let last = self.connections.div_ceil(self.groups());
        for (group, orders) in (0..).zip(&sent.groups) {
            self.check(group, orders.saturating_sub(last)..*orders, deadline).await?;
        }
        let settled = Instant::now();
        let mut checks = JoinSet::new();
        for (group, orders) in (0..).zip(&sent.groups) {
            checks.spawn(self.check(group, 0..orders.saturating_sub(last), deadline));
        }
        checks.join_all().await.into_iter().collect::<Outcome<()>>()?;
        Ok(settled)
    }

    /// Checks some orders of a merchant, in their order.
    fn check(
        &self,
        group: u64,
        which: Range<u64>,
        deadline: Instant,
    ) -> impl Future<Output = Outcome<()>> + Send + 'static {
        let (address, merchant, groups) = (self.address, self.merchant(group), self.groups());
        let orders = Orders { shops: self.shops, merchant, group, groups, run: self.run.to_owned() };
        async move {
            let (key, signer) = shop::key(merchant);
            let mut caller = Caller::connect_as(address, key, signer).await;
            for number in which {
                check(&mut caller, &orders.order(number), deadline, || LOOK_EVERY).await?;
            }
            Ok(())
        }
    }
}

/// What the connections of one merchant share.
#[derive(Debug)]
struct Group {
    /// The next order, which the first connection that is free takes.
    next: AtomicU64,
    /// As many permits as orders may go, in an open loop.
    gate: Semaphore,
}

impl Default for Group {
    fn default() -> Group {
        Group { next: AtomicU64::new(0), gate: Semaphore::new(0) }
    }
}

/// Lets each order go when it is meant to: on a thread of its own, since a runtime's timers are no finer than a millisecond.
fn let_go(groups: &[Group], rate: u64, begun: Instant, time: Duration, connections: u64) {
    for number in 0.. {
        let meant = meant(rate, number);
        if meant >= time {
            break;
        }
        thread::sleep((begun + meant).saturating_duration_since(Instant::now()));
        groups[index(number % groups.len() as u64)].gate.add_permits(1);
    }
    // And each connection may see that there are no more.
    groups.iter().for_each(|group| group.gate.add_permits(index(connections)));
}

/// When an order goes in an open loop, after it has begun.
fn meant(rate: u64, number: u64) -> Duration {
    Duration::from_micros(number * 1_000_000 / rate.max(1))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("there are few")
}

/// The orders of one merchant.
#[derive(Clone, Debug)]
struct Orders {
    shops: Shops,
    merchant: u64,
    group: u64,
    groups: u64,
    run: String,
}

impl Orders {
    /// Its number among those of all.
    fn number(&self, own: u64) -> u64 {
        own * self.groups + self.group
    }

    fn order(&self, own: u64) -> Order {
        self.shops.order_of(self.merchant, &self.run, self.number(own))
    }
}

/// A connection, and what goes by it.
struct Lane {
    orders: Orders,
    caller: Caller,
    shared: Arc<Vec<Group>>,
    pace: Pace,
    time: Duration,
    follow: Option<u64>,
    follower: Option<Follower>,
}

impl Lane {
    async fn work(mut self, begun: Instant) -> Outcome<(Histogram<u64>, Option<Follower>)> {
        let shared = Arc::clone(&self.shared);
        let group = &shared[index(self.orders.group)];
        let mut latencies = histogram();
        loop {
            if let Pace::Open { .. } = self.pace {
                group.gate.acquire().await.expect("it is never closed").forget();
            }
            let Some((own, meant)) = self.take(&group.next, begun) else { return Ok((latencies, self.follower)) };
            let order = self.orders.order(own);
            let (status, body) = self.caller.ask("POST /api/v1/conversions", &order.body()).await;
            if status != 202 || !body.contains("\"RECEIVED\"") {
                return Err(format!("the order {} was answered {status}: {body}", order.id));
            }
            latencies.saturating_record(micros(meant));
            if let (Some(one_in), Some(follower)) = (self.follow, &mut self.follower)
                && own.is_multiple_of(one_in)
            {
                follower.follow(order);
            }
        }
    }

    /// The next order and when it is meant to be sent; none once the time is up.
    fn take(&self, next: &AtomicU64, begun: Instant) -> Option<(u64, Instant)> {
        let meant = |own: u64| match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { rate } => begun + meant(rate, self.orders.number(own)),
        };
        // Taken only if it is sent, so that numbers have no gap.
        let fits = |own: u64| (meant(own) < begun + self.time).then_some(own + 1);
        let own = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some((own, meant(own)))
    }
}

/// Asks for orders, one at a time, until each has its commission.
struct Follower {
    orders: mpsc::Sender<(Order, Instant)>,
    /// Whether it follows one.
    busy: Arc<AtomicBool>,
    lags: JoinHandle<Outcome<Histogram<u64>>>,
    /// Orders that came while it was busy.
    missed: u64,
}

impl Follower {
    fn start(mut caller: Caller) -> Follower {
        let (orders, mut asked) = mpsc::channel::<(Order, Instant)>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let follows = Arc::clone(&busy);
        let lags = tokio::spawn(async move {
            let mut lags = histogram();
            while let Some((order, answered)) = asked.recv().await {
                let pause = || LOOK_EVERY.max(answered.elapsed() / LOOK_EVERY_PART);
                check(&mut caller, &order, answered + FOLLOW_MAX, pause).await?;
                lags.saturating_record(micros(answered));
                follows.store(false, Ordering::Release);
            }
            Ok(lags)
        });
        Follower { orders, busy, lags, missed: 0 }
    }

    /// Follows an order that was accepted just now, if it is not busy with another.
    fn follow(&mut self, order: Order) {
        // None waits for another: it would be asked for too late.
        let taken = !self.busy.swap(true, Ordering::Acquire) && self.orders.try_send((order, Instant::now())).is_ok();
        self.missed += u64::from(!taken);
    }

    async fn end(self) -> Outcome<Histogram<u64>> {
        drop(self.orders);
        self.lags.await.map_err(|error| error.to_string())?
    }
}

async fn check(caller: &mut Caller, order: &Order, deadline: Instant, pause: impl Fn() -> Duration) -> Outcome<()> {
    loop {
        let (status, body) = caller.ask(&format!("GET /api/v1/conversions/{}", order.id), "").await;
        let found: Value = serde_json::from_str(&body).map_err(|error| format!("{}: {error}: {body}", order.id))?;
        if status == 200 && !found["commission"].is_null() {
            let expected = order.commission();
            let right =
                found["commission"]["amount"] == expected && found["confidence"] == "HIGH" && found["state"] == "hold";
            return if right { Ok(()) } else { Err(format!("the order {} must have {expected}: {body}", order.id)) };
        }
        if Instant::now() >= deadline {
            return Err(format!("the order {} has no commission in time: {status} {body}", order.id));
        }
        tokio::time::sleep(pause()).await;
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(LATENCY_MAX)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are in order")
}
