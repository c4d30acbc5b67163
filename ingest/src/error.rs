//! Every way a request can fail, and the one place where a failure becomes a response and a log line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::view::DamagedMetadata;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::{Act, Role};
use crate::auth::AuthError;
use crate::code::Code;

/// Why a request was not done. `Display` is for the log; [`Error::messages`] is for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("a role of {} may not {}", .role.word(), .act.words())]
    Forbidden { role: Role, act: Act },
    #[error("a live key on a route of test mode")]
    TestKeyRequired,
    #[error("malformed JSON: {0}")]
    MalformedJson(String),
    #[error("invalid: {}", .0.join("; "))]
    Validation(Vec<String>),
    #[error("unsupported: {0}")]
    UnsupportedMediaType(&'static str),
    #[error("the body is over {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    #[error("the body did not arrive within {0:?}")]
    BodyTimeout(Duration),
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    #[error("nothing is here: {0}")]
    NotFound(&'static str),
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    #[error("the idempotency key was used with another body")]
    IdempotencyKeyReused,
    #[error("the event id was used for another event or order")]
    EventIdReused,
    #[error("decided otherwise: {0}")]
    ReviewConflict(String),
    #[error("ended otherwise: {0}")]
    PayoutConflict(String),
    #[error("unavailable: {internal}")]
    Unavailable { external: &'static str, internal: String, retry_after: Duration },
    #[error("shed: {}", .bound.label())]
    Shed { bound: Shed, retry_after: Duration },
    #[error("over the key's rate limit")]
    RateLimited { retry_after: Duration },
    #[error("internal: {0}")]
    Internal(String),
}

impl From<DamagedMetadata> for Error {
    fn from(damaged: DamagedMetadata) -> Error {
        Error::Internal(damaged.to_string())
    }
}

/// A bound that a request met. No fault of ours and seen by many at once: counted, and not logged as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// On the requests in flight.
    InFlight,
    /// On one merchant's share of them.
    MerchantShare,
    /// On the requests about one thing.
    Lane,
    /// On the time to wait for an equal request.
    Turn,
    /// On the log's queue.
    LogFull,
    /// On the large bodies of batches at once.
    BatchBodies,
    /// On the signatures that are remembered.
    Replays,
    /// On the clicks on their way into the log.
    Clicks,
    /// On the acts of administrators.
    Acts,
}

impl Shed {
    /// The metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Shed::InFlight => "in_flight",
            Shed::MerchantShare => "merchant_share",
            Shed::Lane => "lane",
            Shed::Turn => "turn",
            Shed::LogFull => "log_full",
            Shed::BatchBodies => "batch_bodies",
            Shed::Replays => "replays",
            Shed::Clicks => "clicks",
            Shed::Acts => "acts",
        }
    }

    /// What the caller is told.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Shed::InFlight => "too many requests at once; nothing was recorded, and a retry is safe",
            Shed::MerchantShare => {
                "too many requests of this merchant at once; nothing was recorded, and a retry is safe"
            }
            Shed::Lane => "too many equal requests at once; this one was not recorded, and a retry is safe",
            Shed::Turn => "an equal request is still under way; this one was not recorded, and a retry is safe",
            Shed::LogFull => "the log takes no more at the moment; nothing was recorded, and a retry is safe",
            Shed::Clicks => "too many clicks at once; this one was not recorded, and a retry is safe",
            Shed::Acts => "too many acts of administrators at once; nothing was recorded, and a retry is safe",
            Shed::Replays => {
                "too many requests of keys with strictReplay lately; nothing was recorded, and a retry is safe"
            }
            Shed::BatchBodies => {
                "too many large batches at once; nothing was recorded, and a retry, or a smaller batch, is safe"
            }
        }
    }
}

/// Where a failed response keeps its error until it is rendered.
#[derive(Clone)]
struct Failure(Arc<Error>);

/// The one body that all errors have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorBody<'a> {
    /// The status of the answer.
    status_code: u16,
    /// What HTTP calls that status.
    error: &'a str,
    /// What a program tells errors apart by.
    code: &'a str,
    /// What is wrong, for people; of faults of the request each, with its field and the remedy.
    message: Vec<String>,
    /// As in the header X-Request-Id.
    request_id: &'a str,
}

