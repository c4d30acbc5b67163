//! The routes, and the order of checks that the signed ones share.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use schemas::Timestamp;
use serde::Serialize;
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::time::Instant;

use crate::auth::Caller;
use crate::edge::{Edge, Inner};
use crate::error::Error;
use crate::places::Place;
use crate::request::{Context, surround};

mod batch;
mod click;
pub(crate) mod health;
mod reading;
mod reports;
mod service;
mod webhooks;

/// Which route a request took: a label of few values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Conversions,
    List,
    Conversion,
    Explanation,
    Batch,
    OrderStatus,
    Webhook,
    Click,
    ServiceClicks,
    Live,
    Ready,
    Metrics,
    Unmatched,
}

impl Route {
    const MATCHED: [Route; 11] = [
        Route::Conversions,
        Route::Conversion,
        Route::Explanation,
        Route::Batch,
        Route::OrderStatus,
        Route::Webhook,
        Route::Click,
        Route::ServiceClicks,
        Route::Live,
        Route::Ready,
        Route::Metrics,
    ];

    /// The path as the router knows it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Route::Conversions | Route::List => "/api/v1/conversions",
            Route::Conversion => "/api/v1/conversions/{id}",
            Route::Explanation => "/api/v1/conversions/{id}/explain",
            Route::Batch => "/api/v1/conversions/batch",
            Route::OrderStatus => "/api/v1/order-status",
            Route::Webhook => "/api/v1/webhooks/{event}",
            Route::Click => "/c/{link}",
            Route::ServiceClicks => "/internal/v1/clicks",
            Route::Live => "/health/live",
            Route::Ready => "/health/ready",
            Route::Metrics => "/metrics",
            Route::Unmatched => "unmatched",
        }
    }

    /// What it is called in metrics and log lines: its path, unless another route has that too.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Route::List => "GET /api/v1/conversions",
            route => route.path(),
        }
    }

    /// The route of a method on the path that the router matched.
    pub(crate) fn of(method: &Method, matched: Option<&MatchedPath>) -> Route {
        let route = matched.and_then(|path| Route::MATCHED.into_iter().find(|route| route.path() == path.as_str()));
        match route {
            Some(Route::Conversions) if matches!(*method, Method::GET | Method::HEAD) => Route::List,
            route => route.unwrap_or(Route::Unmatched),
        }
    }
}

/// All routes of an edge.
pub(crate) fn router<P: Publisher, C: Claims, R: ReadModel>(edge: Edge<P, C, R>) -> Router {
    let mut routes = Router::new();
    if edge.0.service_token.is_some() {
        routes = routes.route(Route::ServiceClicks.path(), post(service::click::<P, C, R>));
    }
    routes
        .route(Route::Conversions.path(), post(reports::conversion::<P, C, R>).get(reading::conversions::<P, C, R>))
        .route(Route::Conversion.path(), get(reading::conversion::<P, C, R>))
        .route(Route::Explanation.path(), get(reading::explanation::<P, C, R>))
        .route(Route::Batch.path(), post(batch::conversions::<P, C, R>).get(reading::conversion::<P, C, R>))
        .route(Route::OrderStatus.path(), post(reports::order_status::<P, C, R>))
        .route(Route::Webhook.path(), post(webhooks::event::<P, C, R>))
        .route(Route::Click.path(), get(click::follow::<P, C, R>))
        .route(Route::Live.path(), get(health::live))
        .route(Route::Ready.path(), get(health::ready::<P, C, R>))
        .route(Route::Metrics.path(), get(health::metrics::<P, C, R>))
        .fallback(async || Error::NotFound("no such route"))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(from_fn_with_state(edge.clone(), surround::<P, C, R>))
        .with_state(edge)
}

/// A request whose sender is known.
struct Signed {
    caller: Arc<Caller>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
    context: Context,
    received_at: Timestamp,
    deadline: Instant,
    place: Place,
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Reads the body and checks who sent it; only then is there a place for it among the requests in flight, so that
    /// nobody without a key, and no body that is slow to come, keeps others out.
    async fn authenticate(&self, request: Request) -> Result<Signed, Error> {
        let (head, body) = request.into_parts();
        let body = crate::body::read(body, self.config.body_bytes_max, self.config.body_deadline).await?;
        self.signed(head, body)
    }

    /// A request whose body has come.
    fn signed(&self, head: Parts, body: Bytes) -> Result<Signed, Error> {
        let received_at = self.now();
        let context = head.extensions.get::<Context>().expect("the layer around all routes puts it there").clone();
        let (caller, place) = self.admit(&head, &body, received_at, &context.admission)?;
        let deadline = Instant::now() + self.config.request_deadline;
        Ok(Signed { caller, headers: head.headers, uri: head.uri, body, context, received_at, deadline, place })
    }
}

/// Whether the body is said to be JSON as it stands.
fn check_json(headers: &HeaderMap) -> Result<(), Error> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Error::UnsupportedMediaType("Content-Type must be application/json"));
    }
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::UnsupportedMediaType("Content-Encoding must be absent or identity: send the JSON as it is"));
    }
    Ok(())
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Result<Response, Error> {
    let json = serde_json::to_vec(body).map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
