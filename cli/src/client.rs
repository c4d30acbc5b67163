//! The signing HTTP client of `send` and `watch`: one call is one request, sent again as the contract allows.

mod retry;
mod signing;
mod target;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};

use crate::args::Connect;
use crate::error::CliError;
use signing::Signer;
pub(crate) use signing::idempotency_key;
use target::Target;

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");

/// A request without what changes from attempt to attempt.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    body: Bytes,
    headers: HeaderMap,
}

impl Request {
    /// A GET, which has no body.
    pub(crate) fn get(url: Url) -> Request {
        Request { method: Method::GET, url, body: Bytes::new(), headers: HeaderMap::new() }
    }

    /// A POST of JSON. Each attempt has the idempotency key of the body.
    pub(crate) fn post(url: Url, body: Bytes) -> Request {
        let key = HeaderValue::try_from(idempotency_key(url.path(), &body)).expect("hexadecimal digits fit a header");
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, key), (CONTENT_TYPE, json)]);
        Request { method: Method::POST, url, body, headers }
    }
}

/// The last answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The body as received.
    pub(crate) body: Bytes,
    /// How long the answered attempt took, without the attempts and waits before it.
    pub(crate) latency: Duration,
}

/// There was no answer to the last attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({attempts} attempts)")]
pub(crate) struct Unanswered {
    /// What happened to the last attempt.
    reason: String,
    /// How many there were.
    attempts: u32,
}

/// One attempt that may be followed by another.
struct Again {
    reason: String,
    asked: Option<Duration>,
    answer: Option<Answer>,
}

/// A merchant's client.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    target: Target,
    key: HeaderValue,
    signer: Signer,
    retries_max: u32,
    timeout: Duration,
    retried: AtomicU64,
    noticed: AtomicU64,
}

impl Client {
    /// A client for up to `connections` requests at a time.
    ///
    /// # Errors
    /// The address, the key or the secret is missing or cannot be one.
    pub(crate) fn new(connect: &Connect, connections: usize) -> Result<Client, CliError> {
        let target = Target::parse(&connect.to)?;
        let key = api_key(&connect.key)?;
        let signer = Signer::load(connect.secret_file.as_deref())?;
        if target.is_plain() && !target.is_loopback() {
            tracing::warn!("{} is not https: orders travel in the clear", target.name());
        }
        // A second installation only means that one is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .timeout(connect.timeout)
            // A signed body goes where the user said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("conversions/", env!("CARGO_PKG_VERSION")));
        if target.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            CliError::Failed(format!("cannot prepare HTTPS ({}): install ca-certificates", chain(&error)))
        })?;
        let (retried, noticed) = (AtomicU64::new(0), AtomicU64::new(0));
        let (retries_max, timeout) = (connect.retries, connect.timeout);
        Ok(Client { http, target, key, signer, retries_max, timeout, retried, noticed })
    }

    /// The address of a path on the server.
    ///
    /// # Errors
    /// A segment cannot stand in an address.
    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, CliError> {
        self.target.at(segments)
    }

    /// The server, for messages.
    pub(crate) fn server(&self) -> &str {
        self.target.name()
    }

    /// How often any request was sent again.
    pub(crate) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Sends a request until there is an answer that must not be retried, or no retry is left: the same body and
    /// idempotency key, and a fresh timestamp and signature each time.
    ///
    /// # Errors
    /// The last attempt had no answer. A 5xx is an answer.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer, Unanswered> {
        let mut retry = 0;
        loop {
            let again = match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(again) => again,
            };
            let wait = retry::wait(retry, again.asked, retry::random()).filter(|_| retry < self.retries_max);
            let Some(wait) = wait else {
                return again.answer.ok_or(Unanswered { reason: again.reason, attempts: retry + 1 });
            };
            retry += 1;
            self.notice(&again.reason, wait, retry);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Answer, Again> {
        let now = unix_seconds();
        let signature = self.signer.sign(now, &request.body);
        let mut headers = request.headers.clone();
        headers.insert(API_KEY, self.key.clone());
        headers.insert(TIMESTAMP, HeaderValue::from(now));
        headers.insert(SIGNATURE, HeaderValue::try_from(signature).expect("hexadecimal digits fit a header"));
        let begun = monotonic();
        let prepared = self.http.request(request.method.clone(), request.url.clone()).headers(headers);
        let sent = prepared.body(request.body.clone()).send();
        let unanswered = |error: reqwest::Error| Again { reason: self.explain(&error), asked: None, answer: None };
        let response = sent.await.map_err(unanswered)?;
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry::asked_wait(value, now));
        let body = read_body(response).await.map_err(unanswered)?;
        let answer = Answer { status, body, latency: begun.elapsed() };
        if retry::may_retry(status) {
            return Err(Again { reason: format!("the server answered {status}"), asked, answer: Some(answer) });
        }
        Ok(answer)
    }

    /// Says that something is being retried, at most once a second whatever number of requests it concerns.
    fn notice(&self, reason: &str, wait: Duration, retry: u32) {
        self.retried.fetch_add(1, Ordering::Relaxed);
        let now = unix_seconds();
        if self.noticed.swap(now, Ordering::Relaxed) != now {
            let wait = wait.as_millis();
            tracing::warn!("{reason}; sending again in {wait} ms (retry {retry} of {})", self.retries_max);
        }
    }

    fn explain(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            format!("no answer from {} within {} ms", self.server(), self.timeout.as_millis())
        } else if error.is_connect() {
            format!("cannot connect to {}: {}", self.server(), chain(error))
        } else {
            format!("the connection to {} broke: {}", self.server(), chain(error))
        }
    }
}

/// Reads an answer up to a limit: what is beyond is not ours.
async fn read_body(mut response: reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        if chunk.len() >= room {
            body.extend_from_slice(&chunk[..room]);
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Checks `--key`, and does not repeat it when it may be the secret.
fn api_key(text: &str) -> Result<HeaderValue, CliError> {
    if text.starts_with("sk_") {
        return Err(CliError::Usage(
            "--key was given a signing secret (sk_…), which other users of this machine could have read: give the \
             public key id (live_pk_… or test_pk_…), and rotate that secret"
                .to_owned(),
        ));
    }
    let fits = !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::from_str(text).ok().filter(|_| fits);
    header.ok_or_else(|| CliError::Usage("--key is no key id: it looks like live_pk_… or test_pk_…".to_owned()))
}

/// The innermost cause: the outer ones only say that sending failed.
fn chain(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The wall clock in Unix seconds, for timestamps.
#[allow(clippy::disallowed_methods, reason = "the one place of the client that reads the wall clock")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The monotonic clock, for measuring.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_given_as_key_is_not_repeated() {
        let error = api_key("sk_live_hunter2").expect_err("a secret is no key id");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        for bad in ["", "live pk", "live_pk_ü", "live_pk\n"] {
            assert!(api_key(bad).is_err(), "{bad:?}");
        }
        assert!(api_key("live_pk_xxxxxxxxxxxxxxxx").is_ok());
    }
}