impl Error {
    /// Which of the contract's errors it is.
    pub(crate) fn kind(&self) -> Code {
        match self {
            Error::Auth(error) => error.kind(),
            Error::MalformedJson(_) | Error::BodyBroken(_) => Code::MalformedJson,
            Error::Validation(_) => Code::ValidationFailed,
            Error::UnsupportedMediaType(_) => Code::UnsupportedMediaType,
            Error::BodyTooLarge { .. } => Code::BodyTooLarge,
            Error::BodyTimeout(_) => Code::RequestTimeout,
            Error::NotFound(_) => Code::NotFound,
            Error::MethodNotAllowed => Code::MethodNotAllowed,
            Error::IdempotencyKeyReused | Error::EventIdReused => Code::IdempotencyKeyReused,
            Error::RateLimited { .. } => Code::RateLimited,
            Error::Unavailable { .. } | Error::Shed { .. } => Code::Unavailable,
            Error::Internal(_) => Code::Internal,
            Error::Forbidden { .. } => Code::Forbidden,
            Error::TestKeyRequired => Code::TestKeyRequired,
            Error::ReviewConflict(_) => Code::ReviewConflict,
            Error::PayoutConflict(_) => Code::PayoutConflict,
        }
    }

    fn status(&self) -> StatusCode {
        self.kind().status()
    }

    /// The contract's code.
    pub(crate) fn code(&self) -> &'static str {
        self.kind().word()
    }

    /// What the caller is told.
    pub(crate) fn messages(&self) -> Vec<String> {
        match self {
            Error::Auth(error) => vec![error.to_string()],
            Error::Forbidden { .. } => vec![self.to_string()],
            Error::TestKeyRequired => {
                vec!["the time of a live order cannot be moved: sign with a test key, of an order reported with one".to_owned()]
            }
            Error::MalformedJson(message) | Error::ReviewConflict(message) | Error::PayoutConflict(message) => {
                vec![message.clone()]
            }
            Error::Validation(faults) => faults.clone(),
            Error::UnsupportedMediaType(must) => vec![(*must).to_owned()],
            Error::BodyTooLarge { bytes_max } => vec![format!("the body must have at most {bytes_max} bytes")],
            Error::BodyTimeout(deadline) => vec![format!("the body must arrive within {deadline:?}")],
            Error::BodyBroken(_) => vec!["the body ended before it was complete".to_owned()],
            Error::NotFound(what) => vec![(*what).to_owned()],
            Error::MethodNotAllowed => vec!["the header Allow names the methods allowed here".to_owned()],
            Error::IdempotencyKeyReused => {
                vec!["the idempotency key was used with another body in the last 24 h: send a new key".to_owned()]
            }
            Error::EventIdReused => vec![
                "X-External-Event-Id was used for another event or order in the last 24 h: each event needs an id of its own"
                    .to_owned(),
            ],
            Error::Unavailable { external, .. } => vec![(*external).to_owned()],
            Error::RateLimited { retry_after } => {
                vec![format!("the key's rate limit is reached; nothing was recorded: come again in {retry_after:?}")]
            }
            Error::Shed { bound, .. } => vec![bound.message().to_owned()],
            Error::Internal(_) => {
                vec!["the server failed; it may have been recorded, and a retry is safe".to_owned()]
            }
        }
    }

    /// The one body that all errors have.
    pub(crate) fn body<'a>(&'a self, request_id: &'a str) -> ErrorBody<'a> {
        let status = self.status();
        let error = status.canonical_reason().unwrap_or("Error");
        ErrorBody { status_code: status.as_u16(), error, code: self.code(), message: self.messages(), request_id }
    }

    /// Writes the body into a response that may carry headers already.
    fn render(&self, response: &mut Response, request_id: &str) {
        let json = serde_json::to_vec(&self.body(request_id)).expect("strings and numbers are JSON");
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Error::Unavailable { retry_after, .. }
        | Error::Shed { retry_after, .. }
        | Error::RateLimited { retry_after } = self
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
        }
        if matches!(self, Error::BodyTooLarge { .. } | Error::BodyTimeout(_) | Error::BodyBroken(_)) {
            // What is left of the body would be read as the next request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        *response.body_mut() = Body::from(json);
    }

    /// Whether it is ours, and worth an error line.
    pub(crate) fn is_fault(&self) -> bool {
        self.status().is_server_error() && !matches!(self, Error::Shed { .. })
    }

    /// Whether a retry of the same will do.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable { .. } | Error::Shed { .. })
    }

    fn log(&self, request_id: &str, route: &'static str) {
        let (status, code) = (self.status().as_u16(), self.code());
        if self.is_fault() {
            tracing::error!(request_id, route, status, code, error = %self, "request failed");
        } else {
            tracing::debug!(request_id, route, status, code, error = %self, "request refused");
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}

/// Renders and logs the failure of a response, if it has one, and returns the failure's code.
pub(crate) fn finish(response: &mut Response, request_id: &str, route: &'static str) -> Option<&'static str> {
    let Failure(failure) = response.extensions_mut().remove::<Failure>()?;
    failure.render(response, request_id);
    failure.log(request_id, route);
    Some(failure.code())
}
