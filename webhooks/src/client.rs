//! One attempt: a POST, and what it comes to.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use schemas::Timestamp;
use schemas::records::{WebhookAttempt, WebhookOutcome, WebhookResult};
use schemas::registry::Endpoint;
use streams::Clock;

use crate::address::is_public;
use crate::resolver::{NotPublic, Resolver, is_not_public, literal};
use crate::signature::sign;

/// Most bytes of an answer's body that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How long they may take: the status is known already.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long a connection is kept for the next attempt.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How many are kept for one host.
const IDLE_PER_HOST_MAX: usize = 4;
const RETRY_AFTER_SECONDS_MAX: u64 = 86_400;

/// How requests are made.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// How long an attempt may take, from the question for its address to the head of the answer. At most 10 s, so that it
    /// ends before [`processors::webhooks::LEASE_MS`].
    pub timeout: Duration,
    /// Whether addresses that are not the internet's may be sent to, and URLs may be `http`.
    pub allow_private_addresses: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions { timeout: Duration::from_secs(10), allow_private_addresses: false }
    }
}

/// There is no HTTPS to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare HTTPS ({0}): install ca-certificates")]
pub struct ClientError(String);

/// Sends attempts.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    options: ClientOptions,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    /// Nothing came in time.
    Timeout,
    /// The address is not one that may be sent to.
    AddressNotAllowed,
    /// The URL is not `https`, or is none.
    InsecureUrl,
    /// There was no connection, or no TLS.
    ConnectFailed,
    /// The connection broke, or what came was no HTTP.
    Broken,
}

impl Unanswered {
    fn code(self) -> &'static str {
        match self {
            Unanswered::Timeout => "timeout",
            Unanswered::AddressNotAllowed => "address_not_allowed",
            Unanswered::InsecureUrl => "insecure_url",
            Unanswered::ConnectFailed => "connect_failed",
            Unanswered::Broken => "broken",
        }
    }

    fn of(error: &reqwest::Error) -> Unanswered {
        if is_not_public(error) {
            Unanswered::AddressNotAllowed
        } else if error.is_timeout() {
            Unanswered::Timeout
        } else if error.is_connect() {
            Unanswered::ConnectFailed
        } else {
            Unanswered::Broken
        }
    }
}

impl Client {
    /// A client, which connects when there is something to send.
    ///
    /// # Errors
    /// The system's certificates cannot be used.
    pub fn new(options: ClientOptions, clock: Arc<dyn Clock>) -> Result<Client, ClientError> {
        // A second installation only means that one is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .http1_only()
            .timeout(options.timeout)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            // Either would lead to where the address was not looked at.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("conversions/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Resolver::new(options.allow_private_addresses)));
        let http = builder.build().map_err(|error| {
            ClientError(error.source().map_or_else(|| error.to_string(), |source| source.to_string()))
        })?;
        Ok(Client { http, options, clock })
    }

    /// Makes one attempt, and says what came of it.
    pub async fn attempt(&self, endpoint: &Endpoint, attempt: &WebhookAttempt) -> WebhookOutcome {
        let began = Instant::now();
        let answer = self.send(endpoint, attempt).await;
        let (result, http_status, reason, retry_after_ms) = match &answer {
            Ok(response) => {
                let status = response.status();
                (result_of(status), Some(i32::from(status.as_u16())), None, retry_after_ms(response.headers()))
            }
            Err(unanswered) => (WebhookResult::Failed, None, Some(unanswered.code().to_owned()), None),
        };
        let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        if let Ok(response) = answer {
            // What does not come in time closes its connection.
            let _ = tokio::time::timeout(ANSWER_WAIT, read_away(response)).await;
        }
        WebhookOutcome {
            endpoint_id: attempt.endpoint_id.clone(),
            merchant_id: attempt.merchant_id.clone(),
            livemode: attempt.livemode,
            external_order_id: attempt.external_order_id.clone(),
            sequence: attempt.sequence,
            attempt: attempt.attempt,
            result,
            http_status,
            reason,
            retry_after_ms,
            duration_ms,
            at: Timestamp(self.clock.now_ms()),
        }
    }

