//! Whether the brokers answer, and what they say if they do not let us in.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

use super::Connection;
use super::errors::failed;

/// How long one question waits: a refusal is heard of between two.
const ASK_FOR: Duration = Duration::from_millis(250);
/// How long is listened then: a client hands out its log lines first, of which there are some for each failure, and without
/// any time one thing only.
const LISTEN_FOR: Duration = Duration::from_millis(20);

/// Why the brokers cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// The client does not take its settings together.
    #[error("the client cannot be made ({0})")]
    Settings(String),
    /// A broker refused the login.
    #[error("a broker refused the login ({0})")]
    Login(String),
    /// TLS could not be agreed on.
    #[error("no broker could be spoken to over TLS ({0})")]
    Tls(String),
    /// No broker answered in time.
    #[error("no broker answered in time ({0})")]
    Silent(String),
}

/// Hears why connections fail.
#[derive(Default)]
struct Heard(Mutex<Option<ReachError>>);

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        let reason = reason.to_owned();
        let heard = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                ReachError::Login(reason)
            }
            Some(RDKafkaErrorCode::SSL) => ReachError::Tls(reason),
            // A certificate of ours is refused after the handshake, as far as the client can tell.
            Some(_) | None if reason.contains("SSL alert") => ReachError::Tls(reason),
            Some(_) | None => ReachError::Silent(reason),
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down is said after the reason why, and says less.
        if matches!(heard, ReachError::Login(_) | ReachError::Tls(_)) || last.is_none() {
            *last = Some(heard);
        }
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
        // What matters of it is in the error.
        tracing::debug!("kafka: {facility}: {line}");
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl Connection {
    /// Waits until a broker answers, and returns what tells this installation from all others: the id of the cluster, and
    /// the prefix. Blocks for up to `wait`, less when a login is refused.
    ///
    /// # Errors
    /// Why none did. Nothing of it shows the value of a setting.
    pub fn reach(&self, wait: Duration) -> Result<String, ReachError> {
        let deadline = Instant::now() + wait;
        let made = self.client("reach").create_with_context(Heard::default());
        let producer: BaseProducer<Heard> =
            made.map_err(|error| ReachError::Settings(failed("making a client")(error).to_string()))?;
        loop {
            let answer = producer.client().fetch_metadata(None, ASK_FOR);
            let error = match answer.map(|_| producer.client().fetch_cluster_id(ASK_FOR)) {
                Ok(Some(id)) => return Ok(format!("kafka {id} {:?}", self.prefix)),
                Ok(None) => "no cluster id".to_owned(),
                Err(error) => error.to_string(),
            };
            producer.poll(LISTEN_FOR);
            let heard = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match heard {
                Some(refused @ ReachError::Login(_)) => return Err(refused),
                heard if Instant::now() >= deadline => {
                    return Err(heard.unwrap_or(ReachError::Silent(error)));
                }
                _ => {}
            }
        }
    }
}
