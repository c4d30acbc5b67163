//! `GET /api/v1/conversions/{id}`, `GET /api/v1/conversions/{id}/explain` and `GET /api/v1/conversions`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use schemas::ids::{ConversionId, OrderKey};
use schemas::view::ConversionBody;
use store::{Claims, ConversionView, ReadError, ReadModel};
use streams::Publisher;
use tokio::time::timeout;

use super::{Signed, json_response};
use crate::auth::Caller;
use crate::edge::{Edge, Inner};
use crate::error::Error;
use crate::explanation::ExplanationBody;
use crate::listing::{self, PageBody};

const NOT_FOUND: Error = Error::NotFound("no such conversion of this merchant in this mode");

/// Shows a conversion, by the merchant's order id or by its own.
pub(super) async fn conversion<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let view = edge.0.asked_for(&signed, signed.uri.path()).await?;
    json_response(StatusCode::OK, &ConversionBody::of(&view.conversion, &view.timeline)?)
}

/// Tells why a conversion is what it is.
pub(super) async fn explanation<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let path = signed.uri.path();
    let path = path.strip_suffix("/explain").unwrap_or(path);
    let view = edge.0.asked_for(&signed, path).await?;
    json_response(StatusCode::OK, &ExplanationBody::of(&view.conversion))
}

/// Lists the caller's conversions.
pub(super) async fn conversions<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let query = listing::read(signed.uri.query().unwrap_or(""), &signed.caller).map_err(Error::Validation)?;
    let page = edge.0.answered(edge.0.read_model.list(&query)).await?;
    json_response(StatusCode::OK, &PageBody::of(&page)?)
}

impl<P, C, R: ReadModel> Inner<P, C, R> {
    /// The conversion whose id a path ends with.
    async fn asked_for(&self, signed: &Signed, path: &str) -> Result<ConversionView, Error> {
        let id = path.rsplit('/').next().unwrap_or("");
        let id = percent_decode_str(id).decode_utf8().map_err(|_| NOT_FOUND)?;
        self.find(&signed.caller, &id).await?.ok_or(NOT_FOUND)
    }

    /// An order id comes first, so that one that looks like a conversion id is still found.
    async fn find(&self, caller: &Caller, id: &str) -> Result<Option<ConversionView>, Error> {
        let order = OrderKey { merchant_id: &caller.merchant_id, livemode: caller.livemode, external_order_id: id };
        if let Some(view) = self.read(order.conversion_id()).await? {
            return Ok(Some(view));
        }
        let Some(conversion_id) = ConversionId::parse(id) else { return Ok(None) };
        let view = self.read(conversion_id).await?;
        Ok(view.filter(|view| {
            view.conversion.merchant_id == caller.merchant_id && view.conversion.livemode == caller.livemode
        }))
    }

    pub(super) async fn read(&self, id: ConversionId) -> Result<Option<ConversionView>, Error> {
        self.answered(self.read_model.conversion(id)).await
    }

    /// What the read model answers in time.
    pub(super) async fn answered<T>(&self, question: impl Future<Output = Result<T, ReadError>>) -> Result<T, Error> {
        let deadline = self.config.store_deadline;
        let internal = match timeout(deadline, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the read model did not answer within {deadline:?}"),
        };
        Err(Error::Unavailable {
            external: "what was asked for cannot be read at the moment: try again",
            internal,
            retry_after: self.config.retry_after,
        })
    }
}
