//! `POST /api/v1/test/clock`.

use axum::extract::{Request, State};
use axum::response::Response;
use schemas::ids::{EventKind, event_id};
use schemas::topics::CONVERSIONS;
use store::{Claims, ReadModel, test_clock_digest};
use streams::{Message, Publisher};

use super::reports::answer;
use crate::edge::{Edge, topic};
use crate::error::Error;
use crate::idempotency::IdempotencyKey;
use crate::submit::Identity;
use crate::test_clock;

/// Moves the time of a test order. No key but one of test mode comes further than its check.
pub(super) async fn advance<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    if signed.caller.livemode {
        return Err(Error::TestKeyRequired);
    }
    let (reader, key) = signed.open(test_clock::FIELDS)?;
    let event_id = event_id(EventKind::TestClock, edge.0.ids.next(signed.received_at));
    let read = test_clock::read(reader, &signed.caller, event_id, signed.received_at);
    let mut record = read.map_err(Error::Validation)?;
    let key = key.map(|key| key.on_route("test-clock"));
    record.idempotency = key.as_ref().map(IdempotencyKey::used);
    let order = signed.order(&record.external_order_id);
    let message = Message { topic: topic(&CONVERSIONS), key: order.to_bytes(), value: schemas::encode(&record) };
    let id = order.conversion_id();
    let identity = Identity::TestClock(test_clock_digest(id, record.advanced_to));
    let mut submission = signed.submission(id, identity, record.event_id);
    submission.guard = key.map(|key| signed.guard(key));
    answer(edge, signed, submission, message, "ACCEPTED").await
}
