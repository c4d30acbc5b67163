//! `POST /api/v1/conversions` and `POST /api/v1/order-status`.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use schemas::ids::{ConversionId, EventKind, OrderKey, event_id};
use schemas::records::{ConversionReported, OrderStatusReported, ReportedStatus};
use schemas::topics::CONVERSIONS;
use serde::Serialize;
use store::{Claims, Fingerprint, IdempotencyScope, ReadModel, status_digest};
use streams::{Message, Publisher};
use utoipa::ToSchema;

use super::{Signed, check_json, json_response};
use crate::clock::Ids;
use crate::conversion;
use crate::edge::{Edge, topic};
use crate::error::Error;
use crate::fields::Reader;
use crate::idempotency::IdempotencyKey;
use crate::json::Object;
use crate::openapi::words;
use crate::order_status;
use crate::submit::{Guard, Identity, Outcome, Sender, Submission};

const X_CONFLICT: HeaderName = HeaderName::from_static("x-conflict");

/// The answer to a report that is new.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AcceptedBody {
    /// The event that is in the log.
    #[schema(schema_with = words::event_id)]
    event_id: String,
    status: &'static str,
    #[schema(schema_with = words::never)]
    duplicate: bool,
}

/// The answer to a report that was known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DuplicateBody {
    status: &'static str,
    #[schema(schema_with = words::conversion_id)]
    conversion_id: ConversionId,
    #[schema(schema_with = words::always)]
    duplicate: bool,
}

impl AcceptedBody {
    pub(crate) fn new(event_id: String, status: &'static str) -> AcceptedBody {
        AcceptedBody { event_id, status, duplicate: false }
    }
}

impl DuplicateBody {
    pub(crate) fn new(conversion_id: ConversionId) -> DuplicateBody {
        DuplicateBody { status: "DUPLICATE", conversion_id, duplicate: true }
    }
}

/// Reports a conversion.
pub(super) async fn conversion<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let (reader, key) = signed.open(conversion::FIELDS)?;
    let (mut submission, message) = signed.report(reader, key.as_ref(), &edge.0.ids)?;
    submission.guard = key.map(|key| signed.guard(key));
    answer(edge, signed, submission, message, "RECEIVED").await
}

/// Reports a new status of an order.
pub(super) async fn order_status<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let (reader, key) = signed.open(order_status::FIELDS)?;
    let record = signed.read_update(reader, None, &edge.0.ids)?;
    let key = key.map(|key| key.on_route("order-status"));
    let (mut submission, message) = signed.update(record, key.as_ref());
    submission.guard = key.map(|key| signed.guard(key));
    answer(edge, signed, submission, message, "ACCEPTED").await
}

