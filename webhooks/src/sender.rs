//! Attempts side by side, a bounded number in all and of each endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use schemas::encode;
use schemas::ids::OrderKey;
use schemas::records::{WebhookAttempt, WebhookOutcome};
use schemas::registry::{Endpoint, Registry};
use schemas::topics::WEBHOOK_OUTCOMES;
use streams::{Clock, Message, PublishError, Publisher, Record};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::metrics::{Left, Metrics};

/// Most bytes of bodies that wait.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Times that an outcome is offered to a log whose queue is full, and the time between two of them.
const PUBLISH_TRIES: u32 = 20;
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);
/// How often a stop looks whether all attempts have ended.
const IDLE_CHECK_EVERY: Duration = Duration::from_millis(10);

/// The sender's bounds.
#[derive(Clone, Copy, Debug)]
pub struct SenderOptions {
    /// Most attempts under way at once. Default 256.
    pub in_flight_max: usize,
    /// Most of them to one endpoint. Default 8.
    pub in_flight_per_endpoint_max: usize,
    /// Most attempts that wait to be sent. Default 4,096; a quarter of them may be one endpoint's. Of more, the oldest of the
    /// longest line is left to come again.
    pub waiting_max: usize,
}

impl Default for SenderOptions {
    fn default() -> Self {
        SenderOptions { in_flight_max: 256, in_flight_per_endpoint_max: 8, waiting_max: 4_096 }
    }
}

/// What a sender is made of.
#[allow(missing_debug_implementations, reason = "a publisher has no useful Debug")]
pub struct Parts {
    /// Where endpoints and their secrets are.
    pub registry: Arc<Registry>,
    /// Where outcomes go.
    pub publisher: Arc<dyn Publisher>,
    /// What is sent with.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where attempts run.
    pub runtime: Handle,
    /// The bounds.
    pub options: SenderOptions,
}

/// Sends what it is handed, and forgets it. Clones are one sender.
#[derive(Clone)]
pub struct Sender(Arc<Inner>);

struct Inner {
    registry: ArcSwap<Registry>,
    publisher: Arc<dyn Publisher>,
    client: Client,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    runtime: Handle,
    options: SenderOptions,
    places: Semaphore,
    lines: Mutex<Lines>,
    stopping: AtomicBool,
}

/// What waits.
#[derive(Default)]
struct Lines {
    by_endpoint: BTreeMap<String, Line>,
    waiting: usize,
    bytes: usize,
}

/// What waits for one endpoint, and how many tasks send it.
#[derive(Default)]
struct Line {
    waiting: VecDeque<WebhookAttempt>,
    /// Of the bodies of these.
    bytes: usize,
    tasks: usize,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender with nothing to do.
    #[must_use]
    pub fn new(parts: Parts) -> Sender {
        let Parts { registry, publisher, client, clock, metrics, runtime, options } = parts;
        let registry = ArcSwap::new(registry);
        let places = Semaphore::new(options.in_flight_max);
        let (lines, stopping) = (Mutex::default(), AtomicBool::new(false));
        let inner = Inner { registry, publisher, client, clock, metrics, runtime, options, places, lines, stopping };
        Sender(Arc::new(inner))
    }

    /// Puts another registry in the place of the present one, for every attempt that begins from now on.
    pub fn set_registry(&self, registry: Arc<Registry>) {
        self.0.registry.store(registry);
    }

    /// Takes records of `webhook-attempts`, without waiting for anything.
    pub fn take(&self, records: &[Record]) {
        for record in records {
            match schemas::decode::<WebhookAttempt>(&record.value) {
                Ok(attempt) => self.offer(attempt),
                Err(error) => {
                    self.0.metrics.left(Left::Undecodable);
                    tracing::error!(partition = record.partition, offset = record.offset, %error, "no webhook attempt");
                }
            }
        }
    }

    fn offer(&self, attempt: WebhookAttempt) {
        let options = &self.0.options;
        let endpoint_id = attempt.endpoint_id.clone();
        let mut lines = self.0.lines();
        let is_full = lines.line(&endpoint_id).is_some_and(|it| it.waiting.len() >= options.waiting_max.div_ceil(4));
        // What is left comes again, later each time: what is too much is spread by that.
        if is_full || !self.0.make_room(&mut lines, &attempt) {
            self.0.metrics.left(Left::Full);
            return;
        }
        self.0.metrics.waiting.inc();
        let line = lines.push(attempt);
        if line.tasks < options.in_flight_per_endpoint_max {
            line.tasks += 1;
            self.0.runtime.spawn(Inner::serve(Arc::clone(&self.0), endpoint_id));
        }
    }

    /// Begins no further attempt, and waits no longer than `wait` for those under way; whether all have ended. It blocks.
    #[must_use]
    pub fn stop(&self, wait: Duration) -> bool {
        self.0.stopping.store(true, Ordering::Release);
        let deadline = Instant::now() + wait;
        loop {
            if self.0.lines().by_endpoint.values().all(|line| line.tasks == 0) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(IDLE_CHECK_EVERY);
        }
    }
}

impl Lines {
    fn line(&self, endpoint_id: &str) -> Option<&Line> {
        self.by_endpoint.get(endpoint_id)
    }

