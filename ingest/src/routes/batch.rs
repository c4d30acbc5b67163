//! `POST /api/v1/conversions/batch`.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use store::{Claims, ReadModel};
use streams::{Message, Publisher};
use utoipa::ToSchema;

use super::reports::{AcceptedBody, DuplicateBody};
use super::{Signed, json_response};
use crate::batch::{self, Batch, Ended, Item};
use crate::body::{Large, read_large};
use crate::clock::Ids;
use crate::conversion;
use crate::edge::{Edge, Inner};
use crate::error::{Error, Shed};
use crate::fields::Reader;
use crate::idempotency::IdempotencyKey;
use crate::json::Object;
use crate::places::Permits;
use crate::submit::{Outcome, Submission};

/// After how many items others get their turn.
const ITEMS_AT_A_TIME: usize = 50;

#[derive(Serialize)]
struct BatchBody {
    results: Vec<ResultBody>,
}

/// What became of one item.
#[derive(Serialize)]
#[serde(untagged)]
enum ResultBody {
    Accepted(AcceptedBody),
    Duplicate {
        #[serde(flatten)]
        body: DuplicateBody,
        /// What the header `X-Conflict` says where there is one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        conflict: Vec<&'static str>,
    },
    Rejected(RejectedBody),
}

/// What became of an item that was not recorded, or is not known to be.
#[derive(Serialize, ToSchema)]
pub(crate) struct RejectedBody {
    status: &'static str,
    /// As of an error.
    code: &'static str,
    /// What is wrong, each with its field and the remedy.
    message: Vec<String>,
}

impl RejectedBody {
    pub(crate) fn of(error: &Error) -> RejectedBody {
        RejectedBody { status: "REJECTED", code: error.code(), message: error.messages() }
    }
}

/// Reports conversions, each as if it had come alone.
pub(super) async fn conversions<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let (body, large_body) = edge.0.read_batch(&head.headers, body).await?;
    let signed = edge.0.signed(head, body)?;
    let (reader, key) = signed.open(batch::FIELDS)?;
    let key = key.map(|IdempotencyKey { key, body_digest }| IdempotencyKey { key: batch_key(&key), body_digest });
    let raw = batch::read(reader).map_err(Error::Validation)?;
    let mut results: Vec<Option<ResultBody>> = raw.iter().map(|_| None).collect();
    let mut read = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        match signed.item(raw, key.as_ref(), &edge.0.ids) {
            Ok((submission, message)) => read.push((index, submission, message)),
            Err(error) => results[index] = Some(edge.0.rejected(&error)),
        }
        if (index + 1).is_multiple_of(ITEMS_AT_A_TIME) {
            tokio::task::yield_now().await;
        }
    }
    let (scope, request_id) = (signed.scope(), signed.context.request_id.clone());
    let items = edge.0.with_places(signed, results.len(), read)?;
    let idempotency = key.map(|key| (scope, key));
    let batch = Batch { items, idempotency, request_id: request_id.clone() };
    // In a task of its own, so that a sender who goes away leaves nothing half-done.
    let ended = tokio::spawn({
        let edge = edge.clone();
        async move {
            let _until_the_end = large_body;
            batch.run(edge).await
        }
    });
    let ended = ended.await.map_err(|error| Error::Internal(format!("a batch: {error}")))??;
    log_faults(&ended, &request_id);
    edge.0.answer(results, ended)
}

/// One line for all items that failed by a fault of ours: there may be a thousand.
fn log_faults(ended: &Ended, request_id: &str) {
    let mut faults = ended.iter().filter_map(|(_, _, result)| result.as_ref().err().filter(|error| error.is_fault()));
    if let Some(first) = faults.next() {
        let items = 1 + faults.count();
        tracing::error!(request_id, items, error = %first, "items of a batch failed");
    }
}

/// The name under which an idempotency key of a batch is remembered: the route has keys of its own. A key as sent has no
/// NUL.
fn batch_key(sent: &str) -> String {
    format!("batch\0{sent}")
}

impl Signed {
    /// One item, read as the body of a report is.
    fn item(&self, raw: &RawValue, key: Option<&IdempotencyKey>, ids: &Ids) -> Result<(Submission, Message), Error> {
        let object = Object::parse(raw.get().as_bytes(), conversion::FIELDS).map_err(Error::MalformedJson)?;
        self.report(Reader::new(object), key, ids)
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Reads the body of a batch. One over the cap of other bodies is kept only for who names a key that there is, and if
    /// there is a place for it.
    async fn read_batch(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, Option<Permits>), Error> {
        let large = || {
            let live = self.live.load();
            let Some(caller) = live.auth.named(headers) else {
                return Large::Forgotten(Box::new(live.auth.strangers_mac(headers)));
            };
            let share = &live.large_body_shares[&caller.merchant_id];
            match self.large_bodies.take(share) {
                Ok(permits) => Large::Kept(permits),
                Err(_) => Large::Forgotten(Box::new(self.shed(Shed::BatchBodies))),
            }
        };
        let caps = (self.config.body_bytes_max, self.config.batch_bytes_max);
        let (body, permits) = read_large(body, caps, self.config.body_deadline, large).await?;
        Ok((body, permits))
    }

    /// A place for each item that was read, or for as many as a merchant has places; all of them or none.
    fn with_places(
        &self,
        signed: Signed,
        items: usize,
        read: Vec<(usize, Submission, Message)>,
    ) -> Result<Vec<Item>, Error> {
        let more = read.len().min(self.places.share()).saturating_sub(1);
        let mut places = signed.place.more(more).map_err(|bound| self.shed(bound))?;
        self.take_tokens_of_items(&signed.caller, items, &signed.context.admission);
        places.push(signed.place);
        let mut places = places.into_iter();
        let item = |(index, submission, message)| Item { index, submission, message, place: places.next() };
        Ok(read.into_iter().map(item).collect())
    }

    fn rejected(&self, error: &Error) -> ResultBody {
        self.metrics.item_rejected(error.code());
        ResultBody::Rejected(RejectedBody::of(error))
    }

    fn answer(&self, mut results: Vec<Option<ResultBody>>, ended: Ended) -> Result<Response, Error> {
        let mut is_unavailable = false;
        for (index, conversion_id, result) in ended {
            results[index] = Some(match result {
                Ok(Outcome::Accepted { event_id }) => ResultBody::Accepted(AcceptedBody::new(event_id, "RECEIVED")),
                Ok(Outcome::Duplicate { conflict }) => {
                    ResultBody::Duplicate { body: DuplicateBody::new(conversion_id), conflict }
                }
                Err(error) => {
                    is_unavailable |= error.is_unavailable();
                    self.rejected(&error)
                }
            });
        }
        let results: Option<Vec<ResultBody>> = results.into_iter().collect();
        let results = results.ok_or_else(|| Error::Internal("an item of a batch has no answer".to_owned()))?;
        let mut response = json_response(StatusCode::OK, &BatchBody { results })?;
        if is_unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.config.retry_after.as_secs()));
        }
        Ok(response)
    }
}
