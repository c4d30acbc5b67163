//! `GET /openapi.json`.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use crate::openapi::description;

/// Shows what all routes do. It is no secret: the same text is in the repository.
pub(super) async fn show() -> Response {
    let mut response = Response::new(Body::from(description()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