    /// Puts an attempt at the end of its line.
    fn push(&mut self, attempt: WebhookAttempt) -> &mut Line {
        (self.waiting, self.bytes) = (self.waiting + 1, self.bytes + attempt.body.len());
        let line = self.by_endpoint.entry(attempt.endpoint_id.clone()).or_default();
        line.bytes += attempt.body.len();
        line.waiting.push_back(attempt);
        line
    }

    /// Takes the oldest attempt out of a line.
    fn pop(&mut self, endpoint_id: &str) -> Option<WebhookAttempt> {
        let line = self.by_endpoint.get_mut(endpoint_id)?;
        let attempt = line.waiting.pop_front()?;
        line.bytes -= attempt.body.len();
        (self.waiting, self.bytes) = (self.waiting - 1, self.bytes - attempt.body.len());
        Some(attempt)
    }

    /// The line that is the longest by a measure, if it is longer than that of this endpoint.
    fn longer_than(&self, endpoint_id: &str, length: impl Fn(&Line) -> usize) -> Option<String> {
        let own = self.line(endpoint_id).map_or(0, &length);
        let (longest, line) = self.by_endpoint.iter().max_by_key(|(_, line)| length(line))?;
        (length(line) > own).then(|| longest.clone())
    }

    fn forget_if_idle(&mut self, endpoint_id: &str) {
        if self.by_endpoint.get(endpoint_id).is_some_and(|line| line.tasks == 0 && line.waiting.is_empty()) {
            self.by_endpoint.remove(endpoint_id);
        }
    }
}

impl Inner {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an attempt find room, in the place of what waits longest in longer lines: endpoints that hang then hold no other,
    /// however many they are. Whether there is room.
    fn make_room(&self, lines: &mut Lines, attempt: &WebhookAttempt) -> bool {
        loop {
            let longest = if lines.waiting >= self.options.waiting_max {
                lines.longer_than(&attempt.endpoint_id, |line| line.waiting.len())
            } else if lines.bytes + attempt.body.len() > WAITING_BYTES_MAX {
                lines.longer_than(&attempt.endpoint_id, |line| line.bytes)
            } else {
                return true;
            };
            let Some(left) = longest.and_then(|endpoint_id| lines.pop(&endpoint_id)) else { return false };
            lines.forget_if_idle(&left.endpoint_id);
            self.metrics.waiting.dec();
            self.metrics.left(Left::Full);
        }
    }

    /// Sends what waits for an endpoint, one after the other, until nothing does. Several such tasks share a line.
    async fn serve(self: Arc<Inner>, endpoint_id: String) {
        loop {
            // A place first: what has none yet goes on waiting, and may be late by then.
            let place = self.places.acquire().await;
            let Some(attempt) = self.next(&endpoint_id) else { return };
            self.metrics.in_flight.inc();
            self.one(&attempt).await;
            self.metrics.in_flight.dec();
            drop(place);
        }
    }

    /// The next attempt of an endpoint; without one the task is no longer counted.
    fn next(&self, endpoint_id: &str) -> Option<WebhookAttempt> {
        let mut lines = self.lines();
        let attempt = if self.stopping.load(Ordering::Acquire) { None } else { lines.pop(endpoint_id) };
        if attempt.is_some() {
            self.metrics.waiting.dec();
        } else {
            lines.by_endpoint.get_mut(endpoint_id)?.tasks -= 1;
            lines.forget_if_idle(endpoint_id);
        }
        attempt
    }

    async fn one(&self, attempt: &WebhookAttempt) {
        if self.clock.now_ms() > attempt.send_before.0 {
            return self.metrics.left(Left::Late);
        }
        let registry = self.registry.load_full();
        let is_its = |it: &&Endpoint| it.merchant_id == attempt.merchant_id && it.livemode == attempt.livemode;
        let endpoint = registry.endpoints().get(&attempt.endpoint_id).filter(is_its);
        let Some(endpoint) = endpoint.filter(|it| !it.disabled && !it.secrets.is_empty()) else {
            return self.metrics.left(Left::NoEndpoint);
        };
        let outcome = self.client.attempt(endpoint, attempt).await;
        self.metrics.ended(outcome.result, outcome.duration_ms);
        tracing::debug!(
            endpoint = outcome.endpoint_id,
            webhook = attempt.webhook_id,
            attempt = outcome.attempt,
            status = outcome.http_status,
            reason = outcome.reason,
            "webhook {:?}",
            outcome.result
        );
        if !self.publish(&outcome).await {
            self.metrics.left(Left::OutcomeLost);
        }
    }

    /// Writes an outcome; whether it is in the log.
    async fn publish(&self, outcome: &WebhookOutcome) -> bool {
        let (merchant_id, external_order_id) = (&*outcome.merchant_id, &*outcome.external_order_id);
        let key = OrderKey { merchant_id, livemode: outcome.livemode, external_order_id }.to_bytes();
        let message = Message { topic: processors::topic(&WEBHOOK_OUTCOMES), key, value: encode(outcome) };
        for _ in 0..PUBLISH_TRIES {
            match self.publisher.publish(vec![message.clone()]) {
                Ok(pending) => return pending.await.is_ok(),
                Err(PublishError::Full) => tokio::time::sleep(PUBLISH_PAUSE).await,
                Err(PublishError::TooLarge { .. } | PublishError::Closed | PublishError::Failed(_)) => return false,
            }
        }
        false
    }
}
