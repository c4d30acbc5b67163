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

mod admin;
pub(crate) mod batch;
mod click;
mod description;
pub(crate) mod health;
mod payouts;
mod reading;
pub(crate) mod reports;
pub(crate) mod service;
mod test_clock;
pub(crate) mod webhooks;

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
    TestClock,
    Click,
    ServiceClicks,
    Reviews,
    Review,
    Approve,
    Reject,
    Reinstate,
    Payouts,
    Payout,
    Paid,
    Failed,
    Live,
    Ready,
    Metrics,
    Description,
    Unmatched,
}

impl Route {
    /// All there are; of two with one path the one that a method tells from the other comes second.
    pub(crate) const ALL: &[Route] = &[
        Route::Conversions,
        Route::List,
        Route::Conversion,
        Route::Explanation,
        Route::Batch,
        Route::OrderStatus,
        Route::Webhook,
        Route::TestClock,
        Route::Click,
        Route::ServiceClicks,
        Route::Reviews,
        Route::Review,
        Route::Approve,
        Route::Reject,
        Route::Reinstate,
        Route::Payouts,
        Route::Payout,
        Route::Paid,
        Route::Failed,
        Route::Live,
        Route::Ready,
        Route::Metrics,
        Route::Description,
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
            Route::TestClock => "/api/v1/test/clock",
            Route::Click => "/c/{link}",
            Route::ServiceClicks => "/internal/v1/clicks",
            Route::Reviews => "/admin/v1/reviews",
            Route::Review => "/admin/v1/reviews/{id}",
            Route::Approve => "/admin/v1/reviews/{id}/approve",
            Route::Reject => "/admin/v1/reviews/{id}/reject",
            Route::Reinstate => "/admin/v1/reviews/{id}/reinstate",
            Route::Payouts => "/admin/v1/payouts",
            Route::Payout => "/admin/v1/payouts/{id}",
            Route::Paid => "/admin/v1/payouts/{id}/paid",
            Route::Failed => "/admin/v1/payouts/{id}/failed",
            Route::Live => "/health/live",
            Route::Ready => "/health/ready",
            Route::Metrics => "/metrics",
            Route::Description => "/openapi.json",
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
        let route = matched.and_then(|path| Route::ALL.iter().copied().find(|route| route.path() == path.as_str()));
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
    if edge.0.admins.is_some() {
        routes = routes
            .route(Route::Reviews.path(), get(admin::queue::<P, C, R>))
            .route(Route::Review.path(), get(admin::review::<P, C, R>))
            .route(Route::Approve.path(), post(admin::approve::<P, C, R>))
            .route(Route::Reject.path(), post(admin::reject::<P, C, R>))
            .route(Route::Reinstate.path(), post(admin::reinstate::<P, C, R>))
            .route(Route::Payouts.path(), get(payouts::list::<P, C, R>))
            .route(Route::Payout.path(), get(payouts::show::<P, C, R>))
            .route(Route::Paid.path(), post(payouts::paid::<P, C, R>))
            .route(Route::Failed.path(), post(payouts::failed::<P, C, R>));
    }
    routes
        .route(Route::Conversions.path(), post(reports::conversion::<P, C, R>).get(reading::conversions::<P, C, R>))
        .route(Route::Conversion.path(), get(reading::conversion::<P, C, R>))
        .route(Route::Explanation.path(), get(reading::explanation::<P, C, R>))
        .route(Route::Batch.path(), post(batch::conversions::<P, C, R>).get(reading::conversion::<P, C, R>))
        .route(Route::OrderStatus.path(), post(reports::order_status::<P, C, R>))
        .route(Route::Webhook.path(), post(webhooks::event::<P, C, R>))
        .route(Route::TestClock.path(), post(test_clock::advance::<P, C, R>))
        .route(Route::Click.path(), get(click::follow::<P, C, R>))
        .route(Route::Live.path(), get(health::live))
        .route(Route::Ready.path(), get(health::ready::<P, C, R>))
        .route(Route::Metrics.path(), get(health::metrics::<P, C, R>))
        .route(Route::Description.path(), get(description::show))
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
