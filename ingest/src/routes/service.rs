//! `POST /internal/v1/clicks`: clicks that were made elsewhere, recorded by a service of the operator's own.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use store::{Claims, ReadModel};
use streams::Publisher;
use utoipa::ToSchema;

use super::{check_json, json_response};
use crate::clicks;
use crate::edge::Edge;
use crate::error::Error;
use crate::fields::Reader;
use crate::json::Object;

/// The answer to a click that is durable.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedBody<'a> {
    /// As it was sent.
    click_id: &'a str,
    status: &'static str,
}

/// Records a click, which may have been recorded before.
pub(super) async fn click<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let edge = &edge.0;
    let token = edge.service_token.as_ref().ok_or(Error::NotFound("no such route"))?;
    let (head, body) = request.into_parts();
    let body = crate::body::read(body, edge.config.body_bytes_max, edge.config.body_deadline).await?;
    token.check(&head.headers).inspect_err(|error| edge.metrics.not_let_in(error.code()))?;
    check_json(&head.headers)?;
    let object = Object::parse(&body, clicks::FIELDS).map_err(Error::MalformedJson)?;
    let live = edge.live.load_full();
    let click = clicks::read(Reader::new(object), &live.registry, edge.now()).map_err(Error::Validation)?;
    edge.keep_click(&click).await?;
    json_response(StatusCode::ACCEPTED, &RecordedBody { click_id: &click.click_id, status: "RECORDED" })
}