    async fn send(&self, endpoint: &Endpoint, attempt: &WebhookAttempt) -> Result<Response, Unanswered> {
        let url = self.allowed(&endpoint.url)?;
        let timestamp = Timestamp(self.clock.now_ms()).seconds();
        let signature = sign(&endpoint.secrets, &attempt.webhook_id, timestamp, attempt.body.as_bytes());
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &attempt.webhook_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(attempt.body.clone());
        request.send().await.map_err(|error| Unanswered::of(&error))
    }

    /// The URL as it is requested, if its scheme and its host, where that is an address, may be sent to.
    fn allowed(&self, url: &str) -> Result<Url, Unanswered> {
        // The parser writes every form of an address (octal, one number) as the address that it is.
        let url = Url::parse(url).map_err(|_| Unanswered::InsecureUrl)?;
        if self.options.allow_private_addresses {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(Unanswered::InsecureUrl);
        }
        match url.host_str().and_then(literal).filter(|address| !is_public(*address)) {
            Some(_) => Err(Unanswered::from(NotPublic)),
            None => Ok(url),
        }
    }
}

impl From<NotPublic> for Unanswered {
    fn from(NotPublic: NotPublic) -> Unanswered {
        Unanswered::AddressNotAllowed
    }
}

fn result_of(status: StatusCode) -> WebhookResult {
    match status {
        StatusCode::GONE => WebhookResult::Gone,
        status if status.is_success() => WebhookResult::Delivered,
        // A redirect too: it is not followed.
        _ => WebhookResult::Failed,
    }
}

/// In whole seconds alone: a date would need the receiver's clock to be right.
fn retry_after_ms(headers: &HeaderMap) -> Option<i64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    i64::try_from(seconds.min(RETRY_AFTER_SECONDS_MAX) * 1_000).ok()
}

async fn read_away(mut response: Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes += chunk.len();
        if bytes > ANSWER_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use streams::SystemClock;

    #[track_caller]
    fn check(url: &str, expected: Result<(), Unanswered>) {
        let client = Client::new(ClientOptions::default(), Arc::new(SystemClock)).expect("a client");
        assert_eq!(client.allowed(url).map(drop), expected, "{url}");
    }

    #[test]
    fn urls_that_lead_to_an_address_are_looked_at_in_every_form() {
        check("https://shop.example/hooks", Ok(()));
        check("https://8.8.8.8/hooks", Ok(()));
        check("https://[2606:4700:4700::1111]/", Ok(()));
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://100.64.0.1:8443/",
        ] {
            check(url, Err(Unanswered::AddressNotAllowed));
        }
        for url in ["http://shop.example/", "ftp://shop.example/", "", "https://"] {
            check(url, Err(Unanswered::InsecureUrl));
        }
    }

    #[test]
    fn statuses() {
        for (status, expected) in [
            (200, WebhookResult::Delivered),
            (204, WebhookResult::Delivered),
            (299, WebhookResult::Delivered),
            (301, WebhookResult::Failed),
            (308, WebhookResult::Failed),
            (400, WebhookResult::Failed),
            (404, WebhookResult::Failed),
            (410, WebhookResult::Gone),
            (429, WebhookResult::Failed),
            (500, WebhookResult::Failed),
        ] {
            assert_eq!(result_of(StatusCode::from_u16(status).expect("a status")), expected, "{status}");
        }
    }

    #[test]
    fn retry_after() {
        let found = |text: &str| retry_after_ms(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]));
        assert_eq!(found("120"), Some(120_000));
        assert_eq!(found("86401"), Some(86_400_000));
        assert_eq!(found("18446744073709551615"), Some(86_400_000));
        for text in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "18446744073709551616"] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new()), None);
    }
}
