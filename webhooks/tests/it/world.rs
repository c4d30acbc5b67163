//! A sender, what it is handed, and what it writes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode as exposed;
use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::ids::OrderKey;
use schemas::records::{WebhookAttempt, WebhookOutcome};
use schemas::registry::Registry;
use schemas::topics::{WEBHOOK_ATTEMPTS, WEBHOOK_OUTCOMES};
use schemas::{Timestamp, decode, encode};
use streams::log::Pending;
use streams::{Ack, Clock, Message, PublishError, Publisher, Record, SystemClock};
use webhooks::{Client, ClientOptions, Metrics, Parts, Sender, SenderOptions};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const SECOND_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const WAIT: Duration = Duration::from_secs(20);

/// A log that keeps what is published.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<Message>>);

impl Publisher for Log {
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        self.0.lock().expect("no test panics with the lock").extend(messages);
        let (sender, pending) = Pending::new();
        sender.send(Ok(Ack { partition: 0, offset: 0 })).expect("it is awaited");
        Ok(pending)
    }
}

pub(crate) struct World {
    pub(crate) sender: Sender,
    log: Arc<Log>,
    exposition: MetricsRegistry,
    count: i32,
}

/// A registry with an endpoint of the merchant `m` for each id and URL.
pub(crate) fn registry(endpoints: &[(&str, &str)]) -> Arc<Registry> {
    let table = |(id, url): &(&str, &str)| {
        format!(
            "[[endpoints]]\nid = \"{id}\"\nmerchant = \"m\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n\
             previous_secret = \"{SECOND_SECRET}\"\n"
        )
    };
    let tables: String = endpoints.iter().map(table).collect();
    let text = format!("[[merchants]]\nid = \"m\"\nname = \"M\"\n{tables}");
    Arc::new(Registry::parse(&text).unwrap_or_else(|faults| panic!("{faults}")))
}

impl World {
    pub(crate) fn new(registry: Arc<Registry>, client: ClientOptions, options: SenderOptions) -> World {
        let mut exposition = MetricsRegistry::default();
        let log = Arc::<Log>::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let parts = Parts {
            registry,
            publisher: Arc::<Log>::clone(&log),
            client: Client::new(client, Arc::clone(&clock)).expect("a client"),
            clock,
            metrics: Metrics::register(&mut exposition),
            runtime: tokio::runtime::Handle::current(),
            options,
        };
        World { sender: Sender::new(parts), log, exposition, count: 0 }
    }

    /// Where everything is on this machine.
    pub(crate) fn local(registry: Arc<Registry>, timeout: Duration) -> World {
        let client = ClientOptions { timeout, allow_private_addresses: true };
        World::new(registry, client, SenderOptions::default())
    }

    /// Hands an attempt over, of an order of its own.
    pub(crate) fn send(&mut self, endpoint_id: &str) -> WebhookAttempt {
        let attempt = self.attempt(endpoint_id);
        self.hand_over(&attempt);
        attempt
    }

    pub(crate) fn attempt(&mut self, endpoint_id: &str) -> WebhookAttempt {
        self.count += 1;
        WebhookAttempt {
            endpoint_id: endpoint_id.to_owned(),
            merchant_id: "m".to_owned(),
            livemode: true,
            external_order_id: format!("O-{}", self.count),
            sequence: 4,
            webhook_id: format!("whk_{}_4_{endpoint_id}", self.count),
            attempt: 1,
            body: "{\"data\":\"é\"}".to_owned(),
            send_before: Timestamp(SystemClock.now_ms() + 15_000),
        }
    }

    pub(crate) fn hand_over(&self, attempt: &WebhookAttempt) {
        let value = encode(attempt).into();
        self.sender.take(&[Record { topic: WEBHOOK_ATTEMPTS.number, partition: 0, offset: 0, key: "k".into(), value }]);
    }

    pub(crate) fn outcomes(&self) -> Vec<WebhookOutcome> {
        let written = self.log.0.lock().expect("no test panics with the lock");
        let outcome = |message: &Message| {
            assert_eq!(message.topic.id, WEBHOOK_OUTCOMES.number);
            let outcome: WebhookOutcome = decode(&message.value).expect("an outcome");
            let (merchant_id, external_order_id) = (&*outcome.merchant_id, &*outcome.external_order_id);
            let key = OrderKey { merchant_id, livemode: outcome.livemode, external_order_id }.to_bytes();
            assert_eq!(message.key, key);
            outcome
        };
        written.iter().map(outcome).collect()
    }

    /// The outcome of an attempt, once it is there.
    pub(crate) async fn outcome(&self, attempt: &WebhookAttempt) -> WebhookOutcome {
        let deadline = Instant::now() + WAIT;
        loop {
            let found = self.outcomes().into_iter().rev().find(|it| it.external_order_id == attempt.external_order_id);
            if let Some(outcome) = found {
                return outcome;
            }
            assert!(Instant::now() < deadline, "no outcome of {attempt:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a metric has a value.
    pub(crate) async fn counted(&self, line: &str) {
        let deadline = Instant::now() + WAIT;
        while !self.exposed().lines().any(|found| found == line) {
            assert!(Instant::now() < deadline, "no {line} in\n{}", self.exposed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn exposed(&self) -> String {
        let mut text = String::new();
        exposed(&mut text, &self.exposition).expect("a string takes it");
        text
    }
}