impl Signed {
    /// Begins to read the body, and takes the idempotency key; its faults are told with those of the fields.
    pub(super) fn open(&self, fields: &'static [&'static str]) -> Result<(Reader<'_>, Option<IdempotencyKey>), Error> {
        check_json(&self.headers)?;
        let object = Object::parse(&self.body, fields).map_err(Error::MalformedJson)?;
        let mut reader = Reader::new(object);
        let key = IdempotencyKey::of(&self.headers, &self.body).unwrap_or_else(|fault| {
            reader.fault(fault);
            None
        });
        Ok((reader, key))
    }

    /// A report of a conversion as it is published, under an idempotency key that the caller has yet to take.
    pub(super) fn report(
        &self,
        reader: Reader<'_>,
        key: Option<&IdempotencyKey>,
        ids: &Ids,
    ) -> Result<(Submission, Message), Error> {
        Ok(self.conversion(self.read_conversion(reader, None, ids)?, key))
    }

    /// A conversion that was reported, or that the event `created` tells of.
    pub(super) fn read_conversion(
        &self,
        reader: Reader<'_>,
        created: Option<&str>,
        ids: &Ids,
    ) -> Result<ConversionReported, Error> {
        let event_id = event_id(EventKind::Conversion, ids.next(self.received_at));
        conversion::read(reader, &self.caller, event_id, self.received_at, created).map_err(Error::Validation)
    }

    /// A conversion as it is published.
    pub(super) fn conversion(
        &self,
        mut record: ConversionReported,
        key: Option<&IdempotencyKey>,
    ) -> (Submission, Message) {
        record.idempotency = key.map(IdempotencyKey::used);
        let order = self.order(&record.external_order_id);
        let message = Message { topic: topic(&CONVERSIONS), key: order.to_bytes(), value: schemas::encode(&record) };
        let identity = Identity::Conversion(Fingerprint::of(&record));
        (self.submission(order.conversion_id(), identity, record.event_id), message)
    }

    /// A status update; an event, if it came as one, decides the status.
    pub(super) fn read_update(
        &self,
        reader: Reader<'_>,
        event: Option<(&str, ReportedStatus)>,
        ids: &Ids,
    ) -> Result<OrderStatusReported, Error> {
        let event_id = event_id(EventKind::OrderStatus, ids.next(self.received_at));
        order_status::read(reader, &self.caller, event_id, self.received_at, event).map_err(Error::Validation)
    }

    /// A status update as it is published.
    pub(super) fn update(
        &self,
        mut record: OrderStatusReported,
        key: Option<&IdempotencyKey>,
    ) -> (Submission, Message) {
        record.idempotency = key.map(IdempotencyKey::used);
        let order = self.order(&record.external_order_id);
        let message = Message { topic: topic(&CONVERSIONS), key: order.to_bytes(), value: schemas::encode(&record) };
        let id = order.conversion_id();
        let identity = Identity::OrderStatus(status_digest(id, &record));
        (self.submission(id, identity, record.event_id), message)
    }

    /// What an idempotency key of a caller guards.
    pub(super) fn guard(&self, key: IdempotencyKey) -> Guard {
        Guard { scope: self.scope(), key, is_event: false }
    }

    /// Where its idempotency keys are.
    pub(super) fn scope(&self) -> IdempotencyScope {
        IdempotencyScope { merchant_id: self.caller.merchant_id.clone(), livemode: self.caller.livemode }
    }

    pub(super) fn order<'a>(&'a self, external_order_id: &'a str) -> OrderKey<'a> {
        OrderKey { merchant_id: &self.caller.merchant_id, livemode: self.caller.livemode, external_order_id }
    }

    /// What is submitted of an order, unguarded.
    pub(super) fn submission(&self, conversion_id: ConversionId, identity: Identity, event_id: String) -> Submission {
        Submission {
            conversion_id,
            identity,
            event_id,
            guard: None,
            received_at: self.received_at,
            request_id: self.context.request_id.clone(),
            deadline: self.deadline,
            questions: None,
        }
    }
}

/// Runs a submission to its end in a task of its own, so that a sender who goes away leaves nothing half-done.
pub(super) async fn answer<P: Publisher, C: Claims, R: ReadModel>(
    edge: Edge<P, C, R>,
    signed: Signed,
    submission: Submission,
    message: Message,
    accepted: &'static str,
) -> Result<Response, Error> {
    let conversion_id = submission.conversion_id;
    let (sender, told) = Sender::new();
    let place = signed.place;
    tokio::spawn(async move { edge.0.submit(submission, message, sender, Some(place)).await });
    let outcome = told.await.map_err(|_| Error::Internal("a submission panicked".to_owned()))??;
    match outcome {
        Outcome::Accepted { event_id } => json_response(StatusCode::ACCEPTED, &AcceptedBody::new(event_id, accepted)),
        Outcome::Duplicate { conflict } => {
            let mut response = json_response(StatusCode::ACCEPTED, &DuplicateBody::new(conversion_id))?;
            if !conflict.is_empty() {
                let fields = HeaderValue::from_str(&conflict.join(", ")).expect("field names are ASCII");
                response.headers_mut().insert(X_CONFLICT, fields);
            }
            Ok(response)
        }
    }
}
