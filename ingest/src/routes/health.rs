//! `GET /health/live`, `GET /health/ready` and `GET /metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use prometheus_client::registry::Registry;
use serde::Serialize;
use store::{Claims, ReadModel};
use streams::Publisher;
use utoipa::ToSchema;

use super::{Route, json_response};
use crate::edge::Edge;
use crate::error::Error;
use crate::readiness::Readiness;

/// How a process is.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthBody {
    status: &'static str,
    /// Why requests should not come, or what it has to do without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// Whether the process lives: it does if it answers.
pub(super) async fn live() -> Result<Response, Error> {
    json_response(StatusCode::OK, &HealthBody { status: "live", reasons: Vec::new() })
}

/// Whether requests should come here.
pub(super) async fn ready<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
) -> Result<Response, Error> {
    readiness(&edge.0.readiness)
}

/// What is counted, as OpenMetrics text.
pub(super) async fn metrics<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
) -> Result<Response, Error> {
    exposition(&edge.0.exposition)
}

/// What a process tells of itself that has no other route.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) readiness: Readiness,
    pub(crate) exposition: Arc<Registry>,
}

impl Status {
    /// The three routes alone.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route(Route::Live.path(), get(live))
            .route(Route::Ready.path(), get(async |State(status): State<Status>| readiness(&status.readiness)))
            .route(Route::Metrics.path(), get(async |State(status): State<Status>| exposition(&status.exposition)))
            .with_state(self)
    }
}

fn readiness(readiness: &Readiness) -> Result<Response, Error> {
    let (against, lacking) = (readiness.reasons(), readiness.lacking());
    let (code, status, reasons) = match (against.is_empty(), lacking.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", against),
        (true, false) => (StatusCode::OK, "degraded", lacking),
        (true, true) => (StatusCode::OK, "ready", Vec::new()),
    };
    json_response(code, &HealthBody { status, reasons })
}

fn exposition(exposition: &Registry) -> Result<Response, Error> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, exposition)
        .map_err(|error| Error::Internal(format!("metrics cannot be written: {error}")))?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    Ok(response)
}
