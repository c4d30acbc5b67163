//! `GET /c/{link}`.

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use schemas::ids::click_id;
use store::{Claims, ReadModel};
use streams::Publisher;

use crate::clicks::redirect;
use crate::edge::Edge;
use crate::error::Error;
use crate::request::Context;

/// Sends a shopper on to the link's destination and records the click; a HEAD request only looks.
pub(super) async fn follow<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let edge = &edge.0;
    let link_id = request.uri().path().rsplit('/').next().unwrap_or("");
    let live = edge.live.load();
    let link = live.registry.link(link_id).ok_or(Error::NotFound("no such link"))?;
    let location = if request.method() == Method::HEAD {
        link.destination.clone()
    } else {
        let now = edge.now();
        let click_id = click_id(edge.ids.next(now));
        let request_id = request.extensions().get::<Context>().map(|context| context.request_id.clone());
        edge.record_click(&live.registry, link, &click_id, now, request_id);
        redirect(&link.destination, &click_id, &link.affiliate_id)
    };
    let location = HeaderValue::try_from(location)
        .map_err(|error| Error::Internal(format!("the destination of link {link_id} is no URL: {error}")))?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
